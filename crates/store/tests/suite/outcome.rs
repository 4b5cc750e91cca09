//! What only a server can do to us: lose connections while it works on.

use std::time::Duration;

use store::{
    Settings, Store,
    write::{Op, Reply, Write, WriteError},
};
use tokio::time::{Instant, timeout};

use crate::{
    database::{Database, rng},
    member::{Member, assert_gap_free, event, job, log, message, shard},
    on_every_server,
    proxy::Proxy,
};

on_every_server!(
    a_takeover_waits_for_an_open_batch,
    a_lost_answer_of_an_open_batch_is_not_written_twice,
    a_batch_whose_backend_dies_behind_a_cut_connection_is_run_again,
    an_unconfirmed_batch_of_a_fenced_lane_is_not_run_again,
    backends_killed_all_the_time_neither_lose_nor_repeat_a_row,
    coreapps_that_start_at_once_create_and_migrate_one_database,
    a_wrong_password_is_named_and_not_shown,
);

/// In the body of a message that takes the server [`SLOW`] to insert.
const SLOW_MARKER: &[u8] = b"a body that takes its time";
const SLOW: Duration = Duration::from_millis(1_500);

fn slow(n: u64) -> Op {
    Op::InsertMessage(store::rows::Message { body: SLOW_MARKER.into(), ..message(n) })
}

/// Waits until the server executes the slow insert; gives its number of the connection.
async fn dawdling(database: &Database) -> i64 {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(number) = database.dawdling().await {
            return number;
        }
        assert!(Instant::now() < until, "no batch is under way");
        tokio::task::yield_now().await;
    }
}

async fn through(database: &Database, proxy: &Proxy) -> Store {
    let settings = Settings { lanes: Some(2), ..Settings::new(database.url_at(proxy.port)) };
    Store::open(settings, rng()).await.unwrap()
}

async fn slow_proxy(database: &Database) -> Proxy {
    database.make_slow(SLOW_MARKER, SLOW).await;
    Proxy::start(database.address(), database.on_the_wire(SLOW_MARKER)).await
}

async fn a_takeover_waits_for_an_open_batch(database: &Database) {
    let store = database.open().await;
    database.make_slow(SLOW_MARKER, SLOW).await;
    let old = Member::join(&store, 1).await;
    let of = old.take(&[shard(8)]).await[0];
    let ops = vec![slow(1), Op::InsertJob(job(1)), Op::InsertEvent(event("open"))];
    let write = old.write(of.id, of.epoch, ops);
    let takeover = async {
        dawdling(database).await;
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
}

/// The answer is lost while the old backend still holds the lane's row: asking has to wait for it.
async fn a_lost_answer_of_an_open_batch_is_not_written_twice(database: &Database) {
    drop(database.open().await);
    let proxy = slow_proxy(database).await;
    let store = through(database, &proxy).await;
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
    // A question that does not wait reads what the old backend found, and runs the batch again
    // beside it: only the fence then keeps it from being there twice.
    assert_eq!(proxy.marked(), 3, "a batch was run again before its outcome was decided");
    let events = log(&store, of.id).await;
    assert_eq!(events.len(), 3);
    assert_gap_free(&events);
    assert_eq!(store.reader().load_shard(of.id).await.unwrap().jobs.len(), 3);
}

/// As above, but the old backend is killed before it commits: the same bytes are run again.
async fn a_batch_whose_backend_dies_behind_a_cut_connection_is_run_again(database: &Database) {
    drop(database.open().await);
    let proxy = slow_proxy(database).await;
    let store = through(database, &proxy).await;
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(8)]).await[0];
    proxy.arm();
    let ops = vec![slow(1), Op::InsertJob(job(1)), Op::InsertEvent(event("once"))];
    let write = member.write(of.id, of.epoch, ops);
    let kill = async { database.kill(dawdling(database).await).await };
    let (committed, ()) = tokio::join!(write, kill);
    assert_eq!(committed.unwrap().first_seq, 1);
    assert_eq!(proxy.cuts(), 1);
    assert_eq!(log(&store, of.id).await.len(), 1);
    assert_eq!(store.reader().load_shard(of.id).await.unwrap().jobs, [job(1)]);
}

/// An answer that is lost after the commit, and a take-over before the lane can ask: the new owner
/// has the row, the old one confirms nothing.
async fn an_unconfirmed_batch_of_a_fenced_lane_is_not_run_again(database: &Database) {
    let direct = database.open().await;
    let proxy = slow_proxy(database).await;
    let store = through(database, &proxy).await;
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(8)]).await[0];
    proxy.arm();
    let ops = vec![slow(1), Op::InsertEvent(event("open"))];
    let write = member.write(of.id, of.epoch, ops);
    let takeover = async {
        let number = dawdling(database).await;
        // Queued for the lane's row before the backend goes, so before the lane's question or
        // after it; either way the batch must not come back.
        let fence = database.sql("UPDATE lane SET live = 0 WHERE inc = 1");
        tokio::join!(fence, database.kill(number));
        direct.reader().load_shard(of.id).await.unwrap()
    };
    let (outcome, load) = tokio::join!(write, takeover);
    let after = direct.reader().load_shard(of.id).await.unwrap();
    assert_eq!(after, load, "nothing is written once the fence has returned");
    match outcome {
        Ok(_) => assert_eq!(load.max_event_seq, 1, "confirmed, so the fence waited for it"),
        Err(error) => assert_eq!((error, load.max_event_seq), (WriteError::Fenced, 0)),
    }
}

async fn backends_killed_all_the_time_neither_lose_nor_repeat_a_row(database: &Database) {
    const WRITES: u64 = 2_000;
    let store = database.open().await;
    let mut member = Member::join(&store, 1).await;
    let claimed = member.take(&[shard(0), shard(1), shard(2)]).await;
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
            kills += database.kill_all().await;
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
}

async fn coreapps_that_start_at_once_create_and_migrate_one_database(database: &Database) {
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
}

async fn a_wrong_password_is_named_and_not_shown(database: &Database) {
    let url = database.url_with(database.address().port(), "nobody-we-know", "hunter2");
    let error = Store::open(Settings::new(url), rng()).await.err().unwrap();
    assert_eq!(error.code(), "store_password");
    let named = ["authentication failed", "Access denied"];
    assert!(named.iter().any(|name| error.to_string().contains(name)), "{error}");
    assert!(!error.to_string().contains("hunter2"));
}
