//! What became of each message: answers of the load on one side, callbacks on the other.
//!
//! Every message is followed to its end, those of the warm-up too; figures are made of those that
//! count.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

mod clock;
mod message;
mod summary;

pub(crate) use clock::{Quantiles, Step};
pub(crate) use message::Status;
pub(crate) use summary::{Interval, Summary};

use clock::Clocks;
use message::Message;

/// Shared by the load, the webhook and the sampler.
#[derive(Debug)]
pub(crate) struct Tally {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    messages: HashMap<Box<str>, Message>,
    /// What is due from here on counts.
    count_from: Instant,
    accepted: u64,
    /// Accepted ones that have an end, and those that have every callback.
    settled: u64,
    complete: u64,
    /// Of those that count, and the last end of one.
    settled_counted: u64,
    last_settled: Instant,
    accepted_counted: u64,
    last_accepted: Instant,
    failed: BTreeMap<String, u64>,
    refused: BTreeMap<String, u64>,
    retries: u64,
    not_started: u64,
    contacts: BTreeMap<String, u64>,
    last_checked: Instant,
    /// Callbacks that came again for one (message, status).
    repeated: u64,
    clocks: Clocks,
    interval: Interval,
    last_change: Instant,
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) accepted: u64,
    /// Of those that count.
    pub(crate) accepted_counted: u64,
    pub(crate) settled: u64,
    pub(crate) complete: u64,
    /// Refusals and failures.
    pub(crate) refused: u64,
    /// Since anything happened.
    pub(crate) quiet: Duration,
}

// === impl Tally ===

impl Tally {
    /// # Errors
    /// Never in practice: the histograms' bounds are fixed.
    pub(crate) fn new() -> Result<Self, hdrhistogram::CreationError> {
        Ok(Self { inner: Mutex::new(Inner::new(Clocks::new()?, Instant::now())) })
    }

    /// Forgets everything; what is due from `count_from` on counts.
    pub(crate) fn begin(&self, count_from: Instant) {
        let mut inner = self.lock();
        let mut clocks = inner.clocks.clone();
        clocks.reset();
        *inner = Inner::new(clocks, count_from);
    }

    /// A step that began at `due` has ended now.
    pub(crate) fn step(&self, step: Step, due: Instant, counted: bool) {
        let took = Instant::now().saturating_duration_since(due);
        self.lock().clocks.record(step, took, counted);
    }

    /// A success with `id` for the message that was due at `due`.
    pub(crate) fn accepted(&self, id: &str, due: Instant, counted: bool) {
        let now = Instant::now();
        let mut inner = self.lock();
        let inner = &mut *inner;
        inner.accepted += 1;
        inner.interval.accepted += 1;
        inner.last_change = now;
        if counted {
            inner.accepted_counted += 1;
            inner.last_accepted = now;
        }
        inner.clocks.record(Step::Accept, now.saturating_duration_since(due), counted);
        let message = inner.messages.entry(id.into()).or_default();
        message.accepted(due, counted);
        // Callbacks may overtake the 201.
        for (step, at) in message.steps() {
            inner.clocks.record(step, at.saturating_duration_since(due), counted);
        }
        inner.complete += u64::from(message.is_complete());
        if message.is_settled() {
            inner.settle(now, counted);
        }
    }

    /// A call was refused (429, 503); `repeated`: the load tries again.
    pub(crate) fn refused(&self, reason: &str, repeated: bool) {
        let mut inner = self.lock();
        inner.interval.refused += 1;
        inner.last_change = Instant::now();
        if inner.last_change >= inner.count_from {
            *inner.refused.entry(reason.to_owned()).or_default() += 1;
            inner.retries += u64::from(repeated);
        }
    }

    /// A message, or a check, that came to nothing. Gives false, for the caller to pass on.
    pub(crate) fn failed(&self, reason: String, counted: bool) -> bool {
        if counted {
            *self.lock().failed.entry(reason).or_default() += 1;
        }
        false
    }

    /// A call was due while too many were in flight.
    pub(crate) fn not_started(&self, counted: bool) {
        self.lock().not_started += u64::from(counted);
    }

    /// The statuses of a contact check.
    pub(crate) fn contacts<'a>(&self, statuses: impl Iterator<Item = &'a str>, counted: bool) {
        let mut inner = self.lock();
        let mut checked = 0;
        for status in statuses {
            checked += 1;
            if counted {
                match inner.contacts.get_mut(status) {
                    Some(count) => *count += 1,
                    None => {
                        inner.contacts.insert(status.to_owned(), 1);
                    }
                }
            }
        }
        inner.interval.contacts += checked;
        if counted {
            inner.last_checked = Instant::now();
        }
    }

    /// A callback for `id`.
    pub(crate) fn callback(&self, id: &str, status: &str) {
        let Some(status) = Status::parse(status) else { return };
        let now = Instant::now();
        let mut inner = self.lock();
        let inner = &mut *inner;
        inner.last_change = now;
        inner.interval.callbacks += 1;
        let message = inner.messages.entry(id.into()).or_default();
        let (was_settled, was_complete) = (message.is_settled(), message.is_complete());
        let Some(news) = message.callback(status, now) else {
            inner.repeated += 1;
            return;
        };
        if let Some((due, counted)) = message.due() {
            for step in news {
                inner.clocks.record(step, now.saturating_duration_since(due), counted);
            }
            inner.complete += u64::from(!was_complete && message.is_complete());
            if !was_settled && message.is_settled() {
                inner.settle(now, counted);
            }
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        let inner = self.lock();
        Progress {
            accepted: inner.accepted,
            accepted_counted: inner.accepted_counted,
            settled: inner.settled,
            complete: inner.complete,
            refused: inner.refused.values().chain(inner.failed.values()).sum(),
            quiet: inner.last_change.elapsed(),
        }
    }

    /// What happened since the last call.
    pub(crate) fn take_interval(&self) -> Interval {
        let mut inner = self.lock();
        let latencies = inner.clocks.take_interval();
        Interval { latencies, ..std::mem::take(&mut inner.interval) }
    }

    pub(crate) fn summary(&self) -> Summary {
        Summary::of(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The figures stay good whatever a panicking holder did.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Inner ===

impl Inner {
    fn new(clocks: Clocks, count_from: Instant) -> Self {
        Self {
            messages: HashMap::new(),
            count_from,
            accepted: 0,
            settled: 0,
            complete: 0,
            settled_counted: 0,
            last_settled: count_from,
            accepted_counted: 0,
            last_accepted: count_from,
            failed: BTreeMap::new(),
            refused: BTreeMap::new(),
            retries: 0,
            not_started: 0,
            contacts: BTreeMap::new(),
            last_checked: count_from,
            repeated: 0,
            clocks,
            interval: Interval::default(),
            last_change: Instant::now(),
        }
    }

    /// An accepted message has its end.
    fn settle(&mut self, now: Instant, counted: bool) {
        self.settled += 1;
        self.interval.settled += 1;
        if counted {
            self.settled_counted += 1;
            self.last_settled = now;
        }
    }
}

#[cfg(test)]
mod tests;
