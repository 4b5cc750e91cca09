//! Clusters of machines over a database that loses, delays and withholds answers, in virtual time, over
//! many seeds ([`crate::seeds`]).

use std::collections::{BTreeMap, BTreeSet};

use contract::ShardId;
use store::{
    Tick,
    rows::{Node, NodeState, Shard},
};

use super::{
    machine::{Input, Machine, Output, RELEASES_MAX, Reason},
    placement::{Candidate, place},
};
use crate::seeds;

const SEEDS: u64 = 100;
/// Between two looks at the world, milliseconds.
const STEP_MS: u64 = 10;
/// A question without an answer is given up after this long; it may arrive all the same.
const PATIENCE_MS: u64 = 2_000;
/// Within this after the last fault every shard has an owner that works with it.
const BOUND_MS: u64 = 25_000;
/// Nothing may move any more in this time after it.
const CALM_MS: u64 = 30_000;

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What may go wrong, each in a hundred.
#[derive(Clone, Copy, Debug)]
struct Faults {
    /// Questions, or answers, that are lost.
    loss: u64,
    /// Longest way of a question or an answer, milliseconds.
    delay_ms: u64,
    /// In a second: a node stands still, crashes, drains; a node joins; the database goes away.
    pause: u64,
    crash: u64,
    drain: u64,
    join: u64,
    outage: u64,
}

const NONE: Faults =
    Faults { loss: 0, delay_ms: 20, pause: 0, crash: 0, drain: 0, join: 0, outage: 0 };

/// A question to the database.
#[derive(Clone, Debug)]
enum Question {
    Tick,
    Fence { inc: i64, beat: i64 },
    Claim(Vec<Shard>),
    Give { seen: Shard, to: i64 },
    SetDraining,
}

#[derive(Clone, Debug)]
enum Reply {
    Tick(Tick),
    Fenced(bool),
    Claimed(Vec<Shard>),
    Given(bool),
    Done,
}

struct Flight {
    question: Question,
    sent_ms: u64,
    /// When the database takes it up; `None`: never, or it has.
    arrives_ms: Option<u64>,
    answer: Option<(u64, Reply)>,
    /// The way back; `None`: it is lost.
    back_ms: Option<u64>,
    /// Nobody waits for the answer any more.
    given_up: bool,
}

struct Member {
    inc: i64,
    name: String,
    machine: Machine,
    next_tick_ms: u64,
    ticking: bool,
    paused_until_ms: u64,
    /// Crashed or gone: neither acts nor commits.
    ended: bool,
    drained: bool,
    flights: Vec<Flight>,
    /// Shards its lanes let pass.
    working: BTreeMap<ShardId, i64>,
    /// What is under way in the process itself: when it is done.
    loading: BTreeMap<ShardId, (u64, Shard)>,
    closing: BTreeMap<ShardId, u64>,
}

#[derive(Default)]
struct Database {
    nodes: BTreeMap<i64, Node>,
    live: BTreeMap<i64, bool>,
    shards: BTreeMap<ShardId, Shard>,
    fences: usize,
    moves: u64,
}

impl Database {
    fn answer(&mut self, inc: i64, question: &Question) -> Reply {
        match question {
            Question::Tick => {
                if let Some(node) = self.nodes.get_mut(&inc) {
                    node.beat += 1;
                }
                Reply::Tick(Tick {
                    state: self.nodes.get(&inc).map_or(NodeState::Dead, |node| node.state),
                    lanes_live: self.live.get(&inc).copied().unwrap_or(false),
                    nodes: self.nodes.values().cloned().collect(),
                    shards: self.shards.values().copied().collect(),
                    configs: Vec::new(),
                    generation: 0,
                })
            }
            Question::Fence { inc, beat } => {
                let Some(node) = self.nodes.get_mut(inc) else { return Reply::Fenced(true) };
                if node.state != NodeState::Dead && node.beat != *beat {
                    return Reply::Fenced(false);
                }
                self.fences += usize::from(node.state != NodeState::Dead);
                node.state = NodeState::Dead;
                self.live.insert(*inc, false);
                Reply::Fenced(true)
            }
            Question::Claim(seen) => Reply::Claimed(self.hand_over(inc, seen)),
            Question::Give { seen, to } => Reply::Given(!self.hand_over(*to, &[*seen]).is_empty()),
            Question::SetDraining => {
                if let Some(node) = self.nodes.get_mut(&inc)
                    && node.state != NodeState::Dead
                {
                    node.state = NodeState::Draining;
                }
                Reply::Done
            }
        }
    }

    fn hand_over(&mut self, to: i64, seen: &[Shard]) -> Vec<Shard> {
        let alive = self.nodes.get(&to).is_some_and(|node| node.state != NodeState::Dead);
        let mut got = Vec::new();
        for seen in seen.iter().filter(|_| alive) {
            let row = self.shards.get_mut(&seen.id).unwrap();
            if (row.owner_inc, row.epoch) == (seen.owner_inc, seen.epoch) {
                (row.owner_inc, row.epoch) = (to, row.epoch + 1);
                self.moves += 1;
                got.push(*row);
            }
        }
        got
    }
}

struct World {
    now_ms: u64,
    dice: Dice,
    faults: Faults,
    database: Database,
    /// The database answers nothing until then.
    away_until_ms: u64,
    members: Vec<Member>,
    next_inc: i64,
    lost: Vec<Reason>,
    /// Something may have changed since the last check.
    stirred: bool,
}

impl World {
    fn new(seed: u64, faults: Faults, members: u64) -> Self {
        let mut database = Database::default();
        for id in ShardId::all() {
            let row = Shard { id, owner_inc: 0, epoch: 0, event_floor: 0 };
            database.shards.insert(id, row);
        }
        let mut world = Self {
            now_ms: 0,
            dice: Dice(seed),
            faults,
            database,
            away_until_ms: 0,
            members: Vec::new(),
            next_inc: 1,
            lost: Vec::new(),
            stirred: false,
        };
        for n in 0..members {
            world.join(format!("core-{n}"));
        }
        world
    }

    /// Fences whoever has the name, then joins; both while the database answers.
    fn join(&mut self, name: String) {
        if self.now_ms < self.away_until_ms {
            return;
        }
        for (inc, node) in &mut self.database.nodes {
            if node.name == name && node.state != NodeState::Dead {
                node.state = NodeState::Dead;
                self.database.live.insert(*inc, false);
            }
        }
        let inc = self.next_inc;
        self.next_inc += 1;
        let node = Node {
            inc,
            name: name.clone(),
            addr: String::new(),
            state: NodeState::Live,
            version: String::new(),
            beat: 0,
        };
        self.database.nodes.insert(inc, node);
        self.database.live.insert(inc, true);
        let next_tick_ms = self.now_ms + self.dice.below(500);
        self.members.push(Member {
            inc,
            machine: Machine::new(inc, name.clone()),
            name,
            next_tick_ms,
            ticking: false,
            paused_until_ms: 0,
            ended: false,
            drained: false,
            flights: Vec::new(),
            working: BTreeMap::new(),
            loading: BTreeMap::new(),
            closing: BTreeMap::new(),
        });
    }

    fn run(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while self.now_ms < end {
            self.now_ms += STEP_MS;
            if self.now_ms.is_multiple_of(1_000) {
                self.trouble();
            }
            for at in 0..self.members.len() {
                self.serve(at);
            }
            for at in 0..self.members.len() {
                self.act(at);
            }
            if std::mem::take(&mut self.stirred) {
                self.check();
            }
        }
    }

    fn trouble(&mut self) {
        let Faults { pause, crash, drain, join, outage, .. } = self.faults;
        if self.dice.chance(outage) {
            self.away_until_ms = self.now_ms + 500 + self.dice.below(20_000);
        }
        for at in 0..self.members.len() {
            if self.members[at].ended {
                continue;
            }
            if self.dice.chance(pause) {
                self.members[at].paused_until_ms = self.now_ms + self.dice.below(12_000);
            }
            if self.dice.chance(drain) {
                self.tell(at, Input::Drain);
                self.ask(at, Question::SetDraining);
            }
            if self.dice.chance(crash) {
                self.members[at].ended = true;
                if self.dice.chance(70) {
                    let name = self.members[at].name.clone();
                    self.join(name);
                }
            }
        }
        let here = self.members.iter().filter(|member| !member.ended).count();
        if self.dice.chance(join) && here < 6 {
            let name = format!("core-{}", self.dice.below(8));
            if self.members.iter().all(|member| member.ended || member.name != name) {
                self.join(name);
            }
        }
    }

    /// The database's side of what a member has asked; goes on when the member is dead.
    fn serve(&mut self, at: usize) {
        let (now_ms, away) = (self.now_ms, self.now_ms < self.away_until_ms);
        if self.members[at].flights.is_empty() {
            return;
        }
        let member = &mut self.members[at];
        for flight in &mut member.flights {
            if flight.arrives_ms.is_some_and(|due| due <= now_ms) && !away {
                flight.arrives_ms = None;
                let reply = self.database.answer(member.inc, &flight.question);
                self.stirred |= !matches!(flight.question, Question::Tick);
                flight.answer = flight.back_ms.map(|back| (now_ms + back, reply));
            }
        }
    }

    fn act(&mut self, at: usize) {
        let now_ms = self.now_ms;
        let member = &mut self.members[at];
        if member.ended || member.paused_until_ms > now_ms {
            return;
        }
        let mut inputs = Vec::new();
        member.flights.retain_mut(|flight| {
            if !flight.given_up {
                let answer = flight.answer.take_if(|(due, _)| *due <= now_ms);
                let late = now_ms >= flight.sent_ms + PATIENCE_MS;
                if answer.is_some() || late {
                    flight.given_up = true;
                    let reply = answer.map(|(_, reply)| reply);
                    inputs.push((flight.question.clone(), flight.sent_ms, reply));
                }
            }
            // A straggler stays until the database has taken it up.
            !flight.given_up || flight.arrives_ms.is_some()
        });
        for (question, sent_ms, reply) in inputs {
            match (question, reply) {
                (Question::Tick, reply) => {
                    self.members[at].ticking = false;
                    if let Some(Reply::Tick(tick)) = reply {
                        self.tell(at, Input::Tick { sent_ms, got_ms: now_ms, tick });
                    }
                }
                (Question::Fence { inc, .. }, reply) => {
                    let dead = reply.map(|reply| matches!(reply, Reply::Fenced(true)));
                    self.tell(at, Input::Fenced { inc, dead });
                }
                (Question::Claim(asked), reply) => {
                    let got = if let Some(Reply::Claimed(got)) = reply { got } else { Vec::new() };
                    let asked = asked.iter().map(|row| row.id).collect();
                    self.tell(at, Input::Claimed { now_ms, asked, got });
                }
                (Question::Give { seen, .. }, reply) => {
                    let given = matches!(reply, Some(Reply::Given(true)));
                    self.tell(at, Input::Given { now_ms, shard: seen.id, given });
                }
                (Question::SetDraining, _) => {}
            }
        }
        let member = &mut self.members[at];
        let due = |until: &u64| *until <= now_ms;
        let loaded: Vec<ShardId> =
            member.loading.iter().filter(|(_, (until, _))| due(until)).map(|(s, _)| *s).collect();
        for shard in loaded {
            let member = &mut self.members[at];
            let (_, row) = member.loading.remove(&shard).unwrap();
            member.working.insert(shard, row.epoch);
            self.stirred = true;
            self.tell(at, Input::Owned { shard });
        }
        let member = &mut self.members[at];
        let closed: Vec<ShardId> =
            member.closing.iter().filter(|(_, until)| due(until)).map(|(s, _)| *s).collect();
        for shard in closed {
            let member = &mut self.members[at];
            member.closing.remove(&shard);
            member.working.remove(&shard);
            self.tell(at, Input::Closed { shard });
        }
        let member = &mut self.members[at];
        if !member.ticking && member.next_tick_ms <= now_ms && !member.ended {
            member.ticking = true;
            member.next_tick_ms = now_ms + 1_000;
            self.ask(at, Question::Tick);
        }
    }

    fn ask(&mut self, at: usize, question: Question) {
        let Faults { loss, delay_ms, .. } = self.faults;
        let mut way =
            || if self.dice.chance(loss) { None } else { Some(self.dice.below(delay_ms)) };
        let (there, back_ms) = (way(), way());
        let arrives_ms = there.map(|ms| self.now_ms + ms);
        let (sent_ms, answer) = (self.now_ms, None);
        let flight = Flight { question, sent_ms, arrives_ms, answer, back_ms, given_up: false };
        self.members[at].flights.push(flight);
    }

    fn tell(&mut self, at: usize, input: Input) {
        let outputs = self.members[at].machine.step(input);
        for output in outputs {
            let ms = self.now_ms + self.dice.below(300);
            let member = &mut self.members[at];
            match output {
                Output::Fence { inc, beat } => self.ask(at, Question::Fence { inc, beat }),
                Output::Claim(seen) => self.ask(at, Question::Claim(seen)),
                Output::Give { seen, to } => self.ask(at, Question::Give { seen, to }),
                Output::Own(row) => drop(member.loading.insert(row.id, (ms, row))),
                Output::Close(shard) => {
                    member.closing.insert(shard, ms);
                    assert!(member.closing.len() <= RELEASES_MAX, "too many releases at once");
                }
                Output::Lost(reason) => {
                    member.ended = true;
                    self.lost.push(reason);
                    let name = member.name.clone();
                    self.join(name);
                }
                Output::Drained => {
                    // What nobody takes is let go by the stop itself.
                    (member.ended, member.drained) = (true, true);
                    let inc = member.inc;
                    if let Some(node) = self.database.nodes.get_mut(&inc) {
                        node.state = NodeState::Dead;
                        self.database.live.insert(inc, false);
                    }
                }
            }
        }
    }

    /// Never two who can commit, and who can is the owner by the rows.
    fn check(&self) {
        let mut owners: BTreeMap<ShardId, i64> = BTreeMap::new();
        for member in self.members.iter().filter(|m| !m.ended && self.database.live[&m.inc]) {
            for shard in member.working.keys() {
                let owner = self.database.shards[shard].owner_inc;
                assert_eq!(owner, member.inc, "{shard:?} is worked with by who does not own it");
                let other = owners.insert(*shard, member.inc);
                assert_eq!(other, None, "two own {shard:?}");
            }
        }
    }

    fn here(&self) -> BTreeSet<i64> {
        let here = self.members.iter().filter(|member| !member.ended);
        here.map(|member| member.inc).collect()
    }

    /// Faults end; then every shard gets its owner, and nothing moves any more.
    fn come_to_rest(&mut self) {
        self.faults = NONE;
        self.away_until_ms = 0;
        self.members.iter_mut().for_each(|member| member.paused_until_ms = 0);
        if self.members.iter().all(|member| member.ended) {
            self.join("late".to_owned());
        }
        self.run(BOUND_MS);
        let (moves, here) = (self.database.moves, self.here());
        let staying: Vec<&Member> = self.members.iter().filter(|member| !member.ended).collect();
        let candidates =
            || staying.iter().map(|member| Candidate { inc: member.inc, name: &member.name });
        for shard in ShardId::all().filter(|_| !staying.is_empty()) {
            let owner = self.database.shards[&shard].owner_inc;
            assert_eq!(
                Some(owner),
                place(shard, candidates()),
                "{shard:?} is not where it belongs"
            );
            let worked = staying.iter().any(|m| m.inc == owner && m.working.contains_key(&shard));
            assert!(worked, "{shard:?} belongs to {owner}, who does not work with it");
        }
        self.run(CALM_MS);
        assert_eq!((self.database.moves, self.here()), (moves, here), "something still moves");
    }
}

fn over_seeds(test: impl Fn(u64)) {
    seeds::over_seeds(seeds::seeds(SEEDS), test);
}

#[test]
fn through_any_trouble_never_two_own_a_shard_and_afterwards_each_has_its_owner() {
    over_seeds(|seed| {
        let mut dice = Dice(seed ^ 0x5eed);
        let faults = Faults {
            loss: dice.below(12),
            delay_ms: 20 + dice.below(3_000),
            pause: dice.below(6),
            crash: dice.below(4),
            drain: dice.below(3),
            join: dice.below(10),
            outage: dice.below(4),
        };
        let members = 1 + dice.below(4);
        let mut world = World::new(seed, faults, members);
        world.run(40_000);
        world.come_to_rest();
    });
}

#[test]
fn a_database_that_is_away_kills_nobody() {
    over_seeds(|seed| {
        let mut world = World::new(seed, NONE, 2 + seed % 3);
        world.run(10_000);
        world.faults = Faults { outage: 15, loss: 0, delay_ms: 200, ..NONE };
        let moves = world.database.moves;
        world.run(60_000);
        world.come_to_rest();
        assert_eq!(world.database.fences, 0, "somebody was declared dead");
        assert_eq!(world.lost, [], "somebody gave up");
        assert_eq!(world.database.moves, moves, "a shard moved");
    });
}

#[test]
fn a_crashed_owner_is_replaced_within_seven_seconds_and_at_once_under_its_own_name() {
    over_seeds(|seed| {
        let again = seed.is_multiple_of(2);
        let mut world = World::new(seed, NONE, 3);
        world.run(15_000);
        let name = world.members[0].name.clone();
        world.members[0].ended = true;
        if again {
            world.join(name);
        }
        world.run(if again { 2_000 } else { 7_500 });
        for shard in ShardId::all() {
            let mut members = world.members.iter().filter(|member| !member.ended);
            assert!(members.any(|m| m.working.contains_key(&shard)), "nobody has {shard:?}");
        }
        world.come_to_rest();
    });
}

#[test]
fn who_drains_gives_everything_away_before_it_goes() {
    over_seeds(|seed| {
        let mut world = World::new(seed, NONE, 2 + seed % 3);
        world.run(12_000);
        world.tell(0, Input::Drain);
        world.ask(0, Question::SetDraining);
        world.run(10_000);
        assert!(world.members[0].drained && world.members[0].working.is_empty());
        assert_eq!(world.database.fences, 0);
        world.come_to_rest();
    });
}

#[test]
fn who_drains_gives_to_those_at_work_and_to_who_has_only_just_come_when_nobody_else_is_there() {
    over_seeds(|seed| {
        let others = seed % 2;
        let mut world = World::new(seed, NONE, 1 + others);
        world.run(12_000);
        let late = world.next_inc;
        world.join("late".to_owned());
        // It has been seen; its counter was not seen to move twice, nor will it be in the next half second.
        world.run(1_100);
        let moves = world.database.moves;
        world.tell(0, Input::Drain);
        world.ask(0, Question::SetDraining);
        world.run(500);
        assert!(world.database.moves > moves, "nothing is given away");
        let given = world.database.shards.values().any(|row| row.owner_inc == late);
        assert_eq!(given, others == 0, "given to who has only just come");
        world.run(10_000);
        assert!(world.members[0].drained && world.members[0].working.is_empty());
        world.come_to_rest();
    });
}
