//! Waiting at start for a server that does not serve yet: after a reboot, everything starts at once.

use std::{sync::Arc, time::Duration};

use contract::Rng;
use tokio::time::Instant;

use crate::{backoff::Backoff, error::StoreError};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Between two lines in the log.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Repeats an attempt while its error may pass, at most for `patience` after the first one; then, or
/// on any other error, gives that back.
pub(crate) async fn patiently<T>(
    patience: Duration,
    rng: Arc<dyn Rng>,
    attempt: impl AsyncFn() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let start = Instant::now();
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE, rng);
    let mut told: Option<Instant> = None;
    loop {
        let error = match attempt().await {
            Err(error) if may_pass(&error) => error,
            other => {
                if told.is_some() && other.is_ok() {
                    let duration_s = start.elapsed().as_secs();
                    tracing::info!(duration_s, "the database serves now");
                }
                return other;
            }
        };
        if start.elapsed() >= patience {
            return Err(StoreError::GaveUp { after: start.elapsed(), last: Box::new(error) });
        }
        if told.is_none_or(|last| last.elapsed() >= TELL_EVERY) {
            told = Some(Instant::now());
            tracing::warn!(
                error.code = error.code(),
                patience_s = patience.as_secs(),
                "waiting for the database: {error}"
            );
        }
        let left = patience.saturating_sub(start.elapsed());
        // The last attempt is made when patience ends, not before.
        let _ = tokio::time::timeout(left, backoff.wait()).await;
    }
}

/// What a statement answers is no reason to wait, only what is in the way of asking it.
fn may_pass(error: &StoreError) -> bool {
    matches!(error, StoreError::Server(_) | StoreError::Connect(_)) && error.is_transient()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::fault::Fault;

    struct Still;

    impl Rng for Still {
        fn fill(&self, out: &mut [u8]) {
            out.fill(0);
        }
    }

    fn refused() -> StoreError {
        Fault::Refused { server: "db:5432".to_owned() }.into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_late_is_waited_for_and_one_that_never_comes_is_given_up() {
        let attempts = AtomicUsize::new(0);
        let late = patiently(Duration::from_secs(60), Arc::new(Still), async || {
            match attempts.fetch_add(1, Ordering::Relaxed) {
                ..5 => Err(refused()),
                n => Ok(n),
            }
        });
        assert_eq!(late.await.unwrap(), 5);

        let attempts = AtomicUsize::new(0);
        let start = Instant::now();
        let never = patiently(Duration::from_secs(60), Arc::new(Still), async || {
            attempts.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(refused())
        });
        let error = never.await.unwrap_err();
        assert_eq!(start.elapsed().as_secs(), 60);
        assert_eq!(error.code(), "store_refused");
        assert!(error.to_string().contains("given up after 60 s"), "{error}");
        assert!((10..60).contains(&attempts.into_inner()), "neither a flood nor a silence");
    }

    #[tokio::test(start_paused = true)]
    async fn what_waiting_cannot_mend_fails_at_once() {
        let start = Instant::now();
        let failed = patiently(Duration::from_secs(60), Arc::new(Still), async || {
            Err::<(), _>(StoreError::from(Fault::NoTls { server: "db:5432".to_owned() }))
        });
        assert_eq!(failed.await.unwrap_err().code(), "store_no_tls");
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
