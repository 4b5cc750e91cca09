//! How events enter a window: from memory while the dispatcher keeps up, from pages of the log
//! when it does not, and from the rows of the cursor's holes after an attachment.

use store::rows::{DeadEvent, Event};

use super::{
    entry::{Entry, Hold, State},
    feed::EVENT_COST,
    parking::{FILINGS, SHARE},
    shared::{AHEAD_BYTES, MIN_WINDOW, Shared},
    window::{WINDOW, Window},
};

/// Rows of a page at most.
pub(super) const PAGE: usize = 128;
/// Wait after a page that could not be read, milliseconds.
pub(super) const READ_RETRY_MS: u64 = 1_000;
/// Longest an event waits for its media, milliseconds of its age; then it goes out as it is.
pub(crate) const HELD_MS: i64 = 30_000;
/// How often a held event is looked at, milliseconds.
pub(super) const HELD_CHECK_MS: u64 = 1_000;

/// A page that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) after: i64,
    pub(super) limit: usize,
    /// What was known to be committed then, and so is seen by the reading.
    head: i64,
    what: What,
}

/// What a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// To move on in the log.
    Onward,
    /// Bodies of known events.
    Known,
    /// To know which events are parked.
    Lot,
    /// Bodies of parked events.
    Parked,
}

/// When a row was as it is given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    AtCommit,
    Now,
}

/// What a window wants.
pub(super) enum Want {
    Nothing,
    /// Of the log.
    Page(Reading),
    /// Of the table of parked events.
    Parked(Reading),
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
        self.make_room(shared);
        self.bring_back(shared);
        if self.unloaded == 0 && self.lot.is_loaded() {
            self.take_ahead(shared);
        }
        if self.reading.is_some() || shared.now.ms < self.read_at {
            return Want::Nothing;
        }
        let head = self.head;
        if let Some(after) = self.wants_parked() {
            return Want::Parked(Reading { after, limit: PAGE, head, what: What::Lot });
        }
        if let Some(&first) = self.wanted.first() {
            return self.known(first).map_or(Want::Nothing, Want::Page);
        }
        if let Some(&first) = self.wanted_parked.first() {
            let limit = self.wanted_parked.len().min(SHARE);
            return Want::Parked(Reading { after: first - 1, limit, head, what: What::Parked });
        }
        self.onward(shared).map_or(Want::Nothing, Want::Page)
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
        if reading.what == What::Onward {
            for event in events {
                if event.seq > self.read_to {
                    self.enter(event, Known::Now, shared);
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
                self.load(event, Known::Now, shared);
            }
        }
        let seen = self.wanted.range(reading.after.saturating_add(1)..=seen_to.max(reading.after));
        for seq in seen.copied().filter(|seq| *seq > reading.after).collect::<Vec<_>>() {
            shared.missing += 1;
            self.settle(seq, shared);
        }
    }

    /// A page of the table of parked events is here.
    pub(super) fn parked_page(&mut self, rows: Vec<DeadEvent>, shared: &mut Shared) {
        let Some(reading) = self.reading.take() else { return };
        if reading.what == What::Lot {
            self.learn(&rows);
            return;
        }
        for DeadEvent { seq, event, tried, .. } in rows {
            if self.wanted_parked.remove(&seq) {
                if let Some(entry) = self.unsettled.get_mut(&seq) {
                    entry.tried = tried;
                }
                self.load(Event { shard: self.shard, seq, event }, Known::Now, shared);
            }
        }
        // The page began with the first that was wanted; others may have been wanted since.
        if self.wanted_parked.contains(&(reading.after + 1)) {
            self.lost(reading.after + 1, shared);
        }
    }

    /// Places of the window that a page on its way will take.
    pub(super) fn reserved(&self) -> usize {
        let onward = self.reading.filter(|reading| reading.what == What::Onward);
        onward.map_or(0, |reading| reading.limit)
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
                self.enter(event, Known::AtCommit, shared);
            }
        }
    }

    fn has_room(&mut self, shared: &Shared) -> bool {
        let known = self.unsettled.len();
        if known >= WINDOW {
            self.filling = false;
        }
        let files = self.filings.len() < FILINGS && self.lot.has_room();
        self.filling && files && (known < MIN_WINDOW || !shared.is_short())
    }

    /// A page of events whose number is known, from `first` on.
    fn known(&self, first: i64) -> Option<Reading> {
        let end = first.saturating_add(PAGE as i64);
        let last = *self.wanted.range(first..end).next_back()?;
        let limit = usize::try_from(last - first + 1).unwrap_or(PAGE);
        Some(Reading { after: first - 1, limit, head: self.head, what: What::Known })
    }

    /// The page after `read_to`, up to what is in memory.
    fn onward(&mut self, shared: &Shared) -> Option<Reading> {
        let end = self.ahead.front().map_or(self.head, |front| front.seq - 1);
        if self.unloaded > 0 || self.read_to >= end || !self.has_room(shared) {
            return None;
        }
        let left = usize::try_from(end - self.read_to).unwrap_or(PAGE);
        let limit = PAGE.min(WINDOW - self.unsettled.len()).min(left);
        Some(Reading { after: self.read_to, limit, head: self.head, what: What::Onward })
    }

    /// The next event of the log. Numbers that were skipped have no row.
    fn enter(&mut self, event: Event, known: Known, shared: &mut Shared) {
        self.read_to = event.seq;
        let seq = event.seq;
        self.unsettled.insert(seq, Entry::unloaded(0));
        self.unloaded += 1;
        self.load(event, known, shared);
    }

    /// The row of an event of the window.
    fn load(&mut self, Event { seq, event, .. }: Event, known: Known, shared: &mut Shared) {
        let spot = self.spot(seq);
        let Some(entry) = self.unsettled.get_mut(&seq) else { return };
        let route = event.route;
        if entry.state == State::Unloaded {
            self.unloaded = self.unloaded.saturating_sub(1);
            entry.state = State::Behind;
            entry.hold = Hold::default();
            (entry.route, entry.created_ms) = (route, event.created_ms);
            self.enqueue(route, seq);
        }
        let has_turn = self.is_turn(route, seq);
        let age = shared.now.unix_ms.saturating_sub(event.created_ms);
        let expired = shared.is_expired(event.created_ms);
        let queues = self.must_queue(route, seq);
        let Some(entry) = self.unsettled.get_mut(&seq) else { return };
        (entry.kind, entry.key, entry.trace) = (event.kind, event.key, event.trace);
        // What is in memory may have been let go since.
        if event.held && (age < HELD_MS || known == Known::AtCommit) {
            entry.state = State::Held;
            let wait_ms = if age < HELD_MS { HELD_CHECK_MS } else { 0 };
            shared.check_at(shared.now.ms.saturating_add(wait_ms), spot);
            self.yield_turn(route, seq);
            return;
        }
        shared.window_bytes += event.body.len() + EVENT_COST;
        entry.body = Some(event.body);
        if expired {
            self.die(seq, shared);
        } else if queues {
            entry.state = State::Behind;
            self.queue(seq, shared);
        } else if has_turn {
            entry.state = State::Ready;
            shared.ready.push(event.kind, spot);
        } else {
            entry.state = State::Behind;
            self.advance(route, shared);
        }
    }
}
