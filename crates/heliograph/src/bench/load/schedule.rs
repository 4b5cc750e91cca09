//! When the calls of an open loop are due, and which of them count.

use std::time::Duration;

use tokio::time::Instant;

/// Arrivals at a fixed rate, whatever the answers do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    start: Instant,
    rate: f64,
    /// What is due earlier is warm-up.
    count_from: Instant,
    /// `None`: until it is stopped.
    calls: Option<u64>,
}

impl Schedule {
    /// `rate` calls a second through `warmup` and, if given, `seconds` more.
    pub(crate) fn new(start: Instant, rate: f64, warmup: Duration, seconds: Option<u64>) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a count of calls, far below 2^53"
        )]
        let calls = seconds.map(|s| ((warmup.as_secs_f64() + s as f64) * rate).round() as u64);
        Self { start, rate, count_from: start + warmup, calls }
    }

    /// The moment of call `n`, and whether it counts; `None` after the last.
    pub(crate) fn due(&self, n: u64) -> Option<(Instant, bool)> {
        if self.calls.is_some_and(|calls| n >= calls) {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53 calls")]
        let due = self.start + Duration::from_secs_f64(n as f64 / self.rate);
        Some((due, due >= self.count_from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_are_due_evenly_and_only_those_after_the_warm_up_count() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 4.0, Duration::from_secs(1), Some(2));
        let all: Vec<_> = (0..).map_while(|n| schedule.due(n)).collect();
        let offsets: Vec<_> = all.iter().map(|(due, _)| (*due - start).as_millis()).collect();
        assert_eq!(offsets, (0..12).map(|n| n * 250).collect::<Vec<_>>());
        let counted: Vec<_> = all.iter().map(|(_, counted)| *counted).collect();
        assert_eq!(counted, [[false; 4].as_slice(), &[true; 8]].concat());
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_end_there_is_always_a_next_call() {
        let schedule = Schedule::new(Instant::now(), 0.5, Duration::ZERO, None);
        let (due, counted) = schedule.due(1_000_000).unwrap();
        assert_eq!((due - Instant::now(), counted), (Duration::from_secs(2_000_000), true));
    }
}
