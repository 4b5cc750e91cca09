//! Puts the parts of the coreapp together, in the order in which they need each other.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize},
    },
    time::Duration,
};

use ::rpc::{
    gated::Permit,
    identity::{Identity, IdentityError, Name},
};
use contract::{
    Clock, Rng,
    media::Providers,
    settings::{Application, LogLevel, WhenFull},
};
use futures_util::FutureExt as _;
use http::HeaderValue;
use store::{
    Lanes, Store, StoreError,
    rows::{NodeState, Shard},
};
use telemetry::{
    Traces,
    config::ConfigError,
    metrics::{MetricError, Metrics},
};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use upstream::{Upstream, sandbox::Sandbox};

use crate::{
    BootError, Config, Lost,
    account::Account,
    batcher,
    callbacks::{self, Again, AgainDeps, Callbacks},
    census::Census,
    cluster::{self, Duties, Followers, Holdings, Map, Me, Members, Peers, Progress, beat::Beat},
    collection::{self, Collector},
    config,
    contacts::{Asker, Central, Complaints, Desk, Late},
    control::{self, Control, ControlError, Document, Fixed},
    database,
    delivery::{self, Claims, Line, Link, Outages, Renewal},
    egress::{Allow, Egress, EgressError, Policy},
    events::{self, EventLog, Replays},
    gauges::Gauges,
    generation::Generations,
    inbound::Reading,
    intake::{Gate, Handing, HandingOn, Intake, Quota},
    log::StoreLog,
    media::{self, Asked, Files, FilesError, Held, Links, Shelf, Watched},
    metrics,
    prekeys::{self, Fetch, KeyError, Pool},
    rpc::{self, Services},
    settings::View,
    shard::{
        effects::Window,
        task::{Drivers, Shared},
    },
    support,
    templates::Templates,
    upkeep,
};

/// Items that may wait for the link.
const LINK_QUEUE: usize = 512;
/// How long an orderly stop may take; what is not finished then is finished by the next start.
const STOP_MAX: Duration = Duration::from_secs(30);
/// How long connections may take to end after that: the last answers leave, and a webapp's streams
/// never end by themselves.
const CONNECTIONS_MAX: Duration = Duration::from_secs(1);
/// How much of it giving shards away may take.
const DRAIN_MAX: Duration = Duration::from_secs(20);

/// What a `main` provides.
#[derive(Clone)]
pub struct Env {
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub metrics: Metrics,
    pub traces: Traces,
}

/// The coreapp cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is taken or not allowed.
    #[error(
        "failed to listen on {addr}: {error}; choose other ports with --port or HELIOGRAPH_COREAPP__PORT"
    )]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The place among the other coreapps.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The coreapp was lost before it was ready.
    #[error("{0}")]
    Lost(Arc<Lost>),
    /// Settings and users.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Our own keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// `egress.allow`.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// Who we are to webapps.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The media directory.
    #[error(transparent)]
    Media(#[from] FilesError),
    /// The upstream's address.
    #[error("upstream.url is no address of a network: {0}")]
    Upstream(String),
    /// A metric's name is taken.
    #[error(transparent)]
    Metric(#[from] MetricError),
}

/// A coreapp that runs.
pub struct Running {
    /// messages, contacts, control, health.
    pub addresses: [SocketAddr; 4],
    stop: CancellationToken,
    members: Members,
    tasks: JoinSet<()>,
    /// Ends with this struct.
    _background: JoinSet<()>,
    drivers: Drivers,
    callbacks: Arc<Callbacks>,
    lanes: Lanes,
    store: Store,
    inc: i64,
}

impl Running {
    /// Waits until another coreapp has taken over, or a shard cannot be worked with; gives the
    /// sentence that says so.
    pub async fn lost(&mut self) -> String {
        let mut progress = self.members.progress();
        let lost = progress.wait_for(|progress| matches!(progress, Progress::Lost(_))).await;
        match lost.as_deref() {
            Ok(Progress::Lost(lost)) => lost.to_string(),
            // Nobody watches any more: the process is ending.
            _ => std::future::pending().await,
        }
    }

    /// Stops in order: shards go to the other coreapps while calls are still answered; then no new
    /// calls, what is being written is written, cursors are saved.
    pub async fn stop(mut self) {
        let lost = matches!(*self.members.progress().borrow(), Progress::Lost(_));
        let orderly = async {
            if !lost && timeout(DRAIN_MAX, self.members.drain()).await.is_err() {
                tracing::warn!("some shards were not given away; the other coreapps take them");
            }
            if !lost {
                // Whoever watches this one has seen the new owners.
                self.members.nudge().await;
            }
            self.stop.cancel();
            self.drivers.drain().await;
            self.callbacks.release_all().await;
            self.lanes.close().await;
            if !lost && let Err(error) = self.store.cluster().leave(self.inc).await {
                tracing::warn!(%error, "failed to sign off; the next start does it");
            }
        };
        if timeout(STOP_MAX, orderly).await.is_err() {
            tracing::warn!("the orderly stop took too long; the next start finishes it");
        }
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(CONNECTIONS_MAX, ended).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

/// Towards webapps, services and other coreapps; `None`: clear text.
fn identity(config: &Config, env: &Env) -> Result<Option<Arc<Identity>>, StartError> {
    config.internal.check_clear_text("coreapp.listen", &config.coreapp.listen.to_string())?;
    let Some(source) = config.internal.source()? else { return Ok(None) };
    Ok(Some(Identity::new(Name::Coreapp, source, env.clock.clone())?))
}

/// Starts the coreapp: joins, takes the shards that are its own, serves.
///
/// # Errors
/// [`StartError`].
pub async fn start(config: Config, env: Env) -> Result<Running, StartError> {
    let began = Instant::now();
    let initial = config.initial_settings()?;
    let registry = env.metrics.clone();
    let metrics = metrics::Metrics::new(&registry)?;
    let ports = rpc::bind(config.coreapp.listen, config.coreapp.port)
        .await
        .map_err(|(addr, error)| StartError::Listen { addr, error })?;
    let addresses = ports.addresses().map_err(|error| StartError::Listen {
        addr: SocketAddr::new(config.coreapp.listen, config.coreapp.port),
        error,
    })?;
    let (number, number_rx) = watch::channel(None);
    let beat = Arc::new(Beat::new());
    let permit = {
        let beat = beat.clone();
        Permit::new(move || !beat.frozen())
    };
    let upstream = Sandbox::following(&config.upstream.url, number_rx.clone(), &permit)
        .map_err(|error| StartError::Upstream(error.to_string()))?;
    let upstream = Arc::new(upstream);
    let identity = identity(&config, &env)?;
    let policy = policy(&config.egress)?;
    let egress = Egress::new(&policy, Vec::new())?;
    let link_egress = Egress::new(&policy.clone().for_links(), Vec::new())?;

    // Who is there.
    let me = me(&config, addresses[0]);
    let starting = rpc::Starting::serve(&ports, me.name.clone(), identity.as_ref())
        .map_err(|error| StartError::Listen { addr: addresses[2], error })?;
    let store = database::open(&config, &env).await?;
    starting.opened();
    let facts = store.facts().clone();
    let (cluster, reader) = (store.cluster(), store.reader());
    let files = Files::open(media_directory(&config)?, &me.name)?;
    let nodes = cluster.nodes().await?;
    let others = nodes.iter().filter(|node| node.state == NodeState::Live && node.name != me.name);
    files.is_shared_with(others.map(|node| &*node.name)).await?;
    let inc = cluster::join(&cluster, &me, facts.lanes, &env.rng).await?;
    let booted = cluster::boot(&cluster, &reader, &me, inc, &beat).await?;
    let feed = Arc::new(callbacks::Feed::new());
    let (watched, held) = Watched::new(feed.clone());
    let lanes = store.start_lanes(inc, Arc::new(watched));
    let generations = Arc::new(Generations::new(&reader.generations().await?));
    metrics.generation(generations.current());
    let (map, map_rx) = watch::channel(Arc::new(Map::default()));
    let peers = Arc::new(Peers::new(map_rx.clone(), identity.clone()));

    // Our own keys: their first rows are written before any shard works.
    let control = booted.control();
    if let Some(Shard { id, epoch, .. }) = control {
        let load = reader.load_shard(id).await?;
        // Answers by token come only once a driver owns the shard.
        let (answers, _) = mpsc::unbounded_channel();
        lanes.own(id, epoch, load.next_seq(), answers);
    }
    let owner = control.map(|row| row.epoch);
    let ring = prekeys::open(&reader, &lanes, owner, &*env.clock, &*env.rng).await?;

    // The shards' drivers.
    let (link, outgoing) = mpsc::channel(LINK_QUEUE);
    let (ask, asked) = mpsc::unbounded_channel();
    let (fetch, wanted) = mpsc::unbounded_channel();
    let (setups, to_set_up) = mpsc::unbounded_channel();
    let (files_wanted, wanted_files) = mpsc::unbounded_channel();
    let (hand_on, handed_on) = mpsc::unbounded_channel();
    let (view, view_rx) = watch::channel(View::of(&Application::default(), None));
    let gate = Arc::new(Gate::new(0, 0));
    let window = Arc::new(Window::new(upstream.caps().window));
    let drivers = Drivers::start(
        Shared {
            lanes: lanes.clone(),
            reader: reader.clone(),
            clock: env.clock.clone(),
            settings: view_rx.clone(),
            gate: gate.clone(),
            window: window.clone(),
            beat: beat.clone(),
            link: link.clone(),
            contacts: ask,
            bundles: fetch,
            files: files_wanted,
            handed_on: hand_on,
            setups,
            metrics: metrics.clone(),
            sealing: upstream.caps().sealing,
            generation: generations.current(),
            keys: ring.clone(),
            rng: env.rng.clone(),
            traces: env.traces.clone(),
        },
        facts.lanes,
    );
    let may_post = || {
        let beat = beat.clone();
        Box::new(move || !beat.frozen())
    };
    let generation_of = || {
        let generations = generations.clone();
        Box::new(move |shard, seq| generations.of(shard, seq))
    };
    let callbacks = callbacks::start(callbacks::Deps {
        log: Arc::new(StoreLog { reader: reader.clone(), lanes: lanes.clone() }),
        feed: feed.clone(),
        egress: Arc::new(egress),
        clock: env.clock.clone(),
        rng: env.rng.clone(),
        metrics: registry.clone(),
        traces: env.traces.clone(),
        generation: generation_of(),
        may_post: may_post(),
    })?;
    let callbacks = Arc::new(callbacks);

    let shelf = Shelf::new(media::Deps {
        files,
        lanes: lanes.clone(),
        reader: reader.clone(),
        map: map_rx.clone(),
        clock: env.clock.clone(),
        rng: env.rng.clone(),
    });

    // The account.
    let templates = Arc::<Templates>::default();
    let contacts_quota = Arc::new(Quota::default());
    let intake = Arc::new(Intake {
        drivers: drivers.clone(),
        clock: env.clock.clone(),
        messages: Arc::default(),
        beat: beat.clone(),
        handing: Handing::new(map_rx.clone(), peers.clone(), {
            // Not by the connections of the cluster: a fence may have to wait for the lock of who is fenced.
            let reader = reader.clone();
            Box::new(move || {
                let reader = reader.clone();
                async move { reader.generations().await.is_ok() }.boxed()
            })
        }),
        traces: env.traces.clone(),
        has_files: {
            let shelf = shelf.clone();
            Box::new(move |message| {
                let shelf = shelf.clone();
                Box::pin(async move { shelf.has_all(&message).await })
            })
        },
        templates: templates.clone(),
        number: number_rx.clone(),
    });
    let numbered_view = view.clone();
    let apply = Apply {
        view,
        gate: gate.clone(),
        intake: intake.clone(),
        contacts: contacts_quota.clone(),
        callbacks: callbacks.clone(),
        no_limits: config.coreapp.no_limits,
    };
    let control = Control::open(control::Deps {
        lanes: lanes.clone(),
        reader: reader.clone(),
        clock: env.clock.clone(),
        rng: env.rng.clone(),
        fixed: Fixed { number: config.account.number, no_limits: config.coreapp.no_limits },
        apply: Box::new(move |application| apply.apply(application)),
        numbered: Box::new(move |now| {
            // First what answers go by, then what connects.
            numbered_view.send_modify(|view| Arc::make_mut(view).own_number = now);
            number.send_if_modified(|number| std::mem::replace(number, now) != now);
        }),
        templates: templates.clone(),
        policy,
        trust: {
            let callbacks = callbacks.clone();
            Box::new(move |egress| callbacks.egress(Arc::new(egress)))
        },
        tell: peers.telling(),
        initial,
    })
    .await?;
    let control = Arc::new(control);

    // Taking shards up and letting them go.
    let mut background = JoinSet::new();
    let (claims, changes) = Claims::new();
    let central = Arc::<Central>::default();
    let holdings = Arc::new(Holdings {
        reader: reader.clone(),
        lanes: lanes.clone(),
        drivers: drivers.clone(),
        callbacks: callbacks.clone(),
        claims,
        duties: Duties {
            upstream: upstream.clone(),
            control: control.clone(),
            templates: templates.clone(),
            central: central.clone(),
            peers: peers.clone(),
            reader: reader.clone(),
            lanes: lanes.clone(),
            clock: env.clock.clone(),
            rng: env.rng.clone(),
            ring: ring.clone(),
            generations: generations.clone(),
            metrics: metrics.clone(),
            traces: env.traces.clone(),
            tasks: tokio::sync::Mutex::default(),
        },
        map,
        loads: Semaphore::new(cluster::LOADS),
    });
    let followers = Arc::new(Followers {
        control: control.clone(),
        ring: ring.clone(),
        keys: AtomicI64::new(0),
        generations: generations.clone(),
        reader: reader.clone(),
        drivers: drivers.clone(),
        metrics: metrics.clone(),
        map: map_rx.clone(),
    });
    let deps = cluster::Deps {
        cluster: cluster.clone(),
        inc,
        beat: beat.clone(),
        lanes: lanes.clone(),
        holdings,
        followers,
        booted,
    };
    let members = cluster::start(deps, &mut background);
    settled(members.progress()).await?;

    // Everything else.
    let stop = CancellationToken::new();
    let (line_tx, line) = watch::channel(Line::new());
    let event_log = EventLog::new(events::Deps {
        reader: reader.clone(),
        feed: feed.clone(),
        generations: generations.clone(),
        clock: env.clock.clone(),
        map: map_rx.clone(),
        stop: stop.clone(),
        waiting: registry.gauge("events_waiting", "Callers that wait for an event.")?,
    });
    let event_log = Arc::new(event_log);
    let replayed = registry.counters(
        "events_replayed",
        "Events sent to the webhook again because somebody asked for it.",
        &["result"],
    )?;
    let replays = Replays::open(events::ReplayDeps {
        log: event_log.clone(),
        reader: reader.clone(),
        lanes: lanes.clone(),
        map: map_rx.clone(),
        peers: peers.clone(),
        callbacks: callbacks.clone(),
        clock: env.clock.clone(),
        rng: env.rng.clone(),
        sent: replayed.with_label_values(&["sent"]),
        failed: replayed.with_label_values(&["failed"]),
    });
    let replays = Arc::new(replays.await?);
    let again = {
        let (callbacks, beat, env) = (callbacks.clone(), beat.clone(), env.clone());
        let generations = generations.clone();
        move || {
            let (beat, generations) = (beat.clone(), generations.clone());
            let deps = AgainDeps {
                clock: env.clock.clone(),
                rng: env.rng.clone(),
                generation: Box::new(move |shard, seq| generations.of(shard, seq)),
                may_post: Box::new(move || !beat.frozen()),
            };
            Again::new(&callbacks, deps)
        }
    };
    background.spawn(replays.clone().run(again));
    let oldest = registry.gauge(
        "callback_oldest_age_seconds",
        "Age of the oldest event that the webhook has not taken yet; 0: there is none.",
    )?;
    let account = Arc::new(Account {
        control: control.clone(),
        upstream: upstream.clone(),
        cluster: cluster.clone(),
        inc,
        generations: generations.clone(),
        members: members.clone(),
        clock: env.clock.clone(),
        rng: env.rng.clone(),
        one: tokio::sync::Mutex::default(),
    });
    let renewal = Renewal {
        cluster,
        inc,
        generations: generations.clone(),
        clock: env.clock.clone(),
        lanes: lanes.clone(),
        keys: ring.clone(),
        metrics: metrics.clone(),
        last: None,
    };
    let contacts_waiting = Arc::<AtomicUsize>::default();
    let asker = Asker {
        central: central.clone(),
        peers: peers.clone(),
        drivers: drivers.clone(),
        waiting: contacts_waiting.clone(),
        traces: env.traces.clone(),
    };
    background.spawn(asker.run(asked));
    let handing_on =
        HandingOn { intake: intake.clone(), map: map_rx.clone(), peers: peers.clone() };
    background.spawn(handing_on.run(handed_on));
    let desk = Desk::new(drivers.clone(), map_rx.clone(), peers, contacts_waiting);
    let desk = Arc::new(desk);
    let complaints =
        Complaints::new(drivers.clone(), reader.clone(), env.clock.clone(), upstream.clone());
    let reading = Reading::new(reader.clone(), upstream.clone());
    if let Some(batch) = upstream.caps().prekeys {
        let pool = Pool::start(prekeys::PoolDeps {
            me: ring.me().clone(),
            clock: env.clock.clone(),
            rng: env.rng.clone(),
            drivers: drivers.clone(),
        });
        background.spawn(prekeys::retries(to_set_up, pool.clone()));
        let call = Fetch { upstream: upstream.clone(), pool, drivers: drivers.clone() };
        let (metrics, traces) = (metrics.clone(), env.traces.clone());
        background.spawn(batcher::run(call, batch, wanted, metrics, Arc::default(), traces));
    }
    let credentials = {
        let control = control.clone();
        move |name: String| {
            let control = control.clone();
            async move {
                let document = control.document(Document::MediaProviders).await;
                let providers = Providers::from_json(&document).ok()?;
                HeaderValue::try_from(providers.authorization(&name)?).ok()
            }
            .boxed()
        }
    };
    let links = Links::new(link_egress, Box::new(credentials));
    let media_desk = media::Desk::new(
        shelf.clone(),
        upstream.clone(),
        links,
        templates,
        drivers.clone(),
        metrics.clone(),
    );
    background.spawn(media_desk.run(wanted_files));
    let fetch = Arc::new(media::Fetch {
        shelf: shelf.clone(),
        upstream: upstream.clone(),
        metrics: metrics.clone(),
    });
    let releasing = Held {
        fetch: fetch.clone(),
        reader: reader.clone(),
        lanes: lanes.clone(),
        map: map_rx.clone(),
        clock: env.clock.clone(),
        callbacks: callbacks.clone(),
    };
    background.spawn(Arc::new(releasing).run(held));
    let downloads = Asked::new(fetch);
    let link =
        Link { outgoing, sender: link, changes, renewal, reader: reader.clone(), line: line_tx };
    background.spawn(delivery::run(upstream, link, drivers.clone()));
    let outages = Outages {
        line: line.clone(),
        settings: view_rx.clone(),
        shelf: shelf.clone(),
        clock: env.clock.clone(),
    };
    background.spawn(outages.run());
    background.spawn(upkeep::run(upkeep::Deps {
        map: map_rx.clone(),
        lanes: lanes.clone(),
        clock: env.clock.clone(),
        callbacks: callbacks.clone(),
        gate: gate.clone(),
        settings: view_rx.clone(),
        disk: database::disk(&config)?,
        oldest,
    }));
    let collector = Collector::new(collection::Deps {
        node: me.name.clone(),
        shelf: shelf.clone(),
        control: control.clone(),
        lanes: lanes.clone(),
        reader: reader.clone(),
        map: map_rx.clone(),
        clock: env.clock.clone(),
        settings: view_rx.clone(),
    });
    background.spawn(collector.clone().run());
    let gauges = Arc::new(Gauges {
        registry,
        metrics,
        gate,
        window,
        desk: desk.clone(),
        map: map_rx.clone(),
        feed: feed.clone(),
    });
    let support = Arc::new(support::Desk {
        node: me.name.clone(),
        facts,
        environment: config.environment.clone(),
        clock: env.clock.clone(),
        began,
        number: number_rx,
        line: line.clone(),
        ring: ring.clone(),
        control: control.clone(),
        generations: generations.clone(),
        map: map_rx.clone(),
        database: database::disk(&config)?,
        media: media_directory(&config)?,
    });
    let services = Services {
        intake: intake.clone(),
        reading,
        contacts: rpc::ContactsService {
            drivers: drivers.clone(),
            desk: desk.clone(),
            late: Arc::new(Late::new(desk.clone(), shelf.clone(), env.clock.clone())),
            complaints,
            quota: contacts_quota,
            beat: beat.clone(),
            settings: view_rx,
        },
        control: rpc::ControlService {
            control: control.clone(),
            desk: support.clone(),
            gauges: gauges.clone(),
            beat: beat.clone(),
            stop: stop.clone(),
        },
        monitoring: rpc::MonitoringService {
            desk: support,
            census: Census::new(reader.clone()),
            control: control.clone(),
        },
        account: rpc::AccountService { account, control },
        events: rpc::EventsService { log: event_log, replays: replays.clone() },
        collection: rpc::CollectionService { collector, node: me.name.clone() },
        media: rpc::MediaService {
            shelf,
            redownload: Box::new(move |id| downloads.clone().begin(id).boxed()),
        },
        peer: rpc::PeerService { central, desk, members: members.clone(), intake, replays },
        probes: rpc::Probes { beat, line, gauges },
    };
    starting.end().await;
    let tasks = rpc::serve(ports, services, identity.as_ref(), &stop).await;
    if let Some(identity) = identity {
        background.spawn(identity.keep());
    }
    tracing::info!(
        node.name = me.name, messages = %addresses[0], contacts = %addresses[1],
        control = %addresses[2], health = %addresses[3], "the coreapp is ready"
    );
    Ok(Running {
        addresses,
        stop,
        members,
        tasks,
        _background: background,
        drivers,
        callbacks,
        lanes,
        store,
        inc,
    })
}

/// Waits until what was there to be taken is worked with.
async fn settled(mut progress: watch::Receiver<Progress>) -> Result<(), StartError> {
    let started = progress.wait_for(|progress| !matches!(progress, Progress::Starting)).await;
    match started.as_deref() {
        Ok(Progress::Lost(lost)) => Err(StartError::Lost(lost.clone())),
        _ => Ok(()),
    }
}

/// What a change of the settings reaches.
struct Apply {
    view: watch::Sender<Arc<View>>,
    gate: Arc<Gate>,
    intake: Arc<Intake>,
    contacts: Arc<Quota>,
    callbacks: Arc<Callbacks>,
    no_limits: bool,
}

impl Apply {
    fn apply(&self, application: &Application) {
        let own = &application.heliograph;
        let callbacks_max = match own.callbacks.when_full {
            WhenFull::Refuse => own.callbacks.queue_max.into(),
            WhenFull::KeepSending => 0,
        };
        self.gate.set(own.jobs.max.into(), callbacks_max);
        let quota = |per_second| if self.no_limits { 0 } else { per_second };
        self.intake.messages.set(quota(own.quotas.messages_per_second), own.quotas.burst);
        self.contacts.set(quota(own.quotas.contacts_per_second), own.quotas.burst);
        self.view.send_modify(|view| *view = View::of(application, view.own_number));
        self.callbacks.settings(application);
        let level = application.logging().map(LogLevel::name);
        if let Err(error) = telemetry::logs::set_level(level) {
            tracing::warn!(%error, "the log level stays as it was");
        }
    }
}

/// Where files are kept.
fn media_directory(config: &Config) -> Result<PathBuf, StartError> {
    if let Some(directory) = &config.media.directory {
        return Ok(directory.clone());
    }
    Ok(database::disk(config)?.unwrap_or_else(|| PathBuf::from(".")).join("media"))
}

/// How webhooks are called, as the configuration says.
fn policy(config: &config::Egress) -> Result<Policy, StartError> {
    let mut policy = Policy::new(Allow::parse(&config.allow)?);
    if let Some(proxy) = &config.proxy {
        policy = policy.through(proxy.expose(), &config.no_proxy)?;
    }
    let read = |setting: &'static str, path: &Path| {
        std::fs::read(path).map_err(|error| {
            ConfigError::invalid(setting, format!("failed to read {}: {error}", path.display()))
        })
    };
    match (&config.client_cert, &config.client_key) {
        (None, None) => {}
        (Some(chain), Some(key)) => {
            let chain = read("egress.client_cert", chain)?;
            policy = policy.showing(&chain, &read("egress.client_key", key)?)?;
        }
        (Some(_), None) => return Err(ConfigError::missing("egress.client_key").into()),
        (None, Some(_)) => return Err(ConfigError::missing("egress.client_cert").into()),
    }
    Ok(policy)
}

/// Our name and address, as others know them.
fn me(config: &Config, messages: SocketAddr) -> Me {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let host = host.map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned());
    let reached = config.coreapp.hostname.clone().unwrap_or_else(|| match messages.ip() {
        ip if ip.is_unspecified() => host.clone(),
        IpAddr::V6(ip) => format!("[{ip}]"),
        ip => ip.to_string(),
    });
    Me {
        name: config.node.name.clone().unwrap_or(host),
        addr: format!("{reached}:{}", messages.port()),
    }
}
