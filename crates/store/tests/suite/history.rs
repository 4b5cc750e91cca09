//! Reading the log on over all shards.

use contract::ShardId;
use store::{
    AT_MAX, MARKS_MAX, Mark, Reach, Stretch,
    rows::{DeadEvent, DeadState, NewEvent},
    write::Op,
};

use crate::{
    database::Database,
    member::{Member, dead_event, event, log, shard},
    on_every_engine,
};

on_every_engine!(
    the_reach_of_every_shard_is_known_whatever_was_trimmed,
    marks_and_bodies_come_from_many_shards_at_once,
    dead_events_are_listed_over_all_shards_in_order,
);

async fn the_reach_of_every_shard_is_known_whatever_was_trimmed(database: &Database) {
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    let taken = member.take(&[shard(3), shard(63), ShardId::CONTROL]).await;
    for of in &taken {
        let ops = (0..5).map(|n| Op::InsertEvent(event(format!("{{\"n\":{n}}}")))).collect();
        member.write(of.id, of.epoch, ops).await.unwrap();
    }
    let trim = |of: &store::rows::Shard, floor| {
        let before_ms = 1_700_000_000_001;
        member.write(of.id, of.epoch, vec![Op::TrimEvents { floor, before_ms, limit: 100 }])
    };
    trim(&taken[0], 5).await.unwrap();
    trim(&taken[1], 2).await.unwrap();
    let reaches = store.reader().reaches().await.unwrap();
    assert_eq!(reaches.iter().map(|reach| reach.shard).collect::<Vec<_>>(), {
        ShardId::all().collect::<Vec<_>>()
    });
    let of = |shard| reaches.iter().find(|reach: &&Reach| reach.shard == shard).copied().unwrap();
    let reach = |id, floor| Reach { shard: id, floor, head: 5 };
    assert_eq!(of(taken[0].id), reach(taken[0].id, 5), "nothing is left");
    assert_eq!(of(taken[1].id), reach(taken[1].id, 2));
    assert_eq!(of(taken[2].id), reach(taken[2].id, 0));
    assert_eq!(of(shard(9)), Reach { shard: shard(9), floor: 0, head: 0 });
}

async fn marks_and_bodies_come_from_many_shards_at_once(database: &Database) {
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    let taken = member.take(&[ShardId::CONTROL, shard(0), shard(1)]).await;
    for of in &taken {
        let made = |n: i64| NewEvent { created_ms: n, held: n == 2, ..event(vec![b'x'; 40]) };
        let ops = (1..=6).map(|n| Op::InsertEvent(made(n))).collect();
        member.write(of.id, of.epoch, ops).await.unwrap();
    }
    let stretch = |id, after, to| Stretch { shard: id, after, to };
    let reader = store.reader();
    let [a, b, c] = [taken[0].id, taken[1].id, taken[2].id];
    let asked = [stretch(b, 1, 6), stretch(a, 0, 2), stretch(c, 6, 6)];
    let marks = reader.marks(&asked, 3).await.unwrap();
    let seqs = |of: ShardId| {
        let mine = marks.iter().filter(move |mark: &&Mark| mark.shard == of);
        mine.map(|mark| mark.seq).collect::<Vec<_>>()
    };
    assert_eq!((seqs(a), seqs(b), seqs(c)), (vec![1, 2], vec![2, 3, 4], vec![]));
    let second = marks.iter().find(|mark| mark.shard == b && mark.seq == 2).unwrap();
    let of = event("");
    assert_eq!((second.kind, second.route, second.held), (of.kind, of.route, true));
    assert_eq!((second.created_ms, second.bytes), (2, 40), "stored in clear here");
    let many: Vec<_> = (0..65).map(|_| stretch(a, 0, 6)).collect();
    assert!(reader.marks(&many, u32::MAX).await.unwrap().len() <= MARKS_MAX);
    assert_eq!(reader.marks(&[], 3).await.unwrap(), []);

    let mut events = reader.events_at(&[(b, 6), (a, 1), (a, 99), (c, 3)]).await.unwrap();
    events.sort_by_key(|event| (event.shard, event.seq));
    let expected = [log(&store, a).await[0].clone(), log(&store, b).await[5].clone()];
    assert_eq!(events[..2], expected);
    assert_eq!((events.len(), events[2].shard, events[2].seq), (3, c, 3));
    assert_eq!(reader.events_at(&vec![(a, 1); AT_MAX + 9]).await.unwrap()[0].seq, 1);
}

async fn dead_events_are_listed_over_all_shards_in_order(database: &Database) {
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    let taken = member.take(&[ShardId::CONTROL, shard(0), shard(40)]).await;
    let dead = |seq| DeadEvent { state: DeadState::Dead, ..dead_event(seq) };
    let other = |seq| DeadEvent { endpoint: 1, ..dead_event(seq) };
    for of in &taken {
        let rows = [dead_event(7), dead(3), dead(9), other(4)];
        let ops = rows.map(Op::PutDeadEvent).to_vec();
        member.write(of.id, of.epoch, ops).await.unwrap();
    }
    let reader = store.reader();
    let page = async |after, limit| {
        let rows = reader.dead_after(0, after, limit).await.unwrap();
        rows.into_iter().map(|(shard, row)| (shard.get(), row.seq)).collect::<Vec<_>>()
    };
    let all = page((ShardId::CONTROL, 0), 100).await;
    let expected = [-1, 0, 40].into_iter().flat_map(|id| [(id, 3), (id, 7), (id, 9)]);
    assert_eq!(all, expected.collect::<Vec<_>>());
    assert_eq!(page((ShardId::CONTROL, 7), 3).await, all[2..5]);
    assert_eq!(page((shard(0), 9), 3).await, all[6..]);
    assert_eq!(page((shard(40), 9), 3).await, []);
    let (of, row) = reader.dead_after(0, (shard(0), 0), 1).await.unwrap().remove(0);
    assert_eq!((of, row), (shard(0), dead(3)));
    assert_eq!(reader.dead_count(0).await.unwrap(), 6, "parked ones are not dead");
}
