//! Putting it together, and taking it apart again.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use contract::{Clock, Rng};
use rpc::identity::Identity;
use telemetry::{
    Traces,
    metrics::{MetricError, Metrics},
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{Semaphore, watch},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    app::App,
    auth::{ApiKey, Passwords, Tokens},
    config::{Config, MIN_TOKEN_KEY},
    directory::{DEFAULT_LIMITS, Directory, State, follow},
    edge::{FailureLog, Limits, Proxies, RequestIds, SWEEP, governor},
    hop::{Cores, Hop},
    listen::{Certificates, Listener, Server, TlsError, acceptor, own_certificate, serve},
    metrics::Web,
    routes::router,
};

/// Connections that wait to be accepted; the system may bear fewer (`net.core.somaxconn`). Whoever comes
/// when they are too many is not heard, and his system tries again only after a second.
const BACKLOG: u32 = 4_096;
/// For requests in work when stopping: longer than a message's whole budget.
const DRAIN: Duration = Duration::from_secs(12);

/// What the edge takes from outside.
pub struct Env {
    /// Wall clock, for tokens and keys of messages.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// Where metrics are registered; they are what `/metrics` shows.
    pub metrics: Metrics,
    /// Who we are to coreapps; `None`: clear text.
    pub identity: Option<Arc<Identity>>,
    /// Where spans go.
    pub traces: Traces,
}

/// Why the edge did not start. Nothing runs then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No listener is configured.
    #[error("failed to start the webapp: neither webapp.https nor webapp.http is set")]
    NoListener,
    /// Clear text beyond this machine.
    #[error(
        "failed to start the webapp: webapp.http is {0}, but plain HTTP is served on loopback \
         addresses only, for example 127.0.0.1:9091"
    )]
    HttpNotLoopback(SocketAddr),
    /// No coreapp is configured.
    #[error("failed to start the webapp: webapp.coreapps (WACORE_HOSTNAME) is empty")]
    NoCoreapp,
    /// An address is none.
    #[error("failed to start the webapp: a coreapp's address cannot be used: {0}")]
    Coreapp(tonic::transport::Error),
    /// The token key is too short.
    #[error(
        "failed to start the webapp: webapp.token_key (WA_WEB_JWT_CRYPTO_KEY) has fewer than \
         {MIN_TOKEN_KEY} bytes"
    )]
    TokenKey,
    /// The API key is too short or too long.
    #[error("failed to start the webapp: webapp.api_key (WA_API_KEY) needs 12 to 128 characters")]
    ApiKey,
    /// An address is taken or not ours.
    #[error("failed to listen on {address} ({option}): {source}")]
    Bind {
        /// The option that sets it.
        option: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No certificate.
    #[error("failed to set up TLS: {0}")]
    Tls(#[from] TlsError),
    /// A name is registered already.
    #[error(transparent)]
    Metrics(#[from] MetricError),
    /// argon2 or the limiter refused our constants.
    #[error("failed to start the webapp: {0}")]
    Parts(String),
}

/// A running edge.
pub struct Running {
    /// Where HTTPS is served.
    pub https: Option<SocketAddr>,
    /// Where plain HTTP is served.
    pub http: Option<SocketAddr>,
    app: Arc<App>,
    stop: CancellationToken,
    kill: CancellationToken,
    connections: TaskTracker,
    background: CancellationToken,
    tasks: TaskTracker,
}

/// Starts the edge. It listens when this returns; until a coreapp is reached it answers 503/1011.
///
/// # Errors
/// [`StartError`].
pub async fn start(config: Config, env: Env) -> Result<Running, StartError> {
    check(&config)?;
    let certificates = match config.https {
        Some(_) => Some(Arc::new(Certificates::new(own_certificate(&config)?))),
        None => None,
    };
    let https = match (config.https, &certificates) {
        (Some(address), Some(certificates)) => Some(Listener {
            tls: Some(acceptor(Arc::clone(certificates))?),
            socket: bind("--https", address)?,
        }),
        _ => None,
    };
    let http = match config.http {
        Some(address) => Some(Listener { tls: None, socket: bind("--http", address)? }),
        None => None,
    };
    let address = |listener: &Option<Listener>| listener.as_ref()?.socket.local_addr().ok();
    let (https_address, http_address) = (address(&https), address(&http));

    let identity = env.identity.clone();
    let app = Arc::new(App { certificates, ..app(&config, env)? });
    let (background, tasks) = (CancellationToken::new(), TaskTracker::new());
    let spawn = |work: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        let background = background.clone();
        tasks.spawn(async move { background.run_until_cancelled(work).await });
    };
    let (directory, cores) = (Arc::clone(&app.directory), Arc::clone(&app.cores));
    // Subscribed before the first copy can come, so that none is missed.
    spawn(Box::pin(react(Arc::clone(&app), directory.subscribe())));
    spawn(Box::pin(follow(directory, cores, config.node.clone())));
    spawn(Box::pin(sweep(Arc::clone(&app))));
    if let Some(identity) = identity {
        spawn(Box::pin(identity.keep()));
    }

    let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
    let server = Arc::new(Server {
        router: router(Arc::clone(&app)),
        ids: RequestIds::new(&app.rng),
        proxies: Proxies::new(config.trusted_proxies),
        metrics: Arc::clone(&app.metrics),
        stop: stop.clone(),
        kill: kill.clone(),
    });
    let slots = Arc::new(Semaphore::new(config.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    let connections = TaskTracker::new();
    for listener in [https, http].into_iter().flatten() {
        tasks.spawn(serve(listener, Arc::clone(&server), Arc::clone(&slots), connections.clone()));
    }
    Ok(Running {
        https: https_address,
        http: http_address,
        app,
        stop,
        kill,
        connections,
        background,
        tasks,
    })
}

impl Running {
    /// Stops accepting, answers what is in work (12 s at most), closes the pipes.
    pub async fn stop(self) {
        self.stop.cancel();
        self.connections.close();
        if timeout(DRAIN, self.connections.wait()).await.is_err() {
            tracing::warn!(
                connections = self.connections.len(),
                "stopped with requests still in work"
            );
            self.kill.cancel();
            self.connections.wait().await;
        }
        self.background.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.app.hop.close();
    }
}

fn check(config: &Config) -> Result<(), StartError> {
    if config.https.is_none() && config.http.is_none() {
        return Err(StartError::NoListener);
    }
    if let Some(http) = config.http.filter(|http| !http.ip().is_loopback()) {
        return Err(StartError::HttpNotLoopback(http));
    }
    if config.coreapps.is_empty() {
        return Err(StartError::NoCoreapp);
    }
    if config.token_key.as_ref().is_some_and(|key| key.expose().len() < MIN_TOKEN_KEY) {
        return Err(StartError::TokenKey);
    }
    let wrong =
        |key: &telemetry::config::Secret| !(12..=128).contains(&key.expose().chars().count());
    if config.api_key.as_ref().is_some_and(wrong) {
        return Err(StartError::ApiKey);
    }
    Ok(())
}

fn app(config: &Config, env: Env) -> Result<App, StartError> {
    let Env { clock, rng, metrics, identity, traces } = env;
    let metrics = Arc::new(Web::new(metrics, config.node.clone())?);
    metrics.max_connections.set(i64::try_from(config.max_connections).unwrap_or(i64::MAX));
    let directory = Arc::new(Directory::new());
    let cores = Cores::new(&config.coreapps, directory.subscribe(), identity.clone());
    Ok(App {
        directory,
        cores: Arc::new(cores.map_err(StartError::Coreapp)?),
        hop: Hop::new(Arc::clone(&metrics), identity),
        limits: Limits::new(config.limits, &DEFAULT_LIMITS),
        governor: governor()
            .ok_or_else(|| StartError::Parts("the request limiter has no quota".to_owned()))?,
        tokens: Tokens::new(config.token_key.as_ref().map(telemetry::config::Secret::expose)),
        passwords: Passwords::new(&rng).map_err(|error| StartError::Parts(error.to_string()))?,
        api_key: config.api_key.as_ref().map(|key| ApiKey::new(key.expose(), &rng)),
        request_timeout: Duration::from_secs(config.request_timeout_s.max(1)),
        failures: FailureLog::new(),
        certificates: None,
        traces,
        metrics,
        clock,
        rng,
    })
}

fn bind(option: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A port whose last connections are still dying can be had again.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|source| StartError::Bind { option, address, source })
}

/// Puts what the directory says into force.
async fn react(app: Arc<App>, mut changes: watch::Receiver<Arc<State>>) {
    // The first copy may have come before this task ran.
    changes.mark_changed();
    while changes.changed().await.is_ok() {
        let state = Arc::clone(&changes.borrow_and_update());
        app.limits.set(&state.limits);
        app.hop.follow(&state.owners);
        if let Some(certificates) = &app.certificates {
            certificates.upload(&state.certificate);
        }
        if let Err(error) = telemetry::logs::set_level(state.log_level.as_deref()) {
            tracing::warn!(%error, "the log level stays as it was");
        }
    }
}

async fn sweep(app: Arc<App>) {
    let mut tick = interval(SWEEP);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        app.limits.sweep();
    }
}
