//! One shard as one endpoint sees it: the cursor, the unsettled events that are known, and whose
//! turn it is in each conversation. Opening it and reading ahead is in `fill.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use bytes::Bytes;
use contract::{Route, ShardId};
use store::rows::Event;

use super::{
    breaker::Breaker,
    entry::{Entry, State},
    feed::EVENT_COST,
    fill::Reading,
    holes::{self, Hole, MAX_HOLES},
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
    /// Events of the window whose row is to be read.
    pub(super) wanted: BTreeSet<i64>,
    /// A run without gaps of events that are still in memory, beyond `read_to`.
    pub(super) ahead: VecDeque<Event>,
    pub(super) reading: Option<Reading>,
    /// No reading before, after one that failed.
    pub(super) read_at: u64,
    pub(super) filling: bool,
    pub(super) flying: usize,
    pub(super) save: Save,
    /// Being released; what still flies is waited for until then.
    pub(super) closing: Option<u64>,
}

/// Unsettled events of one conversation.
#[derive(Default)]
pub(super) struct Conversation {
    /// Ascending.
    order: VecDeque<i64>,
    /// The one that is ready, flying, or about to be.
    busy: Option<i64>,
}

/// What a POST is made of.
pub(super) struct Started {
    pub(super) kind: i16,
    pub(super) attempt: u32,
    pub(super) body: Bytes,
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
            ahead: VecDeque::new(),
            reading: None,
            read_at: 0,
            filling: true,
            flying: 0,
            save: Save::default(),
            closing: None,
        }
    }

    /// Events of the shard that the endpoint has not settled, known here or not.
    pub(super) fn backlog(&self) -> u64 {
        self.head.abs_diff(self.read_to) + self.unsettled.len() as u64
    }

    /// Everything up to here is settled.
    pub(super) fn settled_to(&self) -> i64 {
        self.unsettled.first_key_value().map_or(self.read_to, |(seq, _)| seq - 1)
    }

    /// `read_to` and the encoded holes.
    pub(super) fn cursor(&self) -> (i64, Bytes) {
        let holes = self.unsettled.iter();
        (self.read_to, holes::encode(holes.map(|(&seq, entry)| Hole { seq, tries: entry.tries })))
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
        Some(Started { kind: entry.kind, attempt: entry.tries.saturating_add(1), body })
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
        entry.tries = entry.tries.saturating_add(1);
        self.save.counted();
        if shared.is_expired(entry.created_ms) {
            shared.expired += 1;
            self.settle(seq, shared);
            return;
        }
        let now = shared.now.ms;
        if breaker.is_up()
            && let Some(at) = entry.hold.failed(outcome)
        {
            shared.check_at(at, spot);
        }
        let pause = outcome.pause_ms();
        entry.state = State::Waiting;
        entry.not_before = if pause > 0 { now.saturating_add(pause) } else { 0 };
        entry.due = now.saturating_add(shared.pace.retry_ms(entry.tries, random).max(pause));
        shared.retry_at(entry.due, spot);
        if shared.is_short()
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

    /// Conversation of an event that is still unsettled.
    pub(super) fn route(&self, seq: i64) -> Option<Route> {
        self.unsettled.get(&seq).map(|entry| entry.route)
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
            State::Held => {
                entry.state = State::Reading;
                self.wanted.insert(seq);
            }
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
            shared.expired += 1;
            self.settle(seq, shared);
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
        for entry in self.unsettled.values() {
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
            shared.ready.push_back(Spot { shard: self.shard, lease: self.lease, seq });
        } else {
            entry.state = State::Reading;
            self.wanted.insert(seq);
        }
    }

    /// The event needs nothing more from this endpoint.
    pub(super) fn settle(&mut self, seq: i64, shared: &mut Shared) {
        let Some(entry) = self.unsettled.remove(&seq) else { return };
        self.save.settled(shared.now.ms);
        self.wanted.remove(&seq);
        if let Some(body) = entry.body {
            shared.window_bytes = shared.window_bytes.saturating_sub(body.len() + EVENT_COST);
        }
        if entry.state == State::Unloaded {
            self.unloaded = self.unloaded.saturating_sub(1);
            return;
        }
        let Some(conversation) = self.conversations.get_mut(&entry.route) else { return };
        conversation.order.retain(|other| *other != seq);
        if conversation.busy == Some(seq) {
            conversation.busy = None;
        }
        if conversation.order.is_empty() {
            self.conversations.remove(&entry.route);
        } else {
            self.advance(entry.route, shared);
        }
    }
}
