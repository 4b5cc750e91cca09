//! Lanes against a database that loses connections whenever it likes.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use contract::{Key, Rng, Route, ShardId};
use session::sealing::MasterKeys;
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::{
    batch::fold,
    rows::{Event, Message, NewEvent},
    write::{Answer, Class, Op, Reply, Write, WriteError},
};

const SEEDS: u64 = 300;
const INC: i64 = 1;
const EPOCH: i64 = 3;

/// splitmix64
struct Seeded(AtomicU64);

impl Seeded {
    fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(seed)))
    }

    fn below(&self, n: u64) -> u64 {
        self.next_u64() % n
    }
}

impl Rng for Seeded {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            chunk.copy_from_slice(&z.to_be_bytes()[..chunk.len()]);
        }
    }
}

/// What the database holds. A batch whose connection was lost may still be under way: it is decided
/// when somebody wants the lane's row.
#[derive(Default)]
struct Tables {
    lanes: BTreeMap<i16, (bool, i64)>,
    messages: HashSet<(ShardId, Key)>,
    events: BTreeMap<(ShardId, i64), Bytes>,
    under_way: Vec<(Fence, Arc<Batch>)>,
    /// What each attempt would have stored as bodies of events.
    attempts: BTreeMap<i64, Vec<Vec<Bytes>>>,
}

impl Tables {
    fn attempt(&mut self, fence: Fence, batch: &Batch) -> Done {
        match self.lanes.get(&fence.lane) {
            Some((true, n)) if *n == fence.batch - 1 => {}
            _ => return Done::NoRow,
        }
        let changes = fold(batch);
        let mut keys: Vec<_> = changes.messages.iter().map(|(shard, m)| (*shard, m.key)).collect();
        if keys.iter().any(|key| self.messages.contains(key)) {
            let taken_in = Some("message".to_owned());
            return Done::Refused(Refusal { taken_in, why: "taken".to_owned() });
        }
        self.messages.extend(keys.drain(..));
        for (shard, seq, event) in &changes.events {
            let before = self.events.insert((*shard, *seq), event.body.clone());
            assert!(before.is_none(), "a sequence number was given twice");
        }
        self.lanes.insert(fence.lane, (true, fence.batch));
        Done::Committed
    }

    /// Whoever locks the row waits for what holds it.
    fn decide(&mut self) {
        for (fence, batch) in std::mem::take(&mut self.under_way) {
            self.attempt(fence, &batch);
        }
    }

    fn fence_all(&mut self) {
        self.decide();
        for (live, _) in self.lanes.values_mut() {
            *live = false;
        }
    }
}

#[derive(Clone)]
struct Faulty {
    tables: Arc<Mutex<Tables>>,
    rng: Arc<Seeded>,
    /// Faults in 100 calls.
    faults: u64,
    /// Batches committed before another incarnation takes over.
    taken_over_after: Option<u64>,
    commits: Arc<AtomicU64>,
    sealed: bool,
}

impl LaneEngine for Faulty {
    type Session = ();

    async fn connect(&self) -> Result<(), StoreError> {
        tokio::task::yield_now().await;
        if self.rng.below(100) < self.faults {
            return Err(StoreError::Connect("refused".to_owned()));
        }
        Ok(())
    }

    async fn commit(&self, (): &mut (), fence: Fence, batch: &Arc<Batch>) -> Done {
        tokio::task::yield_now().await;
        let mut tables = self.tables.lock().unwrap();
        let bodies = fold(batch).events.iter().map(|(.., event)| event.body.clone()).collect();
        tables.attempts.entry(fence.batch).or_default().push(bodies);
        let n = self.commits.fetch_add(1, Ordering::Relaxed);
        if self.taken_over_after.is_some_and(|after| n >= after) {
            tables.fence_all();
        }
        let lost = || Done::Lost { answered: false, why: "cut".to_owned() };
        match self.rng.below(100) {
            n if n >= 3 * self.faults => tables.attempt(fence, batch),
            n if n % 3 == 0 => lost(),
            n if n % 3 == 1 => {
                tables.attempt(fence, batch);
                lost()
            }
            _ => {
                tables.under_way.push((fence, Arc::clone(batch)));
                lost()
            }
        }
    }

    async fn ask(&self, (): &mut (), fence: Fence) -> Result<Option<(bool, i64)>, StoreError> {
        tokio::task::yield_now().await;
        if self.rng.below(100) < self.faults {
            return Err(StoreError::Database("cut".to_owned()));
        }
        let mut tables = self.tables.lock().unwrap();
        tables.decide();
        Ok(tables.lanes.get(&fence.lane).copied())
    }
}

#[derive(Default)]
struct Log(Mutex<Vec<Event>>);

impl Feed for Log {
    fn committed(&self, events: &[Event]) {
        self.0.lock().unwrap().extend_from_slice(events);
    }
}

fn shard(id: i16) -> ShardId {
    ShardId::new(id).unwrap()
}

fn message(n: u64) -> Op {
    let mut key = [0; 9];
    key[1..].copy_from_slice(&n.to_be_bytes());
    Op::InsertMessage(Message {
        key: Key::from_bytes(&key).unwrap(),
        created_ms: 1,
        body_hash: [0; 32],
        body: Bytes::new(),
        trace: None,
    })
}

fn event(body: String) -> Op {
    Op::InsertEvent(NewEvent {
        kind: 1,
        route: Route::from_i64(1),
        key: None,
        held: false,
        created_ms: 1,
        body: body.into(),
        trace: None,
    })
}

fn write(shard: ShardId, ops: Vec<Op>, reply: Reply) -> Write {
    Write { shard, epoch: EPOCH, class: Class::Hot, ops, reply }
}

fn lanes(engine: &Faulty, count: i16, batch_max: usize, log: &Arc<Log>) -> Lanes {
    for lane in 0..count {
        engine.tables.lock().unwrap().lanes.insert(lane, (true, 0));
    }
    let rng: Arc<dyn Rng> = engine.rng.clone();
    let feed: Arc<dyn Feed> = log.clone();
    let count = usize::try_from(count).unwrap();
    let keys = engine.sealed.then(|| Arc::new(MasterKeys::new(1, &[4; 32])));
    let vault = Arc::new(Vault::new(keys, None, rng.clone()));
    Lanes::start(engine, INC, count, batch_max, &feed, &vault, &rng)
}

fn faulty(seed: u64, faults: u64, taken_over_after: Option<u64>) -> Faulty {
    Faulty {
        tables: Arc::default(),
        rng: Seeded::new(seed),
        faults,
        taken_over_after,
        commits: Arc::default(),
        sealed: false,
    }
}

/// Runs 120 writes of six shards, one in ten of them with a key that is taken. Gives the answers by
/// token.
async fn run(engine: &Faulty, log: &Arc<Log>) -> HashMap<u64, Answer> {
    let lanes = lanes(engine, 2, 16, log);
    let (answers, mut answered) = mpsc::unbounded_channel();
    for id in 0..6 {
        lanes.own(shard(id), EPOCH, 10, answers.clone());
    }
    drop(answers);
    for token in 0..120u64 {
        let n = if token % 10 == 9 { token - 6 } else { token };
        let of = shard(i16::try_from(n % 6).unwrap());
        let ops = vec![message(n), event(format!("{token}")), event(format!("{token}b"))];
        lanes.submit(write(of, ops, Reply::Token(token)));
        if engine.rng.below(4) == 0 {
            tokio::task::yield_now().await;
        }
    }
    lanes.close().await;
    let mut by_token = HashMap::new();
    while let Ok(list) = answered.try_recv() {
        for answer in list {
            let before = by_token.insert(answer.token, answer);
            assert!(before.is_none(), "a write was answered twice");
        }
    }
    by_token
}

#[tokio::test(start_paused = true)]
async fn whatever_connections_do_nothing_is_written_twice_and_nothing_lost() {
    for seed in 0..SEEDS {
        let engine = faulty(seed, 10, None);
        let log = Arc::new(Log::default());
        let answers = run(&engine, &log).await;
        assert_eq!(answers.len(), 120, "seed {seed}");
        let tables = engine.tables.lock().unwrap();
        for (token, answer) in &answers {
            match &answer.result {
                Ok(committed) => {
                    let first = &tables.events[&(answer.shard, committed.first_seq)];
                    let second = &tables.events[&(answer.shard, committed.first_seq + 1)];
                    assert_eq!(first, &format!("{token}"), "seed {seed}");
                    assert_eq!(second, &format!("{token}b"), "seed {seed}");
                }
                // The key is taken by whichever of the two came first, and they come in order.
                Err(error) => {
                    assert_eq!((token % 10, error), (9, &WriteError::Conflict), "seed {seed}");
                }
            }
        }
        let committed = answers.values().filter(|answer| answer.result.is_ok()).count();
        assert_eq!(committed, 108, "seed {seed}");
        assert_eq!(tables.messages.len(), committed);
        // Gap-free from the number the shards were owned with, and fed in that order.
        for id in 0..6 {
            let seqs = |of: &mut dyn Iterator<Item = (ShardId, i64)>| -> Vec<i64> {
                of.filter(|(of, _)| *of == shard(id)).map(|(_, seq)| seq).collect()
            };
            let stored = seqs(&mut tables.events.keys().copied());
            let gap_free: Vec<_> = (10..).take(stored.len()).collect();
            assert_eq!(stored, gap_free, "seed {seed}");
            let fed = log.0.lock().unwrap();
            assert_eq!(seqs(&mut fed.iter().map(|e| (e.shard, e.seq))), stored, "seed {seed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn once_taken_over_every_write_is_answered_and_none_is_confirmed_that_is_not_stored() {
    for seed in 0..SEEDS {
        let engine = faulty(seed, 10, Some(seed % 12));
        let log = Arc::new(Log::default());
        let answers = run(&engine, &log).await;
        assert_eq!(answers.len(), 120, "seed {seed}");
        let tables = engine.tables.lock().unwrap();
        let mut fenced = 0;
        for (token, answer) in &answers {
            match &answer.result {
                Ok(committed) => {
                    let stored = &tables.events[&(answer.shard, committed.first_seq)];
                    assert_eq!(stored, &format!("{token}"), "seed {seed}");
                }
                Err(WriteError::Fenced) => fenced += 1,
                Err(error) => assert_eq!((token % 10, error), (9, &WriteError::Conflict)),
            }
        }
        assert!(fenced > 0, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_run_again_stores_the_same_sealed_bytes_and_feeds_plain_ones() {
    let engine = Faulty { sealed: true, ..faulty(1, 20, None) };
    let log = Arc::new(Log::default());
    let lanes = lanes(&engine, 1, 4, &log);
    let (answers, _answered) = mpsc::unbounded_channel();
    lanes.own(shard(0), EPOCH, 1, answers);
    for n in 0..60 {
        lanes.submit(write(shard(0), vec![event(format!("{n}"))], Reply::None));
    }
    lanes.close().await;
    let tables = engine.tables.lock().unwrap();
    assert!(tables.attempts.values().any(|attempts| attempts.len() > 1), "nothing was repeated");
    for attempts in tables.attempts.values() {
        assert!(attempts.windows(2).all(|pair| pair[0] == pair[1]));
    }
    let fed = log.0.lock().unwrap();
    assert_eq!(fed.len(), 60);
    for (n, fed) in fed.iter().enumerate() {
        assert_eq!(fed.event.body, format!("{n}"));
        assert_eq!(tables.events[&(fed.shard, fed.seq)][0], 0xff);
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_fence_lanes_say_so_and_refuse_at_once() {
    let engine = faulty(1, 0, Some(0));
    let lanes = lanes(&engine, 2, 16, &Arc::default());
    let (answers, _answered) = mpsc::unbounded_channel();
    lanes.own(shard(0), EPOCH, 1, answers.clone());
    lanes.own(shard(1), EPOCH, 1, answers);
    let mut fenced = lanes.fenced();
    for id in [0, 1] {
        let (reply, outcome) = oneshot::channel();
        lanes.submit(write(shard(id), vec![message(1)], Reply::Once(reply)));
        assert_eq!(outcome.await.unwrap(), Err(WriteError::Fenced));
        fenced.wait_for(|fenced| *fenced).await.unwrap();
    }
    lanes.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_write_under_an_epoch_that_is_not_owned_is_refused() {
    let engine = faulty(1, 0, None);
    let lanes = lanes(&engine, 1, 16, &Arc::default());
    let outcome = |epoch| {
        let (reply, outcome) = oneshot::channel();
        let ops = vec![message(9)];
        let reply = Reply::Once(reply);
        lanes.submit(Write { epoch, ..write(shard(4), ops, reply) });
        outcome
    };
    let (answers, _answered) = mpsc::unbounded_channel();
    assert_eq!(outcome(EPOCH).await.unwrap(), Err(WriteError::NotOwned));
    lanes.own(shard(4), EPOCH, 1, answers);
    assert_eq!(outcome(EPOCH - 1).await.unwrap(), Err(WriteError::NotOwned));
    assert!(outcome(EPOCH).await.unwrap().is_ok());
    lanes.disown(shard(4));
    assert_eq!(outcome(EPOCH).await.unwrap(), Err(WriteError::NotOwned));
    assert_eq!(engine.tables.lock().unwrap().messages.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_shard_is_parted_from_nothing_of_it_is_stored_even_by_what_was_under_way() {
    let mut stored = 0;
    for seed in 0..SEEDS {
        let engine = faulty(seed, 25, None);
        let lanes = lanes(&engine, 1, 4, &Arc::default());
        let (answers, mut answered) = mpsc::unbounded_channel();
        lanes.own(shard(4), EPOCH, 1, answers);
        for n in 0..20 {
            lanes.submit(write(shard(4), vec![message(n)], Reply::Token(n)));
        }
        for _ in 0..engine.rng.below(20) {
            tokio::task::yield_now().await;
        }
        lanes.part(shard(4)).await;
        let mut committed = 0;
        while let Ok(list) = answered.try_recv() {
            committed += list.iter().filter(|answer| answer.result.is_ok()).count();
        }
        lanes.close().await;
        let mut tables = engine.tables.lock().unwrap();
        tables.decide();
        assert_eq!(tables.messages.len(), committed, "seed {seed}");
        stored += committed;
    }
    assert!(stored > 0 && stored < 20 * usize::try_from(SEEDS).unwrap(), "{stored}: no middle");
}

#[tokio::test(start_paused = true)]
async fn what_gathers_goes_in_one_batch_and_is_answered_in_one_list_a_channel() {
    let engine = faulty(1, 0, None);
    let lanes = lanes(&engine, 1, 256, &Arc::default());
    let (answers, mut answered) = mpsc::unbounded_channel();
    for id in 0..4 {
        lanes.own(shard(id), EPOCH, 1, answers.clone());
    }
    let writes = (0..100u64)
        .map(|n| {
            let of = shard(i16::try_from(n % 4).unwrap());
            write(of, vec![message(n)], Reply::Token(n))
        })
        .collect();
    lanes.submit_many(writes);
    let list: Vec<Answer> = answered.recv().await.unwrap();
    assert_eq!(list.len(), 100);
    assert_eq!(engine.commits.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn while_hot_writes_wait_the_others_get_a_quarter_of_a_batch_and_no_less() {
    for (batch_max, hot_expected) in [(256, 192), (8, 6)] {
        let inbox = Inbox::default();
        let (answers, _answered) = mpsc::unbounded_channel();
        inbox.own(shard(1), EPOCH, 1, answers);
        for n in 0..1_000 {
            for class in [Class::Bulk, Class::Cursor, Class::Hot] {
                let ops = vec![message(n)];
                inbox.submit([Write { class, ..write(shard(1), ops, Reply::Token(class as u64)) }]);
            }
        }
        let items = inbox.next(batch_max).await.unwrap();
        let of = |class: Class| {
            let is = |item: &&crate::batch::Item| matches!(item.to, crate::batch::ReplyTo::Token(token, _) if token == class as u64);
            items.iter().filter(is).count()
        };
        assert_eq!(items.len(), batch_max);
        assert_eq!(of(Class::Hot), hot_expected);
        assert_eq!(of(Class::Cursor), batch_max - hot_expected);
    }
    // One write a batch: every fourth is not a hot one.
    let inbox = Inbox::default();
    let (answers, _answered) = mpsc::unbounded_channel();
    inbox.own(shard(1), EPOCH, 1, answers);
    for n in 0..16 {
        for class in [Class::Bulk, Class::Hot] {
            let ops = vec![message(n)];
            inbox.submit([Write { class, ..write(shard(1), ops, Reply::None) }]);
        }
    }
    for _ in 0..16 {
        assert_eq!(inbox.next(1).await.unwrap().len(), 1);
    }
    assert_eq!(inbox.hot_waiting(), 4);
}

#[tokio::test]
async fn a_batch_is_bounded_in_bytes_and_a_larger_write_goes_alone() {
    let inbox = Inbox::default();
    let (answers, _answered) = mpsc::unbounded_channel();
    inbox.own(shard(1), EPOCH, 1, answers);
    for size in [100, 2 << 20, 400 << 10, 400 << 10, 400 << 10] {
        let ops = vec![event("x".repeat(size))];
        inbox.submit([write(shard(1), ops, Reply::None)]);
    }
    let mut lens = Vec::new();
    for _ in 0..4 {
        lens.push(inbox.next(256).await.unwrap().len());
    }
    assert_eq!(lens, [1, 1, 2, 1]);
}

/// A database that can be switched off, or have no room for anything.
#[derive(Clone)]
struct Switched {
    engine: Faulty,
    off: Arc<AtomicBool>,
    full: Arc<AtomicBool>,
}

impl LaneEngine for Switched {
    type Session = ();

    async fn connect(&self) -> Result<(), StoreError> {
        match self.off.load(Ordering::Relaxed) {
            true => Err(StoreError::Connect("refused".to_owned())),
            false => Ok(()),
        }
    }

    async fn commit(&self, session: &mut (), fence: Fence, batch: &Arc<Batch>) -> Done {
        match self.off.load(Ordering::Relaxed) {
            true => Done::Lost { answered: false, why: "cut".to_owned() },
            false if self.full.load(Ordering::Relaxed) => {
                Done::Lost { answered: true, why: "the disk is full".to_owned() }
            }
            false => self.engine.commit(session, fence, batch).await,
        }
    }

    async fn ask(&self, session: &mut (), fence: Fence) -> Result<Option<(bool, i64)>, StoreError> {
        self.engine.ask(session, fence).await
    }
}

/// Lanes on a database that is away; they own shards 0 and 1.
fn away(lanes: i16) -> (Switched, Lanes) {
    let engine = faulty(1, 0, None);
    for lane in 0..lanes {
        engine.tables.lock().unwrap().lanes.insert(lane, (true, 0));
    }
    let switched = Switched { engine, off: Arc::new(AtomicBool::new(true)), full: Arc::default() };
    let rng: Arc<dyn Rng> = switched.engine.rng.clone();
    let feed: Arc<dyn Feed> = Arc::new(Log::default());
    let vault = Arc::new(Vault::new(None, None, rng.clone()));
    let lanes =
        Lanes::start(&switched, INC, usize::try_from(lanes).unwrap(), 16, &feed, &vault, &rng);
    for n in 0..2 {
        lanes.own(shard(n), EPOCH, 1, mpsc::unbounded_channel().0);
    }
    (switched, lanes)
}

#[tokio::test(start_paused = true)]
async fn while_the_database_is_away_intake_is_refused_unless_it_may_have_arrived() {
    let (switched, lanes) = away(1);
    let commit = |class, n| Box::pin(lanes.commit(shard(0), EPOCH, class, vec![message(n)]));
    let pass = |ms| tokio::time::sleep(Duration::from_millis(ms));

    let mut sent = commit(Class::Intake, 1);
    pass(1).await;
    let (intake, mut hot) = (commit(Class::Intake, 2), commit(Class::Hot, 3));
    assert!(!lanes.is_away(shard(0)), "a moment is no reason");
    let refused = tokio::time::timeout(Duration::from_millis(800), intake).await;
    assert_eq!(refused.unwrap(), Err(WriteError::Away));
    assert!(lanes.is_away(shard(0)));
    assert_eq!(commit(Class::Intake, 4).await, Err(WriteError::Away));
    pass(60_000).await;
    for unanswered in [&mut sent, &mut hot] {
        assert!(futures_util::FutureExt::now_or_never(unanswered).is_none());
    }

    switched.off.store(false, Ordering::Relaxed);
    assert!(sent.await.is_ok() && hot.await.is_ok());
    assert!(!lanes.is_away(shard(0)));
    assert!(commit(Class::Intake, 5).await.is_ok());
    assert_eq!(switched.engine.tables.lock().unwrap().messages.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_lane_without_work_learns_from_another_that_the_database_is_away() {
    let (switched, lanes) = away(2);
    // A session that was good until now, or it would be asked for anyway.
    switched.off.store(false, Ordering::Relaxed);
    let commit = |to, n| Box::pin(lanes.commit(shard(to), EPOCH, Class::Intake, vec![message(n)]));
    assert!(commit(0, 1).await.is_ok() && commit(1, 2).await.is_ok());
    switched.off.store(true, Ordering::Relaxed);
    let mut caught = commit(0, 3);
    assert!(tokio::time::timeout(Duration::from_millis(800), &mut caught).await.is_err());
    let refused = tokio::time::timeout(Duration::from_millis(1), commit(1, 4)).await;
    assert_eq!(refused.unwrap(), Err(WriteError::Away));
    switched.off.store(false, Ordering::Relaxed);
    assert!(caught.await.is_ok());
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(commit(1, 4).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_a_full_disk_kept_from_being_stored_is_stored_once_there_is_room_and_callers_are_refused()
 {
    let (switched, lanes) = away(1);
    switched.full.store(true, Ordering::Relaxed);
    switched.off.store(false, Ordering::Relaxed);
    let (answers, mut answered) = mpsc::unbounded_channel();
    lanes.own(shard(0), EPOCH, 1, answers);
    for n in 0..400 {
        let reply = Reply::Token(n);
        lanes.submit(write(shard(0), vec![event(format!("receipt {n}"))], reply));
    }
    let accept = lanes.commit(shard(0), EPOCH, Class::Intake, vec![message(1)]);
    let refused = tokio::time::timeout(Duration::from_secs(30), accept).await;
    assert!(matches!(refused, Ok(Err(WriteError::Failed(_)))), "{refused:?}");
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(answered.try_recv().is_err(), "none of them is given up");
    let accept = lanes.commit(shard(0), EPOCH, Class::Intake, vec![message(3)]);
    let refused = tokio::time::timeout(Duration::from_secs(1), accept).await;
    assert!(matches!(refused, Ok(Err(WriteError::Failed(_)))), "not behind them: {refused:?}");

    switched.full.store(false, Ordering::Relaxed);
    let mut stored = HashSet::new();
    while stored.len() < 400 {
        let list = tokio::time::timeout(Duration::from_secs(30), answered.recv()).await;
        for answer in list.unwrap().unwrap() {
            assert!(answer.result.is_ok(), "{:?}", answer.result);
            stored.insert(answer.token);
        }
    }
    assert_eq!(switched.engine.tables.lock().unwrap().events.len(), 400);
    let accept = lanes.commit(shard(0), EPOCH, Class::Intake, vec![message(2)]);
    assert!(accept.await.is_ok());
}
