//! Clean-up and migrations.

use contract::Route;
use store::{
    StoreError,
    rows::{DeadEvent, DeadState, Inbound, NewEvent, Tried},
    write::{Op, WriteError},
};

use crate::{
    database::Database,
    member::{
        DAY_MS, Member, dead_event, dead_events, event, idempotency, key, known, log, message,
        shard,
    },
    on_every_engine,
};

on_every_engine!(
    events_are_trimmed_from_the_old_end_only,
    dead_events_are_replaced_deleted_and_trimmed_by_the_time_of_their_death,
    old_messages_and_inbound_rows_are_trimmed_within_the_limit,
    idempotency_rows_are_found_for_a_day_and_trimmed_by_days_within_the_limit,
    opening_again_keeps_everything,
    a_schema_of_a_newer_version_is_refused,
    another_number_of_shards_is_refused,
);

async fn events_are_trimmed_from_the_old_end_only(database: &Database) {
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(3)]).await[0];
    // The fifth is younger than those behind it: a clock was set back.
    let times = [10, 20, 30, 40, 500, 50, 60, 70];
    let ops = times.map(|created_ms| Op::InsertEvent(NewEvent { created_ms, ..event("x") }));
    member.write(of.id, of.epoch, ops.into()).await.unwrap();
    let left = async |floor, before_ms, limit| {
        let trim = vec![Op::TrimEvents { floor, before_ms, limit }];
        member.write(of.id, of.epoch, trim).await.unwrap();
        let seqs: Vec<_> = log(&store, of.id).await.iter().map(|event| event.seq).collect();
        (seqs, store.reader().load_shard(of.id).await.unwrap().event_floor)
    };
    assert_eq!(left(8, 5, 100).await, ((1..=8).collect(), 0), "all too young");
    assert_eq!(left(1, 1_000, 100).await, ((2..=8).collect(), 1), "the floor");
    assert_eq!(left(8, 1_000, 1).await, ((3..=8).collect(), 2), "the limit");
    assert_eq!(left(8, 100, 100).await, ((5..=8).collect(), 4), "no hole behind the fifth");
    assert_eq!(left(0, 1_000, 100).await, ((5..=8).collect(), 4), "the floor never sinks");
    assert_eq!(left(8, 1_000, 100).await, (vec![], 8));
}

async fn dead_events_are_replaced_deleted_and_trimmed_by_the_time_of_their_death(
    database: &Database,
) {
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    let claimed = member.take(&[shard(3), shard(5)]).await;
    let (of, other) = (claimed[0], claimed[1]);
    for of in &claimed {
        let ops = (1..=8).map(|seq| Op::PutDeadEvent(dead_event(seq))).collect();
        member.write(of.id, of.epoch, ops).await.unwrap();
    }
    let tried = Tried { why: -2, first_s: 1_700_000_000, last_s: 1_700_000_900 };
    let dead = |seq| DeadEvent { state: DeadState::Dead, tries: 9, tried, ..dead_event(seq) };
    let mut ops: Vec<_> = (1..=5).map(|seq| Op::PutDeadEvent(dead(seq))).collect();
    ops.push(Op::DeleteDeadEvent { endpoint: 0, seq: 7 });
    member.write(of.id, of.epoch, ops).await.unwrap();
    let parked = dead_events(&store, of.id, DeadState::Parked).await;
    assert_eq!(parked, [dead_event(6), dead_event(8)]);
    let died = dead_events(&store, of.id, DeadState::Dead).await;
    assert_eq!(died, (1..=5).map(dead).collect::<Vec<_>>());

    let left = async |before_ms, limit| {
        let trim = vec![Op::TrimDeadEvents { endpoint: 0, before_ms, limit }];
        member.write(of.id, of.epoch, trim).await.unwrap();
        let rows = dead_events(&store, of.id, DeadState::Dead).await;
        rows.iter().map(|row| row.seq).collect::<Vec<_>>()
    };
    assert_eq!(left(1_001, 100).await, [1, 2, 3, 4, 5], "all died too late");
    assert_eq!(left(1_004, 2).await, [3, 4, 5], "the limit");
    assert_eq!(left(1_004, 100).await, [4, 5]);
    assert_eq!(left(9_000, 100).await, [0i64; 0]);
    assert_eq!(dead_events(&store, of.id, DeadState::Parked).await.len(), 2, "still tried");
    // How the tries went goes with the event: one that comes back under the number has its own.
    database.sql("DELETE FROM dead_event").await;
    database.sql("INSERT INTO dead_event SELECT 0, shard, seq, 3, 1, NULL, 1, 0, 0, 0, tried FROM refusal").await;
    let left: Vec<_> = dead_events(&store, of.id, DeadState::Parked).await;
    assert_eq!(
        left.iter().map(|row| row.seq).collect::<Vec<_>>(),
        [6, 8],
        "no refusal is left over"
    );
    database.sql("DELETE FROM dead_event").await;
    let ops = (1..=8).map(|seq| Op::PutDeadEvent(dead_event(seq))).collect();
    member.write(other.id, other.epoch, ops).await.unwrap();
    assert_eq!(dead_events(&store, other.id, DeadState::Parked).await.len(), 8);
}

async fn old_messages_and_inbound_rows_are_trimmed_within_the_limit(database: &Database) {
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    let claimed = member.take(&[shard(3), shard(5)]).await;
    for of in &claimed {
        let ops = (0..10u64).flat_map(|n| {
            let peer = Route::from_i64(i64::try_from(n).unwrap());
            let created_ms = if n % 2 == 0 { 10 } else { 1_000 };
            [
                Op::InsertMessage(message(n)),
                Op::InsertInbound(Inbound { peer, key: key(n), created_ms }),
            ]
        });
        member.write(of.id, of.epoch, ops.collect()).await.unwrap();
    }
    let of = claimed[0];
    assert_eq!(store.reader().messages_before(of.id, key(8)).await.unwrap(), 8);
    let trim = vec![
        Op::TrimMessages { key: key(8), limit: 3 },
        Op::TrimInbound { from: Route::from_i64(3), before_ms: 100, limit: 4 },
    ];
    member.write(of.id, of.epoch, trim).await.unwrap();
    let mut left = Vec::new();
    for n in 0..10 {
        if store.reader().message(of.id, key(n)).await.unwrap().is_some() {
            left.push(n);
        }
        assert!(store.reader().message(shard(5), key(n)).await.unwrap().is_some());
    }
    assert_eq!(left, (3..10).collect::<Vec<_>>());
    // Peers 3 to 6 were looked at, of those 4 and 6 are old: only they may come again.
    for n in 0..10u64 {
        let peer = Route::from_i64(i64::try_from(n).unwrap());
        let again = vec![Op::InsertInbound(Inbound { peer, key: key(n), created_ms: 2_000 })];
        let result = member.write(of.id, of.epoch, again).await;
        assert_eq!(result.is_ok(), n == 4 || n == 6, "{n}");
    }
}

async fn idempotency_rows_are_found_for_a_day_and_trimmed_by_days_within_the_limit(
    database: &Database,
) {
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    let claimed = member.take(&[shard(3), shard(5)]).await;
    let noon = 20_000 * DAY_MS + DAY_MS / 2;
    for of in &claimed {
        // Each is written with a message, as the coreapp does it.
        for n in 1..=6 {
            let row = Op::InsertIdempotency(idempotency(n, noon + i64::from(n)));
            let ops = vec![Op::InsertMessage(message(n.into())), row];
            member.write(of.id, of.epoch, ops).await.unwrap();
        }
        let later = vec![Op::InsertIdempotency(idempotency(1, noon + DAY_MS))];
        member.write(of.id, of.epoch, later).await.unwrap();
        let taken = vec![
            Op::InsertMessage(message(50)),
            Op::InsertIdempotency(idempotency(2, noon + 7_000)),
        ];
        let refused = member.write(of.id, of.epoch, taken).await;
        assert_eq!(refused.unwrap_err(), WriteError::Conflict);
    }
    let of = claimed[0];
    assert_eq!(store.reader().message(of.id, key(50)).await.unwrap(), None, "all or nothing");
    assert_eq!(known(&store, of.id, 2, noon + 60_000).await, Some(idempotency(2, noon + 2)));
    assert_eq!(known(&store, of.id, 9, noon).await, None);
    assert_eq!(known(&store, shard(4), 2, noon).await, None);
    let latest = known(&store, of.id, 1, noon + DAY_MS + 60_000).await;
    assert_eq!(latest, Some(idempotency(1, noon + DAY_MS)), "the later of two days");
    assert_eq!(known(&store, of.id, 1, noon).await, Some(idempotency(1, noon + 1)));
    assert_eq!(known(&store, of.id, 2, noon + 3 * DAY_MS).await, None, "two days later");

    let trim = async |before_ms, limit| {
        let trim = vec![Op::TrimIdempotency { before_ms, limit }];
        member.write(of.id, of.epoch, trim).await.unwrap();
        let mut left = Vec::new();
        for n in 1..=6 {
            left.extend(known(&store, of.id, n, noon).await.map(|_| n));
        }
        left
    };
    assert_eq!(trim(noon + DAY_MS / 4, 100).await, [1, 2, 3, 4, 5, 6], "of the same day");
    assert_eq!(trim(noon + DAY_MS, 4).await, [5, 6], "the limit");
    assert_eq!(trim(noon + DAY_MS, 100).await, Vec::<u8>::new());
    let later = known(&store, of.id, 1, noon + DAY_MS).await;
    assert!(later.is_some(), "the next day's stays");
    assert!(known(&store, shard(5), 2, noon).await.is_some(), "another shard's too");
}

async fn opening_again_keeps_everything(database: &Database) {
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    let of = member.take(&[shard(3)]).await[0];
    member.write(of.id, of.epoch, vec![Op::InsertMessage(message(1))]).await.unwrap();
    drop((store, member));
    let store = database.open().await;
    assert_eq!(store.reader().message(shard(3), key(1)).await.unwrap(), Some(message(1)));
    assert_eq!(store.cluster().shards().await.unwrap().len(), 65);
}

async fn a_schema_of_a_newer_version_is_refused(database: &Database) {
    drop(database.open().await);
    // A newer program that still lets us work, then one that does not.
    database.sql("UPDATE \"schema\" SET version = 900").await;
    drop(database.open().await);
    database.sql("UPDATE \"schema\" SET min_writer = 800").await;
    match database.try_open().await.err() {
        Some(StoreError::SchemaTooNew { found: 900, .. }) => {}
        other => panic!("{other:?}"),
    }
}

async fn another_number_of_shards_is_refused(database: &Database) {
    drop(database.open().await);
    database.sql("DELETE FROM shard WHERE id = 63").await;
    match database.try_open().await.err() {
        Some(StoreError::ShardCount { found: 64, needed: 65 }) => {}
        other => panic!("{other:?}"),
    }
}
