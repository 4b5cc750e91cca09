//! A coreapp that seals, and calls of the control API.
#![allow(dead_code, reason = "each test uses a part")]

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use contract::{Clock, Key, Number, Rng, Route, ShardId};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use sandbox::{Config, Running};
use serde_json::Value;
use session::{
    Bundle, Identity, LoadedKeys, Message, OneTimePreKey, PreKeyId, PreKeyMessage, Record,
    SignedPreKey,
};
use tokio::{sync::mpsc, time::timeout};
use upstream::{
    Envelope, EnvelopeKind, Inbound, Incoming, Item, Outgoing, OwnKeys, Receipt, ReceiptKind,
    Refused, Retry, SendItem, Sent, Upstream, sandbox::Sandbox,
};

pub const DEADLINE: Duration = Duration::from_secs(30);
pub const OWN: &str = "15550100100";

pub struct Fixed;

impl Clock for Fixed {
    fn unix_ms(&self) -> i64 {
        1_700_000_000_000
    }
}

/// Bytes that differ from draw to draw and from one counter to the next.
pub struct Counting(AtomicU64);

impl Counting {
    pub fn from(first: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(first << 32)))
    }
}

impl Rng for Counting {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let n = self.0.fetch_add(1, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
            let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            for (place, byte) in chunk.iter_mut().zip((n ^ (n >> 31)).to_le_bytes()) {
                *place = byte;
            }
        }
    }
}

pub fn config() -> Config {
    let free = "127.0.0.1:0".parse().unwrap();
    Config { listen: free, http: free, latency_ms: (1, 5), ..Config::default() }
}

pub async fn start() -> Running {
    sandbox::start(config(), Arc::new(Fixed), Counting::from(1)).await.unwrap()
}

pub fn client(running: &Running) -> Sandbox {
    Sandbox::new(&format!("http://{}", running.grpc), number(OWN)).unwrap()
}

pub fn number(digits: &str) -> Number {
    digits.parse().unwrap()
}

pub fn key(n: u8) -> Key {
    Key::from_bytes(&[n; 9]).unwrap()
}

/// A coreapp's end of the link.
pub struct Coreapp {
    pub out: mpsc::Sender<Outgoing>,
    events: mpsc::Receiver<Vec<Incoming>>,
    waiting: VecDeque<Incoming>,
}

impl Coreapp {
    pub fn start(sandbox: &Sandbox) -> Self {
        let (out, outgoing) = mpsc::channel(64);
        let (incoming, events) = mpsc::channel(64);
        let sandbox = sandbox.clone();
        tokio::spawn(async move { sandbox.link(outgoing, incoming).await });
        Self { out, events, waiting: VecDeque::new() }
    }

    /// Attached to the shard of a number.
    pub async fn attached(sandbox: &Sandbox, to: &str) -> Self {
        let mut coreapp = Self::start(sandbox);
        assert_eq!(coreapp.next().await, Incoming::Connected);
        coreapp.hello(Route::of(&number(to)).shard(), 1).await;
        coreapp
    }

    pub async fn next(&mut self) -> Incoming {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return event;
            }
            let events = timeout(DEADLINE, self.events.recv()).await;
            self.waiting.extend(events.expect("nothing came in time").expect("the link ended"));
        }
    }

    pub async fn item(&mut self) -> (u64, Item) {
        match self.next().await {
            Incoming::Item { seq, item, .. } => (seq, item),
            other => panic!("no item: {other:?}"),
        }
    }

    pub async fn hello(&mut self, shard: ShardId, epoch: i64) -> Item {
        let hello = Outgoing::Hello { generation: 1, shards: vec![(shard, epoch)] };
        self.out.send(hello).await.unwrap();
        self.item().await.1
    }

    pub async fn send(&mut self, to: &str, key: Key, envelopes: Vec<Envelope>) {
        let to = number(to);
        let shard = Route::of(&to).shard();
        let send = SendItem { shard, epoch: 1, key, to, category: "text", envelopes };
        self.out.send(Outgoing::Send(send)).await.unwrap();
    }

    pub async fn answer(&mut self) -> Result<Sent, Refused> {
        match self.item().await.1 {
            Item::Answer { result, .. } => result,
            other => panic!("no answer: {other:?}"),
        }
    }

    pub async fn receipt(&mut self) -> Receipt {
        match self.item().await.1 {
            Item::Receipt(receipt) => receipt,
            other => panic!("no receipt: {other:?}"),
        }
    }

    /// Answered, delivered, read.
    pub async fn goes_through(&mut self) {
        self.answer().await.unwrap();
        assert_eq!(self.receipt().await.kind, ReceiptKind::Delivered);
        assert_eq!(self.receipt().await.kind, ReceiptKind::Read);
    }

    pub async fn retry(&mut self) -> Retry {
        match self.receipt().await.kind {
            ReceiptKind::Retry(retry) => retry,
            other => panic!("no retry: {other:?}"),
        }
    }

    pub async fn inbound(&mut self) -> Inbound {
        match self.item().await.1 {
            Item::Inbound(inbound) => inbound,
            other => panic!("nothing inbound: {other:?}"),
        }
    }
}

/// Keys and sessions of one device: of the business, or of an outside phone.
pub struct Device {
    pub identity: Identity,
    pub signed: SignedPreKey,
    pub one_time: Vec<OneTimePreKey>,
    rng: Arc<Counting>,
    sessions: HashMap<(String, u32), Record>,
}

impl Device {
    pub fn new(seed: u64, one_time: u32) -> Self {
        let rng = Counting::from(seed);
        let id = |id| PreKeyId::new(id).unwrap();
        let identity = Identity::generate(&rng);
        Self {
            signed: SignedPreKey::generate(&identity, id(1), &rng),
            one_time: (1..=one_time).map(|n| OneTimePreKey::generate(id(n), &rng)).collect(),
            identity,
            rng,
            sessions: HashMap::new(),
        }
    }

    pub fn own_keys(&self) -> OwnKeys {
        OwnKeys {
            registration_id: self.identity.registration_id(),
            identity: *self.identity.key(),
            signed: self.signed.public(),
            one_time: self.one_time.iter().map(OneTimePreKey::public).collect(),
        }
    }

    pub fn begin(&mut self, with: &str, device: u32, bundle: &Bundle) {
        let record = self.sessions.remove(&(with.to_owned(), device)).unwrap_or_default();
        let record = record.initiate(&self.identity, bundle, 0, &self.rng).unwrap();
        self.sessions.insert((with.to_owned(), device), record);
    }

    pub fn seal(&mut self, to: &str, device: u32, text: &str) -> Envelope {
        let record = self.sessions.remove(&(to.to_owned(), device)).expect("a session");
        let (record, sealed) = record.encrypt(text.as_bytes()).unwrap();
        self.sessions.insert((to.to_owned(), device), record);
        let kind = match sealed.kind {
            session::Kind::PreKey => EnvelopeKind::PreKey,
            session::Kind::Message => EnvelopeKind::Message,
        };
        Envelope { device, kind, ciphertext: sealed.bytes.into() }
    }

    pub fn open(&mut self, from: &str, envelope: &Envelope) -> String {
        let at = (from.to_owned(), envelope.device);
        let record = self.sessions.remove(&at).unwrap_or_default();
        let plaintext;
        let record = if envelope.kind == EnvelopeKind::PreKey {
            let message = PreKeyMessage::decode(&envelope.ciphertext).unwrap();
            let place =
                self.one_time.iter().position(|key| Some(key.id()) == message.one_time_id());
            let signed = SignedPreKey::from_bytes(&self.signed.to_bytes()).unwrap();
            let one_time = place.map(|place| self.one_time.remove(place));
            let keys = LoadedKeys { signed: Some(signed), one_time };
            let accepted = record.accept(&self.identity, &message, &keys, &self.rng).unwrap();
            plaintext = accepted.plaintext;
            accepted.record
        } else {
            let message = Message::decode(&envelope.ciphertext).unwrap();
            let (record, text) = record.decrypt(&message, &self.rng).unwrap();
            plaintext = text;
            record
        };
        self.sessions.insert(at, record);
        String::from_utf8(plaintext.as_bytes().to_vec()).unwrap()
    }
}

/// The only bundle of a phone with one device.
pub async fn bundle(sandbox: &Sandbox, of: &str) -> Bundle {
    let mut users = sandbox.fetch_bundles(vec![number(of)]).await.unwrap();
    let mut devices = users.remove(0).devices;
    assert_eq!((devices.len(), devices[0].device), (1, 0));
    devices.remove(0).bundle
}

pub async fn call(running: &Running, method: &str, path: &str, body: &str) -> (u16, Value) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = axum::http::Request::builder()
        .method(method)
        .uri(format!("http://{}{path}", running.http))
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .unwrap();
    let response = client.request(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

/// What a phone has decrypted: contents are texts like `{"n":1}`.
pub async fn received(running: &Running, phone: &str) -> Vec<Value> {
    let (status, answer) = call(running, "GET", &format!("/phones/{phone}/messages"), "").await;
    assert_eq!(status, 200);
    answer["messages"].as_array().unwrap().clone()
}
