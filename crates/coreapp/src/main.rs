//! `coreapp`: the engine as a process of its own.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Heliograph's engine: queue, contacts, delivery, event log and callbacks
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    args: coreapp::Args,
}

fn main() -> ExitCode {
    coreapp::main(&Cli::parse().args)
}
