//! The process: configuration, logs, signals, and how it ends.

use std::process::ExitCode;

use telemetry::{
    logs,
    metrics::Metrics,
    shutdown,
    system::{self, SystemClock, SystemRng},
};

use crate::{Args, Config, Env, start};

/// Runs the coreapp until it is told to stop; for `main`.
#[must_use]
pub fn main(args: &Args) -> ExitCode {
    match run(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("coreapp: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let config = Config::load(args, system::environment())?;
    logs::init(&config.log)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let stop = shutdown::on_signals()?;
        let env = Env {
            clock: std::sync::Arc::new(SystemClock),
            rng: std::sync::Arc::new(SystemRng::new()),
            metrics: Metrics::with_process()?,
        };
        let mut running = start(config, env).await?;
        let lost = tokio::select! {
            () = stop.cancelled() => false,
            reason = running.lost() => {
                tracing::error!("{reason}");
                true
            }
        };
        running.stop().await;
        Ok(if lost { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    })
}
