//! The process: configuration, logs, signals, and how it ends.

use std::process::ExitCode;

use telemetry::{
    Traces, config, logs,
    metrics::Metrics,
    shutdown,
    system::{self, SystemClock, SystemRng},
};

use crate::{Args, Config, Env, database, start};

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
    let environment = system::environment();
    let config = Config::load(args, environment.clone())?;
    logs::init(&config.log)?;
    for (variable, why) in config::without_effect(&environment) {
        tracing::info!("{variable} is set and has no effect: {why}");
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let stop = shutdown::on_signals()?;
        let (clock, metrics) = (std::sync::Arc::new(SystemClock), Metrics::with_process()?);
        let traces = Traces::start(&config.telemetry, "coreapp", clock.clone(), &metrics)?;
        let rng = std::sync::Arc::new(SystemRng::new());
        let env = Env { clock, rng, metrics, traces: traces.clone() };
        if config.database.upgrade {
            database::open(&config, &env).await?;
            tracing::info!("the schema is up to date; ending, as database.upgrade is set");
            return Ok(ExitCode::SUCCESS);
        }
        // A signal also ends the waiting for a database that does not come.
        let started = tokio::select! {
            started = start(config, env) => started,
            () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
        };
        let mut running = started?;
        let lost = tokio::select! {
            () = stop.cancelled() => false,
            reason = running.lost() => {
                tracing::error!("{reason}");
                true
            }
        };
        running.stop().await;
        traces.stop().await;
        Ok(if lost { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    })
}
