//! The REST edge as a process of its own.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The REST edge of Heliograph: serves the Business API in front of one or more coreapps
#[derive(Parser)]
#[command(name = "webapp", version)]
struct Cli {
    #[command(flatten)]
    args: webapp::Args,
}

#[tokio::main]
async fn main() -> ExitCode {
    match webapp::run(Cli::parse().args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("webapp: {error}");
            ExitCode::FAILURE
        }
    }
}
