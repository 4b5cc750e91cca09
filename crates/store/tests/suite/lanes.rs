//! Writing: what is confirmed is there once, what is refused is not there.

use std::collections::HashSet;

use contract::{Route, ShardId};
use store::{
    rows::{Contact, Cursor, Inbound, Job},
    write::{Op, Reply, Write, WriteError},
};

use crate::{
    database::Database,
    member::{
        Member, assert_gap_free, event, job, key, log, message, number, outbox, peer, session,
        shard,
    },
    on_every_engine,
};

on_every_engine!(
    a_stale_incarnation_writes_nothing,
    a_takeover_in_full_flight_loses_nothing_that_was_confirmed,
    bad_rows_fail_alone,
    events_are_numbered_without_gaps_from_many_writers,
    changes_of_one_row_within_a_batch_end_as_the_last_says,
    numbers_go_on_after_a_takeover,
    one_write_a_batch_works_too,
);

async fn a_stale_incarnation_writes_nothing(database: &Database) {
    let store = database.open().await;
    let stale = Member::join(&store, 1).await;
    let epoch = stale.take(&[shard(5)]).await[0].epoch;
    stale.write(shard(5), epoch, vec![Op::InsertMessage(message(1))]).await.unwrap();

    assert!(store.cluster().fence(1, None).await.unwrap());
    let ops = vec![Op::InsertMessage(message(2)), Op::InsertEvent(event("late"))];
    assert_eq!(stale.write(shard(5), epoch, ops).await, Err(WriteError::Fenced));
    assert!(*stale.lanes.fenced().borrow());

    let next = Member::join(&store, 2).await;
    next.take(&[shard(5)]).await;
    assert!(store.reader().message(shard(5), key(1)).await.unwrap().is_some());
    assert_eq!(store.reader().message(shard(5), key(2)).await.unwrap(), None);
    assert_eq!(log(&store, shard(5)).await, []);
    assert_eq!(store.cluster().shards().await.unwrap()[6].epoch, epoch + 1);
}

async fn a_takeover_in_full_flight_loses_nothing_that_was_confirmed(database: &Database) {
    const WRITES: u64 = 3_000;
    let store = database.open().await;
    let mut stale = Member::join(&store, 1).await;
    let shards = [shard(0), shard(1), shard(-1)];
    let claimed = stale.take(&shards).await;
    for n in 0..WRITES {
        let of = claimed[usize::try_from(n).unwrap() % 3];
        stale.lanes.submit(Write {
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
    }
    // Some are confirmed, most are not.
    let mut answers = stale.answers.recv().await.unwrap();
    assert!(store.cluster().fence(1, None).await.unwrap());
    let mut then = Vec::new();
    for id in shards {
        then.push((store.reader().load_shard(id).await.unwrap(), log(&store, id).await));
    }

    while answers.len() < usize::try_from(WRITES).unwrap() {
        answers.extend(stale.answers.recv().await.unwrap());
    }
    for (id, (load, events)) in shards.iter().zip(then) {
        // Nothing appears once the fence has returned.
        assert_eq!(store.reader().load_shard(*id).await.unwrap(), load);
        assert_eq!(log(&store, *id).await, events);
        assert_gap_free(&events);
        let stored: HashSet<_> = load.jobs.iter().map(|job| job.id).collect();
        for answer in answers.iter().filter(|answer| answer.shard == *id) {
            let n = i64::try_from(answer.token).unwrap();
            match &answer.result {
                Ok(committed) => {
                    assert!(stored.contains(&n), "a confirmed write is missing");
                    let index = usize::try_from(committed.first_seq).unwrap() - 1;
                    assert_eq!(events[index].event.body, n.to_string());
                }
                Err(error) => assert_eq!(error, &WriteError::Fenced),
            }
        }
    }
}

async fn bad_rows_fail_alone(database: &Database) {
    let store = database.open().await;
    let mut member = Member::join(&store, 1).await;
    let of = member.take(&[shard(9)]).await[0];
    let inbound = |n: u64| Inbound { peer: Route::from_i64(-3), key: key(n), created_ms: 1 };
    let taken =
        vec![Op::InsertMessage(message(1)), Op::InsertJob(job(1)), Op::InsertInbound(inbound(1))];
    member.write(of.id, of.epoch, taken).await.unwrap();

    let bad = [(17, "message"), (18, "job"), (99, "inbound"), (150, "twice"), (199, "name")];
    let writes = (0..200u64).map(|n| {
        let m = n + 1_000;
        let mut ops = vec![
            Op::InsertMessage(message(m)),
            Op::InsertJob(job(m)),
            Op::InsertEvent(event(n.to_string())),
        ];
        match bad.iter().find(|(at, _)| *at == n).map(|(_, what)| *what) {
            Some("message") => ops.push(Op::InsertMessage(message(1))),
            Some("job") => ops.push(Op::InsertJob(job(1))),
            Some("inbound") => ops.push(Op::InsertInbound(inbound(1))),
            Some("twice") => ops.push(Op::InsertMessage(message(m))),
            Some(_) => ops.push(Op::DeleteUser("x".repeat(5_000))),
            None => {}
        }
        Write {
            shard: of.id,
            epoch: of.epoch,
            class: store::write::Class::Hot,
            ops,
            reply: Reply::Token(n),
        }
    });
    member.lanes.submit_many(writes.collect());
    let mut answers = Vec::new();
    while answers.len() < 200 {
        answers.extend(member.answers.recv().await.unwrap());
    }
    answers.sort_by_key(|answer| answer.token);
    let mut last_seq = 0;
    for answer in &answers {
        match bad.iter().find(|(at, _)| *at == answer.token).map(|(_, what)| *what) {
            Some("message" | "inbound" | "twice") => {
                assert_eq!(answer.result, Err(WriteError::Conflict));
            }
            Some(_) => assert!(matches!(answer.result, Err(WriteError::Rejected(_)))),
            None => {
                let seq = answer.result.as_ref().unwrap().first_seq;
                assert_eq!(seq, last_seq + 1, "writes of one shard are committed in order");
                last_seq = seq;
            }
        }
    }
    let events = log(&store, of.id).await;
    assert_eq!(events.len(), 195);
    assert_gap_free(&events);
    let jobs = store.reader().load_shard(of.id).await.unwrap().jobs;
    assert_eq!(jobs.len(), 196);
    assert_eq!(*member.log.0.lock().unwrap(), events);
}

async fn events_are_numbered_without_gaps_from_many_writers(database: &Database) {
    const WRITERS: u64 = 8;
    const EACH: u64 = 60;
    let store = database.open().await;
    let member = std::sync::Arc::new(Member::join(&store, 1).await);
    let claimed = member.take(&[shard(-1), shard(2), shard(3), shard(63)]).await;
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let member = std::sync::Arc::clone(&member);
        let of = claimed[usize::try_from(writer % 4).unwrap()];
        writers.push(tokio::spawn(async move {
            for n in 0..EACH {
                // Every tenth key is another writer's: its batch has to be split.
                let clash = n % 10 == 9;
                let m = if clash { n + 4 * EACH * (writer % 4) } else { n + EACH * (100 + writer) };
                let body = format!("{writer}/{n}");
                let ops = vec![
                    Op::InsertMessage(message(m)),
                    Op::InsertEvent(event(body.clone())),
                    Op::InsertEvent(event(body)),
                ];
                let result = member.write(of.id, of.epoch, ops).await;
                assert!(result.is_ok() || (clash && result == Err(WriteError::Conflict)));
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let fed = member.log.0.lock().unwrap().clone();
    for of in claimed {
        let events = log(&store, of.id).await;
        assert_gap_free(&events);
        // Two writers; of the six keys they share each is won once.
        assert_eq!(u64::try_from(events.len()).unwrap(), 2 * (2 * EACH - 6));
        for pair in events.chunks(2) {
            assert_eq!(pair[0].event.body, pair[1].event.body, "a write is not torn");
        }
        let fed: Vec<_> = fed.iter().filter(|event| event.shard == of.id).cloned().collect();
        assert_eq!(fed, events, "events are fed in the order of the log");
    }
}

async fn changes_of_one_row_within_a_batch_end_as_the_last_says(database: &Database) {
    let store = database.open().await;
    let mut member = Member::join(&store, 1).await;
    let of = member.take(&[shard(4)]).await[0];
    let before = vec![
        Op::InsertJob(job(1)),
        Op::InsertJob(job(2)),
        Op::InsertOutbox(outbox(1, 0)),
        Op::InsertOutbox(outbox(1, 1)),
    ];
    member.write(of.id, of.epoch, before).await.unwrap();
    let contact = |checked_ms| Contact { number: number(1), wa_id: None, checked_ms };
    let cursor = |read_to| Cursor { endpoint: 0, read_to, holes: Vec::new().into() };
    let parked = Job { header: vec![9].into(), ..job(1) };
    let resealed = store::rows::Outbox { payload: vec![9].into(), ..outbox(1, 0) };
    let changes = [
        vec![Op::DeleteJob(1), Op::InsertJob(parked.clone())],
        vec![Op::InsertJob(job(3)), Op::InsertOutbox(outbox(3, 0))],
        vec![Op::DeleteJob(3), Op::DeleteOutbox { key: key(3), device: 0 }],
        vec![Op::DeleteOutbox { key: key(1), device: 0 }, Op::InsertOutbox(resealed.clone())],
        vec![Op::DeleteJob(2), Op::DeleteJob(2)],
        vec![Op::PutSession(session(1, 0, "first")), Op::InsertOutbox(outbox(5, 0))],
        vec![Op::PutSession(session(1, 0, "last")), Op::InsertOutbox(outbox(6, 0))],
        vec![Op::PutSession(session(2, 0, "gone")), Op::PutSession(session(2, 1, "stays"))],
        vec![Op::DeleteSession { wa_id: number(2), device: 0 }],
        vec![Op::PutContact(contact(1)), Op::PutCursor(cursor(1))],
        vec![Op::DeleteContact(number(1)), Op::PutCursor(cursor(2))],
        vec![Op::PutContact(contact(2)), Op::PutCursor(cursor(3))],
    ];
    let writes = (0..).zip(changes).map(|(token, ops)| Write {
        shard: of.id,
        epoch: of.epoch,
        class: store::write::Class::Hot,
        ops,
        reply: Reply::Token(token),
    });
    member.lanes.submit_many(writes.collect());
    let answers = member.answers.recv().await.unwrap();
    assert_eq!(answers.len(), 12, "one batch, one list");
    assert!(answers.iter().all(|answer| answer.result.is_ok()));

    let load = store.reader().load_shard(of.id).await.unwrap();
    assert_eq!(load.jobs, [parked]);
    assert_eq!(load.outbox, [resealed, outbox(1, 1), outbox(5, 0), outbox(6, 0)]);
    assert_eq!(peer(&store, of.id, 1).await.0, [session(1, 0, "last")]);
    assert_eq!(peer(&store, of.id, 2).await.0, [session(2, 1, "stays")]);
    assert_eq!(load.cursors, [cursor(3)]);
    assert_eq!(store.reader().contact(of.id, number(1)).await.unwrap(), Some(contact(2)));
}

async fn numbers_go_on_after_a_takeover(database: &Database) {
    let store = database.open().await;
    let first = Member::join(&store, 1).await;
    let of = first.take(&[shard(7)]).await[0];
    let put = |body: &'static str| vec![Op::InsertEvent(event(body))];
    assert_eq!(first.write(of.id, of.epoch, put("a")).await.unwrap().first_seq, 1);
    assert!(store.cluster().fence(1, None).await.unwrap());

    let second = Member::join(&store, 2).await;
    let of = second.take(&[shard(7)]).await[0];
    assert_eq!(second.write(of.id, of.epoch, put("b")).await.unwrap().first_seq, 2);
    // The log may be empty and still have had numbers.
    let trim = vec![Op::TrimEvents { floor: 2, before_ms: i64::MAX, limit: 10 }];
    second.write(of.id, of.epoch, trim).await.unwrap();
    assert!(store.cluster().fence(2, None).await.unwrap());

    let third = Member::join(&store, 3).await;
    let of = third.take(&[shard(7)]).await[0];
    assert_eq!(of.event_floor, 2);
    assert_eq!(third.write(of.id, of.epoch, put("c")).await.unwrap().first_seq, 3);
}

async fn one_write_a_batch_works_too(database: &Database) {
    let mut settings = database.settings();
    settings.batch_max = 1;
    let store = store::Store::open(settings, crate::database::rng()).await.unwrap();
    let mut member = Member::join(&store, 1).await;
    let of: ShardId = shard(11);
    let epoch = member.take(&[of]).await[0].epoch;
    let writes = (0..20).map(|n| Write {
        shard: of,
        epoch,
        class: store::write::Class::Hot,
        ops: vec![Op::InsertEvent(event(n.to_string()))],
        reply: Reply::Token(n),
    });
    member.lanes.submit_many(writes.collect());
    for n in 0..20 {
        let answers = member.answers.recv().await.unwrap();
        assert_eq!(answers.iter().map(|answer| answer.token).collect::<Vec<_>>(), [n]);
    }
    assert_gap_free(&log(&store, of).await);
}
