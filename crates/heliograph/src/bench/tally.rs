//! What became of each message: answers of the load on one side, callbacks on the other.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;
use tokio::time::Instant;

/// Largest latency told apart, microseconds; above it counts as this.
const MAX_US: u64 = 600_000_000;

/// Shared by the load and the webhook.
#[derive(Debug)]
pub(crate) struct Tally {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    messages: HashMap<Box<str>, Message>,
    accepted: u64,
    settled: u64,
    failed: BTreeMap<String, u64>,
    callbacks: BTreeMap<Box<str>, u64>,
    duplicated: u64,
    accept: Histogram<u64>,
    end_to_end: Histogram<u64>,
    last_change: Instant,
}

#[derive(Debug, Default)]
struct Message {
    /// When the load meant to send it; absent until its 201 is seen.
    due: Option<Instant>,
    delivered: Option<Instant>,
    seen: Vec<Status>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Sent,
    Delivered,
    Read,
    Failed,
}

/// The result.
#[derive(Debug, Default, Clone)]
pub(crate) struct Summary {
    pub(crate) accepted: u64,
    /// Refusals by `HTTP status/code`, or what went wrong.
    pub(crate) failed: BTreeMap<String, u64>,
    pub(crate) callbacks: BTreeMap<String, u64>,
    /// Accepted, yet neither delivered nor failed.
    pub(crate) lost: u64,
    /// Callbacks that came again for one (message, status).
    pub(crate) duplicated: u64,
    pub(crate) accept: Quantiles,
    pub(crate) end_to_end: Quantiles,
}

/// Milliseconds.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Tally {
    /// # Errors
    /// Never in practice: the histogram's bounds are fixed.
    pub(crate) fn new() -> Result<Self, hdrhistogram::CreationError> {
        let histogram = Histogram::new_with_bounds(1, MAX_US, 3)?;
        Ok(Self {
            inner: Mutex::new(Inner {
                messages: HashMap::new(),
                accepted: 0,
                settled: 0,
                failed: BTreeMap::new(),
                callbacks: BTreeMap::new(),
                duplicated: 0,
                accept: histogram.clone(),
                end_to_end: histogram,
                last_change: Instant::now(),
            }),
        })
    }

    /// Forgets everything: the warm-up is over.
    pub(crate) fn reset(&self) {
        let mut inner = self.lock();
        inner.messages.clear();
        inner.accepted = 0;
        inner.settled = 0;
        inner.failed.clear();
        inner.callbacks.clear();
        inner.duplicated = 0;
        inner.accept.reset();
        inner.end_to_end.reset();
        inner.last_change = Instant::now();
    }

    /// A 201 with `id` for the message that was due at `due`.
    pub(crate) fn accepted(&self, id: &str, due: Instant) {
        let now = Instant::now();
        let mut inner = self.lock();
        inner.accepted += 1;
        inner.accept.saturating_record(micros(now - due));
        inner.last_change = now;
        let message = inner.messages.entry(id.into()).or_default();
        message.due = Some(due);
        // The callback may overtake the 201.
        let (delivered, settled) = (message.delivered, message.is_settled());
        if let Some(delivered) = delivered {
            inner.end_to_end.saturating_record(micros(delivered.saturating_duration_since(due)));
        }
        inner.settled += u64::from(settled);
    }

    /// Anything but a 201.
    pub(crate) fn refused(&self, reason: String) {
        *self.lock().failed.entry(reason).or_default() += 1;
    }

    /// A callback for `id`.
    pub(crate) fn callback(&self, id: &str, status: &str) {
        let now = Instant::now();
        let mut inner = self.lock();
        inner.last_change = now;
        match inner.callbacks.get_mut(status) {
            Some(count) => *count += 1,
            None => {
                inner.callbacks.insert(status.into(), 1);
            }
        }
        let status = match status {
            "sent" => Status::Sent,
            "delivered" => Status::Delivered,
            "read" => Status::Read,
            "failed" => Status::Failed,
            _ => return,
        };
        let message = inner.messages.entry(id.into()).or_default();
        if message.seen.contains(&status) {
            inner.duplicated += 1;
            return;
        }
        let before = message.is_settled();
        message.seen.push(status);
        // Phones may drop `delivered` when `read` follows at once.
        let arrived = matches!(status, Status::Delivered | Status::Read);
        let first = arrived && message.delivered.is_none();
        if first {
            message.delivered = Some(now);
        }
        let due = message.due;
        let settled = due.is_some() && !before && message.is_settled();
        if let (true, Some(due)) = (first, due) {
            inner.end_to_end.saturating_record(micros(now - due));
        }
        inner.settled += u64::from(settled);
    }

    /// Accepted messages, those of them that are settled, and time since anything happened.
    pub(crate) fn progress(&self) -> (u64, u64, Duration) {
        let inner = self.lock();
        (inner.accepted, inner.settled, inner.last_change.elapsed())
    }

    /// Refusals so far.
    pub(crate) fn refusals(&self) -> u64 {
        self.lock().failed.values().sum()
    }

    pub(crate) fn summary(&self) -> Summary {
        let inner = self.lock();
        let open = inner.messages.values().filter(|m| m.due.is_some() && !m.is_settled());
        Summary {
            accepted: inner.accepted,
            failed: inner.failed.clone(),
            callbacks: inner.callbacks.iter().map(|(k, v)| (k.to_string(), *v)).collect(),
            lost: open.count() as u64,
            duplicated: inner.duplicated,
            accept: Quantiles::of(&inner.accept),
            end_to_end: Quantiles::of(&inner.end_to_end),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The figures stay good whatever a panicking holder did.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Message {
    fn is_settled(&self) -> bool {
        self.delivered.is_some() || self.seen.contains(&Status::Failed)
    }
}

impl Quantiles {
    #[expect(clippy::cast_precision_loss, reason = "microseconds far below 2^53")]
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        Self { p50: at(0.50), p95: at(0.95), p99: at(0.99), max: histogram.max() as f64 / 1_000.0 }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_callback_that_overtakes_its_201_is_counted_and_timed() {
        let tally = Tally::new().unwrap();
        let due = Instant::now();
        tokio::time::advance(Duration::from_millis(40)).await;
        tally.callback("a", "delivered");
        assert_eq!(tally.progress().1, 0);
        tokio::time::advance(Duration::from_millis(10)).await;
        tally.accepted("a", due);
        let summary = tally.summary();
        assert_eq!(tally.progress().1, 1);
        assert_eq!((summary.accepted, summary.lost), (1, 0));
        assert!((summary.end_to_end.p50 - 40.0).abs() < 0.1, "{summary:?}");
        assert!((summary.accept.p50 - 50.0).abs() < 0.1, "{summary:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_arrives_is_lost_and_what_arrives_twice_is_duplicated() {
        let tally = Tally::new().unwrap();
        for id in ["a", "b", "c"] {
            tally.accepted(id, Instant::now());
        }
        tally.callback("a", "sent");
        tally.callback("b", "read");
        tally.callback("b", "delivered");
        tally.callback("b", "delivered");
        tally.callback("c", "failed");
        let summary = tally.summary();
        assert_eq!((summary.lost, summary.duplicated), (1, 1));
        assert_eq!(summary.callbacks["delivered"], 2);
    }
}
