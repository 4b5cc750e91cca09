//! How fast a closed-loop client goes after it was refused.
//!
//! `Retry-After` has whole seconds, so a client that only obeys it runs into the quota, waits a
//! second, and runs into it again: it gets half of what it may have. This one slows down to the pace
//! at which its calls were taken, and speeds up again little by little.

use std::time::Duration;

use tokio::time::Instant;

/// Longest pause between two messages.
const GAP_MAX: Duration = Duration::from_secs(10);
/// What is left of the gap after a message that was taken at once.
const EASE: f64 = 0.99;
/// Growth of the gap when a client is refused twice in a row.
const BACK_OFF: f64 = 1.5;
/// A gap to grow from.
const GAP_MIN: Duration = Duration::from_millis(5);

/// The pace of one client. Until it is refused it does not pause.
#[derive(Debug)]
pub(crate) struct Pace {
    gap: Duration,
    /// The last refusal, or the beginning.
    since: Instant,
    /// Messages taken since.
    taken: u32,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Self { gap: Duration::ZERO, since: now, taken: 0 }
    }

    /// Between the starts of two messages.
    pub(crate) fn gap(&self) -> Duration {
        self.gap
    }

    /// A message was taken.
    pub(crate) fn taken(&mut self) {
        self.taken += 1;
        self.gap = self.gap.mul_f64(EASE);
    }

    /// A call was refused: from now on as fast as since the last time.
    pub(crate) fn refused(&mut self, now: Instant) {
        self.gap = if self.taken == 0 {
            self.gap.max(GAP_MIN).mul_f64(BACK_OFF)
        } else {
            (now - self.since) / self.taken
        };
        self.gap = self.gap.min(GAP_MAX);
        self.since = now;
        self.taken = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_nobody_refuses_does_not_pause() {
        let mut pace = Pace::new(Instant::now());
        for _ in 0..100 {
            pace.taken();
        }
        assert_eq!(pace.gap(), Duration::ZERO);
    }

    /// A bucket of 10 that fills with 20 a second, and `Retry-After: 1`.
    #[tokio::test(start_paused = true)]
    async fn a_refused_client_comes_to_use_most_of_its_quota() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let (mut tokens, mut filled) = (10.0_f64, start);
        let (mut taken, mut refused) = (0, 0);
        while start.elapsed() < Duration::from_secs(120) {
            tokens = (tokens + 20.0 * filled.elapsed().as_secs_f64()).min(10.0);
            filled = Instant::now();
            if tokens >= 1.0 {
                tokens -= 1.0;
                taken += 1;
                pace.taken();
                tokio::time::advance(pace.gap().max(Duration::from_millis(2))).await;
            } else {
                refused += 1;
                pace.refused(Instant::now());
                tokio::time::advance(Duration::from_secs(1)).await;
            }
        }
        let share = f64::from(taken) / (20.0 * 120.0);
        assert!(share > 0.8, "{share}");
        assert!(refused < 60, "{refused}");
    }
}
