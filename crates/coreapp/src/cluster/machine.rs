//! Membership, decided: who is dead, which shards to take, which to give to whom, and when to go.
//!
//! Sans-I/O. Inputs are what a tick has read, with the times of our monotonic clock, and what came
//! of what was asked for; outputs are what is to be done. Two rules carry the safety:
//! * a shard is worked with only after a row, read or written after all we did to it ourselves, has
//!   named us as its owner, and
//! * a shard that was closed in order to be given away is not worked with again before its epoch has
//!   moved on, as the UPDATE that gives it away may be under way still.
//!
//! Who is fenced cannot commit, and who owns nothing by the rows is given nothing by these rules.

use std::collections::{BTreeMap, BTreeSet};

use contract::ShardId;
use store::{
    Tick,
    rows::{Node, NodeState, Shard},
};

use super::{
    placement::{Candidate, place},
    suspicion::Suspicion,
};

/// Shards that are being given away at the same time; the others wait, and are worked with.
pub(super) const RELEASES_MAX: usize = 8;
/// Good reads after which anybody takes a shard that nobody has taken.
const ANYBODY: u32 = 2;
const PLACES: usize = 65;

/// What happened. Times are milliseconds of our monotonic clock.
#[derive(Debug)]
pub(super) enum Input {
    /// A tick has read this.
    Tick { sent_ms: u64, got_ms: u64, tick: Tick },
    /// Answer to [`Output::Fence`]; `None`: unknown.
    Fenced { inc: i64, dead: Option<bool> },
    /// Answer to [`Output::Claim`]: what is ours now. Of the rest the rows will tell.
    Claimed { now_ms: u64, asked: Vec<ShardId>, got: Vec<Shard> },
    /// Answer to [`Output::Own`]: the shard is worked with.
    Owned { shard: ShardId },
    /// Answer to [`Output::Close`]: nothing of the shard can be written any more.
    Closed { shard: ShardId },
    /// Answer to [`Output::Give`]; false: unknown, or it did not pass.
    Given { now_ms: u64, shard: ShardId, given: bool },
    /// Give everything away, take nothing more.
    Drain,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// Take the node's right to write, if its counter still stands there.
    Fence { inc: i64, beat: i64 },
    /// Become the owner of these, if they are still as seen.
    Claim(Vec<Shard>),
    /// Begin to work with a shard that is ours.
    Own(Shard),
    /// Stop working with a shard.
    Close(ShardId),
    /// Make another node the owner of a closed shard, if it is still as seen.
    Give { seen: Shard, to: i64 },
    /// We are not what we thought: drop everything.
    Lost(Reason),
    /// Draining is done, or there is nobody to give anything to.
    Drained,
}

/// Why everything is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Others have declared us dead.
    Fenced,
    /// A shard of ours has another owner.
    Taken(ShardId),
}

/// How far a shard is with us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    Loading,
    Working,
    Closing,
    /// Nothing is written any more; the rows tell whether it is still ours.
    Closed,
    Giving,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    hold: Hold,
    epoch: i64,
}

/// See the module.
pub(super) struct Machine {
    me: i64,
    name: String,
    draining: bool,
    drained: bool,
    lost: bool,
    held: BTreeMap<ShardId, Held>,
    claiming: BTreeSet<ShardId>,
    fencing: BTreeSet<i64>,
    /// Fenced, and perhaps not shown as such by the last read.
    buried: BTreeSet<i64>,
    suspicion: Suspicion,
    /// Good reads that showed a shard without an owner that lives.
    orphans: BTreeMap<ShardId, u32>,
    /// When something last came of what we did to a shard; reads sent before say nothing.
    changed_ms: [Option<u64>; PLACES],
    nodes: Vec<Node>,
    rows: BTreeMap<ShardId, Shard>,
}

impl Machine {
    /// Of a node that has just joined.
    pub(super) fn new(me: i64, name: String) -> Self {
        Self {
            me,
            name,
            draining: false,
            drained: false,
            lost: false,
            held: BTreeMap::new(),
            claiming: BTreeSet::new(),
            fencing: BTreeSet::new(),
            buried: BTreeSet::new(),
            suspicion: Suspicion::default(),
            orphans: BTreeMap::new(),
            changed_ms: [None; PLACES],
            nodes: Vec::new(),
            rows: BTreeMap::new(),
        }
    }

    /// Takes in what happened; gives what is to be done.
    pub(super) fn step(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        if self.lost {
            return out;
        }
        match input {
            Input::Tick { sent_ms, got_ms, tick } => self.tick(sent_ms, got_ms, tick, &mut out),
            Input::Fenced { inc, dead } => self.fenced(inc, dead, &mut out),
            Input::Claimed { now_ms, asked, got } => self.claimed(now_ms, asked, got, &mut out),
            Input::Owned { shard } => {
                if let Some(held) = self.held.get_mut(&shard)
                    && held.hold == Hold::Loading
                {
                    held.hold = Hold::Working;
                }
            }
            Input::Closed { shard } => {
                if let Some(held) = self.held.get_mut(&shard) {
                    held.hold = Hold::Closed;
                    self.give(shard, &mut out);
                }
            }
            Input::Given { now_ms, shard, given } => {
                self.changed(shard, now_ms);
                if given {
                    self.held.remove(&shard);
                } else if let Some(held) = self.held.get_mut(&shard) {
                    held.hold = Hold::Closed;
                }
            }
            Input::Drain => self.draining = true,
        }
        if !self.lost && !self.nodes.is_empty() {
            self.release(&mut out);
            self.finish(&mut out);
        }
        out
    }

    /// The first look is over, and what was claimed is worked with.
    pub(super) fn settled(&self) -> bool {
        let working = |held: &Held| held.hold != Hold::Loading;
        !self.nodes.is_empty() && self.claiming.is_empty() && self.held.values().all(working)
    }

    /// Nodes and owners as they were last seen.
    pub(super) fn seen(&self) -> (&[Node], impl Iterator<Item = &Shard>) {
        (&self.nodes, self.rows.values())
    }

    fn tick(&mut self, sent_ms: u64, got_ms: u64, tick: Tick, out: &mut Vec<Output>) {
        let Tick { state, lanes_live, nodes, shards, .. } = tick;
        if state == NodeState::Dead || !lanes_live {
            return self.lose(Reason::Fenced, out);
        }
        let me = self.me;
        self.suspicion.read(sent_ms, got_ms, nodes.iter().filter(|node| node.inc != me));
        self.buried.retain(|inc| nodes.iter().any(|n| n.inc == *inc && n.state != NodeState::Dead));
        self.nodes = nodes;
        for row in shards {
            let place = self.changed_ms.get(row.id.index());
            if place.is_some_and(|changed| changed.is_none_or(|changed| sent_ms > changed)) {
                self.rows.insert(row.id, row);
                self.row(row, out);
                if self.lost {
                    return;
                }
            }
        }
        self.suspect(out);
        self.count_orphans();
        self.claim(|_| true, out);
    }

    /// What a row says, read after everything we did.
    fn row(&mut self, row: Shard, out: &mut Vec<Output>) {
        let mine = row.owner_inc == self.me;
        let stays = self.target(row.id).is_none();
        let Some(held) = self.held.get_mut(&row.id) else {
            if mine && !self.claiming.contains(&row.id) {
                self.begin(row, out);
            }
            return;
        };
        match held.hold {
            Hold::Loading | Hold::Working | Hold::Closing if mine && row.epoch >= held.epoch => {
                // Raised by ourselves: nobody else writes our name.
                held.epoch = row.epoch;
            }
            Hold::Loading | Hold::Working | Hold::Closing => {
                self.lose(Reason::Taken(row.id), out);
            }
            Hold::Closed if !mine => {
                self.held.remove(&row.id);
            }
            Hold::Closed if row.epoch > held.epoch && stays => {
                self.begin(row, out);
            }
            Hold::Closed => self.give(row.id, out),
            Hold::Giving => {}
        }
    }

    /// A row names us as the owner of a shard that we do not work with.
    fn begin(&mut self, row: Shard, out: &mut Vec<Output>) {
        let hold = if self.draining { Hold::Closed } else { Hold::Loading };
        self.held.insert(row.id, Held { hold, epoch: row.epoch });
        self.orphans.remove(&row.id);
        if self.draining {
            self.give(row.id, out);
        } else {
            out.push(Output::Own(row));
        }
    }

    /// Gives a closed shard to whom it belongs; back to ourselves under a new epoch, if that is us.
    fn give(&mut self, shard: ShardId, out: &mut Vec<Output>) {
        let to = self.target(shard);
        let (Some(held), Some(row)) = (self.held.get_mut(&shard), self.rows.get(&shard)) else {
            return;
        };
        held.epoch = held.epoch.max(row.epoch);
        let seen = Shard { owner_inc: self.me, epoch: held.epoch, ..*row };
        match to {
            Some(to) => {
                held.hold = Hold::Giving;
                out.push(Output::Give { seen, to });
            }
            None if self.draining => {}
            None => {
                if self.claiming.insert(shard) {
                    held.hold = Hold::Giving;
                    out.push(Output::Claim(vec![seen]));
                }
            }
        }
    }

    /// The other node that a shard of ours belongs to. A node that is not heard of is given nothing, and
    /// one that has only just come only if we leave and nobody else is there.
    fn target(&self, shard: ShardId) -> Option<i64> {
        let proven = |node: &Node| self.suspicion.proven(node.inc);
        let at_work = |node: &Node| proven(node) && self.suspicion.fresh(node.inc);
        let anybody = self.draining && !self.others().any(at_work);
        let others = self.others().filter(|node| anybody || proven(node));
        let me = (!self.draining).then_some(Candidate { inc: self.me, name: &self.name });
        let to = place(shard, others.map(candidate).chain(me)).filter(|to| *to != self.me)?;
        self.suspicion.fresh(to).then_some(to)
    }

    /// Nodes that take shards, without us.
    fn others(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| {
            node.state == NodeState::Live && node.inc != self.me && !self.buried.contains(&node.inc)
        })
    }

    fn alive(&self, inc: i64) -> bool {
        let lives = |node: &Node| node.inc == inc && node.state != NodeState::Dead;
        self.nodes.iter().any(lives) && !self.buried.contains(&inc)
    }

    fn suspect(&mut self, out: &mut Vec<Output>) {
        for node in &self.nodes {
            if self.alive(node.inc)
                && let Some(beat) = self.suspicion.suspect(node.inc)
                && self.fencing.insert(node.inc)
            {
                out.push(Output::Fence { inc: node.inc, beat });
            }
        }
    }

    fn fenced(&mut self, inc: i64, dead: Option<bool>, out: &mut Vec<Output>) {
        self.fencing.remove(&inc);
        if dead == Some(true) {
            self.buried.insert(inc);
            self.claim(|row| row.owner_inc == inc, out);
        }
    }

    fn count_orphans(&mut self) {
        let before = std::mem::take(&mut self.orphans);
        let orphans: Vec<ShardId> =
            self.rows.values().filter(|row| !self.alive(row.owner_inc)).map(|row| row.id).collect();
        for shard in orphans.into_iter().filter(|shard| !self.held.contains_key(shard)) {
            let reads = before.get(&shard).map_or(0, |reads| reads + 1);
            self.orphans.insert(shard, reads);
        }
    }

    /// Claims the shards without a living owner that belong to us, and those that nobody takes.
    fn claim(&mut self, which: impl Fn(&Shard) -> bool, out: &mut Vec<Output>) {
        if self.draining {
            return;
        }
        let mine = |shard: ShardId| {
            let me = Candidate { inc: self.me, name: &self.name };
            place(shard, self.others().map(candidate).chain([me])) == Some(self.me)
        };
        let wanted: Vec<Shard> = self
            .rows
            .values()
            .filter(|row| which(row) && !self.alive(row.owner_inc))
            .filter(|row| !self.held.contains_key(&row.id) && !self.claiming.contains(&row.id))
            .filter(|row| {
                mine(row.id) || self.orphans.get(&row.id).is_some_and(|reads| *reads >= ANYBODY)
            })
            .copied()
            .collect();
        if !wanted.is_empty() {
            self.claiming.extend(wanted.iter().map(|row| row.id));
            out.push(Output::Claim(wanted));
        }
    }

    fn claimed(
        &mut self,
        now_ms: u64,
        asked: Vec<ShardId>,
        got: Vec<Shard>,
        out: &mut Vec<Output>,
    ) {
        for shard in asked {
            self.claiming.remove(&shard);
            self.changed(shard, now_ms);
            if let Some(held) = self.held.get_mut(&shard) {
                held.hold = Hold::Closed;
            }
        }
        for row in got {
            self.rows.insert(row.id, row);
            self.begin(row, out);
        }
    }

    /// Closes what belongs to others, a few at a time.
    fn release(&mut self, out: &mut Vec<Output>) {
        let leaving = |held: &Held| !matches!(held.hold, Hold::Loading | Hold::Working);
        let room = RELEASES_MAX.saturating_sub(self.held.values().filter(|h| leaving(h)).count());
        let working = self.held.iter().filter(|(_, held)| held.hold == Hold::Working);
        let leave: Vec<ShardId> = working
            .map(|(shard, _)| *shard)
            .filter(|shard| self.target(*shard).is_some())
            .take(room)
            .collect();
        for shard in leave {
            if let Some(held) = self.held.get_mut(&shard) {
                held.hold = Hold::Closing;
                out.push(Output::Close(shard));
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<Output>) {
        let nobody = self.others().next().is_none();
        let empty = self.held.is_empty() && self.claiming.is_empty();
        if self.draining && !self.drained && (empty || nobody) {
            self.drained = true;
            out.push(Output::Drained);
        }
    }

    fn changed(&mut self, shard: ShardId, now_ms: u64) {
        if let Some(changed) = self.changed_ms.get_mut(shard.index()) {
            *changed = Some(now_ms);
        }
    }

    fn lose(&mut self, reason: Reason, out: &mut Vec<Output>) {
        self.lost = true;
        out.clear();
        out.push(Output::Lost(reason));
    }
}

fn candidate(node: &Node) -> Candidate<'_> {
    Candidate { inc: node.inc, name: &node.name }
}
