//! Connections besides the lanes: no more than are allowed, and none for longer than it is of use.

use std::{sync::Arc, time::Duration};

use store::{Pools, Settings, Store};
use tokio::time::Instant;

use crate::database::{Database, rng};

/// Ours in the test's database, this one not counted.
async fn connections(client: &tokio_postgres::Client) -> i64 {
    let text = "SELECT count(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name = 'heliograph'";
    client.query_one(text, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pools_stay_within_their_limits_and_close_what_is_idle() {
    let database = Database::postgres().await;
    let settings = Settings {
        pools: Pools { read: 2, control: 1 },
        idle_timeout: Some(Duration::from_secs(2)),
        connect_timeout: Duration::from_secs(60),
        ..database.settings()
    };
    let store = Store::open(settings, rng()).await.unwrap();
    assert!(store.facts().to_string().contains("2 + 1 connections"), "{}", store.facts());
    let client = database.client().await;
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
        most = most.max(connections(&client).await);
        while asked.try_join_next().is_some_and(|joined| joined.is_ok()) {}
    }
    assert!((1..=3).contains(&most), "{most} connections");
    let until = Instant::now() + Duration::from_secs(60);
    while connections(&client).await > 0 {
        assert!(Instant::now() < until, "idle connections stay open");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    store.cluster().shards().await.unwrap();
    database.remove().await;
}
