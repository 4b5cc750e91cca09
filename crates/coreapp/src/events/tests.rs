//! The log over a real database.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use contract::{
    ApiError, Code, Number, Rng, Route, ShardId,
    events::{ListQuery, MAX_WAIT_MS, Position},
};
use store::{
    Lanes, Mark, Settings, Store,
    rows::{NewEvent, Node, NodeState, Shard},
    write::{Class, Op},
};
use telemetry::{metrics::Metrics, system::SystemClock};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{Deps, EventLog, Page, log::WAITING_MAX};
use crate::{callbacks::Feed, cluster::Map, generation::Generations};

const INC: i64 = 7;
const KIND: i16 = 2;
const WAIT: Duration = Duration::from_millis(MAX_WAIT_MS as u64);

/// Counts.
struct Counter(AtomicU64);

impl Rng for Counter {
    fn fill(&self, out: &mut [u8]) {
        out.fill(self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes()[0]);
    }
}

/// A log, and the lanes that write it.
struct Bench {
    log: Arc<EventLog>,
    lanes: Lanes,
    shards: Vec<Shard>,
    stop: CancellationToken,
    waiting: telemetry::metrics::IntGauge,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("db").display());
        let settings = Settings { lanes: Some(1), ..Settings::parse(&url).unwrap() };
        let store = Store::open(settings, Arc::new(Counter(AtomicU64::new(1)))).await.unwrap();
        let (name, addr, version) = ("node".to_owned(), "127.0.0.1:1".to_owned(), "1".to_owned());
        let node = Node { inc: INC, name, addr, state: NodeState::Live, version, beat: 0 };
        store.cluster().join(&node, 1).await.unwrap();
        let seen = store.cluster().shards().await.unwrap();
        let shards = store.cluster().claim(INC, &seen).await.unwrap();
        let feed = Arc::new(Feed::new());
        let lanes = store.start_lanes(INC, feed.clone());
        for shard in &shards {
            lanes.own(shard.id, shard.epoch, 1, mpsc::unbounded_channel().0);
        }
        let stop = CancellationToken::new();
        let waiting = Metrics::new().gauge("events_waiting", "x").unwrap();
        let mut map = Map::default();
        map.mine.extend(shards.iter().map(|shard| (shard.id, shard.epoch)));
        let log = EventLog::new(Deps {
            reader: store.reader(),
            feed,
            generations: Arc::new(Generations::new(&[])),
            clock: Arc::new(SystemClock),
            map: watch::channel(Arc::new(map)).1,
            stop: stop.clone(),
            waiting: waiting.clone(),
        });
        Self { log: Arc::new(log), lanes, shards, stop, waiting, _folder: folder }
    }

    async fn write(&self, shard: i16, created_ms: i64) {
        let of = self.shards.iter().find(|of| of.id.get() == shard).unwrap();
        let event = NewEvent {
            kind: KIND,
            route: Route::of(&Number::parse("4915112345678").unwrap()),
            key: None,
            held: false,
            created_ms,
            body: Bytes::from_static(b"{}"),
            trace: None,
        };
        let ops = vec![Op::InsertEvent(event)];
        self.lanes.commit(of.id, of.epoch, Class::Hot, ops).await.unwrap();
    }

    async fn list(&self, after: Option<Position>, wait_ms: u32) -> Result<Page, ApiError> {
        self.log.list(ListQuery { after, limit: 100, wait_ms }, &|_: &Mark| true).await
    }

    /// So many callers wait.
    async fn waiting(&self, callers: usize) {
        while usize::try_from(self.waiting.get()).unwrap() != callers {
            tokio::task::yield_now().await;
        }
    }
}

fn places(page: &Page) -> Vec<(i16, i64)> {
    page.events.iter().map(|event| (event.shard.get(), event.seq)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_wait_and_one_commit_wakes_them_all() {
    let bench = Arc::new(Bench::new().await);
    let mut callers = JoinSet::new();
    for _ in 0..WAITING_MAX {
        let bench = bench.clone();
        callers.spawn(async move { bench.list(None, MAX_WAIT_MS).await });
    }
    bench.waiting(WAITING_MAX).await;
    let Err(error) = bench.list(None, MAX_WAIT_MS).await else { panic!("one too many") };
    assert_eq!((error.code, error.status()), (Code::OVERLOADED, 503));
    assert!(bench.list(None, 0).await.is_ok(), "who does not wait needs no place");

    let began = Instant::now();
    bench.write(5, 1).await;
    while let Some(page) = callers.join_next().await {
        assert_eq!(places(&page.unwrap().unwrap()), [(5, 1)]);
    }
    assert!(began.elapsed() < WAIT / 2, "the commit woke them, not the end of their time");
    bench.waiting(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_is_let_go_when_the_coreapp_stops_or_the_caller_leaves() {
    let bench = Arc::new(Bench::new().await);
    let waits =
        |bench: Arc<Bench>| tokio::spawn(async move { bench.list(None, MAX_WAIT_MS).await });
    let (leaves, stays) = (waits(bench.clone()), waits(bench.clone()));
    bench.waiting(2).await;
    leaves.abort();
    bench.waiting(1).await;
    bench.stop.cancel();
    assert!(stays.await.unwrap().unwrap().events.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_in_the_order_of_time_and_a_cursor_is_judged_by_the_log() {
    let bench = Bench::new().await;
    for (shard, created_ms) in [(1, 10), (2, 5), (1, 20), (-1, 15)] {
        bench.write(shard, created_ms).await;
    }
    let page = bench.list(None, 0).await.unwrap();
    assert_eq!(places(&page), [(2, 1), (1, 1), (-1, 1), (1, 2)]);
    assert!(bench.list(Some(page.to), 0).await.unwrap().events.is_empty());

    let mut before = page.from;
    before.set(ShardId::CONTROL, 1);
    before.set(ShardId::new(2).unwrap(), 1);
    assert_eq!(places(&bench.list(Some(before), 0).await.unwrap()), [(1, 1), (1, 2)]);
    let of = bench.shards.iter().find(|of| of.id.get() == 1).unwrap();
    let trim = vec![Op::TrimEvents { floor: 1, before_ms: 100, limit: 10 }];
    bench.lanes.commit(of.id, of.epoch, Class::Bulk, trim).await.unwrap();
    let mut beyond = page.to;
    beyond.set(ShardId::CONTROL, 2);
    for bad in [before, beyond, Position::start(2)] {
        let Err(error) = bench.list(Some(bad), 0).await else { panic!("410") };
        assert_eq!(error.status(), 410);
        let oldest = error.details.rsplit(' ').next().unwrap().parse().unwrap();
        let page = bench.list(Some(oldest), 0).await.unwrap();
        assert_eq!(places(&page), [(2, 1), (-1, 1), (1, 2)]);
    }
}
