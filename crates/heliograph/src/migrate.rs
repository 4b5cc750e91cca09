//! `heliograph migrate`: brings the tables of a database to this version; after the restore of a
//! backup, makes it safe to use.

use std::{io, path::PathBuf, sync::Arc};

use clap::Args;
use coreapp::{MigrateError, Migrated};
use telemetry::{
    SystemClock, SystemRng,
    config::ConfigError,
    logs::{self, Log},
    system,
};

/// What is logged: the progress is printed.
const LOG_LEVEL: &str = "warn";

/// Options of `heliograph migrate`.
///
/// Migrations are run under a lock and once each: repeating the command changes nothing. Coreapps
/// run them too when they start.
#[derive(Args, Debug)]
pub(crate) struct MigrateArgs {
    /// Configuration file [default: heliograph.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Database: sqlite:PATH, postgres://USER:PASSWORD@HOST:PORT/NAME or mysql://… (MariaDB too)
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// The database was put back from a backup: begin a new generation of the account, so that no
    /// session of the backup is used again. To be run before the first coreapp starts, and refused
    /// while one lives. Repeating it is harmless
    #[arg(long)]
    after_restore: bool,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Log(#[from] logs::LogError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    #[error("failed to print what was done: {0}")]
    Print(#[from] io::Error),
}

/// Runs the command.
pub(crate) async fn run(args: MigrateArgs) -> Result<(), CommandError> {
    let options =
        coreapp::Args { config: args.config, database: args.database, ..coreapp::Args::default() };
    let config = coreapp::Config::load(&options, system::environment())?;
    logs::init(&Log { level: LOG_LEVEL.to_owned(), ..config.log.clone() })?;
    if args.after_restore {
        eprintln!("making sure that no coreapp lives on this database; this takes up to 5 s");
    }
    let rng = Arc::new(SystemRng::new());
    let progress = |step: store::Migrating| {
        eprintln!("running {} ({} of {})", step.name, step.number, step.of);
    };
    let migrated =
        coreapp::migrate(&config, args.after_restore, progress, &SystemClock, rng).await?;
    tell(&migrated, &mut io::stdout().lock())?;
    Ok(())
}

fn tell(migrated: &Migrated, out: &mut impl io::Write) -> io::Result<()> {
    let Migrated { applied, schema, engine, generation } = migrated;
    match applied.as_slice() {
        [] => writeln!(out, "nothing to migrate: the {engine} database is at {schema}")?,
        names => writeln!(
            out,
            "migrated the {engine} database to {schema}: applied {}",
            names.join(", ")
        )?,
    }
    if let Some(generation) = generation {
        writeln!(
            out,
            "generation {generation} of the account begins: sessions of the backup are dead, new \
             ones are made with the next message to or from each contact"
        )?;
    }
    Ok(())
}
