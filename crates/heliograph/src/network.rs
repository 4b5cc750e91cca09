//! `heliograph sandbox`: the sandbox network alone.

use std::{io, sync::Arc};

use telemetry::{
    SystemClock, SystemRng,
    config::{self, ConfigError, Sources},
    logs::{self, Log, LogError},
    shutdown, system,
};

/// Why the sandbox does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("failed to catch signals: {0}")]
    Signals(io::Error),
    #[error("failed to {0}")]
    Start(#[from] sandbox::StartError),
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Given {
    log: Log,
}

/// Runs until the first signal.
pub(crate) async fn run(args: sandbox::Args) -> Result<(), NetworkError> {
    let given: Given = config::load(&Sources::new(None, system::environment()), &["log"])?;
    logs::init(&given.log)?;
    let stop = shutdown::on_signals().map_err(NetworkError::Signals)?;
    let running =
        sandbox::start(args.into(), Arc::new(SystemClock), Arc::new(SystemRng::new())).await?;
    stop.cancelled().await;
    running.stop().await;
    Ok(())
}
