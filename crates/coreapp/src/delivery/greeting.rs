//! What the network says to a Hello, judged before anything else of the connection is let through.
//!
//! It says of each shard the highest epoch and the highest number of our event log it has seen.
//! Both were in our rows before they left us: when the rows now hold less, the database is older
//! than what has happened. Nothing may be sealed then with what it holds (`renewal`).
//!
//! No I/O in here.

use std::collections::{BTreeMap, BTreeSet};

use contract::ShardId;
use upstream::Item;

/// An item of the network's stream, as the link brings it.
pub(crate) type Arrival = (ShardId, u64, Item);

/// The greeting of one connection.
#[derive(Default)]
pub(crate) struct Greeting {
    /// Shard and epoch of the Hello.
    claimed: BTreeMap<ShardId, i64>,
    /// Claimed and not spoken of yet.
    open: usize,
    told: BTreeMap<ShardId, Told>,
    /// Judged: their items pass.
    passed: BTreeSet<ShardId>,
    /// Came before the judgement; what is kept comes again after another Hello.
    held: Vec<Arrival>,
}

#[derive(Clone, Copy)]
struct Told {
    epoch_seen: i64,
    acked_our_seq: i64,
}

/// What is to be done with an item.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Nothing yet.
    Wait,
    /// These may go on, in this order.
    Pass(Vec<Arrival>),
    /// Our rows hold less than the network has seen.
    Behind(Behind),
}

/// What the network has seen and our rows do not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Behind {
    /// Numbers of our event log.
    pub seqs: Vec<(ShardId, i64)>,
    pub epochs: Vec<(ShardId, i64)>,
}

impl Greeting {
    /// A Hello was said for these.
    pub(crate) fn of(shards: &[(ShardId, i64)]) -> Self {
        Self { claimed: shards.iter().copied().collect(), open: shards.len(), ..Self::default() }
    }

    /// A Hello was said for one more; what was judged before goes on meanwhile.
    pub(crate) fn add(&mut self, shard: ShardId, epoch: i64) {
        self.passed.remove(&shard);
        let spoken_of = self.told.remove(&shard).is_some();
        let claimed = self.claimed.insert(shard, epoch).is_some();
        self.open += usize::from(!claimed || spoken_of);
        self.held.retain(|(held, ..)| *held != shard);
    }

    /// The shard is not ours any more. What waited for its Welcome may go on.
    pub(crate) fn remove(&mut self, shard: ShardId, committed: impl Fn(ShardId) -> i64) -> Verdict {
        self.passed.remove(&shard);
        self.held.retain(|(held, ..)| *held != shard);
        let spoken_of = self.told.remove(&shard).is_some();
        let claimed = self.claimed.remove(&shard).is_some();
        self.open -= usize::from(claimed && !spoken_of);
        if self.open > 0 || self.held.is_empty() {
            return Verdict::Wait;
        }
        self.judge(committed)
    }

    /// Takes an item; `committed` tells the number of a shard's last event that is durable.
    pub(crate) fn take(&mut self, arrival: Arrival, committed: impl Fn(ShardId) -> i64) -> Verdict {
        let (shard, _, item) = &arrival;
        let Some(&epoch) = self.claimed.get(shard) else { return Verdict::Wait };
        match *item {
            Item::Welcome { epoch_seen, acked_our_seq } => {
                let told = Told { epoch_seen, acked_our_seq };
                let first = self.told.insert(*shard, told).is_none();
                self.open -= usize::from(first);
                self.held.push(arrival);
                if self.open > 0 {
                    return Verdict::Wait;
                }
                self.judge(committed)
            }
            Item::Detached { epoch_seen } if epoch_seen > epoch => {
                let epochs = vec![(*shard, epoch_seen)];
                Verdict::Behind(Behind { epochs, ..Behind::default() })
            }
            // Before its shard's Welcome: of an earlier Hello, and repeated after it.
            _ if !self.told.contains_key(shard) => Verdict::Wait,
            _ if !self.passed.contains(shard) => {
                self.held.push(arrival);
                Verdict::Wait
            }
            _ => Verdict::Pass(vec![arrival]),
        }
    }

    fn judge(&mut self, committed: impl Fn(ShardId) -> i64) -> Verdict {
        let behind = self.behind(committed);
        if behind == Behind::default() {
            self.passed = self.claimed.keys().copied().collect();
            Verdict::Pass(std::mem::take(&mut self.held))
        } else {
            Verdict::Behind(behind)
        }
    }

    fn behind(&self, committed: impl Fn(ShardId) -> i64) -> Behind {
        let mut behind = Behind::default();
        for (shard, told) in self.told.iter().filter(|(shard, _)| !self.passed.contains(shard)) {
            if told.acked_our_seq > committed(*shard) {
                behind.seqs.push((*shard, told.acked_our_seq));
            }
            if self.claimed.get(shard).is_some_and(|epoch| told.epoch_seen > *epoch) {
                behind.epochs.push((*shard, told.epoch_seen));
            }
        }
        behind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: i16) -> ShardId {
        ShardId::new(id).unwrap()
    }

    fn welcome(id: i16, epoch_seen: i64, acked_our_seq: i64) -> Arrival {
        (shard(id), 0, Item::Welcome { epoch_seen, acked_our_seq })
    }

    fn kept(id: i16, seq: u64) -> Arrival {
        (shard(id), seq, Item::KeysLow { left: 3 })
    }

    #[test]
    fn nothing_passes_before_every_shard_is_spoken_of() {
        let mut greeting = Greeting::of(&[(shard(1), 5), (shard(2), 5)]);
        assert_eq!(greeting.take(kept(1, 1), |_| 10), Verdict::Wait, "of an earlier Hello");
        assert_eq!(greeting.take(welcome(1, 5, 10), |_| 10), Verdict::Wait);
        assert_eq!(greeting.take(kept(1, 1), |_| 10), Verdict::Wait);
        let Verdict::Pass(items) = greeting.take(welcome(2, 5, 0), |_| 10) else { panic!() };
        assert_eq!(items, [welcome(1, 5, 10), kept(1, 1), welcome(2, 5, 0)]);
        assert_eq!(greeting.take(kept(2, 1), |_| 10), Verdict::Pass(vec![kept(2, 1)]));
    }

    #[test]
    fn one_shard_that_the_network_has_seen_more_of_holds_all_of_them() {
        let mut greeting = Greeting::of(&[(shard(1), 5), (shard(2), 5)]);
        assert_eq!(greeting.take(welcome(1, 5, 11), |_| 10), Verdict::Wait);
        let Verdict::Behind(behind) = greeting.take(welcome(2, 7, 10), |_| 10) else { panic!() };
        assert_eq!(behind.seqs, [(shard(1), 11)]);
        assert_eq!(behind.epochs, [(shard(2), 7)]);
    }

    #[test]
    fn a_shard_taken_from_us_under_a_higher_epoch_is_looked_into() {
        let mut greeting = Greeting::of(&[(shard(1), 5)]);
        assert!(matches!(greeting.take(welcome(1, 5, 0), |_| 0), Verdict::Pass(_)));
        let detached = |epoch_seen| (shard(1), 0, Item::Detached { epoch_seen });
        assert_eq!(greeting.take(detached(5), |_| 0), Verdict::Pass(vec![detached(5)]));
        let Verdict::Behind(behind) = greeting.take(detached(6), |_| 0) else { panic!() };
        assert_eq!(behind.epochs, [(shard(1), 6)]);
    }

    #[test]
    fn a_shard_that_comes_later_is_judged_alone_and_one_that_goes_holds_nobody_up() {
        let mut greeting = Greeting::of(&[(shard(1), 5)]);
        assert!(matches!(greeting.take(welcome(1, 5, 10), |_| 10), Verdict::Pass(_)));
        greeting.add(shard(2), 7);
        greeting.add(shard(3), 7);
        assert_eq!(greeting.take(kept(1, 1), |_| 10), Verdict::Pass(vec![kept(1, 1)]));
        assert_eq!(greeting.take(welcome(2, 7, 0), |_| 10), Verdict::Wait);
        assert_eq!(greeting.take(kept(2, 1), |_| 10), Verdict::Wait);
        let went = greeting.remove(shard(3), |_| 10);
        assert_eq!(went, Verdict::Pass(vec![welcome(2, 7, 0), kept(2, 1)]));
        assert_eq!(greeting.take(kept(3, 1), |_| 10), Verdict::Wait, "not ours");
        greeting.add(shard(3), 9);
        let Verdict::Behind(behind) = greeting.take(welcome(3, 9, 11), |_| 10) else { panic!() };
        assert_eq!(behind.seqs, [(shard(3), 11)]);
    }

    #[test]
    fn what_is_not_ours_is_left_out() {
        let mut greeting = Greeting::of(&[(shard(1), 5)]);
        assert_eq!(greeting.take(kept(2, 1), |_| 0), Verdict::Wait);
        assert!(
            matches!(greeting.take(welcome(1, 5, 0), |_| 0), Verdict::Pass(items) if items.len() == 1)
        );
    }
}
