//! Membership.

use store::rows::NodeState;

use crate::{
    database::Database,
    member::{node, shard},
    on_every_engine,
};

on_every_engine!(
    a_tick_beats_and_shows_the_whole_cluster,
    only_a_node_whose_beat_stands_still_is_fenced,
    a_shard_is_claimed_once,
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
    assert_eq!((tick.state, tick.lanes_live), (NodeState::Live, true));
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
