//! The `webapp` command: configuration, logs, run until a signal.

use std::sync::Arc;

use rpc::identity::{Identity, IdentityError, Name};
use serde::Deserialize;
use telemetry::{
    Metrics, SystemClock, SystemRng,
    config::{ConfigError, Internal, load, without_effect},
    logs::{self, Log, LogError},
    metrics::MetricError,
    shutdown, system,
    traces::{Telemetry, Traces, TracesError},
};

use crate::{Args, Config, Env, StartError, start};

/// Sections of the configuration this role reads.
const SECTIONS: &[&str] = &["webapp", "internal", "log", "telemetry"];

#[derive(Deserialize)]
struct Sections {
    #[serde(default)]
    webapp: Config,
    #[serde(default)]
    internal: Internal,
    #[serde(default)]
    log: Log,
    #[serde(default)]
    telemetry: Telemetry,
}

/// Why the command ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Who we are to coreapps.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The log level.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The collector.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// Process metrics.
    #[error(transparent)]
    Metrics(#[from] MetricError),
    /// Signal handlers.
    #[error("failed to handle signals: {0}")]
    Signals(std::io::Error),
    /// The edge itself.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Runs the edge as a process of its own until SIGTERM or SIGINT.
///
/// # Errors
/// [`RunError`]; once it runs it ends without one.
pub async fn run(args: Args) -> Result<(), RunError> {
    let environment = system::environment();
    let Sections { webapp, internal, log, telemetry } =
        load(&args.sources(environment.clone()), SECTIONS)?;
    logs::init(&log)?;
    for (variable, why) in without_effect(&environment) {
        tracing::info!("{variable} is set and has no effect: {why}");
    }
    let signal = shutdown::on_signals().map_err(RunError::Signals)?;
    for coreapp in &webapp.coreapps {
        let host = coreapp.messages.rsplit_once(':').map_or("", |(host, _)| host);
        internal.check_clear_text("webapp.coreapps", host)?;
    }
    let clock = Arc::new(SystemClock);
    let identity = internal.source()?;
    let identity = identity.map(|source| Identity::new(Name::Webapp, source, clock.clone()));
    let metrics = Metrics::with_process()?;
    let traces = Traces::start(&telemetry, "webapp", clock.clone(), &metrics)?;
    let env = Env {
        identity: identity.transpose()?,
        clock,
        rng: Arc::new(SystemRng::new()),
        metrics,
        traces: traces.clone(),
    };
    let running = start(webapp, env).await?;
    tracing::info!(https = ?running.https, http = ?running.http, "the webapp is up");
    signal.cancelled().await;
    running.stop().await;
    traces.stop().await;
    Ok(())
}
