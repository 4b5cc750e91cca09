//! The sandbox network as a program of its own.

use std::{process::ExitCode, sync::Arc};

use clap::Parser;
use telemetry::{SystemClock, SystemRng, logs, shutdown};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A stand-in for the vendor's servers, with virtual phones.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    args: sandbox::Args,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbox: failed to {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: sandbox::Args) -> Result<(), Box<dyn std::error::Error>> {
    logs::init(&logs::Log::default())?;
    let stop = shutdown::on_signals()?;
    let running =
        sandbox::start(args.into(), Arc::new(SystemClock), Arc::new(SystemRng::new())).await?;
    stop.cancelled().await;
    running.stop().await;
    Ok(())
}
