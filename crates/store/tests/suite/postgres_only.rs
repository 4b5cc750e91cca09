//! What only PostgreSQL can do to us.

use std::time::Duration;

use store::{
    Store, StoreError,
    write::{Op, Reply, Write},
};
use tokio::time::Instant;

use crate::{
    database::{Database, rng},
    member::{Member, identity, number, outbox, peer, session, shard},
};

/// A table that has grown since its statements were planned, and was never analysed: what the
/// planner believes must not decide.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_a_large_table_without_statistics_are_found_by_key_alone() {
    const ROWS: u64 = 30_000;
    const EACH: u64 = 200;
    let database = Database::postgres().await;
    let store = database.open().await;
    for table in ["session", "session_mark", "identity"] {
        database.sql(&format!("ALTER TABLE {table} SET (autovacuum_enabled = false)")).await;
        // Now the planner takes it for empty.
        database.sql(&format!("VACUUM {table}")).await;
    }
    for n in 0..20 {
        assert!(peer(&store, shard(8), n).await.0.is_empty());
    }
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(8)]).await[0];
    for round in 1..=2u64 {
        // One row a page, as traffic has it.
        let peers: Vec<_> = (0..EACH).map(|n| n * (ROWS / EACH) + round).collect();
        let writes = peers.iter().map(|n| Write {
            shard: of.id,
            epoch: of.epoch,
            class: store::write::Class::Hot,
            ops: vec![
                Op::PutSession(session(*n, 0, vec![1; 315])),
                Op::PutIdentity(identity(*n, 0)),
                Op::InsertOutbox(outbox(*n, 0)),
                Op::DeleteSession { wa_id: number(n + 50), device: 0 },
            ],
            reply: Reply::Token(*n),
        });
        member.lanes.submit_many(writes.collect());
        for n in peers {
            member.write(of.id, of.epoch, vec![]).await.unwrap();
            assert_eq!(peer(&store, of.id, n).await.0.len(), 1);
        }
        for (table, columns, values) in [
            ("session", "generation, record", "1, decode(repeat('01', 315), 'hex')"),
            ("session_mark", "mark", "decode(repeat('02', 16), 'hex')"),
            ("identity", "key, created_ms, acknowledged", "decode(repeat('05', 33), 'hex'), 1, 1"),
        ] {
            let fill = format!(
                "INSERT INTO {table} (shard, wa_id, device, {columns}) \
                 SELECT 8, convert_to('4915' || lpad(n::text, 9, '0'), 'UTF8'), 0, {values} \
                 FROM generate_series(0, {ROWS} - 1) AS n ON CONFLICT DO NOTHING"
            );
            database.sql(&fill).await;
        }
    }
    // A backend tells its counts when it ends.
    member.lanes.clone().close().await;
    drop((member, store));
    let client = database.client().await;
    let until = Instant::now() + Duration::from_secs(10);
    let ours = "SELECT count(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name = 'heliograph'";
    while client.query_one(ours, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        assert!(Instant::now() < until, "connections stay open");
        tokio::task::yield_now().await;
    }
    for table in ["session", "session_mark", "identity"] {
        let counts = "SELECT seq_tup_read, idx_scan, n_tup_upd, n_tup_hot_upd \
            FROM pg_stat_user_tables WHERE relname = $1";
        let row = client.query_one(counts, &[&table]).await.unwrap();
        let [scanned, looked_up, updated, hot] = [0, 1, 2, 3].map(|n| row.get::<_, i64>(n));
        assert_eq!(scanned, 0, "rows of {table} were read by scanning");
        assert!(looked_up > 400, "{looked_up} look-ups in {table}");
        assert_eq!((updated, hot), (200, 200), "an update of {table} touched its index");
    }
    database.remove().await;
}

#[tokio::test]
async fn a_server_that_forgets_what_it_confirmed_is_refused() {
    let database = Database::postgres().await;
    drop(database.open().await);
    let off = format!("ALTER DATABASE \"{}\" SET synchronous_commit = off", database.name());
    database.sql(&off).await;
    match database.try_open().await.err() {
        Some(StoreError::Durability { setting: "synchronous_commit", value }) => {
            assert_eq!(value, "off");
        }
        other => panic!("{other:?}"),
    }
    let mut settings = database.settings();
    settings.unsafe_durability = true;
    let store = Store::open(settings, rng()).await.unwrap();
    assert_eq!(store.facts().durability, "synchronous_commit=off, fsync=on");
    database.remove().await;
}
