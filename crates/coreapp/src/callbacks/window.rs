//! One shard as one endpoint sees it: the cursor, the unsettled events that are known, and whose
//! turn it is in each conversation. Opening it and reading ahead is in `fill.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use bytes::Bytes;
use contract::{Route, ShardId, TraceContext};
use store::rows::Event;

use super::{
    breaker::Breaker,
    entry::{Entry, State},
    feed::EVENT_COST,
    fill::Reading,
    holes::{self, Hole, MAX_HOLES},
    lot::{Lot, Parked},
    parking::{Filing, Filings},
    save::Save,
    schedule::Outcome,
    shared::{Shared, Spot},
};

/// Unsettled events known of a shard. Full: nothing more is read until half of it is settled.
pub(super) const WINDOW: usize = MAX_HOLES;
/// Wait for POSTs in flight when a shard is released, milliseconds; then they count as holes and
/// the next owner repeats them.
pub(super) const RELEASE_WAIT_MS: u64 = 2_000;

pub(super) struct Window {
    pub(super) shard: ShardId,
    pub(super) lease: u64,
    pub(super) epoch: i64,
    /// Everything up to here that is not in `unsettled` is settled.
    pub(super) read_to: i64,
    /// Highest number known to be committed.
    pub(super) head: i64,
    pub(super) unsettled: BTreeMap<i64, Entry>,
    pub(super) conversations: HashMap<Route, Conversation>,
    /// Holes of the saved cursor that are not read yet. Nothing later is, before they are.
    pub(super) unloaded: usize,
    /// Events of the window whose row is to be read: from the log, from `dead_event`.
    pub(super) wanted: BTreeSet<i64>,
    pub(super) wanted_parked: BTreeSet<i64>,
    /// Events of the window that have a row in `dead_event`.
    pub(super) parked: usize,
    /// Parked events that are not in the window.
    pub(super) lot: Lot,
    /// Changes of `dead_event` for the next save, and those of the one on its way.
    pub(super) filings: Filings,
    pub(super) saving: Filings,
    /// A run without gaps of events that are still in memory, beyond `read_to`.
    pub(super) ahead: VecDeque<Event>,
    pub(super) reading: Option<Reading>,
    /// No reading before, after one that failed.
    pub(super) read_at: u64,
    pub(super) filling: bool,
    /// Since when it is full although the log goes on.
    pub(super) full_since: Option<u64>,
    pub(super) flying: usize,
    pub(super) save: Save,
    /// Being released; what still flies is waited for until then.
    pub(super) closing: Option<u64>,
}

/// Unsettled events of one conversation.
#[derive(Default)]
pub(super) struct Conversation {
    /// Ascending.
    pub(super) order: VecDeque<i64>,
    /// The one that is ready, flying, or about to be.
    pub(super) busy: Option<i64>,
}

/// What a POST is made of.
pub(super) struct Started {
    pub(super) kind: i16,
    pub(super) attempt: u32,
    pub(super) body: Bytes,
    /// Its span, if it is traced.
    pub(super) trace: Option<TraceContext>,
    /// Others may go with it.
    pub(super) sociable: bool,
}

// === impl Window ===

impl Window {
    pub(super) fn new(
        (shard, lease, epoch): (ShardId, u64, i64),
        read_to: i64,
        holes: &[Hole],
        head: i64,
    ) -> Self {
        let known = holes.iter().map(|hole| (hole.seq, Entry::unloaded(hole.tries)));
        Self {
            shard,
            lease,
            epoch,
            read_to,
            head: head.max(read_to),
            unsettled: known.collect(),
            conversations: HashMap::new(),
            unloaded: holes.len(),
            wanted: holes.iter().map(|hole| hole.seq).collect(),
            wanted_parked: BTreeSet::new(),
            parked: 0,
            lot: Lot::new(),
            filings: Filings::new(),
            saving: Filings::new(),
            ahead: VecDeque::new(),
            reading: None,
            read_at: 0,
            filling: true,
            full_since: None,
            flying: 0,
            save: Save::default(),
            closing: None,
        }
    }

    /// Events of the shard that the endpoint has not settled, known here or not.
    pub(super) fn backlog(&self) -> u64 {
        self.head.abs_diff(self.read_to) + (self.unsettled.len() - self.parked) as u64
    }

    /// When the first unsettled event was made, as far as it is known.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        self.counted().next().map(|(_, entry)| entry.created_ms).filter(|ms| *ms < i64::MAX)
    }

    /// Events that the cursor counts as unsettled.
    fn counted(&self) -> impl Iterator<Item = (i64, &Entry)> {
        let entries = self.unsettled.iter().map(|(&seq, entry)| (seq, entry));
        entries.filter(|(_, entry)| !entry.parked)
    }

    /// Everything up to here is settled.
    pub(super) fn settled_to(&self) -> i64 {
        self.counted().next().map_or(self.read_to, |(seq, _)| seq - 1)
    }

    /// `read_to` and the encoded holes.
    pub(super) fn cursor(&self) -> (i64, Bytes) {
        let holes = self.counted().map(|(seq, entry)| Hole { seq, tries: entry.tries });
        (self.read_to, holes::encode(holes))
    }

    pub(super) fn spot(&self, seq: i64) -> Spot {
        Spot { shard: self.shard, lease: self.lease, seq }
    }

    /// Starts the POST of an event that is still ready.
    pub(super) fn begin(&mut self, seq: i64, up: bool, shared: &Shared) -> Option<Started> {
        let entry = self.unsettled.get_mut(&seq).filter(|entry| entry.state == State::Ready)?;
        if self.closing.is_some() {
            return None;
        }
        let body = entry.body.clone()?;
        entry.state = State::Flying;
        if up {
            entry.hold.begin(shared.now.ms);
        }
        self.flying += 1;
        let (kind, attempt) = (entry.kind, entry.tries.saturating_add(1));
        let trace = entry.trace.map(|trace| trace.event(&body));
        Some(Started { kind, attempt, body, trace, sociable: entry.is_sociable() })
    }

    /// Starts, within the POST that has just begun with `seq`, the events behind it that may go
    /// along: same conversation, same kind, none left out, as far as `takes` has room.
    pub(super) fn begin_behind(
        &mut self,
        seq: i64,
        mut takes: impl FnMut(Spot, &Bytes, Option<TraceContext>) -> bool,
        shared: &Shared,
    ) {
        let Some(first) = self.unsettled.get(&seq) else { return };
        let (route, kind) = (first.route, first.kind);
        let Some(conversation) = self.conversations.get(&route) else { return };
        let place = conversation.order.partition_point(|other| *other <= seq);
        for &next in conversation.order.range(place..) {
            let spot = Spot { shard: self.shard, lease: self.lease, seq: next };
            let Some(entry) = self.unsettled.get_mut(&next) else { return };
            let fits = entry.state == State::Behind && entry.kind == kind && entry.is_sociable();
            let trace = entry.trace;
            if !fits || !entry.body.as_ref().is_some_and(|body| takes(spot, body, trace)) {
                return;
            }
            entry.state = State::Flying;
            entry.hold.begin(shared.now.ms);
            self.flying += 1;
        }
    }

    /// A POST of several came back without success: no try of any of them. Each goes alone now.
    pub(super) fn disband(&mut self, seq: i64, outcome: Outcome, shared: &mut Shared) {
        self.flying = self.flying.saturating_sub(1);
        let spot = self.spot(seq);
        let Some(entry) = self.unsettled.get_mut(&seq) else { return };
        entry.alone = true;
        let route = entry.route;
        let pause = outcome.pause_ms();
        if pause > 0 {
            entry.state = State::Waiting;
            entry.due = shared.now.ms.saturating_add(pause);
            entry.not_before = entry.due;
            shared.retry_at(entry.due, spot);
        } else {
            entry.state = State::Behind;
        }
        self.yield_turn(route, seq);
        self.advance(route, shared);
    }

    /// A POST has come back; the endpoint's state after it is in `breaker`.
    pub(super) fn finish(
        &mut self,
        seq: i64,
        outcome: Outcome,
        breaker: &Breaker,
        random: u64,
        shared: &mut Shared,
    ) {
        self.flying = self.flying.saturating_sub(1);
        if outcome == Outcome::Delivered {
            self.settle(seq, shared);
            return;
        }
        let spot = self.spot(seq);
        let Some(entry) = self.unsettled.get_mut(&seq) else { return };
        entry.failed(outcome, shared.now.unix_ms);
        self.save.counted();
        if shared.is_expired(entry.created_ms) {
            self.die(seq, shared);
            return;
        }
        let now = shared.now.ms;
        if breaker.is_up()
            && let Some(at) = entry.hold.failed(outcome)
        {
            shared.check_at(at, spot);
        }
        let pause = outcome.pause_ms();
        // One that was sent back before is not kept to probe the endpoint with again and again:
        // others, that it would take, may be waiting in the lot.
        let answered = matches!(outcome, Outcome::Refused { .. });
        let parks =
            if entry.returned { breaker.is_up() || answered } else { entry.hold.is_parking() };
        if parks && (breaker.is_up() || entry.returned) {
            self.park(seq, shared.pace.parked_ms(random).max(pause), shared);
            return;
        }
        entry.state = State::Waiting;
        entry.not_before = if pause > 0 { now.saturating_add(pause) } else { 0 };
        entry.due = now.saturating_add(shared.pace.retry_ms(entry.tries, random).max(pause));
        shared.retry_at(entry.due, spot);
        // The row of a parked one may not be written yet.
        if shared.is_short()
            && !entry.parked
            && let Some(body) = entry.body.take()
        {
            shared.window_bytes = shared.window_bytes.saturating_sub(body.len() + EVENT_COST);
        }
        let route = entry.route;
        if let Some(conversation) = self.conversations.get_mut(&route) {
            conversation.busy = None;
        }
        self.advance(route, shared);
    }

    /// Of an event that is still unsettled: its conversation, and whether it was parked for its
    /// refusals.
    pub(super) fn standing(&self, seq: i64) -> Option<(Route, bool)> {
        self.unsettled.get(&seq).map(|entry| (entry.route, entry.returned))
    }

    /// The size of an event that is ready and may share a POST. `None`: it is not ready any more.
    pub(super) fn joins(&self, seq: i64) -> Option<usize> {
        let entry = self.unsettled.get(&seq).filter(|entry| entry.state == State::Ready)?;
        let size = entry.body.as_ref().map(Bytes::len)?;
        Some(if entry.is_sociable() && self.closing.is_none() { size } else { usize::MAX / 2 })
    }

    /// The cursor as it stands is on its way, with what is to be written beside it.
    pub(super) fn begin_save(&mut self, now: u64) -> Filings {
        self.save.begin(now);
        self.saving = std::mem::take(&mut self.filings);
        self.saving.clone()
    }

    /// It is stored, or it is not: then what was beside it goes with the next one.
    pub(super) fn saved(&mut self, stored: bool, now: u64) {
        self.save.finish(stored, now);
        for (seq, filing) in std::mem::take(&mut self.saving) {
            if !stored {
                self.filings.entry(seq).or_insert(filing);
            }
        }
    }

    /// A retry's time has come, or a probe is wanted. Gives whether the event was waiting.
    pub(super) fn retry(&mut self, seq: i64, early: bool, shared: &mut Shared) -> bool {
        let Some(entry) = self.unsettled.get_mut(&seq) else { return false };
        if entry.state != State::Waiting || (entry.due > shared.now.ms && !early) {
            return false;
        }
        entry.state = State::Behind;
        let route = entry.route;
        self.advance(route, shared);
        true
    }

    /// A hold may have run out, or a held event been released.
    pub(super) fn check(&mut self, seq: i64, shared: &mut Shared) {
        let Some(entry) = self.unsettled.get_mut(&seq) else { return };
        match entry.state {
            State::Held => self.want(seq),
            State::Waiting => {
                let route = entry.route;
                self.advance(route, shared);
            }
            _ => {}
        }
    }

    /// The endpoint went down.
    pub(super) fn reset_holds(&mut self, now: u64) {
        for entry in self.unsettled.values_mut() {
            entry.hold.reset(now);
        }
    }

    /// The endpoint is back (the retries were forgotten): everything that waits is due.
    pub(super) fn all_due(&mut self, shared: &mut Shared) {
        let mut routes = Vec::new();
        for (&seq, entry) in &mut self.unsettled {
            if entry.state != State::Waiting {
                continue;
            }
            if entry.not_before > shared.now.ms {
                let spot = Spot { shard: self.shard, lease: self.lease, seq };
                shared.retry_at(entry.due, spot);
            } else {
                entry.state = State::Behind;
                routes.push(entry.route);
            }
        }
        for route in routes {
            self.advance(route, shared);
        }
    }

    /// Settles what is too old and not in flight.
    pub(super) fn expire(&mut self, shared: &mut Shared) {
        let old = self.unsettled.iter().filter(|(_, entry)| {
            !matches!(entry.state, State::Unloaded | State::Flying)
                && shared.is_expired(entry.created_ms)
        });
        for seq in old.map(|(&seq, _)| seq).collect::<Vec<_>>() {
            self.die(seq, shared);
        }
    }

    /// There is no endpoint: everything is settled as it comes.
    pub(super) fn follow_head(&mut self, shared: &mut Shared) {
        if self.backlog() == 0 {
            return;
        }
        self.forget(shared);
        self.read_to = self.head;
        self.save.settled(shared.now.ms);
    }

    /// Drops everything that is in memory. A page that was asked for may still come; it is read
    /// against the cursor as it is then.
    pub(super) fn forget(&mut self, shared: &mut Shared) {
        for (&seq, entry) in &self.unsettled {
            if entry.returned {
                self.lot.take_back(seq);
            } else if entry.parked {
                let (route, created_ms) = (entry.route, entry.created_ms);
                self.lot.queue(Parked { seq, route, created_ms, due_ms: 0, tries: 0 });
            }
            let bytes = entry.body.as_ref().map_or(0, |body| body.len() + EVENT_COST);
            shared.window_bytes = shared.window_bytes.saturating_sub(bytes);
        }
        for event in &self.ahead {
            let bytes = event.event.body.len() + EVENT_COST;
            shared.ahead_bytes = shared.ahead_bytes.saturating_sub(bytes);
        }
        self.unsettled.clear();
        self.conversations.clear();
        self.wanted.clear();
        self.wanted_parked.clear();
        self.parked = 0;
        self.ahead.clear();
        self.unloaded = 0;
    }

    /// Enters an event into its conversation, behind the earlier ones.
    pub(super) fn enqueue(&mut self, route: Route, seq: i64) {
        let order = &mut self.conversations.entry(route).or_default().order;
        let place = order.partition_point(|other| *other < seq);
        order.insert(place, seq);
    }

    /// Whether the event has its conversation's slot.
    pub(super) fn is_turn(&self, route: Route, seq: i64) -> bool {
        self.conversations.get(&route).is_some_and(|conversation| conversation.busy == Some(seq))
    }

    /// Gives the slot back without an attempt.
    pub(super) fn yield_turn(&mut self, route: Route, seq: i64) {
        if let Some(conversation) = self.conversations.get_mut(&route)
            && conversation.busy == Some(seq)
        {
            conversation.busy = None;
        }
    }

    /// Gives the conversation's slot to the first event that may have it: all earlier ones must be
    /// waiting for a retry with their hold spent.
    pub(super) fn advance(&mut self, route: Route, shared: &mut Shared) {
        let Some(conversation) = self.conversations.get_mut(&route) else { return };
        if conversation.busy.is_some() {
            return;
        }
        let mut turn = None;
        for &seq in &conversation.order {
            match self.unsettled.get(&seq) {
                Some(entry) if entry.state == State::Behind => {
                    turn = Some(seq);
                    break;
                }
                Some(entry)
                    if entry.state == State::Waiting && entry.hold.is_spent(shared.now.ms) => {}
                _ => break,
            }
        }
        let Some((seq, entry)) = turn.and_then(|seq| Some((seq, self.unsettled.get_mut(&seq)?)))
        else {
            return;
        };
        conversation.busy = Some(seq);
        if entry.body.is_some() {
            entry.state = State::Ready;
            shared.ready.push(entry.kind, Spot { shard: self.shard, lease: self.lease, seq });
        } else {
            self.want(seq);
        }
    }

    /// The event's row is to be read.
    pub(super) fn want(&mut self, seq: i64) {
        let Some(entry) = self.unsettled.get_mut(&seq) else { return };
        entry.state = State::Reading;
        if entry.parked {
            self.wanted_parked.insert(seq)
        } else {
            self.wanted.insert(seq)
        };
    }

    /// The event needs nothing more from this endpoint.
    pub(super) fn settle(&mut self, seq: i64, shared: &mut Shared) {
        if self.unsettled.get(&seq).is_some_and(|entry| entry.parked) {
            self.filings.insert(seq, Filing::Delete);
            self.lot.forget(seq);
        }
        self.leave(seq, shared);
    }
}
