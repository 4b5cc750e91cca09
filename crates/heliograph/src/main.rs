//! One binary for everything: `up` (all in one process), the single roles, `migrate`, `bench`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod certificate;
mod client;
mod migrate;
mod network;
mod up;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Heliograph: a self-hosted business-messaging gateway with the On-Premises Business API.
///
/// Without a command it runs `up`: a complete gateway with a network of virtual phones, ready for a
/// first message.
#[derive(Parser)]
#[command(name = "heliograph", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    up: up::UpArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything in one process: webapp, coreapp, sandbox network, a receiver of callbacks
    Up(up::UpArgs),
    /// Run the engine alone: queue, contacts, delivery, callbacks; gRPC on four ports
    Coreapp(coreapp::Args),
    /// Run the REST edge alone, in front of one or more coreapps
    Webapp(webapp::Args),
    /// Run the sandbox network alone: a stand-in for the vendor's servers, with virtual phones
    Sandbox(sandbox::Args),
    /// Bring a database to this version, or make one that was restored from a backup safe to use
    Migrate(migrate::MigrateArgs),
    /// Make a certificate with which another program may call the coreapp over gRPC
    Certificate(certificate::CertificateArgs),
    /// Measure: drive a gateway with messages and tell rate, latencies, losses and CPU time
    ///
    /// Starts sandbox network, coreapp and webapps as separate processes with a new database (or
    /// drives a running gateway, --url), warms up, sends, waits for every callback, and says what
    /// happened.
    Bench(bench::BenchArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.unwrap_or(Command::Up(cli.up)) {
        Command::Up(args) => block_on("up", up::run(args)),
        Command::Coreapp(args) => coreapp::main(&args),
        Command::Webapp(args) => block_on("webapp", webapp::run(args)),
        Command::Sandbox(args) => block_on("sandbox", network::run(args)),
        Command::Migrate(args) => block_on("migrate", migrate::run(args)),
        Command::Certificate(args) => match certificate::run(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed("certificate", &error),
        },
        Command::Bench(args) => block_on("bench", bench::main(args)),
    }
}

fn block_on<E: std::error::Error>(
    command: &str,
    work: impl Future<Output = Result<(), E>>,
) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(command, &error),
    };
    match runtime.block_on(work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(command, &error),
    }
}

fn failed(command: &str, error: &dyn std::error::Error) -> ExitCode {
    eprintln!("heliograph {command}: {error}");
    ExitCode::FAILURE
}
