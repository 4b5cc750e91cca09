//! `account.generation`: which one is in force, and in which one an event got its number.
//!
//! It grows whenever the database may be older than what the network has seen. Sessions of an
//! earlier one are dead: their message keys may have been used. Messages, events and sealed bytes
//! stay (docs/decisions/008).

use std::sync::{PoisonError, RwLock};

use contract::ShardId;
use store::rows::Generation;

/// Before the first one that was begun.
const FIRST: i64 = 1;
const PLACES: usize = 65;

/// All generations of the account.
pub(crate) struct Generations(RwLock<Known>);

struct Known {
    current: i64,
    /// By shard: first number and generation, ascending.
    starts: [Vec<(i64, i64)>; PLACES],
}

impl Generations {
    pub(crate) fn new(rows: &[Generation]) -> Self {
        Self(RwLock::new(Known::of(rows)))
    }

    /// What the rows say now.
    pub(crate) fn replace(&self, rows: &[Generation]) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Known::of(rows);
    }

    pub(crate) fn current(&self) -> i64 {
        self.with(|known| known.current)
    }

    /// The one in which a shard's event got this number: it stays the same for every POST.
    pub(crate) fn of(&self, shard: ShardId, seq: i64) -> i64 {
        self.with(|known| {
            let starts = known.starts.get(shard.index()).map_or(&[][..], Vec::as_slice);
            let last = starts.iter().rev().find(|(first, _)| *first <= seq);
            last.map_or(FIRST, |(_, generation)| *generation)
        })
    }

    /// First number of the current one in a shard; 0 in the first.
    pub(crate) fn start(&self, shard: ShardId) -> i64 {
        self.with(|known| {
            let last = known.starts.get(shard.index()).and_then(|starts| starts.last());
            last.map_or(0, |(first, _)| *first)
        })
    }

    /// A number for the next one.
    pub(crate) fn next(&self, now_s: i64) -> i64 {
        following(self.current(), now_s)
    }

    fn with<R>(&self, look: impl FnOnce(&Known) -> R) -> R {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Above the last, and, by the second it begins in, another one than after an earlier restore of
/// the same backup: that one's webhook ids are taken.
pub(crate) fn following(current: i64, now_s: i64) -> i64 {
    now_s.max(current.saturating_add(1))
}

impl Known {
    fn of(rows: &[Generation]) -> Self {
        let mut known = Self { current: FIRST, starts: [const { Vec::new() }; PLACES] };
        for row in rows {
            known.current = known.current.max(row.generation);
            if let Some(starts) = known.starts.get_mut(row.shard.index()) {
                starts.push((row.first_seq, row.generation));
            }
        }
        // By generation: one that gave no number to the shard begins where the next one does.
        for starts in &mut known.starts {
            starts.sort_unstable_by_key(|(_, generation)| *generation);
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(generation: i64, first_seq: i64) -> Generation {
        Generation { generation, shard: ShardId::CONTROL, first_seq }
    }

    #[test]
    fn an_event_keeps_the_generation_it_was_numbered_in() {
        let generations = Generations::new(&[]);
        let of = |generations: &Generations, seq| generations.of(ShardId::CONTROL, seq);
        assert_eq!((generations.current(), of(&generations, 7)), (1, 1));
        generations.replace(&[row(100, 11), row(200, 11), row(300, 31)]);
        let ids = [10, 11, 30, 31, 99].map(|seq| of(&generations, seq));
        assert_eq!(ids, [1, 200, 200, 300, 300]);
        assert_eq!((generations.current(), generations.start(ShardId::CONTROL)), (300, 31));
    }

    #[test]
    fn the_same_backup_restored_twice_gets_two_generations() {
        assert_eq!(following(1, 1_700_000_000), 1_700_000_000);
        assert_eq!(following(1, 1_700_000_900), 1_700_000_900);
        assert_eq!(following(1_700_000_000, 5), 1_700_000_001, "a clock that went back");
    }
}
