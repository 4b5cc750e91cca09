//! Opening a database: creation, checks, migrations, pools.

use std::sync::Arc;

use mysql_async::{Conn, Opts, prelude::Queryable};

use crate::{
    batch::BATCH_BYTES,
    error::StoreError,
    fault::Fault,
    migrate::{self, MIN_READER, MIN_WRITER, Migrating, Migration, Version, migrations, tables},
    mysql::{
        Inner, Mysql,
        connect::{Connector, rows},
        error::{describe, is_denied},
        pool::Pool,
        text::Text,
    },
    open::Found,
    settings::Settings,
};

const MIGRATIONS: &[Migration] = migrations!("mysql");
/// Of the lock migrations are run under; with the database's name, as locks are of the server.
const MIGRATION_LOCK: &str = "concat('heliograph-', md5(database()))";
/// How long another coreapp's migrations are waited for, seconds.
const MIGRATION_PATIENCE: i64 = 600;
/// Major and minor.
const OLDEST_MYSQL: (u32, u32) = (8, 0);
const OLDEST_MARIADB: (u32, u32) = (10, 6);
/// A full batch: its bytes as hexadecimal digits, the same again for keys, numbers and words. A
/// larger write goes alone; it is refused when it is more than the server takes.
const PACKET_NEEDED: u64 = 4 * BATCH_BYTES as u64;
impl Mysql {
    pub(crate) async fn open(
        opts: &Opts,
        settings: &Settings,
    ) -> Result<(Self, Found), StoreError> {
        let connector = Connector::new(opts, &settings.tls, settings.connect_timeout)?;
        create_if_missing(&connector).await?;
        let mut session = connector.plain().await?;
        let conn = &mut session.conn;
        let server = server(conn).await?;
        let durability = server.check(settings.unsafe_durability)?;
        use_tables(conn, &connector).await?;
        let migrated = migrate(conn, &connector, settings.migrating).await?;
        drop(session);
        let inner = Inner {
            reads: Pool::new(&connector, settings.pools.read, settings)?,
            control: Pool::new(&connector, settings.pools.control, settings)?,
            packet_max: usize::try_from(server.packet_max).unwrap_or(usize::MAX),
            connector,
        };
        let found = Found {
            engine: server.engine(),
            durability,
            server: Some(inner.connector.target().server()),
            encryption: inner.connector.encryption(&server.tls_version),
            version: server.version,
            pools: settings.pools,
            idle_timeout: settings.idle_timeout,
            migrated,
            schema: MIGRATIONS.len(),
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
    let target = connector.target();
    let name = target.database();
    let failed = |cause: &dyn ToString| StoreError::Create {
        name: name.to_owned(),
        cause: cause.to_string(),
    };
    let mut session = connector.without_database().plain().await.map_err(|error| failed(&error))?;
    let quoted = name.replace('`', "``");
    // Another coreapp that starts at the same time may be first.
    let create = format!("CREATE DATABASE IF NOT EXISTS `{quoted}`");
    session.conn.query_drop(create).await.map_err(|error| failed(&StoreError::from(error)))?;
    tracing::info!(database.name = name, "The database was missing and has been created");
    Ok(())
}

/// Finds out that a table may not be written before the first message does: the statements change
/// nothing.
async fn use_tables(conn: &mut Conn, connector: &Connector) -> Result<(), StoreError> {
    let there = "SELECT table_name FROM information_schema.tables WHERE table_schema = database()";
    let there: Vec<String> = rows(conn, &Text::of(there)).await?;
    for table in tables(MIGRATIONS).into_iter().filter(|name| there.iter().any(|one| one == name)) {
        let mut text = Text::of("INSERT INTO `");
        text.sql(table).sql("` SELECT * FROM `").sql(table).sql("` WHERE 1 = 0;DELETE FROM `");
        text.sql(table).sql("` WHERE 1 = 0");
        conn.query_drop(text.as_bytes()).await.map_err(|error| {
            let rights = "SELECT, INSERT, UPDATE, DELETE";
            refused(error, connector, "use the tables", rights)
        })?;
    }
    Ok(())
}

/// An error, told as a missing right where it is one.
fn refused(
    error: mysql_async::Error,
    connector: &Connector,
    what: &str,
    rights: &str,
) -> StoreError {
    if !is_denied(&error) {
        return error.into();
    }
    let what = format!("{what} ({})", describe(&error));
    connector.target().privilege(what, rights).into()
}

/// What a server says of itself.
#[derive(Clone, Debug)]
struct Server {
    version: String,
    /// `innodb_flush_log_at_trx_commit`
    flush: i64,
    /// `log_bin`
    binlog: bool,
    /// `sync_binlog`
    sync_binlog: i64,
    /// `max_allowed_packet`
    packet_max: u64,
    /// Of this session; empty in clear text.
    tls_version: String,
}

async fn server(conn: &mut Conn) -> Result<Server, StoreError> {
    let text = Text::of(
        "SELECT version(), @@GLOBAL.innodb_flush_log_at_trx_commit, @@GLOBAL.log_bin, \
         @@GLOBAL.sync_binlog, @@GLOBAL.max_allowed_packet",
    );
    let rows: Vec<(String, i64, i64, i64, u64)> = rows(conn, &text).await?;
    let (version, flush, binlog, sync_binlog, packet_max) =
        rows.into_iter().next().ok_or_else(|| StoreError::Database("no answer".to_owned()))?;
    let text = Text::of("SHOW SESSION STATUS LIKE 'Ssl_version'");
    let tls: Vec<(String, String)> = self::rows(conn, &text).await?;
    let tls_version = tls.into_iter().next().map(|(_, version)| version).unwrap_or_default();
    Ok(Server { version, flush, binlog: binlog != 0, sync_binlog, packet_max, tls_version })
}

impl Server {
    fn engine(&self) -> &'static str {
        if self.version.to_ascii_lowercase().contains("mariadb") { "MariaDB" } else { "MySQL" }
    }

    /// Refuses a server that is too old or loses what it confirmed; tells how durable it is.
    fn check(&self, allow: bool) -> Result<String, StoreError> {
        let engine = self.engine();
        let (oldest, needed) =
            if engine == "MariaDB" { (OLDEST_MARIADB, "10.6") } else { (OLDEST_MYSQL, "8.0") };
        if version_numbers(&self.version).is_none_or(|found| found < oldest) {
            return Err(StoreError::TooOld { engine, version: self.version.clone(), needed });
        }
        let value = self.packet_max;
        if value < PACKET_NEEDED {
            let setting = "max_allowed_packet";
            return Err(StoreError::TooSmall { setting, value, needed: PACKET_NEEDED });
        }
        let refuse = |setting, value: i64| {
            if value == 1 || allow {
                Ok(format!("{setting}={value}"))
            } else {
                Err(StoreError::Durability { setting, value: value.to_string() })
            }
        };
        let log = refuse("innodb_flush_log_at_trx_commit", self.flush)?;
        if !self.binlog {
            return Ok(format!("{log}, no binary log"));
        }
        Ok(format!("{log}, {}", refuse("sync_binlog", self.sync_binlog)?))
    }
}

/// Major and minor of `10.11.4-MariaDB-1`.
fn version_numbers(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(['.', '-']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Runs what is pending, alone. The lock goes with the session, whatever happens. Changes of tables
/// commit by themselves, so a migration that was interrupted is repeated.
async fn migrate(
    conn: &mut Conn,
    connector: &Connector,
    migrating: fn(Migrating),
) -> Result<Vec<&'static str>, StoreError> {
    let lock = format!("SELECT get_lock({MIGRATION_LOCK}, {MIGRATION_PATIENCE})");
    let locked: Option<Option<i64>> = conn.query_first(lock).await?;
    if locked.flatten() != Some(1) {
        let why = format!("another coreapp has been migrating for {MIGRATION_PATIENCE} s");
        return Err(StoreError::Database(why));
    }
    let found = version(conn).await?;
    let mut migrated = Vec::new();
    for (step, statement) in migrate::pending(MIGRATIONS, found)? {
        migrating(step);
        let Migrating { name, number, .. } = step;
        let failed = |error| match refused(error, connector, "create tables", "ALL") {
            StoreError::Database(cause) => StoreError::Migrate { name, cause },
            error => error,
        };
        conn.query_drop(statement).await.map_err(failed)?;
        let mut text = Text::of("INSERT INTO `schema` (id, version, min_reader, min_writer) ");
        text.sql("VALUES (1, ").int(number).sql(", ").int(MIN_READER).sql(", ").int(MIN_WRITER);
        text.sql(
            ") ON DUPLICATE KEY UPDATE version = VALUES(version), \
             min_reader = VALUES(min_reader), min_writer = VALUES(min_writer)",
        );
        conn.query_drop(text.as_bytes()).await.map_err(failed)?;
        migrated.push(name);
    }
    let shards: Vec<i64> = rows(conn, &Text::of("SELECT count(*) FROM shard")).await?;
    conn.query_drop(format!("DO release_lock({MIGRATION_LOCK})")).await?;
    migrate::check_shards(shards.as_slice().first().copied().unwrap_or(0))?;
    Ok(migrated)
}

async fn version(conn: &mut Conn) -> Result<Option<Version>, StoreError> {
    let known = Text::of(
        "SELECT count(*) FROM information_schema.tables \
         WHERE table_schema = database() AND table_name = 'schema'",
    );
    let tables: Vec<i64> = rows(conn, &known).await?;
    if tables != [1] {
        return Ok(None);
    }
    let text = Text::of("SELECT version, min_reader, min_writer FROM `schema` WHERE id = 1");
    let rows: Vec<(i64, i64, i64)> = rows(conn, &text).await?;
    Ok(rows.as_slice().first().map(|(version, min_reader, min_writer)| Version {
        version: *version,
        min_reader: *min_reader,
        min_writer: *min_writer,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(version: &str) -> Server {
        Server {
            version: version.to_owned(),
            flush: 1,
            binlog: false,
            sync_binlog: 0,
            packet_max: 16 << 20,
            tls_version: String::new(),
        }
    }

    #[test]
    fn a_server_that_is_too_old_is_refused() {
        for good in ["8.0.11", "8.4.2-log", "10.6.0-MariaDB", "11.4.3-MariaDB-1:11.4.3+maria~deb12"]
        {
            assert!(server(good).check(false).is_ok(), "{good}");
        }
        for bad in ["5.7.44-log", "10.5.9-MariaDB", "not a version"] {
            let code = server(bad).check(false).unwrap_err().code();
            assert_eq!(code, "store_too_old", "{bad}");
        }
    }

    #[test]
    fn a_setting_that_loses_what_was_confirmed_or_cuts_a_batch_off_is_named() {
        let lazy = Server { flush: 2, ..server("8.0.36") };
        let error = lazy.check(false).unwrap_err().to_string();
        assert!(error.contains("innodb_flush_log_at_trx_commit is 2"), "{error}");
        assert!(lazy.check(true).is_ok());
        // Without a binary log its setting does not matter.
        let logging = Server { binlog: true, ..server("8.0.36") };
        let error = logging.check(false).unwrap_err().to_string();
        assert!(error.contains("sync_binlog is 0"), "{error}");
        let synced = Server { sync_binlog: 1, ..logging };
        let told = synced.check(false).unwrap();
        assert_eq!(told, "innodb_flush_log_at_trx_commit=1, sync_binlog=1");
        let narrow = Server { packet_max: 1 << 20, ..server("8.0.36") };
        let error = narrow.check(true).unwrap_err().to_string();
        assert!(error.contains("max_allowed_packet is 1048576, at least 4194304"), "{error}");
    }
}
