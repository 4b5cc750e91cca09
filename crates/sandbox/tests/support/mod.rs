//! A coreapp that seals, and calls of the control API.
#![allow(dead_code, reason = "each test uses a part")]

#[path = "../../../../tests/support/device.rs"]
pub mod device;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use contract::{Clock, Key, Number, Route, ShardId};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use sandbox::{Config, Running};
use serde_json::Value;
use session::Bundle;
use tokio::{sync::mpsc, time::timeout};
use upstream::{
    Envelope, Inbound, Incoming, Item, Outgoing, Receipt, ReceiptKind, Refused, Retry, SendItem,
    Sent, Upstream, sandbox::Sandbox,
};

#[allow(unused_imports, reason = "not every test has devices of its own")]
pub use device::{Counting, Device};

pub const DEADLINE: Duration = Duration::from_secs(30);
pub const OWN: &str = "15550100100";

pub struct Fixed;

impl Clock for Fixed {
    fn unix_ms(&self) -> i64 {
        1_700_000_000_000
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
        let send =
            SendItem { shard, epoch: 1, key, to, category: "text", envelopes, left_out: vec![] };
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

/// The only bundle of a phone with one device.
pub async fn bundle(sandbox: &Sandbox, of: &str) -> Bundle {
    let mut users = sandbox.fetch_bundles(vec![number(of)]).await.unwrap();
    let mut devices = users.remove(0).devices;
    assert_eq!((devices.len(), devices[0].device), (1, 0));
    devices.remove(0).bundle.unwrap()
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
