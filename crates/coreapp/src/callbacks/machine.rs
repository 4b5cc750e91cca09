//! The dispatcher of one endpoint over the shards this process owns, without any I/O: inputs are
//! what happened, outputs what is to be done.
//!
//! Promises (held by `simulation.rs` over many seeds): each event is settled once while nothing
//! crashes; none is skipped; at most one of a conversation is in flight; a window holds at most
//! 256; what was settled and what is sent again after a crash are together everything.

use std::sync::Arc;

use bytes::Bytes;
use contract::{Rng, ShardId, TraceContext};
use store::rows::{DeadEvent, Event};

use super::{
    breaker::{Breaker, Change},
    fill::Want,
    holes::Hole,
    parking::{Filings, IDLE_MS},
    schedule::{Outcome, Pace},
    shared::{Now, Shared, Spot},
    window::{RELEASE_WAIT_MS, Started, Window},
};

/// Pages asked for at the same time, over all shards; further ones wait for an answer.
pub(super) const PAGES: usize = 8;
/// Bodies of a POST of several at most; one that is larger goes alone.
const BATCH_BYTES: usize = 256 << 10;
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
    /// A held event was let go; it need not wait for the next look at it.
    LetGo { shard: ShardId, seq: i64 },
    /// Answer to [`Output::ReadPage`]; `None`: it failed.
    Page { shard: ShardId, lease: u64, events: Option<Vec<Event>> },
    /// Answer to [`Output::ReadParked`]; `None`: it failed.
    Parked { shard: ShardId, lease: u64, rows: Option<Vec<DeadEvent>> },
    /// Answer to [`Output::Post`]: all its events.
    Finished { spot: Spot, more: Vec<Spot>, outcome: Outcome },
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
    /// Read parked events of the shard after `after`, at most `limit`.
    ReadParked {
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
    /// Settled without a 200: parked, dead of age, or their rows are gone.
    GivenUp {
        parked: u64,
        dead: u64,
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
    /// To be written with it or not at all.
    pub(super) filings: Filings,
}

#[derive(Debug)]
pub(super) struct Post {
    pub(super) spot: Spot,
    pub(super) kind: i16,
    /// From 1.
    pub(super) attempt: u32,
    pub(super) body: Bytes,
    /// Further events of that kind, in order within each conversation.
    pub(super) more: Vec<(Spot, Bytes)>,
    /// The spans of those that are traced.
    pub(super) traces: Vec<TraceContext>,
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
    parked: usize,
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
    parked: usize,
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
            parked: 0,
            next_sweep: 0,
            waiting: Vec::new(),
        }
    }

    /// Events of the owned shards that the endpoint has not taken, parked ones that are known
    /// included; as of the last [`Self::outputs`].
    pub(super) fn backlog(&self) -> u64 {
        self.backlog + self.parked as u64
    }

    /// Those of them that are in a window.
    pub(super) fn known(&self) -> usize {
        self.known
    }

    /// Parked events, as far as they are known.
    pub(super) fn parked(&self) -> usize {
        self.parked
    }

    /// When the oldest unsettled event was made, Unix milliseconds.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        self.windows.iter().flatten().filter_map(|slot| slot.window.oldest_ms()).min()
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
            Input::LetGo { shard, seq } => {
                if let Some(window) = slot(&mut self.windows, shard, None) {
                    window.check(seq, &mut self.shared);
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
            Input::Parked { shard, lease, rows } => {
                self.reading = self.reading.saturating_sub(1);
                if let Some(window) = slot(&mut self.windows, shard, Some(lease)) {
                    match rows {
                        Some(rows) => window.parked_page(rows, &mut self.shared),
                        None => window.page_failed(&self.shared),
                    }
                }
            }
            Input::Finished { spot, more, outcome } => self.finished(spot, more, outcome),
            Input::Saved { shard, lease, stored } => {
                if let Some(window) = slot(&mut self.windows, shard, Some(lease)) {
                    window.saved(stored, now.ms);
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
                self.shared.open = open;
                self.next_sweep = now.ms;
                if renewed {
                    let was = std::mem::replace(&mut self.breaker, Breaker::new());
                    self.shared.up = true;
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
        let lonely = !self.breaker.is_up() && self.known == 0 && self.open;
        if lonely {
            self.stir_all();
        }
        self.shared.lonely = lonely;
        let mut wake = self.look_after_windows(out);
        let early = self.dispatch(out);
        self.watch_idleness();
        if early {
            // A probe needs a row that is to be read first.
            wake = Some(now.ms);
        }
        let shared = &mut self.shared;
        let given_up = [&mut shared.parked, &mut shared.dead, &mut shared.missing];
        let [parked, dead, missing] = given_up.map(std::mem::take);
        if parked + dead + missing > 0 {
            out.push(Output::GivenUp { parked, dead, missing });
        }
        [wake, self.next_timer()].into_iter().flatten().min()
    }

    fn finished(&mut self, spot: Spot, more: Vec<Spot>, outcome: Outcome) {
        self.flying = self.flying.saturating_sub(1);
        let (now, pace) = (self.shared.now.ms, self.shared.pace);
        let window = slot(&mut self.windows, spot.shard, Some(spot.lease));
        let relents = outcome == Outcome::Delivered && self.breaker.is_refused();
        let change = if outcome == Outcome::Delivered {
            self.breaker.success(&pace, now)
        } else {
            // Of an event that is forgotten nothing is learnt but success, and of one that was
            // refused often enough to be parked nothing about the endpoint while that is up.
            let known = window.as_ref().and_then(|window| window.standing(spot.seq));
            let refused = matches!(outcome, Outcome::Refused { .. }) && self.breaker.is_up();
            let telling = known.filter(|(_, returned)| !(refused && *returned));
            telling.and_then(|(route, _)| self.breaker.failure(route, outcome, &pace, now))
        };
        self.shared.up = self.breaker.is_up();
        let disbands = outcome != Outcome::Delivered && !more.is_empty();
        // The first of a conversation last: it takes the turn again before those behind it.
        for spot in more.into_iter().rev().chain([spot]) {
            let Some(window) = slot(&mut self.windows, spot.shard, Some(spot.lease)) else {
                continue;
            };
            if disbands {
                window.disband(spot.seq, outcome, &mut self.shared);
            } else {
                let random = if outcome == Outcome::Delivered { 0 } else { self.rng.next_u64() };
                window.finish(spot.seq, outcome, &self.breaker, random, &mut self.shared);
            }
        }
        match change {
            Some(Change::Down) => {
                for slot in self.windows.iter_mut().flatten() {
                    slot.window.reset_holds(now);
                }
            }
            Some(Change::Up { .. }) => self.all_due(),
            None if relents => self.all_due(),
            None => {}
        }
        self.waiting.extend(change.map(Output::Breaker));
    }

    fn all_due(&mut self) {
        self.shared.retries.clear();
        for slot in self.windows.iter_mut().flatten() {
            slot.stirred = true;
            slot.window.lot.all_due();
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
                match slot.window.fill(&mut self.shared) {
                    Want::Nothing => {}
                    Want::Page(_) | Want::Parked(_) if self.reading >= PAGES => {
                        slot.stirred = true;
                    }
                    Want::Page(reading) => {
                        self.reading += 1;
                        slot.window.begin_reading(reading);
                        out.push(slot.read_page(reading.after, reading.limit));
                    }
                    Want::Parked(reading) => {
                        self.reading += 1;
                        slot.window.begin_reading(reading);
                        out.push(slot.read_parked(reading.after, reading.limit));
                    }
                }
                if slot.is_gone(now) {
                    let shard = slot.window.shard;
                    self.remove(shard, true);
                    continue;
                }
                slot.save(now, out);
                slot.wake = slot.next_look(&self.shared);
                self.backlog = self.backlog - slot.backlog + slot.window.backlog();
                self.known = self.known - slot.known + slot.window.unsettled.len();
                let parked = slot.window.parked + slot.window.lot.len_outside();
                self.parked = self.parked - slot.parked + parked;
                slot.parked = parked;
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
            let Some(spot) = self.shared.ready.pop() else {
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
                let Started { kind, attempt, body, trace, sociable } = started;
                let (more, traces) = (Vec::new(), trace.into_iter().collect());
                let mut post = Post { spot, kind, attempt, body, more, traces };
                if self.shared.pace.batch_max > 1 && sociable && up {
                    self.gather(&mut post);
                }
                out.push(Output::Post(post));
            }
        }
        false
    }

    /// Adds to a POST that begins what may go with it: first what stands behind the event in its
    /// conversation, then the next conversations whose turn it is, each with what stands behind.
    fn gather(&mut self, post: &mut Post) {
        let most = self.shared.pace.batch_max - 1;
        let mut bytes = post.body.len();
        let mut next = Some(post.spot);
        while let Some(spot) = next.take() {
            let (more, traces) = (&mut post.more, &mut post.traces);
            let takes = |spot: Spot, body: &Bytes, trace: Option<TraceContext>| {
                let fits = more.len() < most && bytes + body.len() <= BATCH_BYTES;
                if fits {
                    bytes += body.len();
                    more.push((spot, body.clone()));
                    traces.extend(trace.map(|trace| trace.event(body)));
                }
                fits
            };
            let place = self.windows.get_mut(spot.shard.index()).and_then(Option::as_mut);
            if let Some(slot) = place {
                slot.window.begin_behind(spot.seq, takes, &self.shared);
            }
            while next.is_none()
                && post.more.len() < most
                && let Some(spot) = self.shared.ready.front_of(post.kind)
            {
                let place = self.windows.get_mut(spot.shard.index()).and_then(Option::as_mut);
                let window = place.map(|slot| &mut slot.window);
                let window = window.filter(|window| window.lease == spot.lease);
                match window.as_ref().and_then(|window| window.joins(spot.seq)) {
                    // It goes alone, or does not fit: it opens the next POST.
                    Some(size) if bytes + size > BATCH_BYTES => return,
                    Some(size) => {
                        self.shared.ready.pop_of(post.kind);
                        let Some(window) = window else { continue };
                        if let Some(started) = window.begin(spot.seq, true, &self.shared) {
                            bytes += size;
                            post.traces.extend(started.trace);
                            post.more.push((spot, started.body));
                            next = Some(spot);
                        }
                    }
                    None => {
                        // Stale entries have nothing to start.
                        self.shared.ready.pop_of(post.kind);
                    }
                }
            }
        }
    }

    /// Since when the endpoint could take more than there is.
    fn watch_idleness(&mut self) {
        let idle = self.open
            && self.transmit
            && self.breaker.is_up()
            && self.shared.ready.is_empty()
            && self.breaker.admits(self.flying, &self.shared.pace, self.shared.now.ms);
        let now = self.shared.now.ms;
        self.shared.idle_since = idle.then(|| self.shared.idle_since.unwrap_or(now));
    }

    /// Readies the event that would be retried first, so that it probes the endpoint. One after
    /// the other gets its turn: a bad event alone must not keep the endpoint down.
    fn pull_probe(&mut self) -> bool {
        let reads = |window: &Window| !window.wanted.is_empty() || !window.wanted_parked.is_empty();
        if self.windows.iter().flatten().any(|slot| reads(&slot.window)) {
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
        self.parked -= slot.parked;
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
        Self { window, stirred: true, wake: None, backlog: 0, known: 0, parked: 0, lost: false }
    }

    fn read_page(&self, after: i64, limit: usize) -> Output {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        Output::ReadPage { shard: self.window.shard, lease: self.window.lease, after, limit }
    }

    fn read_parked(&self, after: i64, limit: usize) -> Output {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        Output::ReadParked { shard: self.window.shard, lease: self.window.lease, after, limit }
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
        let settled_to = window.settled_to();
        let cursor = Saving { read_to, holes, settled_to, filings: window.begin_save(now) };
        out.push(Output::SaveCursor { shard, lease, epoch, cursor });
    }

    fn next_look(&self, shared: &Shared) -> Option<u64> {
        let (window, now) = (&self.window, shared.now.ms);
        let read = Some(window.read_at).filter(|at| *at > now);
        let closing = window.closing.filter(|until| *until > now);
        let save = window.save.due(window.backlog() == 0);
        let starved = !window.filling && window.head > window.read_to && shared.up;
        let room = starved.then(|| now.saturating_add(IDLE_MS));
        // One whose conversation is in flight is looked at again when that ends.
        let parked = window.parked_due(shared).filter(|_| window.has_room_for_parked());
        let parked = parked.map(|at| at.max(now + 1));
        [save, read, closing, room, parked].into_iter().flatten().min()
    }
}
