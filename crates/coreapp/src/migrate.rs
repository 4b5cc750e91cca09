//! What is done to a database while no coreapp runs on it: migrations, and the new generation that
//! a restored backup needs.

use std::sync::Arc;

use contract::{Clock, Rng};
use store::{Cluster, Migrating, Store, StoreError, rows::NodeState};
use telemetry::config::ConfigError;

use crate::{
    Config,
    cluster::{BuryError, bury},
    database,
    generation::{Generations, following},
};

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Names of the migrations that ran now, in order.
    pub applied: Vec<&'static str>,
    /// Number of the last migration there is.
    pub schema: usize,
    /// `SQLite` or `PostgreSQL`.
    pub engine: &'static str,
    /// The generation that was begun.
    pub generation: Option<i64>,
}

/// The database stays as it was, but for migrations that ran to their end.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database.
    #[error("failed to {0}")]
    Store(#[from] StoreError),
    /// SQLite only: the file is locked.
    #[error(
        "failed to {0}: stop it and run this again; a file has one user at a time (HG-GENERATION-2)"
    )]
    InUse(StoreError),
    /// A coreapp beats.
    #[error(
        "the coreapp '{name}' at {addr} is alive on this database (HG-GENERATION-2): stop every \
         coreapp, then run this again; one that runs would go on with the old sessions"
    )]
    Alive {
        /// Its node name.
        name: String,
        /// Where it listens.
        addr: String,
    },
}

/// Runs the migrations that are pending and, `after_restore`, begins a generation: all sessions of
/// the database are dead then. `migrating` is told of each migration before it runs. Repeating it
/// runs no migration twice; each `after_restore` begins one more generation, which costs new
/// sessions and harms nothing.
///
/// # Errors
/// [`MigrateError`].
pub async fn migrate(
    config: &Config,
    after_restore: bool,
    migrating: fn(Migrating),
    clock: &dyn Clock,
    rng: Arc<dyn Rng>,
) -> Result<Migrated, MigrateError> {
    let mut settings = database::connection::<MigrateError>(config)?;
    settings.migrating = migrating;
    let store = Store::open(settings, rng).await.map_err(|error| match error {
        StoreError::InUse { .. } => MigrateError::InUse(error),
        error => error.into(),
    })?;
    let facts = store.facts();
    let mut migrated = Migrated {
        applied: facts.migrated.clone(),
        schema: facts.schema,
        engine: facts.engine,
        generation: None,
    };
    if after_restore {
        let known = Generations::new(&store.reader().generations().await?);
        let generation = following(known.current(), clock.unix_s());
        begin(&store.cluster(), generation).await?;
        migrated.generation = Some(generation);
    }
    Ok(migrated)
}

/// Whoever is on record is fenced first: a coreapp that only seems dead must not write any more.
async fn begin(cluster: &Cluster, generation: i64) -> Result<(), MigrateError> {
    loop {
        let on_record: Vec<_> =
            cluster.nodes().await?.into_iter().filter(|n| n.state != NodeState::Dead).collect();
        if !on_record.is_empty() {
            bury(cluster, on_record).await.map_err(|error| match error {
                BuryError::Alive { name, addr } => MigrateError::Alive { name, addr },
                BuryError::Store(error) => error.into(),
            })?;
        }
        let rows = cluster.begin_generation(None, generation, &[]).await?;
        if rows.iter().any(|row| row.generation == generation) {
            return Ok(());
        }
        // A coreapp has started meanwhile; it is looked at like the others.
    }
}
