//! Drives the machine: one task per endpoint, which hands POSTs to the workers and takes their
//! results back in batches.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use contract::{Clock, ShardId, callback::EventKind, settings::Application};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use store::rows::Cursor;
use telemetry::metrics::MetricError;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, Sleep, sleep},
};

use super::{
    Deps, ENDPOINT, Levels, MAX_CONCURRENT,
    crew::Crew,
    feed::{Arrived, Feed},
    holes::Hole,
    log::{Log, LogError},
    machine::{Input, Machine, Output, Post, Saving},
    observe::Observed,
    schedule::{Outcome, Pace},
    shared::Now,
    worker::{Done, Endpoint, Job, Sender},
};
use crate::egress::Egress;

/// How long to sleep when nothing is due.
const IDLE: Duration = Duration::from_secs(3_600);
/// How often a node that may not POST asks whether it may.
const STALE_CHECK: Duration = Duration::from_millis(100);

/// From the handles.
pub(super) enum Command {
    Attach { shard: ShardId, epoch: i64, read_to: i64, holes: Vec<Hole>, head: i64 },
    Release { shard: ShardId, reply: oneshot::Sender<bool> },
    Settings(Settings),
}

/// The part of the settings document that concerns callbacks.
#[derive(Clone, PartialEq)]
pub(super) struct Settings {
    url: Option<String>,
    pace: Pace,
}

pub(super) struct Driver {
    machine: Machine,
    log: Arc<dyn Log>,
    egress: Arc<Egress>,
    generation: Box<dyn Fn(ShardId, i64) -> i64 + Send + Sync>,
    /// `None` until they are known: nothing is sent and nothing discarded.
    settings: Option<Settings>,
    /// `None`: no URL, or one that is refused.
    endpoint: Option<Arc<Endpoint>>,
    clock: Arc<dyn Clock>,
    started: Instant,
    may_post: Box<dyn Fn() -> bool + Send + Sync>,
    transmit: bool,
    commands: mpsc::UnboundedReceiver<Command>,
    feed: Arc<Feed>,
    arrived: Arrived,
    crew: Crew,
    results: mpsc::Receiver<Done>,
    done: Vec<Done>,
    outputs: Vec<Output>,
    /// Answers of the log, on their way. Bounded by the machine: pages by its limit, saves by one
    /// a shard.
    answers: FuturesUnordered<BoxFuture<'static, Answer>>,
    releasing: HashMap<ShardId, Vec<oneshot::Sender<bool>>>,
    observed: Observed,
    last_failure: Option<Outcome>,
    levels: Arc<Levels>,
}

/// What the log has answered, and the floor that a stored cursor stands for.
struct Answer {
    input: Input,
    floor: Option<(ShardId, i64)>,
}

/// Why the task woke up.
enum Woken {
    Command(Option<Command>),
    Answer(Answer),
    Results,
    Feed,
    Time,
}

// === impl Driver ===

impl Driver {
    pub(super) fn new(
        deps: Deps,
        commands: mpsc::UnboundedReceiver<Command>,
        levels: Arc<Levels>,
    ) -> Result<Self, MetricError> {
        let pace = Settings::of(&Application::default()).pace;
        let sender = Sender { prefix: deps.rng.next_u64() };
        let (crew, results) = Crew::new(pace.concurrency, sender);
        Ok(Self {
            machine: Machine::new(pace, deps.rng),
            log: deps.log,
            egress: deps.egress,
            generation: deps.generation,
            settings: None,
            endpoint: None,
            clock: deps.clock,
            started: Instant::now(),
            may_post: deps.may_post,
            transmit: false,
            commands,
            feed: deps.feed,
            arrived: Arrived::default(),
            crew,
            results,
            done: Vec::with_capacity(usize::from(MAX_CONCURRENT)),
            outputs: Vec::new(),
            answers: FuturesUnordered::new(),
            releasing: HashMap::new(),
            observed: Observed::new(&deps.metrics)?,
            last_failure: None,
            levels,
        })
    }

    /// Runs until the handle is gone.
    pub(super) async fn run(mut self) {
        let mut timer = Box::pin(sleep(IDLE));
        loop {
            let wake = self.act();
            match self.wait(wake, &mut timer).await {
                Woken::Command(None) => return,
                Woken::Command(Some(command)) => self.command(command),
                Woken::Answer(answer) => self.answered(answer),
                Woken::Results => self.results(),
                Woken::Feed | Woken::Time => {}
            }
            self.fed();
        }
    }

    /// Does what the machine wants; gives when it wants to be asked again.
    fn act(&mut self) -> Instant {
        let mut outputs = std::mem::take(&mut self.outputs);
        let now = self.now();
        self.ask_whether_to_post(now);
        let mut wake = self.machine.outputs(now, &mut outputs);
        for output in outputs.drain(..) {
            if self.perform(output) {
                // It failed on the spot: the machine has more to say.
                wake = Some(now.ms);
            }
        }
        self.outputs = outputs;
        self.levels.unsettled.store(self.machine.backlog(), Ordering::Relaxed);
        self.observed.sizes(self.machine.backlog(), self.machine.known());
        let wait = if self.transmit || self.settings.is_none() { IDLE } else { STALE_CHECK };
        let latest = Instant::now() + wait;
        wake.map_or(latest, |ms| latest.min(self.started + Duration::from_millis(ms)))
    }

    async fn wait(&mut self, wake: Instant, timer: &mut Pin<Box<Sleep>>) -> Woken {
        if wake <= Instant::now() {
            // Through the scheduler, so that a machine with much to say starves nobody.
            tokio::task::yield_now().await;
            return Woken::Time;
        }
        if timer.deadline() != wake {
            timer.as_mut().reset(wake);
        }
        let limit = usize::from(MAX_CONCURRENT);
        // Rare things first: results come without end while there is a backlog.
        tokio::select! {
            biased;
            command = self.commands.recv() => Woken::Command(command),
            Some(answer) = self.answers.next(), if !self.answers.is_empty() => {
                Woken::Answer(answer)
            }
            _ = self.results.recv_many(&mut self.done, limit) => Woken::Results,
            () = self.feed.arrived() => Woken::Feed,
            () = timer => Woken::Time,
        }
    }

    fn command(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Attach { shard, epoch, read_to, holes, head } => {
                // What was committed meanwhile may have passed the feed already.
                let head = head.max(self.feed.committed_to(shard));
                self.machine.input(Input::Attach { shard, epoch, read_to, holes, head }, now);
            }
            Command::Release { shard, reply } => {
                self.releasing.entry(shard).or_default().push(reply);
                self.machine.input(Input::Release { shard }, now);
            }
            Command::Settings(settings) => {
                if self.settings.as_ref() == Some(&settings) {
                    return;
                }
                let before = self.settings.as_ref().map(|before| &before.url);
                // The first settings are what the machine was waiting for, no change.
                let renewed = before.is_some_and(|before| *before != settings.url);
                if before.is_none() || renewed {
                    self.endpoint = self.endpoint_of(&settings);
                }
                let (open, pace) = (settings.url.is_some(), settings.pace);
                self.settings = Some(settings);
                self.crew.resize(pace.concurrency);
                self.machine.input(Input::Settings { open, renewed, pace }, now);
            }
        }
    }

    fn ask_whether_to_post(&mut self, now: Now) {
        let transmit = self.settings.is_some() && (self.may_post)();
        if transmit != self.transmit {
            self.transmit = transmit;
            self.machine.input(Input::Transmit(transmit), now);
        }
    }

    fn answered(&mut self, Answer { input, floor }: Answer) {
        if let Some((shard, settled_to)) = floor {
            self.levels.floor(shard, settled_to);
        }
        self.machine.input(input, self.now());
    }

    fn results(&mut self) {
        let now = self.now();
        let mut done = std::mem::take(&mut self.done);
        for Done { worker, alive, spot, kind, outcome, took } in done.drain(..) {
            self.crew.back(worker, alive);
            self.observed.posted(label(kind), outcome, took.as_secs_f64() * 1e3);
            if outcome != Outcome::Delivered {
                self.last_failure = Some(outcome);
            }
            self.machine.input(Input::Finished { spot, outcome }, now);
        }
        self.done = done;
    }

    fn fed(&mut self) {
        self.feed.take(&mut self.arrived);
        let now = self.now();
        for event in self.arrived.events.drain(..) {
            self.machine.input(Input::Committed(event), now);
        }
        for shard in self.arrived.moved() {
            let head = self.feed.committed_to(shard);
            self.machine.input(Input::Head { shard, head }, now);
        }
    }

    /// Gives whether the machine was told something.
    fn perform(&mut self, output: Output) -> bool {
        match output {
            Output::Post(post) => return self.post(post),
            Output::ReadPage { shard, lease, after, limit } => {
                let page = self.log.page(shard, after, limit);
                self.answers.push(Box::pin(async move {
                    let events = logged(page, "failed to read events for callbacks", shard).await;
                    Answer { input: Input::Page { shard, lease, events }, floor: None }
                }));
            }
            Output::SaveCursor { shard, lease, epoch, cursor } => {
                let Saving { read_to, holes, settled_to } = cursor;
                let save =
                    self.log.save(shard, epoch, Cursor { endpoint: ENDPOINT, read_to, holes });
                self.answers.push(Box::pin(async move {
                    let saved = logged(save, "failed to save a callback cursor", shard).await;
                    let stored = saved.is_some();
                    let floor = stored.then_some((shard, settled_to));
                    Answer { input: Input::Saved { shard, lease, stored }, floor }
                }));
            }
            Output::Released { shard, saved } => {
                for reply in self.releasing.remove(&shard).unwrap_or_default() {
                    // Whoever asked may have stopped waiting.
                    let _ = reply.send(saved);
                }
            }
            Output::Breaker(change) => {
                self.observed.changed(change, self.last_failure, self.machine.backlog());
            }
            Output::Discarded { expired, missing } => self.observed.discarded(expired, missing),
        }
        false
    }

    fn post(&mut self, Post { spot, kind, attempt, body }: Post) -> bool {
        let endpoint = self.endpoint.clone();
        let generation = (self.generation)(spot.shard, spot.seq);
        let job = endpoint.map(|endpoint| Job { spot, generation, kind, attempt, body, endpoint });
        if job.is_some_and(|job| self.crew.give(job).is_ok()) {
            return false;
        }
        let outcome = Outcome::Unreachable;
        self.last_failure = Some(outcome);
        self.observed.posted(label(kind), outcome, 0.0);
        self.machine.input(Input::Finished { spot, outcome }, self.now());
        true
    }

    /// A URL that is not permitted keeps its events: each POST fails until it is put right.
    fn endpoint_of(&self, settings: &Settings) -> Option<Arc<Endpoint>> {
        match self.egress.target(settings.url.as_deref()?) {
            Ok(target) => {
                let egress = self.egress.clone();
                Some(Arc::new(Endpoint { egress, target }))
            }
            Err(error) => {
                tracing::error!(%error, "webhooks.url cannot be called; callbacks are kept");
                None
            }
        }
    }

    fn now(&self) -> Now {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { ms, unix_ms: self.clock.unix_ms() }
    }
}

/// Success, or `None` and a line in the log.
async fn logged<T>(
    work: impl Future<Output = Result<T, LogError>>,
    sentence: &'static str,
    shard: ShardId,
) -> Option<T> {
    match work.await {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(%error, shard = shard.get(), "{sentence}");
            None
        }
    }
}

/// Label `type` of the metrics.
fn label(kind: i16) -> &'static str {
    match EventKind::from_i16(kind) {
        Some(EventKind::Status) => "status_change",
        Some(EventKind::Inbound) => "inbound_message",
        Some(EventKind::Errors) => "errors",
        Some(EventKind::Contacts) => "contacts",
        None => "other",
    }
}

// === impl Settings ===

impl Settings {
    pub(super) fn of(application: &Application) -> Self {
        let webhooks = &application.webhooks;
        let concurrency = webhooks.max_concurrent_requests.clamp(1, MAX_CONCURRENT.into());
        Self {
            url: Some(webhooks.url.clone()).filter(|url| !url.is_empty()),
            pace: Pace {
                concurrency: usize::try_from(concurrency).unwrap_or(1),
                step_ms: application.callback_backoff_delay_ms.max(1).into(),
                cap_ms: application.max_callback_backoff_delay_ms.max(1).into(),
                max_age_ms: i64::from(application.heliograph.callbacks.max_age_s) * 1_000,
            },
        }
    }
}
