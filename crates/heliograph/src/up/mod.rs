//! `heliograph up`: a complete gateway in one process, for first steps, development and tests.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use contract::Number;
use serde::Deserialize;
use telemetry::{
    Metrics, SystemClock, SystemRng, Traces,
    config::{self, ConfigError, Database, Internal, Sources},
    logs::{self, Log},
    shutdown, system,
};

use tokio::time::Instant;

use crate::client::Client;

mod console;
mod first_start;
mod master_key;
mod receiver;

use first_start::{AdminError, FirstStart};
use receiver::Receiver;

/// Own number until one is registered.
const NUMBER: &str = "15550100100";
/// Longest wait of the webapp for the coreapp.
const READY: Duration = Duration::from_secs(20);
/// What is logged unless configured: the output of `up` is for its user.
const LOG_LEVEL: &str = "warn";

/// Options of `heliograph up`.
#[derive(Args, Debug)]
pub(crate) struct UpArgs {
    /// Configuration file [default: heliograph.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the database file, the certificate, files of messages and what the sandbox remembers are
    /// kept
    #[arg(long, value_name = "DIR", default_value = "data")]
    data_dir: PathBuf,
    /// Database: sqlite:PATH, postgres://USER:PASSWORD@HOST:PORT/NAME or mysql://… (MariaDB too)
    /// [default: heliograph.db in the data directory]
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Address of the REST API over TLS, with a self-signed certificate
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    https: SocketAddr,
    /// Loopback address of the REST API in clear text, for first steps
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9091")]
    http: SocketAddr,
    /// Loopback address of the sandbox's control API
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9080")]
    sandbox: SocketAddr,
    /// Loopback address of the receiver that prints callbacks
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9092")]
    receiver: SocketAddr,
    /// Switch all quotas and rate limits off
    #[arg(long)]
    no_limits: bool,
    /// Use the sandbox network that runs at this http:// address instead of an own one
    #[arg(long, value_name = "URL", conflicts_with = "sandbox")]
    upstream: Option<String>,
}

/// Why `up` does not come up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Log(#[from] logs::LogError),
    #[error("failed to catch signals: {0}")]
    Signals(io::Error),
    #[error("failed to create the data directory {}: {error}; choose another with --data-dir",
        path.display())]
    DataDir { path: PathBuf, error: io::Error },
    #[error("failed to listen on {address}: {error}; choose another address with {option}")]
    Port { option: &'static str, address: SocketAddr, error: io::Error },
    #[error("the option {option} takes a loopback address only, {address} is none")]
    NotLoopback { option: &'static str, address: SocketAddr },
    #[error(transparent)]
    Metrics(#[from] telemetry::metrics::MetricError),
    #[error(transparent)]
    Traces(#[from] telemetry::traces::TracesError),
    #[error("failed to start the sandbox: failed to {0}")]
    Sandbox(#[from] sandbox::StartError),
    #[error("failed to start the coreapp: {0}")]
    Coreapp(#[from] coreapp::StartError),
    #[error("failed to start the webapp: {0}")]
    Webapp(#[from] webapp::StartError),
    #[error("failed to set up callbacks: {0}")]
    Admin(#[from] AdminError),
    #[error("failed to get ready within {} s; see the log above", READY.as_secs())]
    NotReady,
    #[error("{0}")]
    Lost(String),
}

/// What is set by no option of `up`, read first: it decides the rest.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Given {
    database: Database,
    log: Option<Log>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Web {
    webapp: webapp::Config,
}

/// Runs until the first signal.
pub(crate) async fn run(args: UpArgs) -> Result<(), UpError> {
    let stop = shutdown::on_signals().map_err(UpError::Signals)?;
    let env = system::environment();
    let sources = Sources::new(args.config.clone(), env.clone());
    let given: Given = config::load(&sources, &["database", "log"])?;
    let log = given.log.unwrap_or_else(|| Log { level: LOG_LEVEL.to_owned(), ..Log::default() });
    logs::init(&log)?;
    std::fs::create_dir_all(&args.data_dir)
        .map_err(|error| UpError::DataDir { path: args.data_dir.clone(), error })?;
    check_ports(&args).await?;

    let clock = Arc::new(SystemClock);
    let rng = Arc::new(SystemRng::new());
    let receiver = Receiver::start(args.receiver).await.map_err(|error| UpError::Port {
        option: "--receiver",
        address: args.receiver,
        error,
    })?;
    let sandbox = match &args.upstream {
        Some(_) => None,
        None => {
            let listen = SocketAddr::from(([127, 0, 0, 1], 0));
            let config = sandbox::Config {
                listen,
                http: args.sandbox,
                data_dir: Some(args.data_dir.join("sandbox")),
                ..sandbox::Config::default()
            };
            Some(sandbox::start(config, clock.clone(), rng.clone()).await?)
        }
    };
    let upstream = match (&args.upstream, &sandbox) {
        (Some(url), _) => url.clone(),
        (None, Some(sandbox)) => format!("http://{}", sandbox.grpc),
        (None, None) => String::new(),
    };

    let database = database_option(&args, &given.database);
    let mut config = coreapp_config(&args, env, database, upstream)?;
    if config.coreapp.master_key.is_none() {
        let key = master_key::load_or_make(&args.data_dir, &rng)
            .map_err(|error| UpError::DataDir { path: args.data_dir.clone(), error })?;
        config.coreapp.master_key = Some(key);
    }
    let metrics = Metrics::with_process()?;
    let traces = Traces::start(&config.telemetry, "heliograph", clock.clone(), &metrics)?;
    let core_env =
        coreapp::Env { clock: clock.clone(), rng: rng.clone(), metrics, traces: traces.clone() };
    let started = tokio::select! {
        started = coreapp::start(config, core_env) => started,
        () = stop.cancelled() => return Ok(()),
    };
    let mut coreapp = started?;
    let [messages, contacts, control, _] = coreapp.addresses;
    let core = webapp::CoreAddress {
        messages: messages.to_string(),
        contacts: contacts.to_string(),
        control: control.to_string(),
    };
    let config = webapp_config(&args, &sources, core)?;
    let web_env =
        webapp::Env { clock, rng, metrics: Metrics::new(), identity: None, traces: traces.clone() };
    let webapp = webapp::start(config, web_env).await?;

    wait_until_ready(args.http).await?;
    let first = FirstStart::prepare(control, &receiver.url).await?;
    let phones = sandbox.as_ref().map(|sandbox| sandbox.http);
    print!("{}", console::welcome(&args, &first, phones));

    let lost = tokio::select! {
        () = stop.cancelled() => None,
        reason = coreapp.lost() => Some(reason),
    };
    webapp.stop().await;
    coreapp.stop().await;
    traces.stop().await;
    if let Some(sandbox) = sandbox {
        sandbox.stop().await;
    }
    match lost {
        Some(reason) => Err(UpError::Lost(reason)),
        None => Ok(()),
    }
}

/// `--database`, else the file in the data directory unless one is configured.
fn database_option(args: &UpArgs, given: &Database) -> Option<String> {
    let configured = given.url.is_some() || given.engine.is_some();
    let own = || format!("sqlite:{}", args.data_dir.join("heliograph.db").display());
    args.database.clone().or_else(|| (!configured).then(own))
}

fn coreapp_config(
    args: &UpArgs,
    env: Vec<(String, String)>,
    database: Option<String>,
    upstream: String,
) -> Result<coreapp::Config, ConfigError> {
    let options = coreapp::Args {
        config: args.config.clone(),
        // Other processes have no business with it here: any free ports will do.
        listen: Some("127.0.0.1".to_owned()),
        port: Some(0),
        database,
        upstream: Some(upstream),
        no_limits: args.no_limits,
        ..coreapp::Args::default()
    };
    let mut config = coreapp::Config::load(&options, env)?;
    config.media.directory.get_or_insert_with(|| args.data_dir.join("media"));
    // One process, one machine.
    config.internal = Internal::default();
    config.account.number.get_or_insert(
        Number::parse(NUMBER)
            .map_err(|error| ConfigError::invalid("account.number", error.to_string()))?,
    );
    for kind in ["loopback", "http"] {
        if !config.egress.allow.iter().any(|allowed| allowed == kind) {
            config.egress.allow.push(kind.to_owned());
        }
    }
    Ok(config)
}

fn webapp_config(
    args: &UpArgs,
    sources: &Sources,
    coreapp: webapp::CoreAddress,
) -> Result<webapp::Config, ConfigError> {
    let mut config = config::load::<Web>(sources, &["webapp"])?.webapp;
    config.https = Some(args.https);
    config.http = Some(args.http);
    config.limits &= !args.no_limits;
    config.coreapps = vec![coreapp];
    config.data_dir.get_or_insert_with(|| args.data_dir.clone());
    Ok(config)
}

async fn wait_until_ready(http: SocketAddr) -> Result<(), UpError> {
    let deadline = Instant::now() + READY;
    let mut client = Client::new(http.to_string());
    loop {
        if let Ok(answer) = client.call("GET", "/readyz", "", "").await
            && answer.status.is_success()
        {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(UpError::NotReady);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A taken port is told at once, by the option that changes it.
async fn check_ports(args: &UpArgs) -> Result<(), UpError> {
    let mut wanted = vec![("--https", args.https), ("--http", args.http)];
    wanted.push(("--receiver", args.receiver));
    if args.upstream.is_none() {
        wanted.push(("--sandbox", args.sandbox));
    }
    for (option, address) in &wanted {
        if *option != "--https" && !address.ip().is_loopback() {
            return Err(UpError::NotLoopback { option, address: *address });
        }
    }
    let mut held = Vec::new();
    for (option, address) in wanted {
        let listener = tokio::net::TcpListener::bind(address).await;
        held.push(listener.map_err(|error| UpError::Port { option, address, error })?);
    }
    Ok(())
}
