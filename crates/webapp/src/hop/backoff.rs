//! How long to wait before the next try.

use std::time::Duration;

/// Before the second try.
const FIRST: Duration = Duration::from_millis(50);
/// Never longer than this, unless it is said otherwise.
const LONGEST: Duration = Duration::from_secs(1);

/// Doubles from 50 ms to its longest.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::up_to(LONGEST)
    }
}

impl Backoff {
    pub(crate) fn up_to(longest: Duration) -> Self {
        Self { next: FIRST.min(longest), longest }
    }

    /// The wait before the next try.
    pub(crate) fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(self.longest);
        delay
    }

    /// After a success.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST.min(self.longest);
    }
}
