//! Callbacks a second, and the processor time of one, against a sink that does nothing.
//!
//! `cargo bench -p coreapp --bench callbacks [-- EVENTS]`: the dispatcher at 6, 24 and 256 POSTs in
//! flight, one and fifty events a POST, from a log in memory; in the same run, as the floor, loops
//! that write a prepared request and read its answer. The sink is a process of its own, so that the
//! time shown is the sender's.
#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a measurement ends by panicking"
)]

use std::{
    collections::HashMap,
    env, fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use contract::{Clock, Route, ShardId, settings::Application};
use coreapp::{
    callbacks::{Callbacks, Deps, Feed, Log, LogError, start},
    egress::{Allow, Egress, Policy},
};
use futures_util::{FutureExt, future::BoxFuture};
use store::{
    Feed as _, ShardLoad,
    rows::{DeadEvent, Event, NewEvent},
    write::Op,
};
use telemetry::{
    metrics::Metrics,
    system::{SystemClock, SystemRng},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    time::Instant,
};

const CONCURRENCY: [u32; 3] = [6, 24, 256];
const BATCHES: [u32; 2] = [1, 50];
const EVENTS: usize = 60_000;
const SHARDS: i16 = 8;
const CONVERSATIONS: usize = 5_000;
/// A delivered status as it is stored, with another id.
const BODY: &str = r#"{"statuses":[{"id":"gBEGFjFVUQAAAglXv5ZZZZZZZZZ","recipient_id":"16315550111","status":"delivered","timestamp":"1704070810","type":"message","message":{"recipient_id":"+1 631 555 0111"}}]}"#;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// Clock ticks a second of `/proc`.
const TICKS: f64 = 100.0;

fn main() {
    let args: Vec<_> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.first().is_some_and(|arg| arg == "--sink") {
        runtime().block_on(sink());
        return;
    }
    let events = args.first().and_then(|arg| arg.parse().ok()).unwrap_or(EVENTS);
    println!(
        "{:<12} {:>11} {:>6} {:>14} {:>12}",
        "sender", "concurrency", "batch", "callbacks/s", "CPU us each"
    );
    for concurrency in CONCURRENCY {
        let (mut sink, address) = new_sink();
        show("floor", concurrency, 1, events, || {
            runtime().block_on(floor(address, concurrency, events));
        });
        for batch in BATCHES {
            // Without what only one of them does: making the events and the runtime.
            let log = Arc::new(Memory::new(events));
            let runtime = runtime();
            show("dispatcher", concurrency, batch, events, || {
                runtime.block_on(dispatcher(address, concurrency, batch, log));
            });
        }
        sink.kill().unwrap();
        sink.wait().unwrap();
    }
}

fn show(what: &str, concurrency: u32, batch: u32, events: usize, work: impl FnOnce()) {
    let (began, cpu) = (Instant::now(), cpu_s());
    work();
    let (took, cpu) = (began.elapsed().as_secs_f64(), cpu_s() - cpu);
    let (rate, each) = (events as f64 / took, cpu * 1e6 / events as f64);
    println!("{what:<12} {concurrency:>11} {batch:>6} {rate:>14.0} {each:>12.1}");
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// User and system time of this process so far.
fn cpu_s() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |n: usize| fields[n].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / TICKS
}

fn new_sink() -> (Child, SocketAddr) {
    let mut sink = Command::new(env::current_exe().unwrap());
    let mut sink = sink.arg("--sink").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(sink.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (sink, line.trim().parse().unwrap())
}

async fn sink() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let mut buffer = Vec::with_capacity(64 << 10);
            loop {
                while let Some(length) = whole(&buffer) {
                    buffer.drain(..length);
                    if stream.write_all(ANSWER).await.is_err() {
                        return;
                    }
                }
                if !stream.read_buf(&mut buffer).await.is_ok_and(|n| n > 0) {
                    return;
                }
            }
        });
    }
}

/// Length of the first request, once it is all there.
fn whole(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).unwrap().to_ascii_lowercase();
    let length = text.split("content-length: ").nth(1)?.split("\r\n").next()?;
    let end = head + length.parse::<usize>().unwrap();
    (buffer.len() >= end).then_some(end)
}

async fn floor(address: SocketAddr, concurrency: u32, events: usize) {
    let head = format!(
        "POST / HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        BODY.len()
    );
    let request = Bytes::from(format!("{head}{BODY}"));
    let tasks = (0..concurrency).map(|n| {
        let request = request.clone();
        let (n, all) = (n as usize, concurrency as usize);
        let count = events / all + usize::from(n < events % all);
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut answer = [0; ANSWER.len()];
            for _ in 0..count {
                stream.write_all(&request).await.unwrap();
                stream.read_exact(&mut answer).await.unwrap();
            }
        })
    });
    futures_util::future::join_all(tasks).await;
}

async fn dispatcher(address: SocketAddr, concurrency: u32, batch: u32, log: Arc<Memory>) {
    let feed = Arc::new(Feed::new());
    let allow = Allow::parse(&["http", "loopback"]).unwrap();
    let callbacks: Callbacks = start(Deps {
        log: log.clone(),
        feed: feed.clone(),
        egress: Arc::new(Egress::new(&Policy::new(allow), Vec::new()).unwrap()),
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng::new()),
        traces: telemetry::Traces::default(),
        metrics: Metrics::new(),
        generation: Box::new(|_, _| 1),
        may_post: Box::new(|| true),
    })
    .unwrap();
    for (shard, events) in &log.events {
        let max_event_seq = i64::try_from(events.len()).unwrap();
        let load = ShardLoad { max_event_seq, ..ShardLoad::default() };
        callbacks.attach(*shard, 1, &load).unwrap();
        // The last event, so that the feed is part of what is measured.
        feed.committed(&events[events.len() - 1..]);
    }
    let mut application = Application::default();
    application.webhooks.url = format!("http://{address}/");
    application.webhooks.max_concurrent_requests = concurrency;
    application.heliograph.webhooks.batch_max = batch;
    callbacks.settings(&application);
    while callbacks.unsettled() > 0 || log.saved.lock().unwrap().len() < log.events.len() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A log in memory.
struct Memory {
    events: HashMap<ShardId, Vec<Event>>,
    saved: Mutex<HashMap<ShardId, i64>>,
}

impl Memory {
    fn new(count: usize) -> Self {
        let created_ms = SystemClock.unix_ms();
        let mut events: HashMap<_, Vec<_>> = HashMap::new();
        for n in 0..count {
            let conversation = i64::try_from(n % CONVERSATIONS).unwrap();
            let shard = ShardId::new(i16::try_from(conversation).unwrap() % SHARDS).unwrap();
            let log = events.entry(shard).or_default();
            let seq = i64::try_from(log.len()).unwrap() + 1;
            let body = Bytes::from(BODY.replace("ZZZZZZZZZ", &format!("{n:09}")));
            let route = Route::from_i64(conversation);
            let event =
                NewEvent { kind: 1, route, key: None, held: false, created_ms, body, trace: None };
            log.push(Event { shard, seq, event });
        }
        Self { events, saved: Mutex::default() }
    }
}

impl Log for Memory {
    fn page(
        &self,
        shard: ShardId,
        after: i64,
        limit: u32,
    ) -> BoxFuture<'static, Result<Vec<Event>, LogError>> {
        let events = &self.events[&shard];
        let from = usize::try_from(after).unwrap().min(events.len());
        let page = events[from..].iter().take(limit as usize).cloned().collect();
        async { Ok(page) }.boxed()
    }

    fn parked(
        &self,
        _endpoint: i16,
        _shard: ShardId,
        _after: i64,
        _limit: u32,
    ) -> BoxFuture<'static, Result<Vec<DeadEvent>, LogError>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn save(
        &self,
        shard: ShardId,
        _epoch: i64,
        ops: Vec<Op>,
    ) -> BoxFuture<'static, Result<(), LogError>> {
        for op in ops {
            if let Op::PutCursor(cursor) = op {
                self.saved.lock().unwrap().insert(shard, cursor.read_to);
            }
        }
        async { Ok(()) }.boxed()
    }
}
