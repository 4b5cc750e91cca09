//! Connections besides the lanes: no more than are allowed, and none for longer than it is of use.

use std::{sync::Arc, time::Duration};

use store::{Pools, Settings, Store};
use tokio::time::Instant;

use crate::{
    database::{Database, rng},
    on_every_server,
};

on_every_server!(pools_stay_within_their_limits_and_close_what_is_idle);

async fn pools_stay_within_their_limits_and_close_what_is_idle(database: &Database) {
    let settings = Settings {
        pools: Pools { read: 2, control: 1 },
        idle_timeout: Some(Duration::from_secs(2)),
        connect_timeout: Duration::from_secs(60),
        ..database.settings()
    };
    let store = Store::open(settings, rng()).await.unwrap();
    assert!(store.facts().to_string().contains("2 + 1 connections"), "{}", store.facts());
    let store = Arc::new(store);
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = Arc::clone(&store);
        asked.spawn(async move {
            store.reader().own_keys().await.unwrap();
            store.cluster().shards().await.unwrap();
        });
    }
    let mut most = 0;
    while !asked.is_empty() {
        most = most.max(database.connections().await);
        while asked.try_join_next().is_some_and(|joined| joined.is_ok()) {}
    }
    assert!((1..=3).contains(&most), "{most} connections");
    let until = Instant::now() + Duration::from_secs(60);
    while database.connections().await > 0 {
        assert!(Instant::now() < until, "idle connections stay open");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    store.cluster().shards().await.unwrap();
}
