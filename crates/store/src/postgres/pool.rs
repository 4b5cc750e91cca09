//! Pools of connections: bounded, and no larger for longer than they are needed.

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
    idle::close_idle,
    postgres::connect::Connector,
    settings::{POOL_MAX, Settings},
};

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
