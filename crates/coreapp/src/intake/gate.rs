//! The two queues that stop intake when they are full, and open it again at half.
//!
//! Job queue at `jobs.max`: 503/1016 until half of it is left. Callback queue (unsettled events of
//! the webhook) at `callbacks.queue_max`: the same, unless `callbacks.when_full` is `keep_sending`;
//! receipts and inbound messages are stored all the while.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use contract::{ApiError, Code};

/// When a repeat makes sense, milliseconds.
const RETRY_MS: u64 = 1_000;

/// See the module. Counts over all shards of the process.
#[derive(Debug)]
pub(crate) struct Gate {
    jobs: Level,
    callbacks: Level,
    /// The database's disk is nearly full.
    disk_full: AtomicBool,
    peak: AtomicUsize,
}

/// A count with two marks.
#[derive(Debug)]
struct Level {
    name: &'static str,
    size: AtomicU64,
    /// 0: never closes.
    limit: AtomicU64,
    closed: AtomicBool,
    /// Since the metrics were last read.
    refused: AtomicU64,
}

/// How a queue stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// `jobs` or `callbacks`.
    pub name: &'static str,
    pub size: u64,
    /// 0: never closes.
    pub limit: u64,
    pub closed: bool,
}

impl Gate {
    /// 0 for a queue that closes nothing.
    pub(crate) fn new(jobs_max: u64, callbacks_max: u64) -> Self {
        Self {
            disk_full: AtomicBool::new(false),
            jobs: Level::new("jobs", jobs_max),
            callbacks: Level::new("callbacks", callbacks_max),
            peak: AtomicUsize::new(0),
        }
    }

    /// Sets the marks; in force at once.
    pub(crate) fn set(&self, jobs_max: u64, callbacks_max: u64) {
        self.jobs.limit(jobs_max);
        self.callbacks.limit(callbacks_max);
    }

    /// Counts a job in.
    ///
    /// # Errors
    /// 1016 while a queue is full or has not yet drained to half.
    pub(crate) fn enter(&self) -> Result<(), ApiError> {
        if self.callbacks.refuses() {
            return Err(overloaded("the callback queue is full: the webhook is too slow or down"));
        }
        if self.disk_full.load(Relaxed) {
            return Err(overloaded(
                "the database's disk has less free than callbacks.min_free_mb: callbacks wait for the webhook",
            ));
        }
        if self.jobs.refuses() {
            return Err(overloaded("the job queue is full"));
        }
        self.restore();
        Ok(())
    }

    /// Counts in a job that was accepted before a restart.
    pub(crate) fn restore(&self) {
        let jobs = self.jobs.size.fetch_add(1, Relaxed) + 1;
        self.jobs.settle();
        self.peak.fetch_max(usize::try_from(jobs).unwrap_or(usize::MAX), Relaxed);
    }

    /// Counts a job out.
    pub(crate) fn leave(&self) {
        self.jobs.size.fetch_sub(1, Relaxed);
        self.jobs.settle();
    }

    /// The callback queue's length, as its dispatcher last said.
    pub(crate) fn callbacks(&self, unsettled: u64) {
        self.callbacks.size.store(unsettled, Relaxed);
        self.callbacks.settle();
    }

    /// Bytes free on the database's disk, and how many are to stay so: below, new messages are
    /// refused until there is a tenth more.
    pub(crate) fn disk(&self, free: u64, least: u64) {
        let was = self.disk_full.load(Relaxed);
        let full = free < if was { least.saturating_add(least / 10) } else { least };
        if self.disk_full.swap(full, Relaxed) != full {
            tracing::warn!(free_bytes = free, full, "the gate of the database's disk has changed");
        }
    }

    /// Jobs not settled yet.
    pub(crate) fn jobs(&self) -> u64 {
        self.jobs.size.load(Relaxed)
    }

    /// Most jobs there were since this was last asked, so that a short peak between two looks is
    /// not missed.
    pub(crate) fn take_peak(&self) -> usize {
        let now = usize::try_from(self.jobs()).unwrap_or(usize::MAX);
        self.peak.swap(now, Relaxed).max(now)
    }

    /// How both queues stand, and what each has refused since this was last asked.
    pub(crate) fn standings(&self) -> [(Standing, u64); 2] {
        [&self.jobs, &self.callbacks]
            .map(|level| (level.standing(), level.refused.swap(0, Relaxed)))
    }
}

// === impl Level ===

impl Level {
    fn new(name: &'static str, limit: u64) -> Self {
        Self {
            name,
            size: AtomicU64::new(0),
            limit: AtomicU64::new(limit),
            closed: AtomicBool::new(false),
            refused: AtomicU64::new(0),
        }
    }

    fn limit(&self, limit: u64) {
        self.limit.store(limit, Relaxed);
        self.settle();
    }

    fn refuses(&self) -> bool {
        let closed = self.closed.load(Relaxed);
        if closed {
            self.refused.fetch_add(1, Relaxed);
        }
        closed
    }

    /// Closes at the limit, opens at half of it.
    fn settle(&self) {
        let (size, limit) = (self.size.load(Relaxed), self.limit.load(Relaxed));
        let was = self.closed.load(Relaxed);
        let closed = limit > 0 && if was { size > limit / 2 } else { size >= limit };
        if was == closed || self.closed.swap(closed, Relaxed) == closed {
            return;
        }
        let queue = self.name;
        if closed {
            tracing::warn!(
                queue,
                queue.size = size,
                queue.limit = limit,
                "a queue is full: new messages are refused until half of it is left"
            );
        } else {
            tracing::info!(
                queue,
                queue.size = size,
                queue.limit = limit,
                "a queue has room again: new messages are accepted"
            );
        }
    }

    fn standing(&self) -> Standing {
        Standing {
            name: self.name,
            size: self.size.load(Relaxed),
            limit: self.limit.load(Relaxed),
            closed: self.closed.load(Relaxed),
        }
    }
}

fn overloaded(details: &'static str) -> ApiError {
    ApiError::new(Code::OVERLOADED, details).retry_after_ms(RETRY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_job_queue_refuses_until_half_of_it_is_left() {
        let gate = Gate::new(10, 0);
        for _ in 0..10 {
            gate.enter().unwrap();
        }
        assert_eq!(gate.enter().unwrap_err().code, Code::OVERLOADED);
        for left in (6..10).rev() {
            gate.leave();
            assert!(gate.enter().is_err(), "{left} jobs are more than half");
        }
        gate.leave();
        gate.enter().unwrap();
        assert_eq!((gate.jobs(), gate.take_peak()), (6, 10));
        gate.leave();
        assert_eq!(gate.take_peak(), 6, "the peak since the last look");
    }

    #[test]
    fn a_disk_that_fills_refuses_until_there_is_a_tenth_more_than_asked_for() {
        let gate = Gate::new(10, 0);
        gate.disk(1_000, 1_000);
        gate.enter().unwrap();
        gate.disk(999, 1_000);
        let refused = gate.enter().unwrap_err();
        assert_eq!(refused.code, Code::OVERLOADED);
        assert!(refused.details.contains("callbacks.min_free_mb"), "{}", refused.details);
        gate.disk(1_099, 1_000);
        gate.enter().unwrap_err();
        gate.disk(1_100, 1_000);
        gate.enter().unwrap();
        gate.disk(0, 0);
        gate.enter().unwrap();
    }

    #[test]
    fn a_full_callback_queue_refuses_until_half_of_it_is_left() {
        let gate = Gate::new(10, 100);
        gate.callbacks(99);
        gate.enter().unwrap();
        gate.callbacks(100);
        gate.enter().unwrap_err();
        gate.callbacks(51);
        gate.enter().unwrap_err();
        gate.callbacks(50);
        gate.enter().unwrap();
    }

    #[test]
    fn one_queue_does_not_close_for_the_other_and_both_tell_how_they_stand() {
        let gate = Gate::new(2, 100);
        gate.enter().unwrap();
        gate.enter().unwrap();
        gate.callbacks(99);
        let refused = gate.enter().unwrap_err();
        assert_eq!(refused.details, "the job queue is full");
        assert_eq!(refused.retry_after_ms, Some(RETRY_MS));
        let standing = |name, size, limit, closed| Standing { name, size, limit, closed };
        let (jobs, callbacks) =
            (standing("jobs", 2, 2, true), standing("callbacks", 99, 100, false));
        assert_eq!(gate.standings(), [(jobs, 1), (callbacks, 0)]);
        assert_eq!(gate.standings(), [(jobs, 0), (callbacks, 0)], "refusals are told once");
        // A hot change counts at once: to where half is left, and to where the queue is full.
        gate.set(4, 100);
        gate.enter().unwrap();
        gate.set(3, 100);
        gate.enter().unwrap_err();
        gate.set(0, 0);
        gate.callbacks(1_000_000);
        gate.enter().unwrap();
    }
}
