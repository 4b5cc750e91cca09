//! How fresh this node's own beat is, and what a stale one forbids.
//!
//! Measured on the monotonic clock, from before the beat was sent. Whoever might have been declared
//! dead must not act as an owner: after 3 s no byte leaves, after 5 s nothing is answered.
//! Who knows that it was, is silent for good, however fresh its beat.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use contract::{ApiError, Code};
use tokio::time::Instant;

/// Older: nothing is transmitted or POSTed, milliseconds.
const FROZEN_MS: u64 = 3_000;
/// Older: calls are answered 503/1023, milliseconds.
const SILENT_MS: u64 = 5_000;

/// The last good beat.
#[derive(Debug)]
pub(crate) struct Beat {
    origin: Instant,
    last_ms: AtomicU64,
    ended: AtomicBool,
}

impl Beat {
    /// Fresh now.
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), last_ms: AtomicU64::new(0), ended: AtomicBool::new(false) }
    }

    /// A beat that was sent at `sent` has been committed, and what was read with it names us still.
    pub(crate) fn good(&self, sent: Instant) {
        self.last_ms.fetch_max(ms(sent.duration_since(self.origin)), Ordering::Relaxed);
    }

    /// Others have taken over.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// No byte may leave.
    pub(crate) fn frozen(&self) -> bool {
        self.ended.load(Ordering::Acquire) || self.age_ms() > FROZEN_MS
    }

    /// # Errors
    /// 1023 while the database has not been heard of for too long.
    pub(crate) fn answers(&self) -> Result<(), ApiError> {
        let age_ms = self.age_ms();
        if age_ms <= SILENT_MS {
            return Ok(());
        }
        let details = format!("the database has not answered for {} s", age_ms / 1_000);
        Err(ApiError::new(Code::DATABASE, details).retry_after_ms(1_000))
    }

    fn age_ms(&self) -> u64 {
        ms(self.origin.elapsed()).saturating_sub(self.last_ms.load(Ordering::Relaxed))
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stale_beat_freezes_first_and_then_falls_silent() {
        let beat = Beat::new();
        tokio::time::advance(Duration::from_millis(2_900)).await;
        assert!(!beat.frozen());
        tokio::time::advance(Duration::from_millis(200)).await;
        assert!(beat.frozen());
        assert!(beat.answers().is_ok());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(beat.answers().unwrap_err().code, Code::DATABASE);
        beat.good(Instant::now());
        assert!(!beat.frozen());
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_taken_over_from_stays_silent_whatever_it_hears() {
        let beat = Beat::new();
        beat.end();
        beat.good(Instant::now());
        assert!(beat.frozen());
    }
}
