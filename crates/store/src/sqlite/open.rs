//! Opening a file: lock, connections, settings read back, migrations.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
    sync::Arc,
    time::Duration,
};

use diesel::{
    Connection, QueryResult, RunQueryDsl, SqliteConnection,
    connection::SimpleConnection,
    sql_types::{BigInt, Integer, Text},
};
use tokio::time::{Instant, sleep};

use crate::{
    error::StoreError,
    migrate::{self, MIN_READER, MIN_WRITER, Migrating, Migration, Version, migrations},
    open::Found,
    settings::{Pools, Settings},
    sqlite::{
        Inner, Sqlite,
        checkpoint::Checkpoints,
        stmt::{Bind::Big, Stmt, execute},
        worker::Worker,
    },
};

const MIGRATIONS: &[Migration] = migrations!("sqlite");

/// How long the lock of a predecessor that is just ending is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_POLL: Duration = Duration::from_millis(20);

/// Of every connection. The lock keeps other coreapps out; the time-out is for a tool that looks at
/// the file. On Apple systems only a full fsync reaches the disk.
const COMMON: &str = "PRAGMA busy_timeout = 5000; PRAGMA fullfsync = 1; \
    PRAGMA checkpoint_fullfsync = 1; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768;";
/// Checkpoints are made elsewhere; a log that has grown is cut back to 64 MiB.
const WRITER: &str = "PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 67108864;";
const READER: &str = "PRAGMA query_only = 1;";
const SYNCHRONOUS_FULL: i32 = 2;

impl Sqlite {
    pub(crate) async fn open(
        path: &Path,
        settings: &Settings,
    ) -> Result<(Self, Found), StoreError> {
        let path = std::path::absolute(path).map_err(|error| io(&error))?;
        let lock = Arc::new(lock(&path).await?);
        let (durable, migrating) = (!settings.unsafe_durability, settings.migrating);
        let opened = tokio::task::spawn_blocking(move || {
            Self::open_locked(&path, &lock, durable, migrating)
        })
        .await;
        opened.map_err(|error| StoreError::Connect(error.to_string()))?
    }

    fn open_locked(
        path: &Path,
        lock: &Arc<File>,
        durable: bool,
        migrating: fn(Migrating),
    ) -> Result<(Self, Found), StoreError> {
        let synchronous = if durable { "FULL" } else { "NORMAL" };
        let mut first = connect(path, COMMON)?;
        let journal = one::<Text, String>(&mut first, "PRAGMA journal_mode = WAL")?;
        if journal != "wal" {
            return Err(StoreError::Durability { setting: "journal_mode", value: journal });
        }
        let migrated = migrate(&mut first, migrating)?;
        let version = one::<Text, String>(&mut first, "SELECT sqlite_version()")?;
        drop(first);

        let of_writer = path.to_owned();
        let writer = Worker::start("store-writer", Arc::clone(lock), move || {
            let pragmas = format!("{COMMON} {WRITER} PRAGMA synchronous = {synchronous};");
            let mut conn = connect(&of_writer, &pragmas)?;
            let found = one::<Integer, i32>(&mut conn, "PRAGMA synchronous")?;
            if durable && found < SYNCHRONOUS_FULL {
                let value = found.to_string();
                return Err(StoreError::Durability { setting: "synchronous", value });
            }
            Ok(conn)
        })?;
        let of_reader = path.to_owned();
        let reader = Worker::start("store-reader", Arc::clone(lock), move || {
            connect(&of_reader, &format!("{COMMON} {READER}"))
        })?;
        let checkpoints = Checkpoints::start(
            Arc::clone(lock),
            connect(path, &format!("{COMMON} PRAGMA synchronous = {synchronous};"))?,
            writer.clone(),
        )?;
        let found = Found {
            engine: "SQLite",
            version,
            durability: format!("WAL, synchronous={synchronous}"),
            server: None,
            encryption: "no TLS".to_owned(),
            pools: Pools { read: 1, control: 1 },
            idle_timeout: None,
            migrated,
            schema: MIGRATIONS.len(),
        };
        Ok((Self { inner: Arc::new(Inner { writer, reader, checkpoints }) }, found))
    }
}

/// Takes the lock beside the file. The system drops it with the process, however that ends.
async fn lock(path: &Path) -> Result<File, StoreError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| io(&error))?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock = private(Path::new(&name))?;
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(LOCK_POLL).await,
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse { path: path.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(io(&error)),
        }
    }
    // SQLite gives its log and index files the rights of the database.
    private(path)?;
    Ok(lock)
}

/// Makes a file, if there is none, that only its owner can read: it holds messages.
fn private(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| io(&error))
}

fn connect(path: &Path, pragmas: &str) -> Result<SqliteConnection, StoreError> {
    let path =
        path.to_str().ok_or_else(|| StoreError::Address("the path is not UTF-8".to_owned()))?;
    let mut conn = SqliteConnection::establish(path)
        .map_err(|error| StoreError::Connect(error.to_string()))?;
    conn.batch_execute(pragmas)?;
    Ok(conn)
}

fn migrate(
    conn: &mut SqliteConnection,
    migrating: fn(Migrating),
) -> Result<Vec<&'static str>, StoreError> {
    let mut migrated = Vec::new();
    for (step, statement) in migrate::pending(MIGRATIONS, version(conn)?)? {
        migrating(step);
        let Migrating { name, number, .. } = step;
        conn.immediate_transaction(|conn| {
            conn.batch_execute(statement)?;
            set_version(conn, number)
        })
        .map_err(|error| StoreError::Migrate { name, cause: error.to_string() })?;
        migrated.push(name);
    }
    migrate::check_shards(one::<BigInt, i64>(conn, "SELECT count(*) FROM shard")?)?;
    Ok(migrated)
}

fn version(conn: &mut SqliteConnection) -> Result<Option<Version>, StoreError> {
    let tables = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema'";
    if one::<BigInt, i64>(conn, tables)? == 0 {
        return Ok(None);
    }
    let rows: Vec<(i64, i64, i64)> = Stmt::<(BigInt, BigInt, BigInt)>::new(
        "SELECT version, min_reader, min_writer FROM schema WHERE id = 1",
        &[],
    )
    .load(conn)?;
    Ok(rows.as_slice().first().map(|(version, min_reader, min_writer)| Version {
        version: *version,
        min_reader: *min_reader,
        min_writer: *min_writer,
    }))
}

fn set_version(conn: &mut SqliteConnection, version: i64) -> QueryResult<()> {
    execute(
        conn,
        "INSERT OR REPLACE INTO schema (id, version, min_reader, min_writer) VALUES (1, ?, ?, ?)",
        &[Big(version), Big(MIN_READER), Big(MIN_WRITER)],
    )
    .map(|_| ())
}

/// The only value of the only row.
fn one<T, R>(conn: &mut SqliteConnection, text: &'static str) -> Result<R, StoreError>
where
    for<'a> Stmt<'a, T>: diesel::query_dsl::LoadQuery<'a, SqliteConnection, R>,
{
    Stmt::<T>::new(text, &[])
        .load(conn)?
        .pop()
        .ok_or_else(|| StoreError::Database("no row where there must be one".to_owned()))
}

fn io(error: &std::io::Error) -> StoreError {
    StoreError::Connect(error.to_string())
}
