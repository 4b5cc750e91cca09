//! Opening a database: creation, checks, migrations.

use std::sync::Arc;

use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use crate::{
    error::StoreError,
    fault::Fault,
    migrate::{self, MIN_READER, MIN_WRITER, Migrating, Migration, Version, migrations},
    open::Found,
    postgres::{
        Inner, Postgres,
        connect::Connector,
        pool::{Purpose, pool},
        privileges::Privileges,
        stmt::Stmt,
    },
    settings::Settings,
};

const MIGRATIONS: &[Migration] = migrations!("postgres");
/// Name of the advisory lock migrations are run under: "heliogra" in ASCII.
const MIGRATION_LOCK: i64 = 0x6865_6c69_6f67_7261;
/// 13.0, as the server numbers it.
const OLDEST: i32 = 130_000;

impl Postgres {
    pub(crate) async fn open(
        config: &tokio_postgres::Config,
        settings: &Settings,
    ) -> Result<(Self, Found), StoreError> {
        let connector = Connector::new(config, &settings.tls, settings.connect_timeout)?;
        create_if_missing(&connector).await?;
        let mut conn = connector.plain().await?;
        let version = setting(&mut conn, "server_version").await?;
        let number = setting(&mut conn, "server_version_num").await?;
        if number.parse::<i32>().is_ok_and(|number| number < OLDEST) {
            return Err(StoreError::TooOld { engine: "PostgreSQL", version, needed: "13" });
        }
        let durability = durability(&mut conn, settings.unsafe_durability).await?;
        let may = Privileges { user: connector.user(), database: connector.database_name() };
        may.use_tables(&mut conn, MIGRATIONS).await?;
        let migrated = migrate(&mut conn, &may, settings.migrating).await?;
        drop(conn);
        let found = Found {
            engine: "PostgreSQL",
            version,
            durability,
            server: Some(connector.server()),
            encryption: connector.encryption(),
            pools: settings.pools,
            idle_timeout: settings.idle_timeout,
            migrated,
            schema: MIGRATIONS.len(),
        };
        let inner = Inner {
            reads: pool(&connector, Purpose::Read, settings)?,
            control: pool(&connector, Purpose::Control, settings)?,
            connector,
        };
        Ok((Self { inner: Arc::new(inner) }, found))
    }
}

async fn create_if_missing(connector: &Connector) -> Result<(), StoreError> {
    match connector.try_connect().await {
        Ok(()) => return Ok(()),
        Err(Fault::NoDatabase { .. }) => {}
        Err(fault) => return Err(fault.into()),
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
    may: &Privileges<'_>,
    migrating: fn(Migrating),
) -> Result<Vec<&'static str>, StoreError> {
    conn.batch_execute(&format!("SELECT pg_advisory_lock({MIGRATION_LOCK})")).await?;
    let found = version(conn).await?;
    let mut pending = migrate::pending(MIGRATIONS, found)?.peekable();
    if pending.peek().is_some() {
        may.create_tables(conn).await?;
    }
    let mut migrated = Vec::new();
    for (step, statement) in pending {
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
