//! Pools are no larger for longer than they are needed.

use std::time::Duration;

use deadpool::managed::{Manager, Pool};

/// Idle connections are looked for four times in an idle time-out, at least this far apart.
const LEAST_SWEEP: Duration = Duration::from_millis(100);

/// Closes what has not been used for `idle`, until the pool is gone.
pub(crate) fn close_idle<M>(pool: &Pool<M>, idle: Duration)
where
    M: Manager + 'static,
    M::Type: Send,
{
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
