//! The world of a run: a log that grows, an endpoint with moods, a database that is late or fails,
//! shards that come and go, and crashes, all in virtual time and from one seed.

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
use store::rows::{DeadEvent, DeadState, Event, NewEvent};

use super::super::{
    breaker::Change,
    holes,
    machine::{Input, Machine, Output, Post, Saving},
    parking::{Filing, Filings},
    schedule::{Outcome, Pace},
    shared::{Now, Spot},
    window::WINDOW,
};

pub(super) const EPOCH_MS: i64 = 1_700_000_000_000;
pub(super) const WEEK_MS: i64 = 7 * 86_400_000;
const HELD: u64 = 5_000;
/// Marks an event whose row does not exist any more.
pub(super) const GONE: u64 = u64::MAX;

/// splitmix64.
pub(super) struct Dice(pub(super) AtomicU64);

impl Dice {
    pub(super) fn roll(&self, below: u64) -> u64 {
        self.next_u64() % below
    }

    pub(super) fn percent(&self, chance: u64) -> bool {
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
pub(super) struct Plan {
    pub(super) shards: i16,
    pub(super) conversations: u64,
    pub(super) events: u64,
    /// Mean time between commits, milliseconds.
    pub(super) pause_ms: u64,
    pub(super) concurrency: usize,
    /// The endpoint answers nothing but this, from … to, milliseconds.
    pub(super) dead: Option<(u64, u64, Outcome)>,
    /// Percent of events that are refused a few times.
    pub(super) poison: u64,
    pub(super) held: u64,
    /// Percent of reads and saves that fail.
    pub(super) database: u64,
    /// Percent of commits after which the process dies.
    pub(super) crash: u64,
    /// Percent of commits after which a shard is released and taken again.
    pub(super) release: u64,
    /// Percent of commits whose events come without a body.
    pub(super) unfed: u64,
    /// Events of one kind in a POST.
    pub(super) batch: usize,
    /// `callbacks.max_age`, milliseconds.
    pub(super) max_age: i64,
    /// Every event of this conversation is always answered with 500.
    pub(super) cursed: Option<u64>,
    /// Every POST for this conversation takes so long, milliseconds.
    pub(super) slow: Option<(u64, u64)>,
    /// Percent of events that belong to the first conversation, whatever the others do.
    pub(super) talkative: u64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Coming {
    Commit,
    /// Which of the POSTs.
    Finish(usize),
    /// Shard, lease, after, limit, and how much of the log the reading sees.
    Page(ShardId, u64, i64, u32, usize),
    Parked(ShardId, u64, i64, u32),
    /// Which of the changes of `dead_event` go with it.
    Save(ShardId, u64, i64, Bytes, usize),
}

pub(super) struct World {
    plan: Plan,
    dice: Arc<Dice>,
    pub(super) now: u64,
    machine: Machine,
    pub(super) logs: BTreeMap<ShardId, Vec<(NewEvent, u64)>>,
    cursors: BTreeMap<ShardId, (i64, Bytes)>,
    attached: BTreeSet<ShardId>,
    coming: BinaryHeap<Reverse<(u64, u64, Coming)>>,
    number: u64,
    /// Each POST's events and answer.
    posts: Vec<(Vec<Spot>, Outcome)>,
    filings: Vec<Filings>,
    pub(super) dead: BTreeMap<(ShardId, i64), DeadEvent>,
    flying: HashSet<(ShardId, u64, Route)>,
    in_flight: usize,
    committed: u64,
    refusals: HashMap<(ShardId, i64), u64>,
    /// 200s the endpoint has given.
    pub(super) delivered: HashMap<(ShardId, i64), u32>,
    /// The last event of each conversation that got one.
    last: HashMap<(ShardId, Route), i64>,
    pub(super) in_order: bool,
    pub(super) changes: Vec<Change>,
    pub(super) crashes: u32,
    /// Longest time from the commit to the 200, by conversation, milliseconds.
    pub(super) delays: HashMap<Route, u64>,
    pub(super) most_parked: usize,
    /// POSTs of more than one event.
    pub(super) shared_posts: usize,
    /// The machine was told something and not asked since.
    told: bool,
}

impl World {
    pub(super) fn new(seed: u64, plan: Plan) -> Self {
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
            posts: Vec::new(),
            filings: Vec::new(),
            dead: BTreeMap::new(),
            flying: HashSet::new(),
            in_flight: 0,
            committed: 0,
            refusals: HashMap::new(),
            delivered: HashMap::new(),
            last: HashMap::new(),
            in_order: true,
            changes: Vec::new(),
            crashes: 0,
            delays: HashMap::new(),
            most_parked: 0,
            shared_posts: 0,
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

    pub(super) fn attach(&mut self, shard: ShardId) {
        let (read_to, bytes) = self.cursors.get(&shard).cloned().unwrap_or_default();
        let holes = holes::decode(&bytes, read_to).unwrap();
        let head = i64::try_from(self.logs[&shard].len()).unwrap();
        self.attached.insert(shard);
        self.input(Input::Attach { shard, epoch: 1, read_to, holes, head });
    }

    /// Runs until everything is settled and saved, or for too long.
    pub(super) fn run(&mut self) {
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
            self.most_parked = self.most_parked.max(self.machine.parked());
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
        let given_up = || self.dead.values().all(|row| row.state == DeadState::Dead);
        self.committed >= self.plan.events && self.in_flight == 0 && given_up() && all_saved()
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Post(post) => self.post(post),
            Output::ReadPage { shard, lease, after, limit } => {
                let took = 1 + self.dice.roll(30);
                // Read at once, or only just before the answer.
                let seen = if self.dice.percent(50) { self.logs[&shard].len() } else { usize::MAX };
                self.come(took, Coming::Page(shard, lease, after, limit, seen));
            }
            Output::ReadParked { shard, lease, after, limit } => {
                self.come(1 + self.dice.roll(30), Coming::Parked(shard, lease, after, limit));
            }
            Output::SaveCursor { shard, lease, cursor, .. } => {
                let Saving { read_to, holes, settled_to, filings } = cursor;
                let decoded = holes::decode(&holes, read_to).unwrap();
                assert_eq!(settled_to, holes::settled_to(read_to, &decoded));
                let took = 1 + self.dice.roll(30);
                self.filings.push(filings);
                let filings = self.filings.len() - 1;
                self.come(took, Coming::Save(shard, lease, read_to, holes, filings));
            }
            Output::Released { shard, saved } => {
                // As after a crash: what was settled since the last save comes again.
                self.crashes += u32::from(!saved);
                self.attach(shard);
            }
            Output::Breaker(change) => self.changes.push(change),
            Output::GivenUp { dead, missing, .. } => {
                let short = self.plan.max_age < WEEK_MS;
                assert!(missing == 0 && (dead == 0 || short), "events were given up");
            }
        }
    }

    fn post(&mut self, post: Post) {
        let bodies = std::iter::once((post.spot, post.body)).chain(post.more);
        let (spots, bodies): (Vec<_>, Vec<_>) = bodies.unzip();
        assert!(spots.len() <= self.plan.batch);
        self.shared_posts += usize::from(spots.len() > 1);
        let mut last: HashMap<_, i64> = HashMap::new();
        for (Spot { shard, lease, seq }, body) in spots.iter().copied().zip(bodies) {
            let (event, _) = &self.logs[&shard][usize::try_from(seq).unwrap() - 1];
            assert_eq!(event.body, body, "the body of another event");
            let before = last.insert((shard, lease, event.route), seq);
            assert!(before.is_none_or(|before| before < seq), "disorder within a POST");
        }
        for conversation in last.into_keys() {
            assert!(self.flying.insert(conversation), "two of one conversation in flight");
        }
        self.in_flight += 1;
        assert!(self.in_flight <= self.plan.concurrency);
        let (mut took, mut outcome) = (0, Outcome::Delivered);
        for Spot { shard, seq, .. } in &spots {
            let answer = self.answer(*shard, *seq);
            took = took.max(answer.0);
            if outcome == Outcome::Delivered {
                outcome = answer.1;
            }
        }
        self.posts.push((spots, outcome));
        self.come(took, Coming::Finish(self.posts.len() - 1));
    }

    /// What the endpoint does with an event, and how long that takes.
    fn answer(&mut self, shard: ShardId, seq: i64) -> (u64, Outcome) {
        if let Some((from, to, outcome)) = self.plan.dead
            && (from..to).contains(&self.now)
        {
            let took = if outcome == Outcome::TimedOut { 15_000 } else { 1 + self.dice.roll(20) };
            return (took, outcome);
        }
        let route = self.logs[&shard][usize::try_from(seq).unwrap() - 1].0.route;
        let of = |n: u64| Route::from_i64(n.cast_signed());
        if self.plan.cursed.is_some_and(|n| of(n) == route) {
            return (5, Outcome::Refused { status: 500, retry_after_ms: None });
        }
        if let Some((n, took)) = self.plan.slow
            && of(n) == route
        {
            return (took, Outcome::Delivered);
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
            Coming::Finish(post) => {
                let (spots, outcome) = self.posts[post].clone();
                self.finish(spots, outcome);
            }
            Coming::Parked(shard, lease, after, limit) => {
                let rows = (!self.dice.percent(self.plan.database)).then(|| {
                    let rows = self.dead.range((shard, after + 1)..=(shard, i64::MAX));
                    let rows = rows.filter(|(_, row)| row.state == DeadState::Parked);
                    rows.take(usize::try_from(limit).unwrap()).map(|(_, row)| row.clone()).collect()
                });
                self.input(Input::Parked { shard, lease, rows });
            }
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
            Coming::Save(shard, lease, read_to, holes, filings) => {
                let stored = !self.dice.percent(self.plan.database);
                if stored {
                    self.store(shard, read_to, holes, filings);
                }
                self.input(Input::Saved { shard, lease, stored });
            }
        }
    }

    fn store(&mut self, shard: ShardId, read_to: i64, holes: Bytes, filings: usize) {
        self.cursors.insert(shard, (read_to, holes));
        for (seq, filing) in std::mem::take(&mut self.filings[filings]) {
            match filing {
                Filing::Put(row) => drop(self.dead.insert((shard, seq), row)),
                Filing::Delete => drop(self.dead.remove(&(shard, seq))),
            }
        }
    }

    fn finish(&mut self, mut spots: Vec<Spot>, outcome: Outcome) {
        for Spot { shard, lease, seq } in spots.iter().copied() {
            let route = self.logs[&shard][usize::try_from(seq).unwrap() - 1].0.route;
            self.flying.remove(&(shard, lease, route));
            if outcome == Outcome::Delivered {
                self.received(shard, seq);
            }
        }
        self.in_flight -= 1;
        let spot = spots.remove(0);
        self.input(Input::Finished { spot, more: spots, outcome });
    }

    fn received(&mut self, shard: ShardId, seq: i64) {
        let event = &self.logs[&shard][usize::try_from(seq).unwrap() - 1].0;
        let route = event.route;
        let age = self.clock().unix_ms - event.created_ms;
        let delay = self.delays.entry(route).or_default();
        *delay = age.unsigned_abs().max(*delay);
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
            let route = self.route();
            let log = self.logs.get_mut(&shard).unwrap();
            let seq = i64::try_from(log.len()).unwrap() + 1;
            let event = NewEvent {
                kind: 1,
                route,
                key: None,
                held: self.dice.percent(self.plan.held),
                created_ms: EPOCH_MS + i64::try_from(self.now).unwrap(),
                body: Bytes::from(format!("{shard} {seq}")),
                trace: None,
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

    fn route(&self) -> Route {
        let talkative = self.dice.percent(self.plan.talkative);
        let n = if talkative { 0 } else { self.dice.roll(self.plan.conversations) };
        Route::from_i64(n.cast_signed())
    }

    /// Everything in memory is gone; what was on its way may have arrived.
    fn crash(&mut self) {
        self.crashes += 1;
        let coming = std::mem::take(&mut self.coming);
        for Reverse((at, number, what)) in coming {
            match what {
                Coming::Commit => self.coming.push(Reverse((at, number, what))),
                Coming::Finish(post)
                    if self.posts[post].1 == Outcome::Delivered && self.dice.percent(50) =>
                {
                    for Spot { shard, seq, .. } in self.posts[post].0.clone() {
                        self.received(shard, seq);
                    }
                }
                Coming::Save(shard, _, read_to, holes, filings) if self.dice.percent(50) => {
                    self.store(shard, read_to, holes, filings);
                }
                _ => {}
            }
        }
        self.nothing_is_skipped();
        self.flying.clear();
        self.in_flight = 0;
        self.machine = machine(self.plan, &self.dice);
        for shard in self.logs.keys().copied().collect::<Vec<_>>() {
            self.attach(shard);
        }
    }

    /// What the database says is settled was delivered, or has a row that says what became of it.
    fn nothing_is_skipped(&self) {
        for (shard, (read_to, bytes)) in &self.cursors {
            let holes: HashSet<_> =
                holes::decode(bytes, *read_to).unwrap().iter().map(|hole| hole.seq).collect();
            for seq in (1..=*read_to).filter(|seq| !holes.contains(seq)) {
                let key = (*shard, seq);
                let gone = self.logs[shard][usize::try_from(seq).unwrap() - 1].1 == GONE;
                let known = self.delivered.contains_key(&key) || self.dead.contains_key(&key);
                assert!(known || gone, "event {seq} of shard {shard} was skipped");
            }
        }
    }

    pub(super) fn all_delivered(&self) {
        self.nothing_is_skipped();
        for (shard, log) in &self.logs {
            for (seq, (_, free_at)) in (1i64..).zip(log) {
                if *free_at == GONE {
                    continue;
                }
                if self.dead.contains_key(&(*shard, seq)) {
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
        max_age_ms: plan.max_age,
        batch_max: plan.batch,
    };
    let mut machine = Machine::new(pace, dice.clone());
    machine.input(Input::Transmit(true), Now::default());
    machine
}
