//! Opening a database: creation, checks, migrations, pools.

use std::sync::Arc;

use diesel::{
    ConnectionError,
    sql_types::{BigInt, Text},
};
use diesel_async::{
    AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
    pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod},
};
use futures_util::FutureExt;
use tokio_postgres::error::SqlState;

use crate::{
    error::StoreError,
    migrate::{self, MIN_READER, MIN_WRITER, Migrating, Migration, Version, migrations},
    open::Found,
    postgres::{
        Inner, Pool, Postgres,
        connect::{Connector, refused},
        stmt::Stmt,
    },
    settings::Settings,
};

const MIGRATIONS: &[Migration] = migrations!("postgres");
/// Name of the advisory lock migrations are run under: "heliogra" in ASCII.
const MIGRATION_LOCK: i64 = 0x6865_6c69_6f67_7261;
/// 13.0, as the server numbers it.
const OLDEST: i32 = 130_000;
/// Connections for reads: one for the grouped look-ups, the others for pages and loads.
const READ_POOL: usize = 6;
/// Connections for ticks, claims and fences.
const CONTROL_POOL: usize = 2;

impl Postgres {
    pub(crate) async fn open(
        config: &tokio_postgres::Config,
        settings: &Settings,
    ) -> Result<(Self, Found), StoreError> {
        let connector = Connector::new(config, settings.connect_timeout);
        create_if_missing(&connector).await?;
        let mut conn = connector.plain().await?;
        let version = setting(&mut conn, "server_version").await?;
        let number = setting(&mut conn, "server_version_num").await?;
        if number.parse::<i32>().is_ok_and(|number| number < OLDEST) {
            return Err(StoreError::TooOld { engine: "PostgreSQL", version, needed: "13" });
        }
        let durability = durability(&mut conn, settings.unsafe_durability).await?;
        let migrated = migrate(&mut conn, settings.migrating).await?;
        drop(conn);
        let inner = Inner {
            reads: pool(&connector, Purpose::Read, settings)?,
            control: pool(&connector, Purpose::Control, settings)?,
            connector,
        };
        let found = Found {
            engine: "PostgreSQL",
            version,
            durability,
            connections: READ_POOL + CONTROL_POOL,
            migrated,
            schema: MIGRATIONS.len(),
        };
        Ok((Self { inner: Arc::new(inner) }, found))
    }
}

async fn create_if_missing(connector: &Connector) -> Result<(), StoreError> {
    match connector.try_connect().await {
        Ok(()) => return Ok(()),
        Err(error) if error.code() == Some(&SqlState::INVALID_CATALOG_NAME) => {}
        Err(error) => return Err(refused(&error)),
    }
    let name = connector.database_name();
    let failed = |cause: &dyn ToString| StoreError::Create {
        name: name.to_owned(),
        cause: cause.to_string(),
    };
    let mut conn = connector.database("postgres").plain().await.map_err(|error| failed(&error))?;
    let quoted = name.replace('"', "\"\"");
    match conn.batch_execute(&format!("CREATE DATABASE \"{quoted}\"")).await {
        Ok(()) => {
            tracing::info!(database.name = name, "The database was missing and has been created");
            Ok(())
        }
        // Another coreapp that starts at the same time may have been first.
        Err(error) => connector.try_connect().await.map_err(|_| failed(&error)),
    }
}

/// Reads back what decides whether a commit is on disk when it is confirmed.
async fn durability(conn: &mut AsyncPgConnection, allow: bool) -> Result<String, StoreError> {
    let mut told = Vec::new();
    for name in ["synchronous_commit", "fsync"] {
        let value = setting(conn, name).await?;
        if value == "off" && !allow {
            return Err(StoreError::Durability { setting: name, value });
        }
        told.push(format!("{name}={value}"));
    }
    Ok(told.join(", "))
}

async fn setting(conn: &mut AsyncPgConnection, name: &'static str) -> Result<String, StoreError> {
    let text = format!("SELECT current_setting('{name}')");
    let rows: Vec<String> = Stmt::<Text>::new(&text, &[]).load(conn).await?;
    rows.into_iter()
        .next()
        .ok_or_else(|| StoreError::Database(format!("the server has no setting {name}")))
}

/// Runs what is pending, alone. The lock goes with the session, whatever happens.
async fn migrate(
    conn: &mut AsyncPgConnection,
    migrating: fn(Migrating),
) -> Result<Vec<&'static str>, StoreError> {
    conn.batch_execute(&format!("SELECT pg_advisory_lock({MIGRATION_LOCK})")).await?;
    let found = version(conn).await?;
    let mut migrated = Vec::new();
    for (step, statement) in migrate::pending(MIGRATIONS, found)? {
        migrating(step);
        let Migrating { name, number, .. } = step;
        conn.batch_execute(&format!(
            "BEGIN; {statement}; INSERT INTO \"schema\" (id, version, min_reader, min_writer) \
             VALUES (1, {number}, {MIN_READER}, {MIN_WRITER}) ON CONFLICT (id) DO UPDATE SET \
             version = excluded.version, min_reader = excluded.min_reader, \
             min_writer = excluded.min_writer; COMMIT"
        ))
        .await
        .map_err(|error| StoreError::Migrate { name, cause: error.to_string() })?;
        migrated.push(name);
    }
    let shards: Vec<i64> =
        Stmt::<BigInt>::new("SELECT count(*) FROM shard", &[]).load(conn).await?;
    conn.batch_execute(&format!("SELECT pg_advisory_unlock({MIGRATION_LOCK})")).await?;
    migrate::check_shards(shards.as_slice().first().copied().unwrap_or(0))?;
    Ok(migrated)
}

async fn version(conn: &mut AsyncPgConnection) -> Result<Option<Version>, StoreError> {
    let known = "SELECT count(*) FROM pg_catalog.pg_class \
        WHERE oid = to_regclass('\"schema\"') AND relkind = 'r'";
    let tables: Vec<i64> = Stmt::<BigInt>::new(known, &[]).load(conn).await?;
    if tables.as_slice().first() != Some(&1) {
        return Ok(None);
    }
    let rows: Vec<(i64, i64, i64)> = Stmt::<(BigInt, BigInt, BigInt)>::new(
        "SELECT version, min_reader, min_writer FROM \"schema\" WHERE id = 1",
        &[],
    )
    .load(conn)
    .await?;
    Ok(rows.as_slice().first().map(|(version, min_reader, min_writer)| Version {
        version: *version,
        min_reader: *min_reader,
        min_writer: *min_writer,
    }))
}

/// What the connections of a pool are for.
#[derive(Clone, Copy)]
enum Purpose {
    Read,
    Control,
}

/// A bounded pool. Whoever finds it empty waits, at most for `connect_timeout`.
fn pool(
    connector: &Connector,
    purpose: Purpose,
    settings: &Settings,
) -> Result<Pool<AsyncPgConnection>, StoreError> {
    let connector = connector.clone();
    let mut config = ManagerConfig::default();
    // A broken connection is noticed without asking; a question would double every read.
    config.recycling_method = RecyclingMethod::Fast;
    config.custom_setup = Box::new(move |_| {
        let connector = connector.clone();
        async move {
            let conn = match purpose {
                Purpose::Read => connector.read().await,
                Purpose::Control => connector.plain().await,
            };
            conn.map_err(|error| ConnectionError::BadConnection(error.to_string()))
        }
        .boxed()
    });
    Pool::builder(AsyncDieselConnectionManager::new_with_config("", config))
        .max_size(match purpose {
            Purpose::Read => READ_POOL,
            Purpose::Control => CONTROL_POOL,
        })
        .wait_timeout(Some(settings.connect_timeout))
        .runtime(deadpool::Runtime::Tokio1)
        .build()
        .map_err(|error| StoreError::Connect(error.to_string()))
}
