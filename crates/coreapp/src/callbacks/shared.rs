//! What the windows of all shards share: the queue for the endpoint's slots, the timers, the
//! memory budget, and the current time.

use std::{cmp::Reverse, collections::BinaryHeap};

use contract::ShardId;

use super::{ready::Ready, schedule::Pace};

/// Bytes of events that wait, in order, to enter a window. Beyond, they are read from the database
/// when their turn comes.
pub(super) const AHEAD_BYTES: usize = 12 << 20;
/// Bytes of events in windows. Beyond, windows stop reading ahead (but for [`MIN_WINDOW`]) and
/// events that wait for a retry give up their body.
pub(super) const WINDOW_BYTES: usize = 16 << 20;
/// Events that a window may hold whatever the others do, so that none is starved.
pub(super) const MIN_WINDOW: usize = 8;

/// The two clocks of a step.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Now {
    /// Milliseconds since the dispatcher started; all waiting is measured with it.
    pub(super) ms: u64,
    /// Unix milliseconds; only for the age of events.
    pub(super) unix_ms: i64,
}

/// An event while its shard is attached; a later attachment has another lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) shard: ShardId,
    pub(super) lease: u64,
    pub(super) seq: i64,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) now: Now,
    pub(super) pace: Pace,
    pub(super) ready: Ready,
    /// Retries by due time; entries may be stale.
    pub(super) retries: BinaryHeap<Reverse<(u64, Spot)>>,
    /// Holds that run out and media that may have arrived, by time; entries may be stale.
    pub(super) checks: BinaryHeap<Reverse<(u64, Spot)>>,
    pub(super) ahead_bytes: usize,
    pub(super) window_bytes: usize,
    /// The endpoint is up; there is an endpoint.
    pub(super) up: bool,
    pub(super) open: bool,
    /// The endpoint is down and nothing is left to probe it with: one parked event may.
    pub(super) lonely: bool,
    /// Since when the endpoint could take more than there is.
    pub(super) idle_since: Option<u64>,
    /// Given up for their age since the last look.
    pub(super) dead: u64,
    /// Parked after too many refusals since the last look.
    pub(super) parked: u64,
    /// Settled because their row is gone since the last look.
    pub(super) missing: u64,
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            now: Now::default(),
            pace,
            ready: Ready::default(),
            retries: BinaryHeap::new(),
            checks: BinaryHeap::new(),
            ahead_bytes: 0,
            window_bytes: 0,
            up: true,
            open: true,
            lonely: false,
            idle_since: None,
            dead: 0,
            parked: 0,
            missing: 0,
        }
    }

    pub(super) fn is_expired(&self, created_ms: i64) -> bool {
        self.now.unix_ms.saturating_sub(created_ms) > self.pace.max_age_ms
    }

    pub(super) fn is_short(&self) -> bool {
        self.window_bytes >= WINDOW_BYTES
    }

    pub(super) fn retry_at(&mut self, due: u64, spot: Spot) {
        self.retries.push(Reverse((due, spot)));
    }

    pub(super) fn check_at(&mut self, at: u64, spot: Spot) {
        self.checks.push(Reverse((at, spot)));
    }

    /// Takes the earliest retry that is due.
    pub(super) fn due_retry(&mut self) -> Option<Spot> {
        pop(&mut self.retries, self.now.ms)
    }

    /// Takes the earliest check that is due.
    pub(super) fn due_check(&mut self) -> Option<Spot> {
        pop(&mut self.checks, self.now.ms)
    }
}

fn pop(heap: &mut BinaryHeap<Reverse<(u64, Spot)>>, now: u64) -> Option<Spot> {
    let Reverse((at, _)) = heap.peek()?;
    if *at > now {
        return None;
    }
    heap.pop().map(|Reverse((_, spot))| spot)
}
