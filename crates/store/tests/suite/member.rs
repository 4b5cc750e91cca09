//! A coreapp as the store sees one: an incarnation with lanes, and the rows it writes.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use contract::{Key, Number, Route, ShardId};
use store::{
    DeadPage, Feed, Found, Lanes, Read, ReadRequest, Store, StoreError,
    rows::{
        DeadEvent, DeadState, Event, IDEMPOTENCY_HASH_LEN, Idempotency, Identity, Job, Message,
        NewEvent, Node, NodeState, Outbox, OwnKey, Session, Shard, Tried,
    },
    write::{Answer, Class, Committed, Op, Reply, Write, WriteError},
};
use tokio::sync::{mpsc, oneshot};

/// Remembers what was committed.
#[derive(Default)]
pub(crate) struct Log(pub(crate) Mutex<Vec<Event>>);

impl Feed for Log {
    fn committed(&self, events: &[Event]) {
        self.0.lock().unwrap().extend_from_slice(events);
    }
}

/// An incarnation that has joined.
pub(crate) struct Member {
    pub(crate) inc: i64,
    pub(crate) store: Store,
    pub(crate) lanes: Lanes,
    pub(crate) log: Arc<Log>,
    pub(crate) answers: mpsc::UnboundedReceiver<Vec<Answer>>,
    answer_to: mpsc::UnboundedSender<Vec<Answer>>,
}

pub(crate) fn node(inc: i64) -> Node {
    Node {
        inc,
        name: format!("node-{inc}"),
        addr: format!("127.0.0.1:{}", 6250 + inc),
        state: NodeState::Live,
        version: "0.1.0".to_owned(),
        beat: 0,
    }
}

impl Member {
    pub(crate) async fn join(store: &Store, inc: i64) -> Self {
        store.cluster().join(&node(inc), store.facts().lanes).await.unwrap();
        let log = Arc::new(Log::default());
        let lanes = store.start_lanes(inc, log.clone());
        let (answer_to, answers) = mpsc::unbounded_channel();
        Self { inc, store: store.clone(), lanes, log, answers, answer_to }
    }

    /// Claims shards from whoever has them, as a take-over does, and owns them in the lanes.
    pub(crate) async fn take(&self, ids: &[ShardId]) -> Vec<Shard> {
        let mut seen = self.store.cluster().shards().await.unwrap();
        seen.retain(|shard| ids.contains(&shard.id));
        let claimed = self.store.cluster().claim(self.inc, &seen).await.unwrap();
        assert_eq!(claimed.len(), ids.len());
        for shard in &claimed {
            let load = self.store.reader().load_shard(shard.id).await.unwrap();
            let answers = self.answer_to.clone();
            self.lanes.own(shard.id, shard.epoch, load.next_seq(), answers);
        }
        claimed
    }

    /// Writes and waits for the outcome.
    pub(crate) async fn write(
        &self,
        shard: ShardId,
        epoch: i64,
        ops: Vec<Op>,
    ) -> Result<Committed, WriteError> {
        let (reply, outcome) = oneshot::channel();
        let reply = Reply::Once(reply);
        self.lanes.submit(Write { shard, epoch, class: Class::Hot, ops, reply });
        outcome.await.expect("a write was not answered")
    }
}

pub(crate) fn shard(id: i16) -> ShardId {
    ShardId::new(id).unwrap()
}

pub(crate) fn key(n: u64) -> Key {
    let mut bytes = [0x65; 12];
    bytes[4..].copy_from_slice(&n.to_be_bytes());
    Key::from_bytes(&bytes).unwrap()
}

pub(crate) fn number(n: u64) -> Number {
    Number::parse(&format!("4915{n:09}")).unwrap()
}

pub(crate) fn message(n: u64) -> Message {
    Message {
        key: key(n),
        created_ms: 1_700_000_000_000,
        body_hash: [7; 32],
        body: Bytes::from(vec![1; 300]),
        trace: None,
    }
}

pub(crate) fn job(n: u64) -> Job {
    Job {
        id: i64::try_from(n).unwrap(),
        key: key(n),
        route: Route::of(&number(n)),
        created_ms: 1_700_000_000_000,
        header: Bytes::from_static(b"\x01header"),
        trace: None,
    }
}

pub(crate) fn outbox(n: u64, device: i32) -> Outbox {
    Outbox { key: key(n), device, kind: 2, payload: Bytes::from(vec![0xee; 200]) }
}

pub(crate) fn session(n: u64, device: i32, record: impl Into<Bytes>) -> Session {
    Session { wa_id: number(n), device, generation: 1, record: record.into() }
}

pub(crate) fn identity(n: u64, device: i32) -> Identity {
    Identity {
        wa_id: number(n),
        device,
        key: Bytes::from(vec![5; 33]),
        created_ms: 1_700_000_000_000,
        acknowledged: device == 0,
    }
}

pub(crate) fn own_key(kind: i16, id: i64) -> OwnKey {
    OwnKey { kind, id, state: 1, created_ms: 7, body: Bytes::from(vec![8; 65]) }
}

pub(crate) const DAY_MS: i64 = 86_400_000;

/// The `n`-th key of a client, made at a time.
pub(crate) fn idempotency(n: u8, created_ms: i64) -> Idempotency {
    Idempotency { hash: [n; IDEMPOTENCY_HASH_LEN], created_ms, key: key(n.into()) }
}

/// What is found of it within the day before a time.
pub(crate) async fn known(store: &Store, shard: ShardId, n: u8, to_ms: i64) -> Option<Idempotency> {
    let hash = [n; IDEMPOTENCY_HASH_LEN];
    let what = Read::Idempotency { hash, from_ms: to_ms - DAY_MS, to_ms };
    match look_up(store, shard, what).await.unwrap() {
        Found::Idempotency(row) => row,
        found => panic!("{found:?}"),
    }
}

/// What is stored about a contact's devices.
pub(crate) async fn peer(store: &Store, shard: ShardId, n: u64) -> (Vec<Session>, Vec<Identity>) {
    match look_up(store, shard, Read::Peer(number(n))).await.unwrap() {
        Found::Peer { sessions, identities } => (sessions, identities),
        found => panic!("{found:?}"),
    }
}

pub(crate) async fn look_up(
    store: &Store,
    shard: ShardId,
    what: Read,
) -> Result<Found, Arc<StoreError>> {
    let (to, mut answers) = mpsc::unbounded_channel();
    store.reader().submit(ReadRequest { shard, token: 1, what }, to);
    let mut list = answers.recv().await.unwrap();
    list.pop().unwrap().result
}

pub(crate) fn event(body: impl Into<Bytes>) -> NewEvent {
    NewEvent {
        kind: 3,
        route: Route::of(&number(1)),
        key: Some(key(1)),
        held: false,
        created_ms: 1_700_000_000_000,
        body: body.into(),
        trace: None,
    }
}

/// A parked event of endpoint 0.
pub(crate) fn dead_event(seq: i64) -> DeadEvent {
    let (state, due_ms) = (DeadState::Parked, 1_000 + seq);
    DeadEvent {
        endpoint: 0,
        seq,
        state,
        due_ms,
        tries: 5,
        tried: Tried::default(),
        event: event("parked"),
    }
}

/// Those of endpoint 0.
pub(crate) async fn dead_events(store: &Store, shard: ShardId, state: DeadState) -> Vec<DeadEvent> {
    let page = DeadPage { endpoint: 0, shard, state, after_seq: 0, limit: 128 };
    store.reader().dead_events(page).await.unwrap()
}

/// The whole log of a shard.
pub(crate) async fn log(store: &Store, shard: ShardId) -> Vec<Event> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map_or(0, |event: &Event| event.seq);
        let page = store.reader().events(shard, after, 128).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Asserts that a log has no gap, from 1.
pub(crate) fn assert_gap_free(log: &[Event]) {
    let seqs: Vec<_> = log.iter().map(|event| event.seq).collect();
    let expected: Vec<_> = (1..).take(seqs.len()).collect();
    assert_eq!(seqs, expected);
}
