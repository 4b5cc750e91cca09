//! The machine's promises, held over many seeds: a log that grows, an endpoint with moods, a
//! database that is late or fails, shards that come and go, and crashes, all in virtual time.
//!
//! `SEEDS=10000 cargo test -p coreapp simulation` looks further; a failure names its seed, and
//! `SEED=n` runs that one alone.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use contract::{Rng, Route, ShardId};
use store::rows::{Event, NewEvent};

use super::{
    breaker::Change,
    holes,
    machine::{Input, Machine, Output, Saving},
    schedule::{Outcome, Pace},
    shared::{Now, Spot},
    window::WINDOW,
};

const EPOCH_MS: i64 = 1_700_000_000_000;
const HELD: u64 = 5_000;
/// Marks an event whose row does not exist any more.
const GONE: u64 = u64::MAX;

/// splitmix64.
struct Dice(AtomicU64);

impl Dice {
    fn roll(&self, below: u64) -> u64 {
        self.next_u64() % below
    }

    fn percent(&self, chance: u64) -> bool {
        self.roll(100) < chance
    }
}

impl Rng for Dice {
    fn fill(&self, out: &mut [u8]) {
        for byte in out {
            *byte = self.next_u64().to_le_bytes()[0];
        }
    }

    fn next_u64(&self) -> u64 {
        let z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// What may go wrong in a run.
#[derive(Clone, Copy, Debug)]
struct Plan {
    shards: i16,
    conversations: u64,
    events: u64,
    /// Mean time between commits, milliseconds.
    pause_ms: u64,
    concurrency: usize,
    /// The endpoint answers nothing but this, from … to, milliseconds.
    dead: Option<(u64, u64, Outcome)>,
    /// Percent of events that are refused a few times.
    poison: u64,
    held: u64,
    /// Percent of reads and saves that fail.
    database: u64,
    /// Percent of commits after which the process dies.
    crash: u64,
    /// Percent of commits after which a shard is released and taken again.
    release: u64,
    /// Percent of commits whose events come without a body.
    unfed: u64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Coming {
    Commit,
    Finish(Spot, usize),
    /// Shard, lease, after, limit, and how much of the log the reading sees.
    Page(ShardId, u64, i64, u32, usize),
    Save(ShardId, u64, i64, Bytes),
}

struct World {
    plan: Plan,
    dice: Arc<Dice>,
    now: u64,
    machine: Machine,
    logs: BTreeMap<ShardId, Vec<(NewEvent, u64)>>,
    cursors: BTreeMap<ShardId, (i64, Bytes)>,
    attached: BTreeSet<ShardId>,
    coming: BinaryHeap<Reverse<(u64, u64, Coming)>>,
    number: u64,
    outcomes: Vec<Outcome>,
    flying: HashSet<(ShardId, u64, Route)>,
    in_flight: usize,
    committed: u64,
    refusals: HashMap<(ShardId, i64), u64>,
    /// 200s the endpoint has given.
    delivered: HashMap<(ShardId, i64), u32>,
    /// The last event of each conversation that got one.
    last: HashMap<(ShardId, Route), i64>,
    in_order: bool,
    changes: Vec<Change>,
    crashes: u32,
    /// The machine was told something and not asked since.
    told: bool,
}

impl World {
    fn new(seed: u64, plan: Plan) -> Self {
        let dice = Arc::new(Dice(AtomicU64::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))));
        let mut world = Self {
            machine: machine(plan, &dice),
            plan,
            now: 0,
            logs: (0..plan.shards).map(|n| (ShardId::new(n).unwrap(), Vec::new())).collect(),
            cursors: BTreeMap::new(),
            attached: BTreeSet::new(),
            coming: BinaryHeap::new(),
            number: 0,
            outcomes: Vec::new(),
            flying: HashSet::new(),
            in_flight: 0,
            committed: 0,
            refusals: HashMap::new(),
            delivered: HashMap::new(),
            last: HashMap::new(),
            in_order: true,
            changes: Vec::new(),
            crashes: 0,
            told: false,
            dice,
        };
        for shard in world.logs.keys().copied().collect::<Vec<_>>() {
            world.attach(shard);
        }
        world.come(0, Coming::Commit);
        world
    }

    fn clock(&self) -> Now {
        Now { ms: self.now, unix_ms: EPOCH_MS + i64::try_from(self.now).unwrap() }
    }

    fn come(&mut self, after: u64, what: Coming) {
        self.number += 1;
        self.coming.push(Reverse((self.now + after, self.number, what)));
    }

    fn input(&mut self, input: Input) {
        self.told = true;
        self.machine.input(input, self.clock());
    }

    fn attach(&mut self, shard: ShardId) {
        let (read_to, bytes) = self.cursors.get(&shard).cloned().unwrap_or_default();
        let holes = holes::decode(&bytes, read_to).unwrap();
        let head = i64::try_from(self.logs[&shard].len()).unwrap();
        self.attached.insert(shard);
        self.input(Input::Attach { shard, epoch: 1, read_to, holes, head });
    }

    /// Runs until everything is settled and saved, or for too long.
    fn run(&mut self) {
        let mut steps = 0u64;
        let mut stuck = (0, 0);
        loop {
            let mut out = Vec::new();
            self.told = false;
            let wake = self.machine.outputs(self.clock(), &mut out);
            for size in self.machine.window_sizes() {
                assert!(size <= WINDOW, "a window of {size}");
            }
            for output in out {
                self.perform(output);
            }
            if self.is_done() {
                return;
            }
            let next = self.coming.peek().map(|Reverse((at, ..))| *at);
            let told = std::mem::take(&mut self.told).then_some(self.now);
            let next =
                [next, wake, told].into_iter().flatten().min().expect("nothing will ever happen");
            stuck = if next <= self.now { (self.now, stuck.1 + 1) } else { (next, 0) };
            assert!(stuck.1 < 10_000, "time stands still at {}", self.now);
            self.now = self.now.max(next);
            while let Some(Reverse((at, ..))) = self.coming.peek()
                && *at <= self.now
            {
                let Some(Reverse((_, _, coming))) = self.coming.pop() else { break };
                self.happen(coming);
            }
            steps += 1;
            assert!(steps < 1_000_000 && self.now < 48 * 3_600_000, "no end at {}", self.now);
        }
    }

    fn is_done(&self) -> bool {
        let all_saved = || {
            self.logs.iter().all(|(shard, log)| {
                let head = i64::try_from(log.len()).unwrap();
                self.cursors.get(shard).is_some_and(|(read_to, holes)| {
                    *read_to == head && holes.is_empty() && self.attached.contains(shard)
                }) || head == 0
            })
        };
        self.committed >= self.plan.events && self.in_flight == 0 && all_saved()
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Post(post) => {
                let Spot { shard, lease, seq } = post.spot;
                let (event, _) = &self.logs[&shard][usize::try_from(seq).unwrap() - 1];
                assert_eq!(event.body, post.body, "the body of another event");
                let free = self.flying.insert((shard, lease, event.route));
                assert!(free, "two of one conversation in flight");
                self.in_flight += 1;
                assert!(self.in_flight <= self.plan.concurrency);
                let (took, outcome) = self.answer(shard, seq);
                self.outcomes.push(outcome);
                self.come(took, Coming::Finish(post.spot, self.outcomes.len() - 1));
            }
            Output::ReadPage { shard, lease, after, limit } => {
                let took = 1 + self.dice.roll(30);
                // Read at once, or only just before the answer.
                let seen = if self.dice.percent(50) { self.logs[&shard].len() } else { usize::MAX };
                self.come(took, Coming::Page(shard, lease, after, limit, seen));
            }
            Output::SaveCursor { shard, lease, cursor, .. } => {
                let Saving { read_to, holes, settled_to } = cursor;
                let decoded = holes::decode(&holes, read_to).unwrap();
                assert_eq!(settled_to, holes::settled_to(read_to, &decoded));
                let took = 1 + self.dice.roll(30);
                self.come(took, Coming::Save(shard, lease, read_to, holes));
            }
            Output::Released { shard, saved } => {
                // As after a crash: what was settled since the last save comes again.
                self.crashes += u32::from(!saved);
                self.attach(shard);
            }
            Output::Breaker(change) => self.changes.push(change),
            Output::Discarded { expired, missing } => {
                assert_eq!((expired, missing), (0, 0), "events were given up");
            }
        }
    }

    /// What the endpoint does with a POST, and how long that takes.
    fn answer(&mut self, shard: ShardId, seq: i64) -> (u64, Outcome) {
        if let Some((from, to, outcome)) = self.plan.dead
            && (from..to).contains(&self.now)
        {
            let took = if outcome == Outcome::TimedOut { 15_000 } else { 1 + self.dice.roll(20) };
            return (took, outcome);
        }
        let poisoned = self.dice.percent(self.plan.poison);
        let left = self
            .refusals
            .entry((shard, seq))
            .or_insert_with(|| if poisoned { 1 + seq.unsigned_abs() % 9 } else { 0 });
        if *left > 0 {
            *left -= 1;
            let retry_after_ms = (*left == 3).then_some(20_000);
            let status = [500, 503, 404, 201, 429][usize::try_from(*left % 5).unwrap()];
            let outcome = match *left {
                7 => Outcome::TimedOut,
                6 => Outcome::Closed,
                5 => Outcome::Unreachable,
                _ => Outcome::Refused { status, retry_after_ms },
            };
            return (if *left == 7 { 15_000 } else { 5 }, outcome);
        }
        (1 + self.dice.roll(150), Outcome::Delivered)
    }

    fn happen(&mut self, coming: Coming) {
        match coming {
            Coming::Commit => self.commit(),
            Coming::Finish(spot, outcome) => self.finish(spot, self.outcomes[outcome]),
            Coming::Page(shard, lease, after, limit, seen) => {
                let events = (!self.dice.percent(self.plan.database)).then(|| {
                    let log = self.logs[&shard].iter().take(seen).enumerate();
                    log.skip(usize::try_from(after).unwrap())
                        .filter(|(_, (_, free_at))| *free_at != GONE)
                        .take(usize::try_from(limit).unwrap())
                        .map(|(place, (event, free_at))| {
                            let held = event.held && self.now < *free_at;
                            let event = NewEvent { held, ..event.clone() };
                            Event { shard, seq: i64::try_from(place).unwrap() + 1, event }
                        })
                        .collect()
                });
                self.input(Input::Page { shard, lease, events });
            }
            Coming::Save(shard, lease, read_to, holes) => {
                let stored = !self.dice.percent(self.plan.database);
                if stored {
                    self.cursors.insert(shard, (read_to, holes));
                }
                self.input(Input::Saved { shard, lease, stored });
            }
        }
    }

    fn finish(&mut self, spot: Spot, outcome: Outcome) {
        let (shard, seq) = (spot.shard, spot.seq);
        let route = self.logs[&shard][usize::try_from(seq).unwrap() - 1].0.route;
        self.flying.remove(&(shard, spot.lease, route));
        self.in_flight -= 1;
        if outcome == Outcome::Delivered {
            self.received(shard, seq);
        }
        self.input(Input::Finished { spot, outcome });
    }

    fn received(&mut self, shard: ShardId, seq: i64) {
        let route = self.logs[&shard][usize::try_from(seq).unwrap() - 1].0.route;
        *self.delivered.entry((shard, seq)).or_default() += 1;
        let last = self.last.entry((shard, route)).or_default();
        self.in_order &= *last < seq;
        *last = seq;
    }

    fn commit(&mut self) {
        let shard = ShardId::new(i16::try_from(self.dice.roll(64)).unwrap() % self.plan.shards);
        let shard = shard.unwrap();
        let unfed = self.dice.percent(self.plan.unfed);
        for _ in 0..=self.dice.roll(if self.dice.percent(5) { 400 } else { 4 }) {
            self.committed += 1;
            let log = self.logs.get_mut(&shard).unwrap();
            let seq = i64::try_from(log.len()).unwrap() + 1;
            let event = NewEvent {
                kind: 1,
                route: Route::from_i64(self.dice.roll(self.plan.conversations).cast_signed()),
                key: None,
                held: self.dice.percent(self.plan.held),
                created_ms: EPOCH_MS + i64::try_from(self.now).unwrap(),
                body: Bytes::from(format!("{shard} {seq}")),
            };
            log.push((event.clone(), self.now + self.dice.roll(HELD)));
            if unfed {
                self.input(Input::Head { shard, head: seq });
            } else {
                self.input(Input::Committed(Event { shard, seq, event }));
            }
        }
        if self.committed < self.plan.events {
            let pause = self.dice.roll(2 * self.plan.pause_ms);
            self.come(pause, Coming::Commit);
        }
        if self.dice.percent(self.plan.release) && self.attached.remove(&shard) {
            self.input(Input::Release { shard });
        }
        if self.dice.percent(self.plan.crash) {
            self.crash();
        }
    }

    /// Everything in memory is gone; what was on its way may have arrived.
    fn crash(&mut self) {
        self.crashes += 1;
        let coming = std::mem::take(&mut self.coming);
        for Reverse((at, number, what)) in coming {
            match what {
                Coming::Commit => self.coming.push(Reverse((at, number, what))),
                Coming::Finish(Spot { shard, seq, .. }, outcome)
                    if self.outcomes[outcome] == Outcome::Delivered && self.dice.percent(50) =>
                {
                    self.received(shard, seq);
                }
                Coming::Save(shard, _, read_to, holes) if self.dice.percent(50) => {
                    self.cursors.insert(shard, (read_to, holes));
                }
                _ => {}
            }
        }
        self.flying.clear();
        self.in_flight = 0;
        self.machine = machine(self.plan, &self.dice);
        for shard in self.logs.keys().copied().collect::<Vec<_>>() {
            self.attach(shard);
        }
    }

    fn all_delivered(&self) {
        for (shard, log) in &self.logs {
            for (seq, (_, free_at)) in (1i64..).zip(log) {
                if *free_at == GONE {
                    continue;
                }
                let times = self.delivered.get(&(*shard, seq)).copied().unwrap_or(0);
                assert!(times > 0, "event {seq} of shard {shard} was skipped");
                assert!(times == 1 || self.crashes > 0, "event {seq} was settled {times} times");
            }
        }
    }
}

fn machine(plan: Plan, dice: &Arc<Dice>) -> Machine {
    let pace = Pace {
        concurrency: plan.concurrency,
        step_ms: 3_000,
        cap_ms: 900_000,
        max_age_ms: 7 * 86_400_000,
    };
    let mut machine = Machine::new(pace, dice.clone());
    machine.input(Input::Transmit(true), Now::default());
    machine
}

struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failing seed: {}", self.0);
        }
    }
}

fn over_seeds(default: u64, test: impl Fn(u64, &Dice)) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let one = number("SEED");
    let seeds = one.map_or(0..number("SEEDS").unwrap_or(default), |seed| seed..seed + 1);
    for seed in seeds {
        let named = Seed(seed);
        test(seed, &Dice(AtomicU64::new(seed)));
        drop(named);
    }
}

fn calm(dice: &Dice) -> Plan {
    Plan {
        shards: 1 + i16::try_from(dice.roll(4)).unwrap(),
        conversations: 1 + dice.roll(30),
        events: 100 + dice.roll(900),
        pause_ms: 1 + dice.roll(200),
        concurrency: 1 + usize::try_from(dice.roll(24)).unwrap(),
        dead: None,
        poison: 0,
        held: 0,
        database: 0,
        crash: 0,
        release: 0,
        unfed: 0,
    }
}

fn rough(dice: &Dice) -> Plan {
    let from = dice.roll(20_000);
    let moods = [
        Outcome::Unreachable,
        Outcome::TimedOut,
        Outcome::Refused { status: 500, retry_after_ms: None },
        Outcome::Refused { status: 503, retry_after_ms: Some(10_000) },
    ];
    let mood = moods[usize::try_from(dice.roll(4)).unwrap()];
    Plan {
        dead: dice.percent(50).then_some((from, from + dice.roll(120_000), mood)),
        poison: dice.roll(15),
        held: dice.roll(4),
        database: dice.roll(10),
        release: dice.roll(3),
        unfed: dice.roll(50),
        ..calm(dice)
    }
}

#[test]
fn every_event_is_settled_exactly_once_without_crashes() {
    over_seeds(150, |seed, dice| {
        let mut world = World::new(seed, rough(dice));
        world.run();
        world.all_delivered();
    });
}

#[test]
fn no_event_is_lost_by_crashes() {
    over_seeds(150, |seed, dice| {
        let mut world = World::new(seed, Plan { crash: 1 + dice.roll(5), ..rough(dice) });
        world.run();
        world.all_delivered();
    });
}

#[test]
fn conversations_keep_their_order_over_a_dead_minute() {
    over_seeds(40, |seed, dice| {
        let moods = [
            Outcome::Unreachable,
            Outcome::TimedOut,
            Outcome::Refused { status: 500, retry_after_ms: None },
        ];
        let mood = moods[usize::try_from(dice.roll(3)).unwrap()];
        let plan = Plan {
            conversations: 30,
            pause_ms: 5 + dice.roll(40),
            events: 600 + dice.roll(3_000),
            // Ten time-outs must fit into the minute after which an event holds no others up.
            concurrency: 10 + usize::try_from(dice.roll(20)).unwrap(),
            dead: Some((1_000, 61_000, mood)),
            database: dice.roll(2),
            release: dice.roll(20),
            unfed: dice.roll(50),
            ..calm(dice)
        };
        let mut world = World::new(seed, plan);
        world.run();
        world.all_delivered();
        // A shard whose last cursor was not saved starts again from an earlier one.
        assert!(
            world.in_order || world.crashes > 0,
            "a later event of a conversation was settled first"
        );
        assert!(world.changes.contains(&Change::Down), "it was noticed");
    });
}

#[test]
fn a_backlog_costs_pages_and_no_more_than_a_window() {
    over_seeds(10, |seed, dice| {
        let plan = Plan { events: 400, shards: 2, concurrency: 12, pause_ms: 20, ..calm(dice) };
        let mut world = World::new(seed, plan);
        // Committed while nobody was there.
        for log in world.logs.values_mut() {
            for seq in 1..=3_000 {
                let event = NewEvent {
                    kind: 1,
                    route: Route::from_i64(seq % 40),
                    key: None,
                    held: false,
                    created_ms: EPOCH_MS,
                    body: Bytes::from(format!("{} {seq}", if seq % 2 == 0 { "a" } else { "b" })),
                };
                // Now and then a row that was deleted by hand.
                log.push((event, if dice.percent(2) { GONE } else { 0 }));
            }
        }
        for shard in world.logs.keys().copied().collect::<Vec<_>>() {
            world.attach(shard);
        }
        world.run();
        world.all_delivered();
        assert!(world.in_order);
    });
}
