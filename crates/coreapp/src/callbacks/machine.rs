//! The dispatcher of one endpoint over the shards this process owns, without any I/O: inputs are
//! what happened, outputs what is to be done.
//!
//! Promises (held by `simulation.rs` over many seeds): each event is settled once while nothing
//! crashes; none is skipped; at most one of a conversation is in flight; a window holds at most
//! 256; what was settled and what is sent again after a crash are together everything.

use std::sync::Arc;

use bytes::Bytes;
use contract::{Rng, ShardId};
use store::rows::Event;

use super::{
    breaker::{Breaker, Change},
    fill::Want,
    holes::Hole,
    schedule::{Outcome, Pace},
    shared::{Now, Shared, Spot},
    window::{RELEASE_WAIT_MS, Window},
};

/// Pages asked for at the same time, over all shards; further ones wait for an answer.
pub(super) const PAGES: usize = 8;
/// How often events are looked through for their age, milliseconds.
const SWEEP_MS: u64 = 60_000;
const PLACES: usize = 65;

pub(super) enum Input {
    /// The shard is ours: its saved cursor, and how far its log reaches.
    Attach { shard: ShardId, epoch: i64, read_to: i64, holes: Vec<Hole>, head: i64 },
    /// Give the shard up; answered by [`Output::Released`].
    Release { shard: ShardId },
    /// Committed, and still in memory. In order within a shard.
    Committed(Event),
    /// Committed up to `head`.
    Head { shard: ShardId, head: i64 },
    /// Answer to [`Output::ReadPage`]; `None`: it failed.
    Page { shard: ShardId, lease: u64, events: Option<Vec<Event>> },
    /// Answer to [`Output::Post`].
    Finished { spot: Spot, outcome: Outcome },
    /// Answer to [`Output::SaveCursor`].
    Saved { shard: ShardId, lease: u64, stored: bool },
    /// `open`: there is a URL. `renewed`: it is another one than before.
    Settings { open: bool, renewed: bool, pace: Pace },
    /// Whether POSTs may start: not while this node may have been replaced.
    Transmit(bool),
}

#[derive(Debug)]
pub(super) enum Output {
    /// Read events of the shard after `after`, at most `limit`.
    ReadPage {
        shard: ShardId,
        lease: u64,
        after: i64,
        limit: u32,
    },
    Post(Post),
    SaveCursor {
        shard: ShardId,
        lease: u64,
        epoch: i64,
        cursor: Saving,
    },
    /// The shard is forgotten; `saved`: its cursor is on disk as it was at the end.
    Released {
        shard: ShardId,
        saved: bool,
    },
    Breaker(Change),
    /// Settled without a 200: too old, or their rows are gone.
    Discarded {
        expired: u64,
        missing: u64,
    },
}

/// A cursor to be saved.
#[derive(Debug)]
pub(super) struct Saving {
    pub(super) read_to: i64,
    pub(super) holes: Bytes,
    /// Everything up to here is settled.
    pub(super) settled_to: i64,
}

#[derive(Debug)]
pub(super) struct Post {
    pub(super) spot: Spot,
    pub(super) kind: i16,
    /// From 1.
    pub(super) attempt: u32,
    pub(super) body: Bytes,
}

pub(super) struct Machine {
    windows: Vec<Option<Box<Slot>>>,
    shared: Shared,
    breaker: Breaker,
    rng: Arc<dyn Rng>,
    leases: u64,
    open: bool,
    transmit: bool,
    flying: usize,
    reading: usize,
    backlog: u64,
    known: usize,
    next_sweep: u64,
    waiting: Vec<Output>,
}

/// A window and what the machine remembers of it.
struct Slot {
    window: Window,
    /// Changed since the last look.
    stirred: bool,
    /// When to look without a change.
    wake: Option<u64>,
    /// Its parts of the machine's sums.
    backlog: u64,
    known: usize,
    /// The last save, of a window that is let go, failed.
    lost: bool,
}

// === impl Machine ===

impl Machine {
    /// A dispatcher without shards. It has to be told that it may transmit.
    pub(super) fn new(pace: Pace, rng: Arc<dyn Rng>) -> Self {
        Self {
            windows: (0..PLACES).map(|_| None).collect(),
            shared: Shared::new(pace),
            breaker: Breaker::new(),
            rng,
            leases: 0,
            open: true,
            transmit: false,
            flying: 0,
            reading: 0,
            backlog: 0,
            known: 0,
            next_sweep: 0,
            waiting: Vec::new(),
        }
    }

    /// Events of the owned shards that are not settled; as of the last [`Self::outputs`].
    pub(super) fn backlog(&self) -> u64 {
        self.backlog
    }

    /// Those of them that are in a window.
    pub(super) fn known(&self) -> usize {
        self.known
    }

    /// Takes in what happened.
    pub(super) fn input(&mut self, input: Input, now: Now) {
        self.shared.now = now;
        match input {
            Input::Attach { shard, epoch, read_to, holes, head } => {
                self.remove(shard, false);
                self.leases += 1;
                let window = Window::new((shard, self.leases, epoch), read_to, &holes, head);
                if let Some(place) = self.windows.get_mut(shard.index()) {
                    *place = Some(Box::new(Slot::new(window)));
                }
            }
            Input::Release { shard } => match slot(&mut self.windows, shard, None) {
                Some(window) => {
                    let until = now.ms.saturating_add(RELEASE_WAIT_MS);
                    window.closing.get_or_insert(until);
                }
                None => self.waiting.push(Output::Released { shard, saved: true }),
            },
            Input::Committed(event) => {
                if let Some(window) = slot(&mut self.windows, event.shard, None) {
                    window.committed(event, &mut self.shared);
                }
            }
            Input::Head { shard, head } => {
                if let Some(window) = slot(&mut self.windows, shard, None) {
                    window.head = window.head.max(head);
                }
            }
            Input::Page { shard, lease, events } => {
                self.reading = self.reading.saturating_sub(1);
                if let Some(window) = slot(&mut self.windows, shard, Some(lease)) {
                    match events {
                        Some(events) => window.page(events, &mut self.shared),
                        None => window.page_failed(&self.shared),
                    }
                }
            }
            Input::Finished { spot, outcome } => self.finished(spot, outcome),
            Input::Saved { shard, lease, stored } => {
                if let Some(window) = slot(&mut self.windows, shard, Some(lease)) {
                    window.save.finish(stored, now.ms);
                    if !stored
                        && window.closing.is_some()
                        && let Some(Some(slot)) = self.windows.get_mut(shard.index())
                    {
                        slot.lost = true;
                    }
                }
            }
            Input::Settings { open, renewed, pace } => {
                let due = renewed || (open && !self.open) || self.shared.pace != pace;
                (self.open, self.shared.pace) = (open, pace);
                self.next_sweep = now.ms;
                if renewed {
                    let was = std::mem::replace(&mut self.breaker, Breaker::new());
                    self.waiting.extend(was.down_since().map(|since| {
                        Output::Breaker(Change::Up { down_ms: now.ms.saturating_sub(since) })
                    }));
                }
                if due && self.breaker.is_up() {
                    self.all_due();
                }
                self.stir_all();
            }
            Input::Transmit(transmit) => self.transmit = transmit,
        }
    }

    /// Gives what is to be done now, and when to ask again if nothing happens before.
    pub(super) fn outputs(&mut self, now: Now, out: &mut Vec<Output>) -> Option<u64> {
        self.shared.now = now;
        out.append(&mut self.waiting);
        self.timers();
        let mut wake = self.look_after_windows(out);
        let early = self.dispatch(out);
        if early {
            // A probe needs a row that is to be read first.
            wake = Some(now.ms);
        }
        if self.shared.expired + self.shared.missing > 0 {
            let (expired, missing) = (self.shared.expired, self.shared.missing);
            (self.shared.expired, self.shared.missing) = (0, 0);
            out.push(Output::Discarded { expired, missing });
        }
        [wake, self.next_timer()].into_iter().flatten().min()
    }

    fn finished(&mut self, spot: Spot, outcome: Outcome) {
        self.flying = self.flying.saturating_sub(1);
        let (now, pace) = (self.shared.now.ms, self.shared.pace);
        let window = slot(&mut self.windows, spot.shard, Some(spot.lease));
        let change = if outcome == Outcome::Delivered {
            self.breaker.success(&pace, now)
        } else {
            // Of an event that is forgotten nothing is learnt but success.
            let route = window.as_ref().and_then(|window| window.route(spot.seq));
            route.and_then(|route| self.breaker.failure(route, outcome, &pace, now))
        };
        if let Some(window) = window {
            let random = if outcome == Outcome::Delivered { 0 } else { self.rng.next_u64() };
            window.finish(spot.seq, outcome, &self.breaker, random, &mut self.shared);
        }
        match change {
            Some(Change::Down) => {
                for slot in self.windows.iter_mut().flatten() {
                    slot.window.reset_holds(now);
                }
            }
            Some(Change::Up { .. }) => self.all_due(),
            None => return,
        }
        self.waiting.extend(change.map(Output::Breaker));
    }

    fn all_due(&mut self) {
        self.shared.retries.clear();
        for slot in self.windows.iter_mut().flatten() {
            slot.stirred = true;
            slot.window.all_due(&mut self.shared);
        }
    }

    fn timers(&mut self) {
        while let Some(spot) = self.shared.due_check() {
            if let Some(window) = slot(&mut self.windows, spot.shard, Some(spot.lease)) {
                window.check(spot.seq, &mut self.shared);
            }
        }
        if self.breaker.is_up() {
            while let Some(spot) = self.shared.due_retry() {
                if let Some(window) = slot(&mut self.windows, spot.shard, Some(spot.lease)) {
                    window.retry(spot.seq, false, &mut self.shared);
                }
            }
        }
        if self.shared.now.ms >= self.next_sweep {
            self.next_sweep = self.shared.now.ms.saturating_add(SWEEP_MS);
            for slot in self.windows.iter_mut().flatten() {
                slot.stirred = true;
                slot.window.expire(&mut self.shared);
            }
        }
    }

    /// Fills, saves and lets go; gives the earliest time a window wants to be looked at again.
    fn look_after_windows(&mut self, out: &mut Vec<Output>) -> Option<u64> {
        let now = self.shared.now.ms;
        let mut earliest: Option<u64> = None;
        for place in 0..self.windows.len() {
            let Some(Some(slot)) = self.windows.get_mut(place) else { continue };
            if slot.stirred || slot.wake.is_some_and(|wake| wake <= now) {
                slot.stirred = false;
                if !self.open {
                    slot.window.follow_head(&mut self.shared);
                }
                if let Want::Page(reading) = slot.window.fill(&mut self.shared) {
                    if self.reading < PAGES {
                        self.reading += 1;
                        slot.window.begin_reading(reading);
                        out.push(slot.read_page(reading.after, reading.limit));
                    } else {
                        slot.stirred = true;
                    }
                }
                if slot.is_gone(now) {
                    let shard = slot.window.shard;
                    self.remove(shard, true);
                    continue;
                }
                slot.save(now, out);
                slot.wake = slot.next_look(now);
                self.backlog = self.backlog - slot.backlog + slot.window.backlog();
                self.known = self.known - slot.known + slot.window.unsettled.len();
                slot.backlog = slot.window.backlog();
                slot.known = slot.window.unsettled.len();
            }
            earliest = [earliest, slot.wake].into_iter().flatten().min();
        }
        out.append(&mut self.waiting);
        earliest
    }

    /// Starts POSTs while there are slots. Gives whether a probe waits for its row.
    fn dispatch(&mut self, out: &mut Vec<Output>) -> bool {
        while self.open
            && self.transmit
            && self.breaker.admits(self.flying, &self.shared.pace, self.shared.now.ms)
        {
            let Some(spot) = self.shared.ready.pop_front() else {
                if self.breaker.is_up() || !self.pull_probe() {
                    return false;
                }
                if self.shared.ready.is_empty() {
                    return true;
                }
                continue;
            };
            // Not `slot()`: a start changes nothing that a window is looked after for.
            let place = self.windows.get_mut(spot.shard.index());
            let Some(slot) = place.and_then(Option::as_mut) else { continue };
            if slot.window.lease != spot.lease {
                continue;
            }
            let up = self.breaker.is_up();
            if let Some(started) = slot.window.begin(spot.seq, up, &self.shared) {
                self.flying += 1;
                self.breaker.started();
                let (kind, attempt, body) = (started.kind, started.attempt, started.body);
                out.push(Output::Post(Post { spot, kind, attempt, body }));
            }
        }
        false
    }

    /// Readies the event that would be retried first, so that it probes the endpoint. One after
    /// the other gets its turn: a bad event alone must not keep the endpoint down.
    fn pull_probe(&mut self) -> bool {
        if self.windows.iter().flatten().any(|slot| !slot.window.wanted.is_empty()) {
            return false;
        }
        while let Some(std::cmp::Reverse((_, spot))) = self.shared.retries.pop() {
            if let Some(window) = slot(&mut self.windows, spot.shard, Some(spot.lease))
                && window.closing.is_none()
                && window.retry(spot.seq, true, &mut self.shared)
            {
                return true;
            }
        }
        false
    }

    fn next_timer(&self) -> Option<u64> {
        let now = self.shared.now.ms;
        let first = |heap: &std::collections::BinaryHeap<_>| {
            heap.peek().map(|std::cmp::Reverse((at, _)): &std::cmp::Reverse<(u64, Spot)>| *at)
        };
        let attempt = match self.breaker.next_probe() {
            None => first(&self.shared.retries),
            Some(probe) => Some(probe).filter(|probe| *probe > now && self.known > 0),
        };
        let sweep = Some(self.next_sweep).filter(|_| self.known > 0);
        [first(&self.shared.checks), attempt, sweep].into_iter().flatten().min()
    }

    fn remove(&mut self, shard: ShardId, orderly: bool) {
        let Some(mut slot) = self.windows.get_mut(shard.index()).and_then(Option::take) else {
            return;
        };
        self.backlog -= slot.backlog;
        self.known -= slot.known;
        slot.window.forget(&mut self.shared);
        if slot.window.closing.is_some() {
            self.waiting.push(Output::Released { shard, saved: orderly && !slot.lost });
        }
    }

    fn stir_all(&mut self) {
        for slot in self.windows.iter_mut().flatten() {
            slot.stirred = true;
        }
    }

    /// Unsettled events in each window.
    #[cfg(test)]
    pub(super) fn window_sizes(&self) -> impl Iterator<Item = usize> {
        self.windows.iter().flatten().map(|slot| slot.window.unsettled.len())
    }
}

/// The shard's window, marked as changed; with a lease, only if it is still that attachment.
fn slot(
    windows: &mut [Option<Box<Slot>>],
    shard: ShardId,
    lease: Option<u64>,
) -> Option<&mut Window> {
    let slot = windows.get_mut(shard.index())?.as_mut()?;
    if lease.is_some_and(|lease| lease != slot.window.lease) {
        return None;
    }
    slot.stirred = true;
    Some(&mut slot.window)
}

// === impl Slot ===

impl Slot {
    fn new(window: Window) -> Self {
        Self { window, stirred: true, wake: None, backlog: 0, known: 0, lost: false }
    }

    fn read_page(&self, after: i64, limit: usize) -> Output {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        Output::ReadPage { shard: self.window.shard, lease: self.window.lease, after, limit }
    }

    /// Whether a closing window has nothing left to wait for.
    fn is_gone(&self, now: u64) -> bool {
        let window = &self.window;
        let quiet = window.closing.is_some_and(|until| window.flying == 0 || now >= until);
        quiet && (self.lost || (!window.save.in_flight() && !window.save.is_due_at_end()))
    }

    fn save(&mut self, now: u64, out: &mut Vec<Output>) {
        let window = &mut self.window;
        let quiet = window.closing.is_some_and(|until| window.flying == 0 || now >= until);
        let at_end = quiet && !window.save.in_flight() && window.save.is_due_at_end();
        let due = window.save.due(window.backlog() == 0).is_some_and(|at| at <= now);
        if !due && !at_end {
            return;
        }
        let (read_to, holes) = window.cursor();
        let (shard, lease, epoch) = (window.shard, window.lease, window.epoch);
        let cursor = Saving { read_to, holes, settled_to: window.settled_to() };
        window.save.begin(now);
        out.push(Output::SaveCursor { shard, lease, epoch, cursor });
    }

    fn next_look(&self, now: u64) -> Option<u64> {
        let window = &self.window;
        let read = Some(window.read_at).filter(|at| *at > now);
        let closing = window.closing.filter(|until| *until > now);
        let save = window.save.due(window.backlog() == 0);
        [save, read, closing].into_iter().flatten().min()
    }
}
