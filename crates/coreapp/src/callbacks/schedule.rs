//! When a failed POST is repeated, and which failures no repetition is expected to mend.

use contract::events::Why;

/// The endpoint is probed at least this often while it is down, milliseconds.
pub(super) const PROBE_MAX_MS: u64 = 60_000;
/// Longest `Retry-After` that is honoured, milliseconds; a longer one is cut to this.
pub(super) const RETRY_AFTER_MAX_MS: u64 = 3_600_000;

/// How fast the endpoint is called; all of it can change while POSTs fly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// POSTs in flight at most.
    pub(super) concurrency: usize,
    /// `callback_backoff_delay_ms`.
    pub(super) step_ms: u64,
    /// `max_callback_backoff_delay_ms`.
    pub(super) cap_ms: u64,
    /// `callbacks.max_age`.
    pub(super) max_age_ms: i64,
    /// `webhooks.batch_max`: events of one kind in a POST.
    pub(super) batch_max: usize,
}

impl Pace {
    /// Wait after the `tries`-th failure: linear, with up to a tenth of jitter, capped.
    pub(super) fn retry_ms(&self, tries: u32, random: u64) -> u64 {
        let base = self.step_ms.saturating_mul(u64::from(tries.max(1))).min(self.cap_ms);
        let jitter = base.saturating_mul(random % 1_001) / 10_000;
        base.saturating_add(jitter).min(self.cap_ms)
    }

    /// Wait of a parked event: the cap, with up to a tenth of jitter.
    pub(super) fn parked_ms(&self, random: u64) -> u64 {
        self.cap_ms.saturating_add(self.cap_ms.saturating_mul(random % 1_001) / 10_000)
    }

    /// Wait before the `probe`-th probe of an endpoint that is down.
    pub(super) fn probe_ms(&self, probe: u32) -> u64 {
        let linear = self.step_ms.saturating_mul(u64::from(probe.max(1)));
        linear.min(self.cap_ms).min(PROBE_MAX_MS)
    }
}

/// What became of a POST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// 200.
    Delivered,
    /// Any other status, with the milliseconds of a `Retry-After`.
    Refused { status: u16, retry_after_ms: Option<u64> },
    /// No connection, or none that is permitted.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// The connection died, twice, before the first byte of an answer; or it is no HTTP.
    Closed,
}

impl Outcome {
    /// A 4xx that says something about this event, not about the moment: a conflict (409) is with
    /// somebody who works on it just now.
    pub(super) fn is_permanent(self) -> bool {
        matches!(self, Self::Refused { status: 400..=499, .. })
            && !matches!(self, Self::Refused { status: 408 | 409 | 425 | 429, .. })
    }

    /// As it is told to whoever asks why an event was not taken.
    pub(super) fn why(self) -> Option<Why> {
        match self {
            Self::Delivered => None,
            Self::Refused { status, .. } => Some(Why::Status(status)),
            Self::Unreachable => Some(Why::Unreachable),
            Self::TimedOut => Some(Why::TimedOut),
            Self::Closed => Some(Why::Closed),
        }
    }

    /// How long the endpoint wants to be left alone.
    pub(super) fn pause_ms(self) -> u64 {
        match self {
            Self::Refused { status: 429 | 503, retry_after_ms: Some(ms) } => {
                ms.min(RETRY_AFTER_MAX_MS)
            }
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        concurrency: 6,
        step_ms: 3_000,
        cap_ms: 900_000,
        max_age_ms: 604_800_000,
        batch_max: 1,
    };

    #[test]
    fn retries_wait_longer_by_a_step_each_time_up_to_the_cap() {
        assert_eq!([1, 2, 3].map(|n| PACE.retry_ms(n, 0)), [3_000, 6_000, 9_000]);
        assert_eq!(PACE.retry_ms(1, 1_000), 3_300);
        assert_eq!(PACE.retry_ms(10_000, 1_000), 900_000);
        assert_eq!(PACE.retry_ms(u32::MAX, u64::MAX), 900_000);
    }

    #[test]
    fn probes_come_once_a_minute_at_least() {
        assert_eq!([1, 2, 100].map(|n| PACE.probe_ms(n)), [3_000, 6_000, 60_000]);
    }

    #[test]
    fn only_lasting_refusals_are_permanent() {
        let refused = |status| Outcome::Refused { status, retry_after_ms: Some(7_200_000) };
        assert_eq!([400, 404, 410].map(|s| refused(s).is_permanent()), [true; 3]);
        assert_eq!(
            [201, 301, 408, 409, 425, 429, 500, 503].map(|s| refused(s).is_permanent()),
            [false; 8]
        );
        assert_eq!(refused(503).pause_ms(), RETRY_AFTER_MAX_MS);
        assert_eq!(refused(500).pause_ms(), 0);
    }
}
