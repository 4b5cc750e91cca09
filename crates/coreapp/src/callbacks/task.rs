//! Drives the machine: one task per endpoint, which hands POSTs to the workers and takes their
//! results back in batches.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use contract::{
    ApiError, Clock, Code, ShardId,
    callback::{EventKind, errors},
    settings::{Application, SigningSecret},
};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use store::{
    rows::{Cursor, DeadState, NewEvent},
    write::Op,
};
use telemetry::metrics::MetricError;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, Sleep, sleep},
};

use super::{
    Deps, ENDPOINT, Levels, MAX_CONCURRENT,
    again::Aim,
    crew::Crew,
    feed::{Arrived, Feed},
    holes::Hole,
    log::{Log, LogError},
    machine::{Input, Machine, Output, Post, Saving},
    merge::merge,
    observe::Observed,
    parking::Filing,
    schedule::{Outcome, Pace},
    shared::Now,
    sign::Signer,
    worker::{Done, Endpoint, Job, Sender},
};
use crate::egress::Egress;

/// How long to sleep when nothing is due.
const IDLE: Duration = Duration::from_secs(3_600);
/// How often a node that may not POST asks whether it may.
pub(super) const STALE_CHECK: Duration = Duration::from_millis(100);

/// How often the age of the oldest event is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Integrators are told of dead letters at most this often.
const NOTICE: Duration = Duration::from_secs(60);
/// Events in a POST at most, whatever the settings say.
const BATCH_MAX: u32 = *contract::settings::BATCH_MAX.end();

/// From the handles.
pub(super) enum Command {
    Attach { shard: ShardId, epoch: i64, read_to: i64, holes: Vec<Hole>, head: i64 },
    Release { shard: ShardId, reply: oneshot::Sender<bool> },
    LetGo { shard: ShardId, seq: i64 },
    Settings(Settings),
    Egress(Arc<Egress>),
}

/// The part of the settings document that concerns callbacks.
#[derive(Clone, PartialEq)]
pub(super) struct Settings {
    url: Option<String>,
    pace: Pace,
    secrets: Vec<SigningSecret>,
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
    /// The same for those who send beside this.
    aim: watch::Sender<Aim>,
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
    /// When integrators were last told of dead letters.
    told: Option<Instant>,
    /// When the level of the oldest event was last looked at.
    looked: Option<Instant>,
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
        let (prefix, clock) = (deps.rng.next_u64(), deps.clock.clone());
        let sender = Sender { prefix, clock, traces: deps.traces.clone() };
        let (crew, results) = Crew::new(pace.concurrency, sender);
        Ok(Self {
            machine: Machine::new(pace, deps.rng),
            log: deps.log,
            egress: deps.egress,
            generation: deps.generation,
            settings: None,
            endpoint: None,
            aim: watch::Sender::new(Aim { endpoint: None, pace, has_url: false }),
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
            told: None,
            looked: None,
            levels,
        })
    }

    /// Where it sends to, as that changes.
    pub(super) fn aim(&self) -> watch::Receiver<Aim> {
        self.aim.subscribe()
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
        self.look_at_the_oldest();
        let machine = &self.machine;
        self.observed.sizes(machine.backlog(), machine.known(), machine.parked());
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
            Command::LetGo { shard, seq } => self.machine.input(Input::LetGo { shard, seq }, now),
            Command::Settings(settings) => {
                if self.settings.as_ref() == Some(&settings) {
                    return;
                }
                let before = self.settings.as_ref().map(|before| &before.url);
                // The first settings are what the machine was waiting for, no change.
                let renewed = before.is_some_and(|before| *before != settings.url);
                let secrets = self.settings.as_ref().map(|before| &before.secrets);
                if before.is_none() || renewed || secrets != Some(&settings.secrets) {
                    self.endpoint = self.endpoint_of(&settings);
                }
                let (open, pace) = (settings.url.is_some(), settings.pace);
                self.settings = Some(settings);
                self.tell_aim(open, pace);
                self.crew.resize(pace.concurrency);
                self.observed.concurrency(pace.concurrency);
                self.machine.input(Input::Settings { open, renewed, pace }, now);
            }
            Command::Egress(egress) => {
                self.egress = egress;
                let Some(settings) = self.settings.take() else { return };
                self.endpoint = self.endpoint_of(&settings);
                let (open, pace) = (settings.url.is_some(), settings.pace);
                self.settings = Some(settings);
                self.tell_aim(open, pace);
                // What could not be reached may be now.
                self.machine.input(Input::Settings { open, renewed: true, pace }, now);
            }
        }
    }

    fn tell_aim(&self, has_url: bool, pace: Pace) {
        self.aim.send_replace(Aim { endpoint: self.endpoint.clone(), pace, has_url });
    }

    /// Once a second, and whenever nothing is left.
    fn look_at_the_oldest(&mut self) {
        let now = Instant::now();
        let empty = self.machine.backlog() == 0;
        if empty || self.looked.is_none_or(|looked| now - looked >= LOOK) {
            self.looked = (!empty).then_some(now);
            let oldest = if empty { None } else { self.machine.oldest_ms() };
            self.levels.oldest_ms.store(oldest.unwrap_or(0), Ordering::Relaxed);
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
        for Done { worker, alive, spot, more, kind, outcome, took } in done.drain(..) {
            self.crew.back(worker, alive);
            self.observed.posted(label(kind), outcome, took.as_secs_f64() * 1e3, 1 + more.len());
            if outcome != Outcome::Delivered {
                self.last_failure = Some(outcome);
            }
            self.machine.input(Input::Finished { spot, more, outcome }, now);
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
            Output::ReadParked { shard, lease, after, limit } => {
                let page = self.log.parked(ENDPOINT, shard, after, limit);
                self.answers.push(Box::pin(async move {
                    let rows = logged(page, "failed to read parked callbacks", shard).await;
                    Answer { input: Input::Parked { shard, lease, rows }, floor: None }
                }));
            }
            Output::SaveCursor { shard, lease, epoch, cursor } => {
                let settled_to = cursor.settled_to;
                let ops = self.ops(cursor);
                let save = self.log.save(shard, epoch, ops);
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
            Output::GivenUp { parked, dead, missing } => {
                self.observed.given_up(parked, dead, missing);
            }
        }
        false
    }

    fn post(&mut self, post: Post) -> bool {
        let Post { spot, kind, attempt, body, more, traces } = post;
        let body = if more.is_empty() {
            Some(body)
        } else {
            merge(std::iter::once(&body).chain(more.iter().map(|(_, body)| body)))
        };
        let more: Vec<_> = more.into_iter().map(|(spot, _)| spot).collect();
        // What cannot be joined is no failure of anybody: each of them goes alone.
        let outcome = if body.is_some() { Outcome::Unreachable } else { Outcome::Closed };
        let generation = (self.generation)(spot.shard, spot.seq);
        let job = body.zip(self.endpoint.clone()).map(|(body, endpoint)| Job {
            spot,
            more: more.clone(),
            generation,
            kind,
            attempt,
            body,
            traces,
            endpoint,
        });
        if job.is_some_and(|job| self.crew.give(job)) {
            return false;
        }
        self.last_failure = Some(outcome);
        self.observed.posted(label(kind), outcome, 0.0, 1 + more.len());
        self.machine.input(Input::Finished { spot, more, outcome }, self.now());
        true
    }

    /// What a save writes: the cursor, the rows it counts on, and now and then a word about those
    /// that died.
    fn ops(&mut self, cursor: Saving) -> Vec<Op> {
        let Saving { read_to, holes, filings, .. } = cursor;
        let mut ops = Vec::with_capacity(1 + filings.len());
        ops.push(Op::PutCursor(Cursor { endpoint: ENDPOINT, read_to, holes }));
        let mut died = false;
        for (seq, filing) in filings {
            ops.push(match filing {
                Filing::Put(row) => {
                    // Not of such words themselves: the one would follow the other for ever.
                    died |=
                        row.state == DeadState::Dead && row.event.kind != EventKind::Errors.get();
                    Op::PutDeadEvent(row)
                }
                Filing::Delete => Op::DeleteDeadEvent { endpoint: ENDPOINT, seq },
            });
        }
        let now = Instant::now();
        if died && self.told.is_none_or(|told| now - told >= NOTICE) {
            self.told = Some(now);
            let details =
                "Callbacks were not taken within callbacks.max_age_s and are dead letters";
            let body = errors(&[ApiError::new(Code::INTERNAL, details)]);
            let (kind, now_ms) = (EventKind::Errors.get(), self.clock.unix_ms());
            ops.push(Op::InsertEvent(NewEvent::apart(kind, now_ms, body)));
        }
        ops
    }

    /// A URL that is not permitted keeps its events: each POST fails until it is put right.
    fn endpoint_of(&self, settings: &Settings) -> Option<Arc<Endpoint>> {
        match self.egress.target(settings.url.as_deref()?) {
            Ok(target) => {
                let egress = self.egress.clone();
                let signer = Signer::new(&settings.secrets);
                Some(Arc::new(Endpoint { egress, target, signer }))
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
            let shard = shard.get();
            match error {
                LogError::Once(error) => tracing::warn!(error, shard, "{sentence}"),
                LogError::AsAll(error) => tracing::debug!(error, shard, "{sentence}"),
            }
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
        Some(kind @ (EventKind::Contacts | EventKind::Services | EventKind::MediaItems)) => {
            kind.as_str()
        }
        None => "other",
    }
}

// === impl Settings ===

impl Settings {
    pub(super) fn of(application: &Application) -> Self {
        let (webhooks, ours) = (&application.webhooks, &application.heliograph.webhooks);
        let concurrency = webhooks.max_concurrent_requests.clamp(1, MAX_CONCURRENT.into());
        Self {
            url: Some(webhooks.url.clone()).filter(|url| !url.is_empty()),
            pace: Pace {
                concurrency: usize::try_from(concurrency).unwrap_or(1),
                step_ms: application.callback_backoff_delay_ms.max(1).into(),
                cap_ms: application.max_callback_backoff_delay_ms.max(1).into(),
                max_age_ms: i64::from(application.heliograph.callbacks.max_age_s) * 1_000,
                batch_max: usize::try_from(ours.batch_max.clamp(1, BATCH_MAX)).unwrap_or(1),
            },
            secrets: ours.secrets.clone(),
        }
    }
}
