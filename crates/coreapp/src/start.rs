//! Puts the parts of the coreapp together, in the order in which they need each other.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use ::rpc::identity::{Identity, IdentityError, Name};
use contract::{
    Clock, Rng, ShardId,
    settings::{Application, WhenFull},
};
use store::{Lanes, Store, StoreError};
use telemetry::{
    config::ConfigError,
    metrics::{MetricError, Metrics},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use upstream::{Upstream, sandbox::Sandbox};

use crate::{
    Config, JoinError, batcher,
    callbacks::{self, Again, AgainDeps, Callbacks},
    cluster::{self, Me, beat::Beat},
    config,
    contacts::{Complaints, Desk, Sync},
    control::{self, Control, ControlError, Fixed},
    database,
    delivery::{self, Link, Renewal},
    egress::{Allow, Egress, EgressError, Policy},
    events::{self, EventLog, Replays},
    gauges::Gauges,
    generation::Generations,
    intake::{Gate, Intake, Quota},
    log::StoreLog,
    metrics,
    prekeys::{self, Fetch, KeyError, Pool, Upkeep},
    rpc::{self, Services},
    settings::View,
    shard::{
        effects::Window,
        task::{Drivers, Shared},
    },
    upkeep,
};

/// Items that may wait for the link.
const LINK_QUEUE: usize = 512;
/// How long an orderly stop may take; what is not finished then is finished by the next start.
const STOP_MAX: Duration = Duration::from_secs(30);
/// How long connections may take to end after that: the last answers leave, and a webapp's streams
/// never end by themselves.
const CONNECTIONS_MAX: Duration = Duration::from_secs(1);

/// What a `main` provides.
#[derive(Clone)]
pub struct Env {
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub metrics: Metrics,
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
    /// Somebody else is there.
    #[error(transparent)]
    Join(#[from] JoinError),
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
    /// The upstream's address.
    #[error("upstream.url is no address of a network: {0}")]
    Upstream(String),
    /// A cursor row holds something this version does not know.
    #[error("failed to read table cursor, column holes, shard {shard}: {error}")]
    Cursor {
        /// The row's shard.
        shard: ShardId,
        /// Why.
        error: String,
    },
    /// A metric's name is taken.
    #[error(transparent)]
    Metric(#[from] MetricError),
}

/// A coreapp that runs.
pub struct Running {
    /// messages, contacts, control, health.
    pub addresses: [SocketAddr; 4],
    stop: CancellationToken,
    lost: watch::Receiver<Option<String>>,
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
    /// Waits until another coreapp has taken over; gives the sentence that says so.
    pub async fn lost(&mut self) -> String {
        match self.lost.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // Nobody watches any more: the process is ending.
            Err(_) => std::future::pending().await,
        }
    }

    /// Stops in order: no new calls, what is being written is written, cursors are saved.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let lost = self.lost.borrow().is_some();
        let orderly = async {
            self.drivers.drain().await;
            self.callbacks.release_all().await;
            self.lanes.close().await;
            if !lost && let Err(error) = self.store.cluster().leave(self.inc).await {
                tracing::warn!(%error, "failed to sign off; the next start does it");
            }
        };
        if tokio::time::timeout(STOP_MAX, orderly).await.is_err() {
            tracing::warn!("the orderly stop took too long; the next start finishes it");
        }
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(CONNECTIONS_MAX, ended).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

/// Towards webapps and services; `None`: clear text.
fn identity(config: &Config, env: &Env) -> Result<Option<Arc<Identity>>, StartError> {
    config.internal.check_clear_text("coreapp.listen", &config.coreapp.listen.to_string())?;
    let Some(source) = config.internal.source()? else { return Ok(None) };
    Ok(Some(Identity::new(Name::Coreapp, source, env.clock.clone())?))
}

/// Starts the coreapp: joins, takes every shard, serves.
///
/// # Errors
/// [`StartError`].
pub async fn start(config: Config, env: Env) -> Result<Running, StartError> {
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
    let number = config.account.number.ok_or_else(|| ConfigError::missing("account.number"))?;
    let upstream = Sandbox::new(&config.upstream.url, number)
        .map_err(|error| StartError::Upstream(error.to_string()))?;
    let upstream = Arc::new(upstream);
    let identity = identity(&config, &env)?;
    let policy = policy(&config.egress)?;
    let egress = Egress::new(&policy, Vec::new())?;

    // Who owns what.
    let store = database::open(&config, &env).await?;
    let facts = store.facts().clone();
    let me = me(&config, addresses[0]);
    let joined = cluster::join(&store.cluster(), &me, facts.lanes, &env.rng).await?;
    let beat = Arc::new(Beat::new());
    let feed = Arc::new(callbacks::Feed::new());
    let lanes = store.start_lanes(joined.inc, feed.clone());
    let reader = store.reader();

    let generations = Arc::new(Generations::new(&reader.generations().await?));
    metrics.generation(generations.current());

    // Our own keys: their first rows are written before any shard works.
    let control_shard = joined.shards.iter().find(|shard| shard.id == ShardId::CONTROL);
    let control_epoch = control_shard.map_or(0, |shard| shard.epoch);
    let opened = {
        let load = reader.load_shard(ShardId::CONTROL).await?;
        // Answers by token come only once a driver owns the shard.
        let (answers, _) = mpsc::unbounded_channel();
        lanes.own(ShardId::CONTROL, control_epoch, load.next_seq(), answers);
        prekeys::open(&reader, &lanes, control_epoch, &*env.clock, &*env.rng).await?
    };

    // The shards.
    let (link, outgoing) = mpsc::channel(LINK_QUEUE);
    let (ask, asked) = mpsc::unbounded_channel();
    let (fetch, wanted) = mpsc::unbounded_channel();
    let (setups, to_set_up) = mpsc::unbounded_channel();
    let (view, view_rx) = watch::channel(View::of(&Application::default()));
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
            setups,
            metrics: metrics.clone(),
            sealing: upstream.caps().sealing,
            generation: generations.current(),
            keys: opened.ring.clone(),
            rng: env.rng.clone(),
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
        generation: generation_of(),
        may_post: may_post(),
    })?;
    let callbacks = Arc::new(callbacks);
    let mut shards = Vec::new();
    for shard in &joined.shards {
        let load = reader.load_shard(shard.id).await?;
        callbacks
            .attach(shard.id, shard.epoch, &load)
            .map_err(|error| StartError::Cursor { shard: shard.id, error: error.to_string() })?;
        drivers.own(shard.id, shard.epoch, number, load).await;
        shards.push((shard.id, shard.epoch));
    }

    // The account.
    let contacts_quota = Arc::new(Quota::default());
    let intake = Arc::new(Intake {
        drivers: drivers.clone(),
        clock: env.clock.clone(),
        messages: Arc::default(),
        beat: beat.clone(),
    });
    let apply = Apply {
        view,
        gate: gate.clone(),
        intake: intake.clone(),
        contacts: contacts_quota.clone(),
        callbacks: callbacks.clone(),
        no_limits: config.coreapp.no_limits,
    };
    let fixed = Fixed { number, addr: me.addr.clone(), no_limits: config.coreapp.no_limits };
    let deps = control::Deps {
        lanes: lanes.clone(),
        epoch: control_epoch,
        clock: env.clock.clone(),
        fixed,
        apply: Box::new(move |application| apply.apply(application)),
        policy,
        trust: {
            let callbacks = callbacks.clone();
            Box::new(move |egress| callbacks.egress(Arc::new(egress)))
        },
    };
    let control = Control::open(deps, &reader, &env.rng, initial).await?;
    let control = Arc::new(control);

    // Everything else.
    let stop = CancellationToken::new();
    let event_log = EventLog::new(events::Deps {
        reader: reader.clone(),
        feed,
        generations: generations.clone(),
        clock: env.clock.clone(),
        owns_all: joined.shards.len() == ShardId::all().count(),
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
        shards: joined.shards.clone(),
        callbacks: callbacks.clone(),
        clock: env.clock.clone(),
        rng: env.rng.clone(),
        sent: replayed.with_label_values(&["sent"]),
        failed: replayed.with_label_values(&["failed"]),
    });
    let replays = Arc::new(replays.await?);
    let again = Again::new(
        &callbacks,
        AgainDeps {
            clock: env.clock.clone(),
            rng: env.rng.clone(),
            generation: generation_of(),
            may_post: may_post(),
        },
    );
    let (lost_tx, lost) = watch::channel(None);
    let (connected_tx, connected) = watch::channel(false);
    let mut background = JoinSet::new();
    background.spawn(replays.clone().run(again));
    let oldest = registry.gauge(
        "callback_oldest_age_seconds",
        "Age of the oldest event that the webhook has not taken yet; 0: there is none.",
    )?;
    let renewal = Renewal {
        cluster: store.cluster(),
        inc: joined.inc,
        generations: generations.clone(),
        clock: env.clock.clone(),
        lanes: lanes.clone(),
        keys: opened.ring.clone(),
        metrics: metrics.clone(),
        last: None,
    };
    let contacts_waiting = Arc::<AtomicUsize>::default();
    if let Some(batch) = upstream.caps().contacts {
        let call = Sync { upstream: upstream.clone(), drivers: drivers.clone() };
        let waiting = contacts_waiting.clone();
        background.spawn(batcher::run(call, batch, asked, metrics.clone(), waiting));
    }
    let desk = Arc::new(Desk::new(drivers.clone(), contacts_waiting));
    let complaints =
        Complaints::new(drivers.clone(), reader.clone(), env.clock.clone(), upstream.clone());
    if let Some(batch) = upstream.caps().prekeys {
        let pool = Pool::start(prekeys::PoolDeps {
            me: opened.ring.me().clone(),
            clock: env.clock.clone(),
            rng: env.rng.clone(),
            drivers: drivers.clone(),
        });
        background.spawn(prekeys::retries(to_set_up, pool.clone()));
        let call = Fetch { upstream: upstream.clone(), pool, drivers: drivers.clone() };
        background.spawn(batcher::run(call, batch, wanted, metrics.clone(), Arc::default()));
        let upkeep = Upkeep {
            upstream: upstream.clone(),
            lanes: lanes.clone(),
            epoch: control_epoch,
            clock: env.clock.clone(),
            rng: env.rng.clone(),
            opened,
            generations,
        };
        background.spawn(upkeep.run());
    }
    let link = Link { outgoing, sender: link, shards, renewal, connected: connected_tx };
    background.spawn(delivery::run(upstream, link, drivers.clone()));
    background.spawn(upkeep::run(upkeep::Deps {
        shards: joined.shards.clone(),
        lanes: lanes.clone(),
        clock: env.clock.clone(),
        callbacks: callbacks.clone(),
        gate: gate.clone(),
        settings: view_rx.clone(),
        disk: database::disk(&config)?,
        oldest,
    }));
    let mut fenced = lanes.fenced();
    let tick = cluster::tick(store.cluster(), joined.inc, beat.clone());
    background.spawn(async move {
        let reason = tokio::select! {
            lost = tick => lost,
            _ = fenced.wait_for(|fenced| *fenced) => cluster::Lost,
        };
        lost_tx.send_replace(Some(reason.to_string()));
    });
    let gauges = Arc::new(Gauges { registry, metrics, gate, window, desk: desk.clone() });
    let services = Services {
        intake,
        contacts: rpc::ContactsService {
            drivers: drivers.clone(),
            desk,
            complaints,
            quota: contacts_quota,
            beat: beat.clone(),
            settings: view_rx,
        },
        control: rpc::ControlService {
            control,
            node: me.name.clone(),
            connected: connected.clone(),
            gauges: gauges.clone(),
        },
        events: rpc::EventsService { log: event_log, replays },
        probes: rpc::Probes { beat, connected, gauges },
    };
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
        lost,
        tasks,
        _background: background,
        drivers,
        callbacks,
        lanes,
        store,
        inc: joined.inc,
    })
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
        self.view.send_replace(View::of(application));
        self.callbacks.settings(application);
    }
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
