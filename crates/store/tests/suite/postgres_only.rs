//! What only a server can do to us: lose connections while it works on.

use std::time::Duration;

use store::{
    Settings, Store, StoreError,
    write::{Op, Reply, Write, WriteError},
};
use tokio::time::{Instant, timeout};

use crate::{
    database::{Database, rng},
    member::{
        Member, assert_gap_free, event, identity, job, log, message, number, outbox, peer, session,
        shard,
    },
    proxy::Proxy,
};

/// In the body of a message that takes the server [`SLOW`] to insert.
const SLOW_MARKER: &[u8] = b"a body that takes its time";
const SLOW: Duration = Duration::from_millis(1_500);

fn slow(n: u64) -> Op {
    Op::InsertMessage(store::rows::Message { body: SLOW_MARKER.into(), ..message(n) })
}

/// Makes inserts of [`slow`] messages hold their transaction open.
async fn make_slow(database: &Database) {
    let marker = String::from_utf8_lossy(SLOW_MARKER);
    database
        .sql(&format!(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF NEW.body = '{marker}' THEN PERFORM pg_sleep({}); END IF; RETURN NEW; END $$; \
             CREATE TRIGGER dawdle BEFORE INSERT ON message FOR EACH ROW \
             EXECUTE FUNCTION dawdle()",
            SLOW.as_secs_f64()
        ))
        .await;
}

/// Waits until a backend of the test's database executes the slow insert; gives its process id.
async fn dawdling(database: &Database) -> i32 {
    let admin = database.admin().await;
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let rows = admin
            .query(
                "SELECT pid FROM pg_stat_activity WHERE datname = $1 AND wait_event = 'PgSleep'",
                &[&database.name()],
            )
            .await
            .unwrap();
        if let Some(row) = rows.first() {
            return row.get(0);
        }
        assert!(Instant::now() < until, "no batch is under way");
        tokio::task::yield_now().await;
    }
}

async fn through(database: &Database, proxy: &Proxy) -> Store {
    let Settings { url, .. } = database.settings();
    let store::DatabaseUrl::Postgres(direct) = url else { panic!("PostgreSQL") };
    let (user, password) = (direct.get_user().unwrap(), direct.get_password().unwrap());
    let password = String::from_utf8_lossy(password);
    let url =
        store::DatabaseUrl::postgres("127.0.0.1", proxy.port, user, &password, database.name());
    let settings = Settings { lanes: Some(2), ..Settings::new(url) };
    Store::open(settings, rng()).await.unwrap()
}

pub(crate) fn address(database: &Database) -> std::net::SocketAddr {
    let Settings { url, .. } = database.settings();
    let store::DatabaseUrl::Postgres(config) = url else { panic!("PostgreSQL") };
    let tokio_postgres::config::Host::Tcp(host) = &config.get_hosts()[0] else { panic!("TCP") };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    format!("{host}:{port}").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_takeover_waits_for_an_open_batch() {
    let database = Database::postgres().await;
    let store = database.open().await;
    make_slow(&database).await;
    let old = Member::join(&store, 1).await;
    let of = old.take(&[shard(8)]).await[0];
    let ops = vec![slow(1), Op::InsertJob(job(1)), Op::InsertEvent(event("open"))];
    let write = old.write(of.id, of.epoch, ops);
    let takeover = async {
        dawdling(&database).await;
        let start = Instant::now();
        assert!(store.cluster().fence(1, None).await.unwrap());
        let waited = start.elapsed();
        assert!(waited > SLOW / 3, "the fence came back after {waited:?}");
        store.reader().load_shard(of.id).await.unwrap()
    };
    let (_, load) = tokio::join!(write, takeover);
    assert_eq!(load.jobs, [job(1)], "what was open is there once the fence is");
    assert_eq!(load.max_event_seq, 1);
    let late = old.write(of.id, of.epoch, vec![Op::InsertJob(job(2))]).await;
    assert_eq!(late, Err(WriteError::Fenced));
    assert_eq!(store.reader().load_shard(of.id).await.unwrap(), load);
    database.remove().await;
}

/// The answer is lost while the old backend still holds the lane's row: asking has to wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_of_an_open_batch_is_not_written_twice() {
    let database = Database::postgres().await;
    drop(database.open().await);
    make_slow(&database).await;
    let proxy = Proxy::start(address(&database), SLOW_MARKER).await;
    let store = through(&database, &proxy).await;
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(8)]).await[0];
    for n in 0..3 {
        proxy.arm();
        let ops = vec![slow(n), Op::InsertJob(job(n)), Op::InsertEvent(event(n.to_string()))];
        let write = timeout(Duration::from_secs(20), member.write(of.id, of.epoch, ops));
        let committed = write.await.unwrap().unwrap();
        assert_eq!(committed.first_seq, i64::try_from(n).unwrap() + 1);
    }
    assert_eq!(proxy.cuts(), 3);
    let events = log(&store, of.id).await;
    assert_eq!(events.len(), 3);
    assert_gap_free(&events);
    assert_eq!(store.reader().load_shard(of.id).await.unwrap().jobs.len(), 3);
    database.remove().await;
}

/// As above, but the old backend is killed before it commits: the same bytes are run again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_backend_dies_behind_a_cut_connection_is_run_again() {
    let database = Database::postgres().await;
    drop(database.open().await);
    make_slow(&database).await;
    let proxy = Proxy::start(address(&database), SLOW_MARKER).await;
    let store = through(&database, &proxy).await;
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(8)]).await[0];
    proxy.arm();
    let ops = vec![slow(1), Op::InsertJob(job(1)), Op::InsertEvent(event("once"))];
    let write = member.write(of.id, of.epoch, ops);
    let kill = async {
        let pid = dawdling(&database).await;
        let killed = database.admin().await;
        killed.query("SELECT pg_terminate_backend($1)", &[&pid]).await.unwrap();
    };
    let (committed, ()) = tokio::join!(write, kill);
    assert_eq!(committed.unwrap().first_seq, 1);
    assert_eq!(proxy.cuts(), 1);
    assert_eq!(log(&store, of.id).await.len(), 1);
    assert_eq!(store.reader().load_shard(of.id).await.unwrap().jobs, [job(1)]);
    database.remove().await;
}

/// An answer that is lost after the commit, and a take-over before the lane can ask: the new owner
/// has the row, the old one confirms nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unconfirmed_batch_of_a_fenced_lane_is_not_run_again() {
    let database = Database::postgres().await;
    let direct = database.open().await;
    make_slow(&database).await;
    let proxy = Proxy::start(address(&database), SLOW_MARKER).await;
    let store = through(&database, &proxy).await;
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(8)]).await[0];
    proxy.arm();
    let ops = vec![slow(1), Op::InsertEvent(event("open"))];
    let write = member.write(of.id, of.epoch, ops);
    let takeover = async {
        let pid = dawdling(&database).await;
        let client = database.client().await;
        // Queued for the lane's row before the backend goes, so before the lane's question or
        // after it; either way the batch must not come back.
        let kill = async {
            let killed = database.admin().await;
            killed.query("SELECT pg_terminate_backend($1)", &[&pid]).await.unwrap();
        };
        let fence = client.batch_execute("UPDATE lane SET live = 0 WHERE inc = 1");
        tokio::join!(fence, kill).0.unwrap();
        direct.reader().load_shard(of.id).await.unwrap()
    };
    let (outcome, load) = tokio::join!(write, takeover);
    let after = direct.reader().load_shard(of.id).await.unwrap();
    assert_eq!(after, load, "nothing is written once the fence has returned");
    match outcome {
        Ok(_) => assert_eq!(load.max_event_seq, 1, "confirmed, so the fence waited for it"),
        Err(error) => assert_eq!((error, load.max_event_seq), (WriteError::Fenced, 0)),
    }
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backends_killed_all_the_time_neither_lose_nor_repeat_a_row() {
    const WRITES: u64 = 2_000;
    let database = Database::postgres().await;
    let store = database.open().await;
    let mut member = Member::join(&store, 1).await;
    let claimed = member.take(&[shard(0), shard(1), shard(2)]).await;
    let admin = database.admin().await;
    let mut kills = 0;
    let mut answers = Vec::new();
    for n in 0..WRITES {
        let of = claimed[usize::try_from(n).unwrap() % 3];
        member.lanes.submit(Write {
            shard: of.id,
            epoch: of.epoch,
            class: store::write::Class::Hot,
            ops: vec![
                Op::InsertMessage(message(n)),
                Op::InsertJob(job(n)),
                Op::InsertEvent(event(n.to_string())),
            ],
            reply: Reply::Token(n),
        });
        if n % 50 == 49 {
            let killed = admin
                .query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE datname = $1 AND application_name = 'heliograph'",
                    &[&database.name()],
                )
                .await
                .unwrap();
            kills += killed.len();
            // Some of what was submitted is confirmed before the next blow.
            answers.extend(member.answers.recv().await.unwrap());
        }
    }
    while answers.len() < usize::try_from(WRITES).unwrap() {
        let more = timeout(Duration::from_secs(30), member.answers.recv());
        answers.extend(more.await.expect("an answer is missing").unwrap());
    }
    assert!(kills >= 10, "{kills} backends were killed");
    assert!(answers.iter().all(|answer| answer.result.is_ok()));
    let mut jobs = 0;
    for of in claimed {
        let events = log(&store, of.id).await;
        assert_gap_free(&events);
        let load = store.reader().load_shard(of.id).await.unwrap();
        assert_eq!(load.jobs.len(), events.len());
        jobs += load.jobs.len();
        for answer in answers.iter().filter(|answer| answer.shard == of.id) {
            let seq = answer.result.as_ref().unwrap().first_seq;
            let event = &events[usize::try_from(seq).unwrap() - 1];
            assert_eq!(event.event.body, answer.token.to_string());
        }
    }
    assert_eq!(jobs, usize::try_from(WRITES).unwrap());
    database.remove().await;
}

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coreapps_that_start_at_once_create_and_migrate_one_database() {
    let database = Database::postgres().await;
    let (a, b, c, d) = tokio::join!(
        database.try_open(),
        database.try_open(),
        database.try_open(),
        database.try_open()
    );
    for store in [a, b, c, d] {
        let store = store.unwrap();
        assert_eq!(store.cluster().shards().await.unwrap().len(), 65);
        assert_eq!(store.facts().lanes, 2);
    }
    database.remove().await;
}
