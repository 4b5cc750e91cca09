//! What a tally says at the end, and each second.

use std::{collections::BTreeMap, time::Duration};

use super::{Inner, Quantiles, Status, Step};

/// The figures of a run. Without the warm-up unless it says otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    pub(crate) accepted: u64,
    /// With the warm-up.
    pub(crate) accepted_all: u64,
    /// Messages (or checks) that came to nothing, by reason.
    pub(crate) failed: BTreeMap<String, u64>,
    /// Refusals by `HTTP status/code`, repeated or not.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Refusals that were followed by another try.
    pub(crate) retries: u64,
    pub(crate) not_started: u64,
    /// Checked numbers by status.
    pub(crate) contacts: BTreeMap<String, u64>,
    /// Messages by the callbacks they have.
    pub(crate) callbacks: BTreeMap<&'static str, u64>,
    /// Ended as `failed`, warm-up included.
    pub(crate) failed_later: u64,
    /// Accepted, yet neither delivered nor failed; warm-up included.
    pub(crate) lost: u64,
    /// Callbacks that came again.
    pub(crate) repeated: u64,
    /// From the end of the warm-up to the last 201.
    pub(crate) duration: Duration,
    /// From the end of the warm-up to the last answered contact check.
    pub(crate) checking: Duration,
    /// From the end of the warm-up to the last end of a message that counts, and how many have one.
    pub(crate) drained: Duration,
    pub(crate) settled: u64,
    pub(crate) latencies: Vec<(Step, Quantiles)>,
}

/// What happened in a second, warm-up or not.
#[derive(Debug, Default, Clone)]
pub(crate) struct Interval {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    /// Checked numbers.
    pub(crate) contacts: u64,
    pub(crate) callbacks: u64,
    pub(crate) settled: u64,
    pub(crate) latencies: Vec<(Step, Quantiles)>,
}

impl Summary {
    pub(super) fn of(inner: &Inner) -> Self {
        let mut callbacks = BTreeMap::new();
        for message in inner.messages.values().filter(|message| message.counts()) {
            for status in Status::ALL.into_iter().filter(|s| message.has(*s).is_some()) {
                *callbacks.entry(status.name()).or_default() += 1;
            }
        }
        let accepted = || inner.messages.values().filter(|message| message.due().is_some());
        let failed = accepted().filter(|message| message.has(Status::Failed).is_some());
        Self {
            accepted: inner.accepted_counted,
            accepted_all: inner.accepted,
            failed: inner.failed.clone(),
            refused: inner.refused.clone(),
            retries: inner.retries,
            not_started: inner.not_started,
            contacts: inner.contacts.clone(),
            callbacks,
            failed_later: failed.count() as u64,
            lost: accepted().filter(|message| !message.is_settled()).count() as u64,
            repeated: inner.repeated,
            duration: inner.last_accepted.saturating_duration_since(inner.count_from),
            checking: inner.last_checked.saturating_duration_since(inner.count_from),
            drained: inner.last_settled.saturating_duration_since(inner.count_from),
            settled: inner.settled_counted,
            latencies: inner.clocks.run(),
        }
    }
}
