//! Which events come next: a merge of the shards' logs by time, each shard's in its own order, from
//! marks alone, so that bodies are read of nothing but what is chosen.
//!
//! A shard whose marks have run out although its log goes on stops the merge until more of them are
//! there: what it has next may be the earliest of all.

use std::collections::VecDeque;

use contract::{ShardId, events::Position};
use store::{Mark, Stretch};

use crate::callbacks::HELD_MS;

/// Marks of a shard that are read at least: fewer would cost round trips.
const LEAST: usize = 8;
/// Payloads of a page at most, bytes; the first may be larger. A gRPC message takes twice as much.
pub(super) const PAGE_BYTES: i64 = 1 << 20;
/// What an event costs beside its payload, bytes: its cursor and its id.
const EVENT_COST: i64 = 500;

pub(super) struct Merge<'a> {
    lines: Vec<Line>,
    limit: usize,
    bytes: i64,
    wanted: &'a (dyn Fn(&Mark) -> bool + Sync),
    now_ms: i64,
    position: Position,
    picks: Vec<Mark>,
    full: bool,
}

/// One shard's log from the position to its end.
struct Line {
    shard: ShardId,
    /// Marked up to here.
    read: i64,
    to: i64,
    marks: VecDeque<Mark>,
    held: bool,
}

/// What the merge came to.
pub(super) struct Merged {
    /// In the order in which they are given out.
    pub(super) picks: Vec<Mark>,
    /// Behind them and behind what was not wanted.
    pub(super) position: Position,
    /// There is, or may be, more to read at once.
    pub(super) more: bool,
    /// An event waits for its media.
    pub(super) held: bool,
}

// === impl Merge ===

impl<'a> Merge<'a> {
    /// Of everything behind `position` up to the `ends`.
    pub(super) fn new(
        position: Position,
        ends: impl Iterator<Item = (ShardId, i64)>,
        limit: usize,
        now_ms: i64,
        wanted: &'a (dyn Fn(&Mark) -> bool + Sync),
    ) -> Self {
        let lines = ends.map(|(shard, to)| Line {
            shard,
            read: position.of(shard),
            to,
            marks: VecDeque::new(),
            held: false,
        });
        let lines = lines.filter(|line| line.read < line.to).collect();
        let (bytes, picks) = (PAGE_BYTES, Vec::new());
        Self { lines, limit, bytes, wanted, now_ms, position, picks, full: false }
    }

    /// What is to be marked before it goes on, and how many of each; `None`: it has ended.
    pub(super) fn wants(&self) -> Option<(Vec<Stretch>, u32)> {
        if self.full || self.picks.len() >= self.limit {
            return None;
        }
        let dry = self.lines.iter().filter(|line| line.is_dry());
        let stretches: Vec<_> =
            dry.map(|line| Stretch { shard: line.shard, after: line.read, to: line.to }).collect();
        let left = self.limit - self.picks.len();
        // Twice the fair share, so that a shard with more than it seldom costs another round trip.
        let each = (2 * left).checked_div(stretches.len())?.clamp(LEAST, self.limit.max(LEAST));
        Some((stretches, u32::try_from(each).unwrap_or(u32::MAX)))
    }

    /// Takes in what was marked, by shard and number, and goes on.
    pub(super) fn marked(&mut self, asked: &[Stretch], marks: &[Mark]) {
        for line in &mut self.lines {
            if !asked.iter().any(|stretch| stretch.shard == line.shard) {
                continue;
            }
            line.marks.extend(marks.iter().filter(|mark| mark.shard == line.shard));
            line.read = line.marks.back().map_or(line.to, |mark| mark.seq);
        }
        self.run();
    }

    fn run(&mut self) {
        while !self.full && !self.lines.iter().any(Line::is_dry) {
            if self.picks.len() >= self.limit {
                self.full = self.lines.iter().any(|line| !line.marks.is_empty() && !line.held);
                return;
            }
            let fronts = self.lines.iter_mut().filter(|line| !line.held);
            let first = fronts
                .filter_map(|line| Some((line.marks.front()?.created_ms, line)))
                .min_by_key(|(created_ms, line)| (*created_ms, line.shard));
            let Some((_, line)) = first else { return };
            let Some(mark) = line.marks.front().copied() else { return };
            if mark.held && self.now_ms.saturating_sub(mark.created_ms) < HELD_MS {
                line.held = true;
                continue;
            }
            if (self.wanted)(&mark) {
                let cost = mark.bytes.saturating_add(EVENT_COST);
                let fits = self.picks.is_empty() || cost <= self.bytes;
                if !fits {
                    self.full = true;
                    return;
                }
                self.bytes = self.bytes.saturating_sub(cost);
                self.picks.push(mark);
            }
            line.marks.pop_front();
            self.position.set(mark.shard, mark.seq);
        }
    }

    pub(super) fn end(self) -> Merged {
        let more = self.full || self.lines.iter().any(Line::is_dry);
        let held = self.lines.iter().any(|line| line.held);
        Merged { picks: self.picks, position: self.position, more, held }
    }
}

impl Line {
    fn is_dry(&self) -> bool {
        self.marks.is_empty() && self.read < self.to && !self.held
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use contract::Route;
    use proptest::prelude::*;

    use super::*;

    type Logs = BTreeMap<i16, Vec<Mark>>;

    fn mark(shard: i16, seq: i64, created_ms: i64, bytes: i64) -> Mark {
        let (shard, route) = (ShardId::new(shard).unwrap(), Route::from_i64(0));
        Mark { shard, seq, kind: 1, route, held: false, created_ms, bytes }
    }

    /// One page as the reader makes it, with as many rounds as it takes.
    fn page(logs: &Logs, from: Position, limit: usize, kinds: bool) -> Merged {
        let ends: Vec<_> = logs
            .iter()
            .map(|(shard, log)| {
                (ShardId::new(*shard).unwrap(), log.last().map_or(0, |mark| mark.seq))
            })
            .collect();
        let wanted = |mark: &Mark| !kinds || mark.seq % 3 == 0;
        let mut merge = Merge::new(from, ends.into_iter(), limit, 1_000_000, &wanted);
        while let Some((asked, each)) = merge.wants() {
            let mut marks = Vec::new();
            for Stretch { shard, after, to } in &asked {
                let log = logs[&shard.get()].iter();
                let inside = log.filter(|mark| mark.seq > *after && mark.seq <= *to).copied();
                marks.extend(inside.take(usize::try_from(each).unwrap()));
            }
            merge.marked(&asked, &marks);
        }
        merge.end()
    }

    fn logs() -> impl Strategy<Value = Logs> {
        let step = (1..4i64, 0..50i64, 0..200_000i64);
        let log = prop::collection::vec(step, 0..60);
        prop::collection::btree_map(-1..64i16, log, 0..8).prop_map(|logs| {
            logs.into_iter()
                .map(|(shard, steps)| {
                    let (mut seq, mut time) = (0, 0);
                    let next = |(gap, later, bytes)| {
                        (seq, time) = (seq + gap, time + later);
                        mark(shard, seq, time, bytes)
                    };
                    (shard, steps.into_iter().map(next).collect())
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn page_by_page_everything_comes_once_and_in_the_order_of_time(
            logs in logs(), limit in 1..40usize, some in any::<bool>(),
        ) {
            let (mut at, mut got) = (Position::start(1), Vec::new());
            loop {
                let merged = page(&logs, at, limit, some);
                prop_assert!(merged.picks.len() <= limit);
                let bytes: i64 = merged.picks.iter().skip(1).map(|mark| mark.bytes).sum();
                prop_assert!(bytes <= PAGE_BYTES);
                at = merged.position;
                got.extend(merged.picks);
                if !merged.more {
                    break;
                }
            }
            let mut all: Vec<_> = logs.into_values().flatten().collect();
            all.retain(|mark| !some || mark.seq % 3 == 0);
            // Within a shard time only grows here, so the whole is sorted by it.
            all.sort_by_key(|mark| (mark.created_ms, mark.shard, mark.seq));
            prop_assert_eq!(got, all);
        }
    }

    #[test]
    fn a_shard_whose_clock_went_back_keeps_its_own_order() {
        let logs = Logs::from([
            (1, vec![mark(1, 1, 50, 0), mark(1, 2, 10, 0)]),
            (2, vec![mark(2, 1, 20, 0), mark(2, 2, 60, 0)]),
        ]);
        let merged = page(&logs, Position::start(1), 10, false);
        let order: Vec<_> = merged.picks.iter().map(|it| (it.shard.get(), it.seq)).collect();
        assert_eq!(order, [(2, 1), (1, 1), (1, 2), (2, 2)]);
        assert!(!merged.more);
    }

    #[test]
    fn an_event_that_waits_for_its_media_holds_only_its_own_shard_up() {
        let young = Mark { held: true, created_ms: 999_000, ..mark(1, 1, 0, 0) };
        let old = Mark { held: true, created_ms: 1, ..mark(2, 1, 0, 0) };
        let logs = Logs::from([
            (1, vec![young, mark(1, 2, 999_001, 0)]),
            (2, vec![old, mark(2, 2, 999_999, 0)]),
        ]);
        let merged = page(&logs, Position::start(1), 10, false);
        let order: Vec<_> = merged.picks.iter().map(|it| (it.shard.get(), it.seq)).collect();
        assert_eq!(order, [(2, 1), (2, 2)]);
        assert!(merged.held && !merged.more);
        assert_eq!(merged.position.of(ShardId::new(1).unwrap()), 0);
    }
}
