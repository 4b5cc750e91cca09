//! Membership.

use store::{
    Claim,
    rows::{Cursor, Generation, NodeState},
    write::{Op, WriteError},
};

use crate::{
    database::Database,
    member::{Member, event, node, shard},
    on_every_engine,
};

on_every_engine!(
    a_tick_beats_and_shows_the_whole_cluster,
    only_a_node_whose_beat_stands_still_is_fenced,
    a_shard_is_claimed_once,
    an_epoch_rises_above_what_its_owner_was_told,
    a_generation_begins_behind_every_number_there_is,
    a_generation_is_begun_by_who_lives_or_when_nobody_does,
    the_dead_are_forgotten_once_they_own_nothing,
);

async fn a_tick_beats_and_shows_the_whole_cluster(database: &Database) {
    let store = database.open().await;
    let cluster = store.cluster();
    cluster.join(&node(1), 2).await.unwrap();
    cluster.join(&node(-2), 1).await.unwrap();
    cluster.join(&node(1), 2).await.unwrap();
    cluster.tick(1).await.unwrap();
    let tick = cluster.tick(1).await.unwrap();
    assert_eq!((tick.state, tick.lanes_live, tick.generation), (NodeState::Live, true, 0));
    let mut beaten = node(1);
    beaten.beat = 2;
    assert_eq!(tick.nodes, [node(-2), beaten]);
    let ids: Vec<_> = tick.shards.iter().map(|shard| shard.id.get()).collect();
    assert_eq!(ids, (-1..64).collect::<Vec<_>>());
    assert!(tick.shards.iter().all(|shard| (shard.owner_inc, shard.epoch) == (0, 0)));
    assert_eq!(cluster.nodes().await.unwrap(), tick.nodes);
    assert_eq!(cluster.shards().await.unwrap(), tick.shards);

    cluster.drain(1).await.unwrap();
    assert_eq!(cluster.tick(1).await.unwrap().state, NodeState::Draining);
    cluster.leave(1).await.unwrap();
    let tick = cluster.tick(1).await.unwrap();
    assert_eq!((tick.state, tick.lanes_live), (NodeState::Dead, false));
    assert_eq!(cluster.tick(99).await.unwrap().state, NodeState::Dead, "never joined");
}

async fn only_a_node_whose_beat_stands_still_is_fenced(database: &Database) {
    let store = database.open().await;
    let cluster = store.cluster();
    cluster.join(&node(1), 2).await.unwrap();
    cluster.tick(1).await.unwrap();
    assert!(!cluster.fence(1, Some(0)).await.unwrap());
    assert_eq!(cluster.tick(1).await.unwrap().state, NodeState::Live);
    assert!(!cluster.fence(1, Some(1)).await.unwrap());
    assert!(cluster.fence(1, Some(2)).await.unwrap());
    let tick = cluster.tick(1).await.unwrap();
    assert_eq!((tick.state, tick.lanes_live), (NodeState::Dead, false));
    assert!(cluster.fence(1, Some(0)).await.unwrap(), "it is dead, whoever did it");
    assert!(cluster.fence(77, None).await.unwrap(), "who is not there is dead");
}

async fn a_shard_is_claimed_once(database: &Database) {
    let store = database.open().await;
    let cluster = store.cluster();
    cluster.join(&node(1), 1).await.unwrap();
    cluster.join(&node(2), 1).await.unwrap();
    let seen = cluster.shards().await.unwrap();
    let mut backwards = seen.clone();
    backwards.reverse();
    let (one, two) = tokio::join!(cluster.claim(1, &seen), cluster.claim(2, &backwards));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.len() + two.len(), 65);
    let now = cluster.shards().await.unwrap();
    for (claimed, inc) in [(one, 1), (two, 2)] {
        for shard in claimed {
            assert_eq!((shard.owner_inc, shard.epoch), (inc, 1));
            assert!(now.contains(&shard));
        }
    }
    assert_eq!(cluster.claim(1, &seen).await.unwrap(), [], "as seen before the others came");
    // A release is a claim in the other's favour.
    let released = cluster.claim(2, &[now[0]]).await.unwrap();
    assert_eq!(released[0].id, shard(-1));
    assert_eq!((released[0].owner_inc, released[0].epoch), (2, 2));
    cluster.fence(1, None).await.unwrap();
    let now = cluster.shards().await.unwrap();
    assert_eq!(cluster.claim(1, &now).await.unwrap(), [], "the dead claim nothing");
}

async fn an_epoch_rises_above_what_its_owner_was_told(database: &Database) {
    let store = database.open().await;
    let cluster = store.cluster();
    cluster.join(&node(1), 1).await.unwrap();
    let seen = cluster.shards().await.unwrap();
    let owned = cluster.claim(1, &seen[..2]).await.unwrap();
    let claims = [Claim { seen: owned[0], above: 7 }, Claim { seen: owned[1], above: 0 }];
    let raised = cluster.claim_above(1, &claims).await.unwrap();
    assert_eq!(raised.iter().map(|shard| shard.epoch).collect::<Vec<_>>(), [8, 2]);
    assert_eq!(cluster.claim_above(1, &claims).await.unwrap(), [], "the rows are others now");
}

async fn a_generation_begins_behind_every_number_there_is(database: &Database) {
    let store = database.open().await;
    let member = Member::join(&store, 1).await;
    let ids = [1, 2, 3, 4].map(shard);
    let owned = member.take(&ids).await;
    let start = async |id| store.reader().load_shard(id).await.unwrap().next_seq();
    let events = vec![Op::InsertEvent(event("one")), Op::InsertEvent(event("two"))];
    member.write(ids[0], owned[0].epoch, events).await.unwrap();
    let cursor = Cursor { endpoint: 0, read_to: 5, holes: bytes::Bytes::new() };
    member.write(ids[1], owned[1].epoch, vec![Op::PutCursor(cursor)]).await.unwrap();

    let told = [(ids[0], 1), (ids[2], 40)];
    let rows = store.cluster().begin_generation(Some(1), 100, &told).await.unwrap();
    assert_eq!(rows.len(), 65);
    assert_eq!(store.reader().generations().await.unwrap(), rows);
    for (id, first) in ids.into_iter().zip([3, 6, 41, 1]) {
        assert!(rows.contains(&Generation { generation: 100, shard: id, first_seq: first }));
        assert_eq!(start(id).await, first);
    }
    // The owner is told; under its old epoch it writes as before.
    let raised = Claim { seen: owned[2], above: 9 };
    let raised = store.cluster().claim_above(1, &[raised]).await.unwrap();
    member.lanes.renew(ids[2], raised[0].epoch, 41);
    assert_eq!(member.lanes.committed_seq(ids[2]), 40);
    for (epoch, seq) in [(owned[2].epoch, 41), (raised[0].epoch, 42)] {
        let write = member.write(ids[2], epoch, vec![Op::InsertEvent(event("three"))]).await;
        assert_eq!(write.unwrap().first_seq, seq);
    }
    let beyond = member.write(ids[2], raised[0].epoch + 1, vec![]).await;
    assert_eq!(beyond.unwrap_err(), WriteError::NotOwned);
    // The next one begins behind the numbers given out since.
    assert_eq!(store.cluster().tick(1).await.unwrap().generation, 100);
    let rows = store.cluster().begin_generation(Some(1), 200, &[]).await.unwrap();
    assert!(rows.contains(&Generation { generation: 200, shard: ids[2], first_seq: 43 }));
    assert!(rows.contains(&Generation { generation: 200, shard: ids[3], first_seq: 1 }));
    let again = store.cluster().begin_generation(Some(1), 200, &[(ids[3], 77)]).await.unwrap();
    assert_eq!(again.len(), 130, "repeating it adds nothing");
}

async fn a_generation_is_begun_by_who_lives_or_when_nobody_does(database: &Database) {
    let store = database.open().await;
    let cluster = store.cluster();
    let begun = async |inc, generation| {
        let rows = cluster.begin_generation(inc, generation, &[]).await.unwrap();
        rows.iter().any(|row| row.generation == generation)
    };
    assert!(begun(None, 10).await);
    cluster.join(&node(1), 1).await.unwrap();
    assert!(!begun(None, 11).await, "somebody lives");
    assert!(!begun(Some(2), 12).await, "who is not there");
    assert!(begun(Some(1), 13).await);
    cluster.fence(1, None).await.unwrap();
    assert!(!begun(Some(1), 14).await, "the dead begin nothing");
    assert!(begun(None, 15).await);
}

async fn the_dead_are_forgotten_once_they_own_nothing(database: &Database) {
    let store = database.open().await;
    let cluster = store.cluster();
    for inc in 1..=3 {
        cluster.join(&node(inc), 2).await.unwrap();
    }
    let seen = cluster.shards().await.unwrap();
    cluster.claim(1, &seen[..1]).await.unwrap();
    cluster.leave(1).await.unwrap();
    cluster.leave(2).await.unwrap();
    cluster.forget_dead().await.unwrap();
    let incs: Vec<_> = cluster.nodes().await.unwrap().iter().map(|node| node.inc).collect();
    assert_eq!(incs, [1, 3]);
    let tick = cluster.tick(3).await.unwrap();
    assert!(tick.lanes_live);
}
