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
    /// 0: the callback queue closes nothing.
    callbacks: Level,
    /// The database's disk is nearly full.
    disk_full: AtomicBool,
    peak: AtomicUsize,
}

/// A count with two marks.
#[derive(Debug)]
struct Level {
    count: AtomicU64,
    max: AtomicU64,
    closed: AtomicBool,
}

impl Gate {
    pub(crate) fn new(jobs_max: u64, callbacks_max: u64) -> Self {
        Self {
            jobs: Level::new(jobs_max),
            callbacks: Level::new(callbacks_max),
            disk_full: AtomicBool::new(false),
            peak: AtomicUsize::new(0),
        }
    }

    /// Sets the marks; in force at once. 0 never closes.
    pub(crate) fn set(&self, jobs_max: u64, callbacks_max: u64) {
        self.jobs.max.store(jobs_max, Relaxed);
        self.callbacks.max.store(callbacks_max, Relaxed);
    }

    /// Counts a job in.
    ///
    /// # Errors
    /// 1016 while a queue is full or has not yet drained to half.
    pub(crate) fn enter(&self) -> Result<(), ApiError> {
        if self.callbacks.closed() {
            return Err(overloaded("the callback queue is full: the webhook is too slow or down"));
        }
        if self.disk_full.load(Relaxed) {
            return Err(overloaded(
                "the database's disk has less free than callbacks.min_free_mb: callbacks wait for the webhook",
            ));
        }
        if self.jobs.closed() {
            return Err(overloaded("the job queue is full"));
        }
        self.restore();
        Ok(())
    }

    /// Counts in a job that was accepted before a restart.
    pub(crate) fn restore(&self) {
        let jobs = self.jobs.count.fetch_add(1, Relaxed) + 1;
        self.peak.fetch_max(usize::try_from(jobs).unwrap_or(usize::MAX), Relaxed);
    }

    /// Counts a job out.
    pub(crate) fn leave(&self) {
        self.jobs.count.fetch_sub(1, Relaxed);
    }

    /// The callback queue's length, as its dispatcher last said.
    pub(crate) fn callbacks(&self, unsettled: u64) {
        self.callbacks.count.store(unsettled, Relaxed);
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
        self.jobs.count.load(Relaxed)
    }

    /// Most jobs there ever were.
    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Relaxed)
    }
}

impl Level {
    fn new(max: u64) -> Self {
        Self { count: AtomicU64::new(0), max: AtomicU64::new(max), closed: AtomicBool::new(false) }
    }

    fn closed(&self) -> bool {
        let (count, max) = (self.count.load(Relaxed), self.max.load(Relaxed));
        let closed =
            max > 0 && if self.closed.load(Relaxed) { count > max / 2 } else { count >= max };
        if self.closed.swap(closed, Relaxed) != closed {
            tracing::warn!(count, max, closed, "a queue's gate has changed");
        }
        closed
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
        assert_eq!((gate.jobs(), gate.peak()), (6, 10));
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
}
