//! Events that have their conversation's slot and wait for one of the endpoint's: first come, first
//! served, and within a POST of several, of one kind.

use std::collections::VecDeque;

use super::shared::Spot;

/// Kinds of events there may ever be; others share the last place.
const KINDS: usize = 8;

/// Entries may be stale: who takes one looks whether it still stands.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// By kind, each with its number in the order of all.
    queues: [VecDeque<(u64, Spot)>; KINDS],
    next: u64,
}

// === impl Ready ===

impl Ready {
    pub(super) fn push(&mut self, kind: i16, spot: Spot) {
        self.queues[place(kind)].push_back((self.next, spot));
        self.next += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queues.iter().all(VecDeque::is_empty)
    }

    /// Takes the first of all.
    pub(super) fn pop(&mut self) -> Option<Spot> {
        let fronts = self.queues.iter_mut().filter(|queue| !queue.is_empty());
        let first = fronts.min_by_key(|queue| queue.front().map(|(n, _)| *n))?;
        first.pop_front().map(|(_, spot)| spot)
    }

    /// The first of a kind.
    pub(super) fn front_of(&self, kind: i16) -> Option<Spot> {
        self.queues[place(kind)].front().map(|(_, spot)| *spot)
    }

    /// Takes the first of a kind.
    pub(super) fn pop_of(&mut self, kind: i16) -> Option<Spot> {
        self.queues[place(kind)].pop_front().map(|(_, spot)| spot)
    }
}

fn place(kind: i16) -> usize {
    usize::try_from(kind).map_or(0, |kind| kind.min(KINDS - 1))
}

#[cfg(test)]
mod tests {
    use contract::ShardId;

    use super::*;

    #[test]
    fn the_first_of_all_and_the_first_of_a_kind() {
        let mut ready = Ready::default();
        let spot = |seq| Spot { shard: ShardId::CONTROL, lease: 1, seq };
        for (kind, seq) in [(2, 1), (1, 2), (2, 3), (1, 4), (99, 5), (-1, 6)] {
            ready.push(kind, spot(seq));
        }
        assert_eq!(ready.front_of(1), Some(spot(2)));
        assert_eq!(ready.pop_of(2), Some(spot(1)));
        let rest: Vec<_> = std::iter::from_fn(|| ready.pop()).map(|spot| spot.seq).collect();
        assert_eq!((rest, ready.is_empty()), (vec![2, 3, 4, 5, 6], true));
    }
}
