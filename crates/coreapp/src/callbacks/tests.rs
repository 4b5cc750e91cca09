//! The dispatcher over real sockets, against webhooks that behave in one way each.

mod outcomes;
mod signing;
mod webhook;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use contract::{Clock, Rng, Route, ShardId, settings::Application};
use futures_util::{FutureExt, future::BoxFuture};
use rustls::pki_types::CertificateDer;
use store::{
    Feed as _, ShardLoad,
    rows::{Cursor, DeadEvent, DeadState, Event, NewEvent},
    write::Op,
};
use telemetry::{metrics::Metrics, system::SystemClock};
use tokio::time::{Instant, sleep};

use super::{Callbacks, Deps, Feed, Log, LogError, start, worker::POST_TIMEOUT};
use crate::egress::{Allow, Egress, Policy};
use webhook::{Answer, Webhook};

/// A wait that a passing test never spends.
const PATIENCE: Duration = Duration::from_secs(20);
/// A retry delay that a passing test never waits for.
const LONG_MS: u32 = 60_000;

struct Zeros;

impl Rng for Zeros {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0);
    }
}

/// An event log in memory.
#[derive(Default)]
struct Memory {
    events: Mutex<HashMap<ShardId, Vec<Event>>>,
    cursors: Mutex<HashMap<ShardId, Cursor>>,
    dead: Mutex<BTreeMap<(ShardId, i64), DeadEvent>>,
    /// What was written to the log by the dispatcher itself.
    notices: Mutex<Vec<NewEvent>>,
}

impl Log for Memory {
    fn page(
        &self,
        shard: ShardId,
        after: i64,
        limit: u32,
    ) -> BoxFuture<'static, Result<Vec<Event>, LogError>> {
        let events = self.events.lock().unwrap();
        let of = events.get(&shard).into_iter().flatten().filter(|event| event.seq > after);
        let page = of.take(limit as usize).cloned().collect();
        async { Ok(page) }.boxed()
    }

    fn save(
        &self,
        shard: ShardId,
        _epoch: i64,
        ops: Vec<Op>,
    ) -> BoxFuture<'static, Result<(), LogError>> {
        for op in ops {
            match op {
                Op::PutCursor(cursor) => drop(self.cursors.lock().unwrap().insert(shard, cursor)),
                Op::PutDeadEvent(row) => {
                    drop(self.dead.lock().unwrap().insert((shard, row.seq), row));
                }
                Op::DeleteDeadEvent { seq, .. } => {
                    drop(self.dead.lock().unwrap().remove(&(shard, seq)));
                }
                Op::InsertEvent(event) => self.notices.lock().unwrap().push(event),
                other => panic!("{other:?}"),
            }
        }
        async { Ok(()) }.boxed()
    }

    fn parked(
        &self,
        _endpoint: i16,
        shard: ShardId,
        after: i64,
        limit: u32,
    ) -> BoxFuture<'static, Result<Vec<DeadEvent>, LogError>> {
        let dead = self.dead.lock().unwrap();
        let rows = dead.range((shard, after + 1)..=(shard, i64::MAX)).map(|(_, row)| row.clone());
        let parked = rows.filter(|row| row.state == DeadState::Parked);
        let page = parked.take(limit as usize).collect();
        async { Ok(page) }.boxed()
    }
}

/// One coreapp with one shard.
struct Node {
    clock: Arc<dyn Clock>,
    log: Arc<Memory>,
    feed: Arc<Feed>,
    may_post: Arc<AtomicBool>,
    metrics: Metrics,
    callbacks: Callbacks,
}

fn shard() -> ShardId {
    ShardId::new(7).unwrap()
}

impl Node {
    fn start(log: Arc<Memory>, roots: Vec<CertificateDer<'static>>) -> Self {
        Self::at(Arc::new(SystemClock), log, roots)
    }

    fn at(clock: Arc<dyn Clock>, log: Arc<Memory>, roots: Vec<CertificateDer<'static>>) -> Self {
        let feed = Arc::new(Feed::new());
        let may_post = Arc::new(AtomicBool::new(true));
        let metrics = Metrics::new();
        let allow = Allow::parse(&["http", "loopback"]).unwrap();
        let asked = may_post.clone();
        let callbacks = start(Deps {
            traces: telemetry::Traces::default(),
            log: log.clone(),
            feed: feed.clone(),
            egress: Arc::new(Egress::new(&Policy::new(allow), roots).unwrap()),
            clock: clock.clone(),
            rng: Arc::new(Zeros),
            metrics: metrics.clone(),
            generation: Box::new(|_, _| 3),
            may_post: Box::new(move || asked.load(Ordering::Relaxed)),
        });
        let callbacks = callbacks.unwrap();
        let node = Self { clock, log, feed, may_post, metrics, callbacks };
        let load = ShardLoad {
            max_event_seq: node.head(),
            cursors: node.log.cursors.lock().unwrap().get(&shard()).cloned().into_iter().collect(),
            ..ShardLoad::default()
        };
        node.callbacks.attach(shard(), 1, &load).unwrap();
        node
    }

    fn new(url: &str, backoff_ms: u32) -> Self {
        let node = Self::start(Arc::default(), Vec::new());
        node.settings(url, backoff_ms, 6);
        node
    }

    fn settings(&self, url: &str, backoff_ms: u32, concurrency: u32) {
        self.callbacks.settings(&Self::application(url, backoff_ms, concurrency));
    }

    fn application(url: &str, backoff_ms: u32, concurrency: u32) -> Application {
        let mut application = Application::default();
        application.callback_backoff_delay_ms = backoff_ms;
        application.max_callback_backoff_delay_ms = backoff_ms * 4;
        application.webhooks.url = url.to_owned();
        application.webhooks.max_concurrent_requests = concurrency;
        application
    }

    fn commit(&self, conversation: i64, body: &str) {
        let mut events = self.log.events.lock().unwrap();
        let log = events.entry(shard()).or_default();
        let event = NewEvent {
            kind: 1,
            route: Route::from_i64(conversation),
            key: None,
            held: false,
            created_ms: self.clock.unix_ms(),
            body: Bytes::from(body.to_owned()),
            trace: None,
        };
        let seq = i64::try_from(log.len()).unwrap() + 1;
        let event = Event { shard: shard(), seq, event };
        log.push(event.clone());
        drop(events);
        self.feed.committed(&[event]);
    }

    fn head(&self) -> i64 {
        let events = self.log.events.lock().unwrap();
        i64::try_from(events.get(&shard()).map_or(0, Vec::len)).unwrap()
    }

    /// Waits until the saved cursor says that everything is settled.
    async fn settled(&self) {
        let head = self.head();
        eventually("everything to be settled and saved", || {
            let cursors = self.log.cursors.lock().unwrap();
            let saved = cursors.get(&shard());
            saved.is_some_and(|cursor| cursor.read_to == head && cursor.holes.is_empty())
                && self.callbacks.unsettled() == 0
                && self.callbacks.floor(shard()) == head
        })
        .await;
    }

    fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let families = self.metrics.snapshot();
        // Labelled metrics appear with their first sample.
        let family = families.iter().filter(|family| family.name == name);
        let matches = |(name, value): &(&str, &str), sample: &telemetry::metrics::Sample| {
            sample.labels.get(*name).is_some_and(|found| found == value)
        };
        let samples = family.flat_map(|family| &family.samples);
        samples.filter(|s| labels.iter().all(|label| matches(label, s))).map(|s| s.value).sum()
    }
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_webhook_that_answers_500_twice_gets_the_event_a_third_time_under_the_same_id() {
    let webhook = Webhook::new(|n, _| Answer::Status(if n < 2 { 500 } else { 200 })).await;
    let node = Node::new(&webhook.url("/in?k=1"), 5);
    node.commit(1, r#"{"statuses":[]}"#);
    node.settled().await;

    let received = webhook.received();
    assert_eq!(received.len(), 3);
    for post in &received {
        assert_eq!(post.line, "POST /in?k=1 HTTP/1.1");
        assert_eq!(post.body, r#"{"statuses":[]}"#);
        assert_eq!(post.header("webhook-id"), "3.7.1");
        assert_eq!(post.header("content-type"), "application/json");
        assert_eq!(post.header("host"), webhook.address().to_string());
        assert!(post.header("user-agent").starts_with("heliograph/"));
    }
    let mut ids: Vec<_> = received.iter().map(|post| post.header("x-request-id")).collect();
    ids.dedup();
    assert_eq!(ids.len(), 3, "each try is a request of its own");
    assert!(received.iter().all(|post| post.connection == 0), "over one connection");
    let of =
        |result| node.metric("callback_requests", &[("type", "status_change"), ("result", result)]);
    assert_eq!((of("500"), of("success")), (2.0, 1.0));
}

#[tokio::test]
async fn answers_other_than_200_are_no_success() {
    let statuses = [201, 204, 302, 404, 503, 200];
    let webhook = Webhook::new(move |n, _| Answer::Status(statuses[n])).await;
    let node = Node::new(&webhook.url("/"), 2);
    node.commit(1, "{}");
    node.settled().await;
    // The sixth try is one of a parked event.
    eventually("the 200", || node.metric("callbacks_delivered", &[]) == 1.0).await;
    assert_eq!(webhook.received().len(), statuses.len(), "and the redirect was not followed");
}

#[tokio::test]
async fn a_webhook_that_is_dead_for_a_while_gets_everything_in_order_when_it_is_back() {
    let webhook = Webhook::new(|_, _| Answer::Status(200)).await;
    let (address, url) = (webhook.address(), webhook.url("/"));
    drop(webhook);
    let node = Node::new(&url, 20);
    for n in 0..200 {
        node.commit(n % 20, &n.to_string());
    }
    eventually("the breaker to open", || node.metric("callback_endpoint_up", &[]) == 0.0).await;
    // Of a dead endpoint nothing is asked but probes, one at a time.
    let tried = node.metric("callback_requests", &[("result", "unreachable")]);
    assert!(tried < 12.0, "{tried} tries");
    assert_eq!(node.callbacks.unsettled(), 200);

    let webhook = Webhook::at(address, |_, _| Answer::Status(200)).await;
    node.settled().await;
    assert_eq!(node.metric("callback_endpoint_up", &[]), 1.0);
    let mut last = HashMap::new();
    for post in webhook.received() {
        let n: i64 = post.body.parse().unwrap();
        let before = last.insert(n % 20, n);
        assert!(before.is_none_or(|before| before == n - 20), "{before:?} then {n}");
    }
    assert_eq!(last.len(), 20);
}

#[tokio::test]
async fn a_webhook_that_closes_the_connection_is_asked_again_at_once() {
    // Every second request finds its connection closed before an answer.
    let closes = |n, _: &str| if n % 2 == 1 { Answer::Close } else { Answer::Status(200) };
    let webhook = Webhook::new(closes).await;
    let node = Node::new(&webhook.url("/"), LONG_MS);
    for n in 0..10 {
        node.commit(1, &n.to_string());
    }
    node.settled().await;
    let bodies: Vec<_> = webhook.received().into_iter().map(|post| post.body).collect();
    let twice = (0..10).flat_map(|n: i32| vec![n.to_string(); if n == 0 { 1 } else { 2 }]);
    assert_eq!(bodies, twice.collect::<Vec<_>>());
}

#[tokio::test]
async fn a_webhook_that_says_nothing_is_given_up_after_fifteen_seconds() {
    let silent = |n, _: &str| if n == 0 { Answer::Silence } else { Answer::Status(200) };
    let webhook = Webhook::new(silent).await;
    let node = Node::new(&webhook.url("/"), 5);
    node.commit(1, "{}");
    eventually("the POST", || webhook.received().len() == 1).await;
    let timeouts = || node.metric("callback_requests", &[("result", "timeout")]);
    tokio::time::pause();
    tokio::time::advance(POST_TIMEOUT - Duration::from_secs(1)).await;
    tokio::task::yield_now().await;
    assert_eq!(timeouts(), 0.0);
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
    eventually("the time-out", || timeouts() == 1.0).await;
    node.settled().await;
    assert_eq!(webhook.received().len(), 2);
}

#[tokio::test]
async fn an_answer_is_not_read_without_end() {
    let webhook = Webhook::new(|_, _| Answer::Endless).await;
    let node = Node::new(&webhook.url("/"), LONG_MS);
    node.commit(1, "{}");
    node.commit(1, "{}");
    node.settled().await;
    let connections: Vec<_> = webhook.received().iter().map(|post| post.connection).collect();
    assert_eq!(connections, [0, 1], "the connection is given up, the 200 counts");
}

#[tokio::test]
async fn not_more_posts_than_allowed_fly_and_the_limit_can_be_moved() {
    let webhook = Webhook::new(|_, _| Answer::Slow(200)).await;
    let node = Node::start(Arc::default(), Vec::new());
    node.settings(&webhook.url("/"), LONG_MS, 2);
    for n in 0..40 {
        node.commit(n, "{}");
    }
    eventually("some answers", || webhook.received().len() >= 10).await;
    assert_eq!(webhook.most_at_once(), 2);
    node.settings(&webhook.url("/"), LONG_MS, 12);
    node.settled().await;
    assert!(webhook.most_at_once() > 2 && webhook.most_at_once() <= 12);
}

#[tokio::test]
async fn nothing_is_sent_while_the_shards_may_be_anothers() {
    let webhook = Webhook::new(|_, _| Answer::Status(200)).await;
    let node = Node::start(Arc::default(), Vec::new());
    node.may_post.store(false, Ordering::Relaxed);
    node.settings(&webhook.url("/"), LONG_MS, 6);
    node.commit(1, "{}");
    eventually("the event to be seen", || node.callbacks.unsettled() == 1).await;
    sleep(Duration::from_millis(150)).await;
    assert!(webhook.received().is_empty());
    node.may_post.store(true, Ordering::Relaxed);
    node.settled().await;
    assert_eq!(webhook.received().len(), 1);
}

#[tokio::test]
async fn without_settings_events_are_kept_and_without_a_url_they_are_discarded() {
    let node = Node::start(Arc::default(), Vec::new());
    node.commit(1, "{}");
    eventually("the event to be counted", || node.callbacks.unsettled() == 1).await;
    node.settings("", LONG_MS, 6);
    node.settled().await;

    let webhook = Webhook::new(|_, _| Answer::Status(200)).await;
    node.settings(&webhook.url("/"), LONG_MS, 6);
    node.commit(1, "later");
    node.settled().await;
    let bodies: Vec<_> = webhook.received().into_iter().map(|post| post.body).collect();
    assert_eq!(bodies, ["later"]);
}

#[tokio::test]
async fn a_url_that_is_not_permitted_keeps_its_events_until_it_is_put_right() {
    let webhook = Webhook::new(|_, _| Answer::Status(200)).await;
    let node = Node::new("https://169.254.169.254/", 5);
    node.commit(1, "{}");
    eventually("tries", || node.metric("callback_requests", &[("result", "unreachable")]) > 2.0)
        .await;
    node.settings(&webhook.url("/"), LONG_MS, 6);
    node.settled().await;
    assert_eq!(webhook.received().len(), 1);
}

#[tokio::test]
async fn a_released_shard_is_saved_and_its_next_owner_goes_on_from_there() {
    let bad = |_, body: &str| Answer::Status(if body == "13" { 500 } else { 200 });
    let webhook = Webhook::new(bad).await;
    let node = Node::new(&webhook.url("/"), LONG_MS);
    for n in 0..100 {
        node.commit(n, &n.to_string());
    }
    eventually("all but one", || node.callbacks.unsettled() == 1).await;
    assert!(node.callbacks.release(shard()).await, "the cursor is saved");
    assert_eq!(node.callbacks.floor(shard()), 13);
    let log = node.log.clone();
    drop(node);
    drop(webhook);

    let webhook = Webhook::new(|_, _| Answer::Status(200)).await;
    let next = Node::start(log, Vec::new());
    next.commit(100, "100");
    next.settings(&webhook.url("/"), LONG_MS, 6);
    next.settled().await;
    let mut bodies: Vec<_> = webhook.received().into_iter().map(|post| post.body).collect();
    bodies.sort();
    assert_eq!(bodies, ["100", "13"]);
    assert!(webhook.received().iter().any(|post| post.header("webhook-id") == "3.7.14"));
    next.callbacks.release_all().await;
}

#[tokio::test]
async fn a_webhook_under_tls_is_trusted_by_its_authority_only() {
    let (webhook, authority) = Webhook::tls(|_, _| Answer::Status(200)).await;
    let stranger = Node::new(&webhook.url("/"), 5);
    stranger.commit(1, "{}");
    let refused = || stranger.metric("callback_requests", &[("result", "unreachable")]) > 0.0;
    eventually("a refusal", refused).await;
    assert!(webhook.received().is_empty());

    let node = Node::start(Arc::default(), vec![authority]);
    node.settings(&webhook.url("/"), LONG_MS, 6);
    for n in 0..5 {
        node.commit(1, &n.to_string());
    }
    node.settled().await;
    let connections: Vec<_> = webhook.received().iter().map(|post| post.connection).collect();
    assert!(connections.windows(2).all(|pair| pair[0] == pair[1]), "kept: {connections:?}");
}
