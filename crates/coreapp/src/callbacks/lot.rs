//! Parked events of one shard: settled for the cursor, with a row in `dead_event` each. Known here
//! by number; their bodies are read when it is their turn.
//!
//! Two kinds: *tried* ones were refused until their patience was spent and come again when due;
//! *queued* ones were never tried, having stood behind in a conversation that took more than its
//! share of the window, and go back into it in order.

use std::collections::{BTreeSet, HashMap, VecDeque};

use contract::Route;

/// Tried events that are known; further ones are read again from the table when half are gone.
pub(super) const TRIED_KNOWN: usize = 2_048;
/// Queued events of a shard. At it the window queues no more and, if one conversation fills it,
/// reads no further until some are delivered.
pub(super) const QUEUED_MAX: usize = 8_192;
/// Tried events that are in the window again at the same time.
pub(super) const TRIED_OUT: usize = 16;

/// How a parked event stands in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parked {
    pub(super) seq: i64,
    pub(super) route: Route,
    pub(super) created_ms: i64,
    /// Unix milliseconds.
    pub(super) due_ms: i64,
    pub(super) tries: u32,
}

pub(super) struct Lot {
    /// Where the table is to be read on; `None`: what is wanted of it is known.
    loading: Option<i64>,
    /// The first reading has come to its end; before, nothing of the shard may start.
    loaded: bool,
    /// The table has tried events that are not known.
    overflow: bool,
    tried: HashMap<i64, Parked>,
    /// Those of `tried` that are not in the window, by due time.
    due: BTreeSet<(i64, i64)>,
    /// Queued events that are not in the window, ascending, by conversation; none is empty.
    lines: HashMap<Route, VecDeque<Parked>>,
    queued: usize,
    /// Conversations of `lines` that may have room in the window.
    hungry: BTreeSet<Route>,
}

// === impl Lot ===

impl Lot {
    /// Nothing is known before the table is read.
    pub(super) fn new() -> Self {
        Self {
            loading: Some(0),
            loaded: false,
            overflow: false,
            tried: HashMap::new(),
            due: BTreeSet::new(),
            lines: HashMap::new(),
            queued: 0,
            hungry: BTreeSet::new(),
        }
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// Known parked events that are not in the window.
    pub(super) fn len_outside(&self) -> usize {
        self.due.len() + self.queued
    }

    /// After which number the table is to be read. `quiet`: none of them is in the window and
    /// nothing of the table is being written, so that a page cannot bring back what is settled.
    pub(super) fn wants_page(&mut self, quiet: bool) -> Option<i64> {
        if self.loaded && self.loading.is_none() && self.overflow && quiet {
            let few = self.tried.len() < TRIED_KNOWN / 2;
            self.loading = few.then_some(0);
            self.overflow &= !few;
        }
        self.loading
    }

    /// A page of the table; `last`: there is no further one.
    pub(super) fn learn(&mut self, rows: impl Iterator<Item = Parked>, last: bool) {
        for row in rows {
            self.loading = Some(row.seq);
            if row.tries > 0 {
                self.park(row);
            } else if !self.loaded {
                self.queue(row);
            }
        }
        if last {
            self.loading = None;
            self.loaded = true;
        }
    }

    /// A tried event is on its way into the table.
    pub(super) fn park(&mut self, row: Parked) {
        if self.tried.len() >= TRIED_KNOWN && !self.tried.contains_key(&row.seq) {
            self.overflow = true;
            return;
        }
        if let Some(before) = self.tried.insert(row.seq, row) {
            self.due.remove(&(before.due_ms, before.seq));
        }
        self.due.insert((row.due_ms, row.seq));
    }

    /// An untried event joins its conversation's line, in order.
    pub(super) fn queue(&mut self, row: Parked) {
        let line = self.lines.entry(row.route).or_default();
        let place = line.partition_point(|other| other.seq < row.seq);
        line.insert(place, row);
        self.queued += 1;
        self.hungry.insert(row.route);
    }

    pub(super) fn has_room(&self) -> bool {
        self.queued < QUEUED_MAX
    }

    /// Whether earlier events of the conversation than this one wait outside the window.
    pub(super) fn stands_before(&self, route: Route, seq: i64) -> bool {
        let line = self.lines.get(&route);
        line.and_then(VecDeque::front).is_some_and(|first| first.seq < seq)
    }

    /// The conversation has room in the window.
    pub(super) fn has_eaten(&mut self, route: Route) {
        if self.lines.contains_key(&route) {
            self.hungry.insert(route);
        }
    }

    /// A conversation with a line, to be looked at once.
    pub(super) fn next_hungry(&mut self) -> Option<Route> {
        self.hungry.pop_first()
    }

    /// Takes the first of a line out; it goes into the window.
    pub(super) fn next_of(&mut self, route: Route) -> Option<Parked> {
        let line = self.lines.get_mut(&route)?;
        let first = line.pop_front();
        if line.is_empty() {
            self.lines.remove(&route);
        }
        self.queued -= usize::from(first.is_some());
        first
    }

    /// Takes a tried event that is due; it goes into the window and stays known.
    pub(super) fn next_due(&mut self, unix_ms: i64) -> Option<Parked> {
        let out = self.tried.len() - self.due.len();
        let &(due_ms, seq) = self.due.first()?;
        if due_ms > unix_ms || out >= TRIED_OUT || self.loading.is_some() {
            return None;
        }
        self.due.pop_first();
        self.tried.get(&seq).copied()
    }

    /// When [`Self::next_due`] has something, Unix milliseconds.
    pub(super) fn due_ms(&self) -> Option<i64> {
        let out = self.tried.len() - self.due.len();
        let next = self.due.first().filter(|_| out < TRIED_OUT && self.loading.is_none())?;
        Some(next.0)
    }

    /// An event of the window is settled: it has no row any more, or a dead one.
    pub(super) fn forget(&mut self, seq: i64) {
        if let Some(row) = self.tried.remove(&seq) {
            self.due.remove(&(row.due_ms, seq));
        }
    }

    /// The window has lost a tried event without settling it.
    pub(super) fn take_back(&mut self, seq: i64) {
        if let Some(row) = self.tried.get(&seq) {
            self.due.insert((row.due_ms, seq));
        }
    }

    /// The endpoint is another one, or takes events again: everything may be tried at once.
    pub(super) fn all_due(&mut self) {
        for (_, seq) in std::mem::take(&mut self.due) {
            if let Some(row) = self.tried.get_mut(&seq) {
                row.due_ms = 0;
            }
            self.due.insert((0, seq));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: i64, route: i64, tries: u32) -> Parked {
        let route = Route::from_i64(route);
        Parked { seq, route, created_ms: 0, due_ms: seq * 10, tries }
    }

    fn loaded() -> Lot {
        let mut lot = Lot::new();
        lot.learn(std::iter::empty(), true);
        lot
    }

    #[test]
    fn a_line_comes_back_in_order_whatever_the_order_of_its_coming() {
        let mut lot = loaded();
        for seq in [5, 3, 9, 4] {
            lot.queue(row(seq, 1, 0));
        }
        assert!(lot.stands_before(Route::from_i64(1), 4));
        assert!(!lot.stands_before(Route::from_i64(1), 3) && lot.len_outside() == 4);
        let next = |lot: &mut Lot| lot.next_of(Route::from_i64(1)).map(|row| row.seq);
        assert_eq!([next(&mut lot), next(&mut lot)], [Some(3), Some(4)]);
        assert_eq!([next(&mut lot), next(&mut lot), next(&mut lot)], [Some(5), Some(9), None]);
        assert_eq!((lot.len_outside(), lot.next_hungry()), (0, Some(Route::from_i64(1))));
        assert_eq!(lot.next_hungry(), None);
    }

    #[test]
    fn a_few_tried_events_are_out_at_the_same_time_and_only_when_due() {
        let mut lot = loaded();
        (1..=40).for_each(|seq| lot.park(row(seq, seq, 5)));
        assert_eq!(lot.next_due(5), None);
        let out = std::iter::from_fn(|| lot.next_due(1_000)).count();
        assert_eq!((out, lot.due_ms()), (TRIED_OUT, None));
        lot.forget(1);
        lot.take_back(2);
        assert_eq!(lot.due_ms(), Some(20));
        assert_eq!(lot.next_due(1_000).map(|row| row.seq), Some(2));
    }

    #[test]
    fn what_does_not_fit_is_read_again_when_half_of_it_is_gone_and_nothing_moves() {
        let mut lot = loaded();
        let most = i64::try_from(TRIED_KNOWN).unwrap();
        (1..=most + 3).for_each(|seq| lot.park(row(seq, seq, 5)));
        assert_eq!((lot.len_outside(), lot.wants_page(true)), (TRIED_KNOWN, None));
        (1..=most / 2 + 1).for_each(|seq| lot.forget(seq));
        assert_eq!(lot.wants_page(false), None);
        assert_eq!(lot.wants_page(true), Some(0));
        assert_eq!(lot.due_ms(), None, "nothing is settled while the table is read");
        lot.learn((most / 2 + 2..=most + 1).map(|seq| row(seq, seq, 5)), false);
        assert_eq!(lot.wants_page(true), Some(most + 1));
        lot.learn((most + 2..=most + 3).map(|seq| row(seq, seq, 5)), true);
        assert_eq!((lot.len_outside(), lot.wants_page(true)), (TRIED_KNOWN / 2 + 2, None));
    }

    #[test]
    fn what_is_parked_can_be_made_due_at_once_but_for_what_is_out() {
        let mut lot = loaded();
        (1..=3).for_each(|seq| lot.park(row(seq, seq, 5)));
        assert_eq!(lot.next_due(10).map(|row| row.seq), Some(1));
        lot.all_due();
        assert_eq!(lot.next_due(0).map(|row| row.seq), Some(2));
        assert_eq!(lot.next_due(0).map(|row| row.seq), Some(3));
        assert_eq!(lot.next_due(9_999), None);
    }
}
