//! Pools of connections: bounded, and no larger for longer than they are needed.

use std::time::Duration;

use diesel::ConnectionError;
use diesel_async::{
    AsyncPgConnection,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod, deadpool::Pool,
    },
};
use futures_util::FutureExt;

use crate::{
    error::StoreError,
    postgres::connect::Connector,
    settings::{POOL_MAX, Settings},
};

/// Idle connections are looked for four times in an idle time-out, at least this far apart.
const LEAST_SWEEP: Duration = Duration::from_millis(100);

/// What the connections of a pool are for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Read,
    Control,
}

/// A bounded pool. Whoever finds it empty waits, at most for `connect_timeout`.
pub(super) fn pool(
    connector: &Connector,
    purpose: Purpose,
    settings: &Settings,
) -> Result<Pool<AsyncPgConnection>, StoreError> {
    let connector = connector.clone();
    let mut config = ManagerConfig::default();
    // A broken connection is noticed without asking; a question would double every read.
    config.recycling_method = RecyclingMethod::Fast;
    config.custom_setup = Box::new(move |_| {
        let connector = connector.clone();
        async move {
            let conn = match purpose {
                Purpose::Read => connector.read().await,
                Purpose::Control => connector.plain().await,
            };
            conn.map_err(|error| ConnectionError::BadConnection(error.to_string()))
        }
        .boxed()
    });
    let size = match purpose {
        Purpose::Read => settings.pools.read,
        Purpose::Control => settings.pools.control,
    };
    let pool = Pool::builder(AsyncDieselConnectionManager::new_with_config("", config))
        .max_size(size.clamp(1, POOL_MAX))
        .wait_timeout(Some(settings.connect_timeout))
        .runtime(deadpool::Runtime::Tokio1)
        .build()
        .map_err(|error| StoreError::Connect(error.to_string()))?;
    if let Some(idle) = settings.idle_timeout {
        close_idle(&pool, idle);
    }
    Ok(pool)
}

/// Closes what has not been used for `idle`, until the pool is gone.
fn close_idle(pool: &Pool<AsyncPgConnection>, idle: Duration) {
    let pool = pool.weak();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep((idle / 4).max(LEAST_SWEEP)).await;
            let Some(pool) = pool.upgrade() else { return };
            let closed = pool.retain(|_, metrics| metrics.last_used() < idle).removed.len();
            if closed > 0 {
                tracing::debug!(closed, "closed idle database connections");
            }
        }
    });
}
