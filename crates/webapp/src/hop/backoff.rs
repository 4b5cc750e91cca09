//! How long to wait before the next try.

use std::time::Duration;

/// Before the second try.
const FIRST: Duration = Duration::from_millis(50);
/// Never longer than this.
const LONGEST: Duration = Duration::from_secs(1);

/// Doubles from 50 ms to 1 s.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The wait before the next try.
    pub(crate) fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(LONGEST);
        delay
    }

    /// After a success.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }
}
