//! How events enter a window: from memory while the dispatcher keeps up, from pages of the log
//! when it does not, and from the rows of the cursor's holes after an attachment.

use store::rows::Event;

use super::{
    entry::{Entry, Hold, State},
    feed::EVENT_COST,
    shared::{AHEAD_BYTES, MIN_WINDOW, Shared},
    window::{WINDOW, Window},
};

/// Rows of a page at most.
pub(super) const PAGE: usize = 128;
/// Wait after a page that could not be read, milliseconds.
pub(super) const READ_RETRY_MS: u64 = 1_000;
/// Longest an event waits for its media, milliseconds of its age; then it goes out as it is.
pub(super) const HELD_MS: i64 = 30_000;
/// How often a held event is looked at, milliseconds.
pub(super) const HELD_CHECK_MS: u64 = 1_000;

/// A page that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) after: i64,
    pub(super) limit: usize,
    /// What was known to be committed then, and so is seen by the reading.
    head: i64,
    /// To move on in the log; else to get known events.
    onward: bool,
}

/// What a window wants.
pub(super) enum Want {
    Nothing,
    Page(Reading),
}

impl Window {
    /// An event was committed; it joins the run in memory if it continues it and there is room.
    pub(super) fn committed(&mut self, event: Event, shared: &mut Shared) {
        self.head = self.head.max(event.seq);
        if event.seq <= self.read_to {
            return;
        }
        let bytes = event.event.body.len() + EVENT_COST;
        let continues = self.ahead.back().is_none_or(|last| event.seq == last.seq + 1);
        if continues && shared.ahead_bytes + bytes <= AHEAD_BYTES {
            shared.ahead_bytes += bytes;
            self.ahead.push_back(event);
        }
    }

    /// Takes what is in memory into the window and tells what is to be read.
    pub(super) fn fill(&mut self, shared: &mut Shared) -> Want {
        if self.closing.is_some() {
            return Want::Nothing;
        }
        if self.unsettled.len() <= WINDOW / 2 {
            self.filling = true;
        }
        if self.unloaded == 0 {
            self.take_ahead(shared);
        }
        if self.reading.is_some() || shared.now.ms < self.read_at {
            return Want::Nothing;
        }
        let wanted = match self.wanted.first() {
            Some(&first) => self.known(first),
            None => self.onward(shared),
        };
        wanted.map_or(Want::Nothing, Want::Page)
    }

    /// The page is on its way.
    pub(super) fn begin_reading(&mut self, reading: Reading) {
        self.reading = Some(reading);
    }

    /// The page was not read.
    pub(super) fn page_failed(&mut self, shared: &Shared) {
        self.reading = None;
        self.read_at = shared.now.ms.saturating_add(READ_RETRY_MS);
    }

    /// The page is here. A row that ought to be in it and is not does not exist any more.
    pub(super) fn page(&mut self, events: Vec<Event>, shared: &mut Shared) {
        let Some(reading) = self.reading.take() else { return };
        let last = events.last().map_or(reading.after, |event| event.seq);
        let seen_to = if events.len() >= reading.limit { last } else { reading.head.max(last) };
        if reading.onward {
            for event in events {
                if event.seq > self.read_to {
                    self.enter(event, shared);
                }
            }
            if self.read_to < seen_to {
                self.read_to = seen_to;
                self.save.settled(shared.now.ms);
            }
            self.head = self.head.max(self.read_to);
            return;
        }
        for event in events {
            if self.wanted.remove(&event.seq) {
                self.load(event, shared);
            }
        }
        let seen = self.wanted.range(reading.after.saturating_add(1)..=seen_to.max(reading.after));
        for seq in seen.copied().filter(|seq| *seq > reading.after).collect::<Vec<_>>() {
            shared.missing += 1;
            self.settle(seq, shared);
        }
    }

    fn take_ahead(&mut self, shared: &mut Shared) {
        while let Some(front) = self.ahead.front() {
            let stale = front.seq <= self.read_to;
            if !stale && (front.seq != self.read_to + 1 || !self.has_room(shared)) {
                break;
            }
            let Some(event) = self.ahead.pop_front() else { break };
            let bytes = event.event.body.len() + EVENT_COST;
            shared.ahead_bytes = shared.ahead_bytes.saturating_sub(bytes);
            if !stale {
                self.enter(event, shared);
            }
        }
    }

    fn has_room(&mut self, shared: &Shared) -> bool {
        let known = self.unsettled.len();
        if known >= WINDOW {
            self.filling = false;
        }
        self.filling && (known < MIN_WINDOW || !shared.is_short())
    }

    /// A page of events whose number is known, from `first` on.
    fn known(&self, first: i64) -> Option<Reading> {
        let end = first.saturating_add(PAGE as i64);
        let last = *self.wanted.range(first..end).next_back()?;
        let limit = usize::try_from(last - first + 1).unwrap_or(PAGE);
        Some(Reading { after: first - 1, limit, head: self.head, onward: false })
    }

    /// The page after `read_to`, up to what is in memory.
    fn onward(&mut self, shared: &Shared) -> Option<Reading> {
        let end = self.ahead.front().map_or(self.head, |front| front.seq - 1);
        if self.unloaded > 0 || self.read_to >= end || !self.has_room(shared) {
            return None;
        }
        let left = usize::try_from(end - self.read_to).unwrap_or(PAGE);
        let limit = PAGE.min(WINDOW - self.unsettled.len()).min(left);
        Some(Reading { after: self.read_to, limit, head: self.head, onward: true })
    }

    /// The next event of the log. Numbers that were skipped have no row.
    fn enter(&mut self, event: Event, shared: &mut Shared) {
        self.read_to = event.seq;
        let seq = event.seq;
        self.unsettled.insert(seq, Entry::unloaded(0));
        self.unloaded += 1;
        self.load(event, shared);
    }

    /// The row of an event of the window.
    fn load(&mut self, Event { seq, event, .. }: Event, shared: &mut Shared) {
        let spot = self.spot(seq);
        let Some(entry) = self.unsettled.get_mut(&seq) else { return };
        let route = event.route;
        if entry.state == State::Unloaded {
            self.unloaded = self.unloaded.saturating_sub(1);
            entry.state = State::Behind;
            entry.hold = Hold::default();
            (entry.route, entry.kind, entry.created_ms) = (route, event.kind, event.created_ms);
            self.enqueue(route, seq);
        }
        if shared.is_expired(event.created_ms) {
            shared.expired += 1;
            self.settle(seq, shared);
            return;
        }
        let has_turn = self.is_turn(route, seq);
        let age = shared.now.unix_ms.saturating_sub(event.created_ms);
        let Some(entry) = self.unsettled.get_mut(&seq) else { return };
        if event.held && age < HELD_MS {
            entry.state = State::Held;
            shared.check_at(shared.now.ms.saturating_add(HELD_CHECK_MS), spot);
            self.yield_turn(route, seq);
            return;
        }
        shared.window_bytes += event.body.len() + EVENT_COST;
        entry.body = Some(event.body);
        if has_turn {
            entry.state = State::Ready;
            shared.ready.push_back(spot);
        } else {
            entry.state = State::Behind;
            self.advance(route, shared);
        }
    }
}
