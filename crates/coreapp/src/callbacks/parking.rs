//! How events leave a window for `dead_event` and come back: parked after too many refusals, parked
//! untried when one conversation takes more than its share, dead when they are too old.

use std::collections::BTreeMap;

use contract::Route;
use store::rows::{DeadEvent, DeadState, NewEvent};

use super::{
    ENDPOINT,
    entry::{Entry, State},
    feed::EVENT_COST,
    fill::PAGE,
    lot::Parked,
    shared::Shared,
    window::{WINDOW, Window},
};

/// Changes of `dead_event` that wait for the next save of the cursor; at this many nothing more is
/// read. Also what one write has at most.
pub(super) const FILINGS: usize = 256;
/// Events of one conversation that stay in a window while the endpoint has nothing to do because
/// the window is full of few conversations.
pub(super) const SHARE: usize = 8;
/// How long it must have had nothing to do, milliseconds.
pub(super) const IDLE_MS: u64 = 500;

/// A change of a row of `dead_event`.
#[derive(Clone, Debug)]
pub(super) enum Filing {
    Put(DeadEvent),
    Delete,
}

/// Changes by sequence number; they are written together with the cursor that counts on them.
pub(super) type Filings = BTreeMap<i64, Filing>;

impl Window {
    /// Brings parked events back: queued ones whose conversation has room, tried ones that are due.
    pub(super) fn bring_back(&mut self, shared: &mut Shared) {
        // The holes of the cursor may be earlier ones of the same conversations.
        if !self.lot.is_loaded() || self.unloaded > 0 || !shared.open {
            return;
        }
        let room = WINDOW - self.reserved();
        while self.unsettled.len() + SHARE <= room
            && let Some(route) = self.lot.next_hungry()
        {
            let known = self.conversations.get(&route).map_or(0, |known| known.order.len());
            for _ in known..SHARE {
                let Some(row) = self.lot.next_of(route) else { break };
                self.come_back(&row, shared);
            }
        }
        while (shared.up || shared.lonely)
            && self.unsettled.len() < room
            && let Some(row) = self.lot.next_due(shared.now.unix_ms)
        {
            shared.lonely = false;
            self.come_back(&row, shared);
        }
    }

    fn come_back(&mut self, row: &Parked, shared: &mut Shared) {
        let mut entry = Entry::returned(row);
        // Its row may still be on its way.
        let written = self.filings.get(&row.seq).or_else(|| self.saving.get(&row.seq));
        if let Some(Filing::Put(written)) = written {
            let event = &written.event;
            (entry.kind, entry.key, entry.body) = (event.kind, event.key, Some(event.body.clone()));
            entry.trace = event.trace;
            entry.tried = written.tried;
            shared.window_bytes += event.body.len() + EVENT_COST;
        }
        self.unsettled.insert(row.seq, entry);
        self.parked += 1;
        self.enqueue(row.route, row.seq);
        self.advance(row.route, shared);
    }

    /// Whether parked events could come back just now.
    pub(super) fn has_room_for_parked(&self) -> bool {
        self.unloaded == 0 && self.unsettled.len() + self.reserved() < WINDOW
    }

    /// When a parked event is due, milliseconds of the dispatcher's clock.
    pub(super) fn parked_due(&self, shared: &Shared) -> Option<u64> {
        let due_ms = self.lot.due_ms().filter(|_| (shared.up || shared.lonely) && shared.open)?;
        let wait = u64::try_from(due_ms.saturating_sub(shared.now.unix_ms)).unwrap_or(0);
        Some(shared.now.ms.saturating_add(wait))
    }

    /// Which page of the table of parked events is wanted, if any.
    pub(super) fn wants_parked(&mut self) -> Option<i64> {
        let quiet = self.parked == 0 && self.filings.is_empty() && !self.save.in_flight();
        self.lot.wants_page(quiet)
    }

    /// Takes in a page of that table.
    pub(super) fn learn(&mut self, rows: &[DeadEvent]) {
        let parked = rows.iter().map(|row| Parked {
            seq: row.seq,
            route: row.event.route,
            created_ms: row.event.created_ms,
            due_ms: row.due_ms,
            tries: row.tries,
        });
        self.lot.learn(parked, rows.len() < PAGE);
    }

    /// The event is not worth more waiting in the window: it is tried from the table from now on.
    pub(super) fn park(&mut self, seq: i64, wait_ms: u64, shared: &mut Shared) {
        let Some(entry) = self.unsettled.get(&seq) else { return };
        let wait_ms = i64::try_from(wait_ms).unwrap_or(i64::MAX);
        let due_ms = shared.now.unix_ms.saturating_add(wait_ms);
        // Due at the end of its time at the latest, so that it dies then.
        let end_ms = entry.created_ms.saturating_add(shared.pace.max_age_ms).saturating_add(1);
        let due_ms = due_ms.min(end_ms.max(shared.now.unix_ms));
        let (route, created_ms, tries) = (entry.route, entry.created_ms, entry.tries);
        self.file(seq, DeadState::Parked, due_ms);
        self.lot.park(Parked { seq, route, created_ms, due_ms, tries });
        shared.parked += 1;
        self.leave(seq, shared);
    }

    /// The event is given up.
    pub(super) fn die(&mut self, seq: i64, shared: &mut Shared) {
        if self.unsettled.get(&seq).is_some_and(|entry| entry.body.is_none()) {
            // Its row needs the body; it dies once that is read.
            self.want(seq);
            return;
        }
        self.file(seq, DeadState::Dead, shared.now.unix_ms);
        self.lot.forget(seq);
        shared.dead += 1;
        self.leave(seq, shared);
    }

    /// The row that an event of the window gets.
    fn file(&mut self, seq: i64, state: DeadState, due_ms: i64) {
        let Some(entry) = self.unsettled.get(&seq) else { return };
        let Some(body) = entry.body.clone() else { return };
        let event = NewEvent {
            kind: entry.kind,
            route: entry.route,
            key: entry.key,
            held: false,
            created_ms: entry.created_ms,
            body,
            trace: entry.trace,
        };
        let (tries, tried) = (entry.tries, entry.tried);
        let row = DeadEvent { endpoint: ENDPOINT, seq, state, due_ms, tries, tried, event };
        self.filings.insert(seq, Filing::Put(row));
    }

    /// Whether an event that has just been read has to stand behind parked ones.
    pub(super) fn must_queue(&self, route: Route, seq: i64) -> bool {
        self.lot.stands_before(route, seq)
            && self.unsettled.get(&seq).is_some_and(|entry| !entry.parked)
    }

    /// Parks an untried event of the window behind the others of its conversation.
    pub(super) fn queue(&mut self, seq: i64, shared: &mut Shared) {
        let Some(entry) = self.unsettled.get_mut(&seq) else { return };
        // What makes it a queued one; its tries begin anew.
        entry.tries = 0;
        let due_ms = shared.now.unix_ms;
        let (route, created_ms, parked) = (entry.route, entry.created_ms, entry.parked);
        if !parked {
            self.file(seq, DeadState::Parked, due_ms);
        }
        self.lot.queue(Parked { seq, route, created_ms, due_ms, tries: 0 });
        self.leave(seq, shared);
    }

    /// The endpoint has nothing to do although there is more in the log: makes room by parking what
    /// stands behind in conversations that take more than their share.
    pub(super) fn make_room(&mut self, shared: &mut Shared) {
        let full = shared.up && !self.filling && self.head > self.read_to && !shared.is_short();
        self.full_since = full.then(|| self.full_since.unwrap_or(shared.now.ms));
        let long = |since: Option<u64>| since.is_some_and(|ms| shared.now.ms >= ms + IDLE_MS);
        let starved = long(self.full_since) && long(shared.idle_since);
        if !starved || self.filings.len() >= FILINGS {
            return;
        }
        let mut surplus = Vec::new();
        for conversation in self.conversations.values() {
            for &seq in conversation.order.iter().skip(SHARE).rev() {
                let entry = self.unsettled.get(&seq);
                let movable = |entry: &&Entry| {
                    entry.state == State::Behind && entry.tries == 0 && entry.body.is_some()
                };
                if entry.filter(movable).is_none() {
                    break;
                }
                surplus.push(seq);
            }
        }
        for seq in surplus {
            if !self.lot.has_room() {
                break;
            }
            self.queue(seq, shared);
        }
        self.filling = self.unsettled.len() < WINDOW;
    }

    /// A row of the table is gone, by hand: nothing is left to do.
    pub(super) fn lost(&mut self, seq: i64, shared: &mut Shared) {
        shared.missing += 1;
        self.settle(seq, shared);
    }

    /// Takes an event out of the window; the conversation goes on.
    pub(super) fn leave(&mut self, seq: i64, shared: &mut Shared) {
        let Some(entry) = self.unsettled.remove(&seq) else { return };
        self.parked -= usize::from(entry.parked);
        self.save.settled(shared.now.ms);
        self.wanted.remove(&seq);
        self.wanted_parked.remove(&seq);
        if let Some(body) = entry.body {
            shared.window_bytes = shared.window_bytes.saturating_sub(body.len() + EVENT_COST);
        }
        if entry.state == State::Unloaded {
            self.unloaded = self.unloaded.saturating_sub(1);
            return;
        }
        self.leave_conversation(entry.route, seq, shared);
    }

    fn leave_conversation(&mut self, route: Route, seq: i64, shared: &mut Shared) {
        let Some(conversation) = self.conversations.get_mut(&route) else { return };
        conversation.order.retain(|other| *other != seq);
        if conversation.busy == Some(seq) {
            conversation.busy = None;
        }
        let left = conversation.order.len();
        if left == 0 {
            self.conversations.remove(&route);
        } else {
            self.advance(route, shared);
        }
        if left < SHARE / 2 {
            self.lot.has_eaten(route);
        }
    }
}
