//! Who is dead: a node whose counter stood still while we could see it.
//!
//! Only our own reads and our own monotonic clock count. A time in which we could not read proves
//! nothing about others, so a database that is away kills nobody.

use std::collections::BTreeMap;

use store::rows::{Node, NodeState};

/// A counter that stands still for so long, milliseconds, …
pub(super) const STILL_MS: u64 = 5_000;
/// … over so many further reads, …
const READS: u32 = 4;
/// … none of which came later than this after the one before it, milliseconds.
const GAP_MS: u64 = 2_000;
/// A counter seen to move so often is one that a node stands behind.
const PROVEN: u32 = 2;
/// Whoever is to be given something must have moved within this, milliseconds.
const FRESH_MS: u64 = 3_000;

/// What was seen of the others.
#[derive(Debug, Default)]
pub(super) struct Suspicion {
    seen: BTreeMap<i64, Seen>,
    /// When the last good read was sent.
    last_ms: Option<u64>,
}

#[derive(Debug)]
struct Seen {
    beat: i64,
    /// The counter has stood there since then, or longer.
    since_ms: u64,
    /// Reads that found it there again.
    reads: u32,
    /// Times it was seen to move.
    moves: u32,
}

impl Suspicion {
    /// Takes a read in. What it shows was true at some time between `sent_ms` and `got_ms`.
    pub(super) fn read<'a>(
        &mut self,
        sent_ms: u64,
        got_ms: u64,
        nodes: impl Iterator<Item = &'a Node>,
    ) {
        let gap = self.last_ms.is_none_or(|last| got_ms.saturating_sub(last) > GAP_MS);
        self.last_ms = Some(sent_ms);
        let mut before = std::mem::take(&mut self.seen);
        for node in nodes.filter(|node| node.state != NodeState::Dead) {
            let fresh = Seen { beat: node.beat, since_ms: got_ms, reads: 0, moves: 0 };
            let seen = match before.remove(&node.inc) {
                Some(seen) if seen.beat != node.beat => Seen { moves: seen.moves + 1, ..fresh },
                Some(seen) if gap => Seen { moves: seen.moves, ..fresh },
                Some(seen) => Seen { reads: seen.reads + 1, ..seen },
                None => fresh,
            };
            self.seen.insert(node.inc, seen);
        }
    }

    /// The counter of a node that is dead by all that was seen.
    pub(super) fn suspect(&self, inc: i64) -> Option<i64> {
        let (seen, now_ms) = (self.seen.get(&inc)?, self.last_ms?);
        let still = now_ms.saturating_sub(seen.since_ms) >= STILL_MS && seen.reads >= READS;
        still.then_some(seen.beat)
    }

    /// The node has been at work for a while: worth moving shards for.
    pub(super) fn proven(&self, inc: i64) -> bool {
        self.seen.get(&inc).is_some_and(|seen| seen.moves >= PROVEN)
    }

    /// It has moved lately.
    pub(super) fn fresh(&self, inc: i64) -> bool {
        let (Some(seen), Some(now_ms)) = (self.seen.get(&inc), self.last_ms) else { return false };
        now_ms.saturating_sub(seen.since_ms) < FRESH_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(beat: i64) -> Node {
        Node {
            inc: 7,
            name: "other".to_owned(),
            addr: String::new(),
            state: NodeState::Live,
            version: String::new(),
            beat,
        }
    }

    #[test]
    fn five_still_seconds_without_a_gap_are_death_and_a_gap_starts_anew() {
        let mut suspicion = Suspicion::default();
        let mut read = |s: u64, beat| {
            suspicion.read(s * 1_000, s * 1_000 + 10, [node(beat)].iter());
            suspicion.suspect(7)
        };
        for s in 0..=5 {
            assert_eq!(read(s, 3), None, "second {s}: 10 ms are missing");
        }
        assert_eq!(read(6, 3), Some(3));
        assert_eq!(read(7, 4), None, "it moved");
        for s in 8..=11 {
            assert_eq!(read(s, 4), None);
        }
        for s in 14..=19 {
            assert_eq!(read(s, 4), None, "second {s}: nothing was seen for three seconds");
        }
        assert_eq!(read(20, 4), Some(4));
    }

    #[test]
    fn many_reads_do_not_make_time_pass() {
        let mut suspicion = Suspicion::default();
        for ms in (0..4_900).step_by(100) {
            suspicion.read(ms, ms, [node(1)].iter());
            assert_eq!(suspicion.suspect(7), None);
        }
    }
}
