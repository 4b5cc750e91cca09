//! Opening a database: checks, migrations, and the measurement that chooses the number of lanes.

use std::{fmt, sync::Arc, time::Duration};

use contract::Rng;
use tokio::time::Instant;

use crate::{
    batch::Batch,
    cluster::Cluster,
    engine::{Backend, Engine, PROBE_LANE, with_engine},
    error::StoreError,
    lanes::{Done, Feed, Fence, Lanes},
    mysql::Mysql,
    postgres::Postgres,
    reader::Reader,
    settings::{BATCH_MAX, DatabaseUrl, LANES_MAX, Pools, Settings},
    sqlite::Sqlite,
    vault::Vault,
    wait::patiently,
};

/// Commits measured at start.
const PROBE_COMMITS: usize = 20;
/// From this median on a commit is so slow that more of them have to overlap.
const SLOW_COMMIT: Duration = Duration::from_millis(5);
const LANES_FAST: usize = 2;
const LANES_SLOW: usize = 4;

/// An open database.
#[derive(Clone)]
pub struct Store {
    backend: Backend,
    reader: Reader,
    facts: Facts,
    batch_max: usize,
    vault: Arc<Vault>,
    rng: Arc<dyn Rng>,
}

/// What is worth knowing about a database in a log, a health report or a benchmark.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// `SQLite`, `PostgreSQL`, `MySQL` or `MariaDB`.
    pub engine: &'static str,
    pub version: String,
    /// Of an incarnation that starts now.
    pub lanes: usize,
    pub batch_max: usize,
    /// Median of 20 transactions that only move a fence, milliseconds.
    pub commit_ms: f64,
    /// The settings that decide whether what is acknowledged survives a power failure.
    pub durability: String,
    /// Where it is; `None` for a file.
    pub server: Option<String>,
    /// Version of TLS and how much of it is verified, or `no TLS`.
    pub encryption: String,
    /// Connections besides the lanes, at most.
    pub pools: Pools,
    /// After how long an unused one of those is closed.
    pub idle_timeout: Option<Duration>,
    /// Migrations that this opening ran, in order.
    pub migrated: Vec<&'static str>,
    /// Number of the last migration.
    pub schema: usize,
}

impl Store {
    /// Opens a database: creates it when it is missing and may be created, refuses what cannot keep
    /// its word, runs migrations, measures commits. Must be called within a runtime. `rng` spreads
    /// retries and, with a vault, draws nonces: then it has to be the system's.
    ///
    /// # Errors
    /// [`StoreError`]: see its variants.
    pub async fn open(settings: Settings, rng: Arc<dyn Rng>) -> Result<Self, StoreError> {
        let (backend, found) = match &settings.url {
            DatabaseUrl::Sqlite(path) => {
                if !settings.tls.is_empty() {
                    tracing::info!("the settings database.ssl_… mean nothing for SQLite");
                }
                let (engine, found) = Sqlite::open(path, &settings).await?;
                (Backend::Sqlite(engine), found)
            }
            DatabaseUrl::Postgres(config) => {
                let (engine, found) =
                    patiently(settings.start_wait, Arc::clone(&rng), async || {
                        Postgres::open(config, &settings).await
                    })
                    .await?;
                (Backend::Postgres(engine), found)
            }
            DatabaseUrl::Mysql(opts) => {
                let (engine, found) =
                    patiently(settings.start_wait, Arc::clone(&rng), async || {
                        Mysql::open(opts, &settings).await
                    })
                    .await?;
                (Backend::Mysql(engine), found)
            }
        };
        let probe = rng.next_u64().cast_signed();
        let commit = with_engine!(&backend, engine => median_commit(engine, probe).await)?;
        let measured = if commit >= SLOW_COMMIT { LANES_SLOW } else { LANES_FAST };
        let lanes = match &backend {
            Backend::Sqlite(_) => 1,
            Backend::Mysql(_) | Backend::Postgres(_) => {
                settings.lanes.unwrap_or(measured).clamp(1, LANES_MAX)
            }
        };
        let batch_max = settings.batch_max.clamp(1, BATCH_MAX);
        let facts = Facts {
            engine: found.engine,
            version: found.version,
            lanes,
            batch_max,
            commit_ms: commit.as_secs_f64() * 1e3,
            durability: found.durability,
            server: found.server,
            encryption: found.encryption,
            pools: found.pools,
            idle_timeout: found.idle_timeout,
            migrated: found.migrated,
            schema: found.schema,
        };
        let vault = Arc::new(Vault::new(settings.vault, settings.account, Arc::clone(&rng)));
        let reader = Reader::start(backend.clone(), Arc::clone(&rng), Arc::clone(&vault));
        Ok(Self { backend, reader, facts, batch_max, vault, rng })
    }

    #[must_use]
    pub fn cluster(&self) -> Cluster {
        Cluster::new(self.backend.clone())
    }

    #[must_use]
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Starts the lanes of an incarnation that has joined with [`Facts::lanes`] lanes, once. Must be
    /// called within a runtime.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "every lane keeps a share of it")]
    pub fn start_lanes(&self, inc: i64, feed: Arc<dyn Feed>) -> Lanes {
        let lanes = self.facts.lanes;
        with_engine!(&self.backend, engine => {
            Lanes::start(engine, inc, lanes, self.batch_max, &feed, &self.vault, &self.rng)
        })
    }
}

/// What an engine finds out when it is opened.
pub(crate) struct Found {
    pub(crate) engine: &'static str,
    pub(crate) version: String,
    pub(crate) durability: String,
    /// See [`Facts`] for this one and the next.
    pub(crate) server: Option<String>,
    pub(crate) encryption: String,
    pub(crate) pools: Pools,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) migrated: Vec<&'static str>,
    pub(crate) schema: usize,
}

/// Median of [`PROBE_COMMITS`] commits that only move a fence.
async fn median_commit<E: Engine>(engine: &E, inc: i64) -> Result<Duration, StoreError> {
    engine.add_probe(inc).await?;
    let mut session = engine.connect().await?;
    let nothing = Arc::new(Batch { entries: Vec::new() });
    let mut times = Vec::with_capacity(PROBE_COMMITS);
    for batch in (1..).take(PROBE_COMMITS) {
        let fence = Fence { inc, lane: PROBE_LANE, batch };
        let start = Instant::now();
        match engine.commit(&mut session, fence, &nothing).await {
            Done::Committed => times.push(start.elapsed()),
            other => {
                return Err(StoreError::Database(format!("a probing commit ended as {other:?}")));
            }
        }
    }
    engine.remove_probe(inc).await?;
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { engine, version, lanes, batch_max, commit_ms, durability, .. } = self;
        write!(f, "{engine} {version}")?;
        if let Some(server) = &self.server {
            write!(f, " at {server}, {}", self.encryption)?;
        }
        let Pools { read, control } = self.pools;
        write!(
            f,
            ", {lanes} lanes of up to {batch_max} writes, {read} + {control} connections to "
        )?;
        f.write_str("read and to control")?;
        if let Some(idle) = self.idle_timeout {
            write!(f, " (closed after {} s unused)", idle.as_secs_f64())?;
        }
        write!(f, ", commit {commit_ms:.2} ms, {durability}")
    }
}
