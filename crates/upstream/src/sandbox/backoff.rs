//! How long to wait before the next connection attempt.

use std::time::Duration;

/// Wait after the first failure.
pub(super) const FIRST: Duration = Duration::from_millis(100);
/// No wait is longer.
pub(super) const CAP: Duration = Duration::from_secs(5);

/// Doubles from [`FIRST`] to [`CAP`]; each wait is shortened by up to half, so that clients that
/// lost the same server do not come back together.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait; `entropy` is any number that differs between processes.
    pub(super) fn next(&mut self, entropy: u64) -> Duration {
        let full = CAP.min(FIRST.saturating_mul(1 << self.failures.min(16)));
        self.failures = self.failures.saturating_add(1);
        let half = full / 2;
        let span = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_micros(scramble(entropy) % span)
    }

    /// The connection proved good.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Spreads neighbouring numbers (the finaliser of SplitMix64).
fn scramble(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_start_over_after_success() {
        let mut backoff = Backoff::default();
        for full in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            let wait = backoff.next(full).as_micros();
            assert!((full * 500..full * 1_000).contains(&u64::try_from(wait).unwrap()), "{wait}");
        }
        backoff.reset();
        assert!(backoff.next(7) < FIRST);
    }
}
