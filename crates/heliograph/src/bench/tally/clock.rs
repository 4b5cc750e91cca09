//! Latencies of the steps: of the whole run, and of the second that runs.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Largest latency told apart, microseconds; above it counts as this.
const MAX_US: u64 = 600_000_000;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Due to the answer of the contact check.
    Contacts,
    /// Due to 201.
    Accept,
    /// Due to the callback `sent`, `delivered`, `read` at the webhook.
    Sent,
    Delivered,
    Read,
    /// Due to the last of a message's callbacks.
    Callback,
}

impl Step {
    pub(crate) const ALL: [Self; 6] =
        [Self::Contacts, Self::Accept, Self::Sent, Self::Delivered, Self::Read, Self::Callback];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Contacts => "contacts",
            Self::Accept => "accept",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Callback => "callback",
        }
    }
}

/// Milliseconds.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// One histogram a step, twice.
#[derive(Clone, Debug)]
pub(super) struct Clocks {
    run: [Histogram<u64>; 6],
    interval: [Histogram<u64>; 6],
}

impl Clocks {
    pub(super) fn new() -> Result<Self, hdrhistogram::CreationError> {
        let run = Histogram::new_with_bounds(1, MAX_US, 3)?;
        let interval = Histogram::new_with_bounds(1, MAX_US, 2)?;
        Ok(Self {
            run: std::array::from_fn(|_| run.clone()),
            interval: std::array::from_fn(|_| interval.clone()),
        })
    }

    /// Those of the warm-up are seen in the second that runs only.
    pub(super) fn record(&mut self, step: Step, took: Duration, counted: bool) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let index = step as usize;
        if let Some(histogram) = self.interval.get_mut(index) {
            histogram.saturating_record(us);
        }
        if counted && let Some(histogram) = self.run.get_mut(index) {
            histogram.saturating_record(us);
        }
    }

    pub(super) fn reset(&mut self) {
        self.run.iter_mut().chain(&mut self.interval).for_each(Histogram::reset);
    }

    /// Of the steps that happened.
    pub(super) fn run(&self) -> Vec<(Step, Quantiles)> {
        quantiles(&self.run)
    }

    pub(super) fn take_interval(&mut self) -> Vec<(Step, Quantiles)> {
        let taken = quantiles(&self.interval);
        self.interval.iter_mut().for_each(Histogram::reset);
        taken
    }
}

fn quantiles(histograms: &[Histogram<u64>; 6]) -> Vec<(Step, Quantiles)> {
    let happened = Step::ALL.into_iter().zip(histograms).filter(|(_, h)| !h.is_empty());
    happened.map(|(step, histogram)| (step, Quantiles::of(histogram))).collect()
}

impl Quantiles {
    #[expect(clippy::cast_precision_loss, reason = "microseconds far below 2^53")]
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        Self { p50: at(0.50), p95: at(0.95), p99: at(0.99), max: histogram.max() as f64 / 1_000.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut clocks = Clocks::new().unwrap();
        for ms in 1..=100 {
            clocks.record(Step::Accept, Duration::from_millis(ms), true);
            clocks.record(Step::Accept, Duration::from_secs(9), false);
        }
        let [(step, run)] = clocks.run()[..] else { panic!("one step happened") };
        assert_eq!(step, Step::Accept);
        for (is, should) in [(run.p50, 50.0), (run.p95, 95.0), (run.p99, 99.0), (run.max, 100.0)] {
            assert!((is - should).abs() < 0.2, "{run:?}");
        }
        assert!(clocks.take_interval()[0].1.max > 8_000.0, "the interval shows the warm-up");
        assert!(clocks.take_interval().is_empty(), "an interval begins empty");
    }
}
