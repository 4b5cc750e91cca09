//! The copy of what the coreapp knows that every request needs: users, revocations, limits, the
//! shard map. Pushed by `Directory.Watch`; when nothing was heard for [`FRESH`], nothing is
//! answered from it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use contract::{ApiError, Code};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

mod state;
mod watch_stream;

pub(crate) use state::{DEFAULT_LIMITS, Role, State};
pub(crate) use watch_stream::follow;

/// Older than this, the copy answers nothing.
pub(crate) const FRESH: Duration = Duration::from_secs(30);

/// The latest copy and its age.
pub(crate) struct Directory {
    state: watch::Sender<Arc<State>>,
    began: Instant,
    /// Milliseconds after `began` of the last sign of life, plus one; 0: none yet.
    seen: AtomicU64,
    connected: AtomicBool,
    /// The last coreapp that answered does not hear of the database.
    without_database: AtomicBool,
}

impl Directory {
    pub(crate) fn new() -> Self {
        Self {
            state: watch::Sender::new(Arc::new(State::default())),
            began: Instant::now(),
            seen: AtomicU64::new(0),
            connected: AtomicBool::new(false),
            without_database: AtomicBool::new(false),
        }
    }

    /// The copy, if it is fresh.
    ///
    /// # Errors
    /// When it is not: 503/1023 if that is for want of the database, else 503/1011.
    pub(crate) fn current(&self) -> Result<Arc<State>, ApiError> {
        match self.age() {
            Some(age) if age <= FRESH => Ok(self.state.borrow().clone()),
            Some(age) if self.without_database.load(Ordering::Relaxed) => Err(ApiError::new(
                Code::DATABASE,
                format!("No coreapp has heard of the database for {} s", age.as_secs()),
            )
            .retry_after_ms(1_000)),
            Some(age) => Err(ApiError::new(
                Code::NOT_READY,
                format!("No word from a coreapp for {} s: is it running?", age.as_secs()),
            )),
            None => Err(ApiError::new(
                Code::NOT_READY,
                "No coreapp has been reached since the start: is it running?",
            )),
        }
    }

    /// Is there a coreapp at the other end right now?
    pub(crate) fn connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Changes of the copy.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<State>> {
        self.state.subscribe()
    }

    /// Waits until the copy shows what the caller just changed, at most `limit`; the change is
    /// durable either way, this only keeps the caller's next request from being surprised.
    pub(crate) async fn shows(&self, limit: Duration, change: impl Fn(&State) -> bool) -> bool {
        let mut state = self.state.subscribe();
        timeout(limit, state.wait_for(|state| change(state))).await.is_ok()
    }

    fn age(&self) -> Option<Duration> {
        let seen = self.seen.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.began.elapsed().saturating_sub(Duration::from_millis(seen)))
    }

    fn publish(&self, state: State) {
        self.state.send_replace(Arc::new(state));
    }

    fn is_without_database(&self) {
        self.without_database.store(true, Ordering::Relaxed);
    }

    fn sign_of_life(&self) {
        self.without_database.store(false, Ordering::Relaxed);
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.seen.store(ms + 1, Ordering::Release);
    }

    fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_copy_answers_for_thirty_seconds_after_the_last_sign_of_life() {
        let directory = Directory::new();
        let code = |directory: &Directory| directory.current().map(|_| ()).map_err(|e| e.code);
        assert_eq!(code(&directory), Err(Code::NOT_READY));
        directory.sign_of_life();
        tokio::time::advance(FRESH).await;
        assert_eq!(code(&directory), Ok(()));
        tokio::time::advance(Duration::from_millis(2)).await;
        assert_eq!(code(&directory), Err(Code::NOT_READY));
        directory.sign_of_life();
        assert_eq!(code(&directory), Ok(()));
    }

    /// Whoever was logged out meanwhile must not get in because this webapp cannot know it.
    #[tokio::test(start_paused = true)]
    async fn a_coreapp_without_its_database_keeps_no_copy_fresh_and_is_told_apart() {
        let directory = Directory::new();
        let code = |directory: &Directory| directory.current().map(|_| ()).map_err(|e| e.code);
        directory.sign_of_life();
        directory.is_without_database();
        assert_eq!(code(&directory), Ok(()), "the copy is fresh");
        tokio::time::advance(FRESH + Duration::from_millis(2)).await;
        directory.is_without_database();
        assert_eq!(code(&directory), Err(Code::DATABASE));
        assert_eq!(directory.current().err().and_then(|e| e.retry_after_ms), Some(1_000));
        directory.sign_of_life();
        assert_eq!(code(&directory), Ok(()));
    }
}
