//! Pools of connections, bounded. This driver does not survive that a call is dropped half-way: the
//! next one would read the answer of the last. So a connection that was not given back in order is
//! closed.

use std::ops::{Deref, DerefMut};

use deadpool::managed::{self, Metrics, Object, RecycleError, RecycleResult};
use mysql_async::Conn;

use crate::{
    error::StoreError,
    idle::close_idle,
    mysql::connect::{Connector, Session},
    settings::{POOL_MAX, Settings},
};

/// Whoever finds it empty waits, at most for `connect_timeout`.
pub(super) struct Pool {
    pool: managed::Pool<Connector>,
}

impl Pool {
    pub(super) fn new(
        connector: &Connector,
        size: usize,
        settings: &Settings,
    ) -> Result<Self, StoreError> {
        let pool = managed::Pool::builder(connector.clone())
            .max_size(size.clamp(1, POOL_MAX))
            .wait_timeout(Some(settings.connect_timeout))
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| StoreError::Connect(error.to_string()))?;
        if let Some(idle) = settings.idle_timeout {
            close_idle(&pool, idle);
        }
        Ok(Self { pool })
    }

    /// A connection; [`Lent::back`] keeps it.
    pub(super) async fn lend(&self) -> Result<Lent, StoreError> {
        match self.pool.get().await {
            Ok(mut session) => {
                session.whole = false;
                Ok(Lent { session })
            }
            Err(managed::PoolError::Backend(error)) => Err(error),
            Err(error) => Err(StoreError::Connect(error.to_string())),
        }
    }
}

/// A pooled connection at work.
pub(super) struct Lent {
    session: Object<Connector>,
}

impl Lent {
    /// The connection can be used again: all its answers have been read.
    pub(super) fn back<T>(mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        self.session.whole = result.is_ok();
        self.session.answered();
        result
    }
}

impl Deref for Lent {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.session.conn
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.session.conn
    }
}

impl managed::Manager for Connector {
    type Type = Session;
    type Error = StoreError;

    async fn create(&self) -> Result<Session, StoreError> {
        self.plain().await
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<StoreError> {
        if session.whole && session.is_there().await {
            Ok(())
        } else {
            Err(RecycleError::message("an answer is missing"))
        }
    }
}
