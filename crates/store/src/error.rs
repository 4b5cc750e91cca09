//! Why the store cannot be opened or asked.

use std::{path::PathBuf, time::Duration};

use crate::fault::Fault;

/// What goes wrong outside of writes; those have [`crate::write::WriteError`].
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The text is no database address.
    #[error("read the database address: {0}")]
    Address(String),
    /// SQLite only: a second coreapp on one file.
    #[error("open {}: another coreapp uses it", .path.display())]
    InUse { path: PathBuf },
    /// The server does not let us in, or not yet.
    #[error("use the database: {0}")]
    Server(#[from] Fault),
    /// It did not for as long as is waited at start.
    #[error("{last}; given up after {} s (database.start_wait_ms)", .after.as_secs())]
    GaveUp { after: Duration, last: Box<StoreError> },
    /// The server or the file cannot be reached.
    #[error("connect to the database: {0}")]
    Connect(String),
    /// The database is missing and this user may not create it.
    #[error(
        "create the database {name}, which is missing: {cause}; create it for this user, or allow the \
         user to create it (PostgreSQL: ALTER ROLE … CREATEDB; MySQL, MariaDB: GRANT CREATE)"
    )]
    Create { name: String, cause: String },
    /// The server is older than what the statements need.
    #[error("use {engine} {version}: at least {needed} is needed")]
    TooOld { engine: &'static str, version: String, needed: &'static str },
    /// A setting that makes "accepted" a lie.
    #[error(
        "rely on the database: {setting} is {value}, which loses what was acknowledged \
         (--unsafe-durability overrides)"
    )]
    Durability { setting: &'static str, value: String },
    /// A setting of the server's that what is written would not pass.
    #[error("use the database: its {setting} is {value}, at least {needed} is needed")]
    TooSmall { setting: &'static str, value: u64, needed: u64 },
    /// A newer version has changed the tables so that this one cannot work with them.
    #[error("use the database: its schema {found} needs a version above {ours}")]
    SchemaTooNew { found: i64, ours: i64 },
    /// The number of shards is fixed when a database is initialised.
    #[error("use the database: it has {found} shard rows, {needed} are needed")]
    ShardCount { found: i64, needed: i64 },
    #[error("run migration {name}: {cause}")]
    Migrate { name: &'static str, cause: String },
    /// A row breaks an invariant.
    #[error("read column {column} of {table}: the row of {row} holds no valid value")]
    Corrupt { table: &'static str, column: &'static str, row: String },
    /// A sealed row that cannot be opened; nothing of it is used.
    #[error("open column {column} of {table}: the row of {row} stays closed, {cause}")]
    Sealed { table: &'static str, column: &'static str, row: String, cause: Closed },
    /// Its mark says that a later session was written: this one's keys may have been used.
    #[error("use a session: the row of {row} is not the one that was written last")]
    RolledBack { row: String },
    /// The question was not answered; it may be repeated.
    #[error("ask the database: {0}")]
    Database(String),
    /// Too many reads wait already.
    #[error("ask the database: too many reads are waiting")]
    Busy,
}

impl StoreError {
    /// A stable name for logs, `doctor` and help pages.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Address(_) => "store_address",
            Self::InUse { .. } => "store_in_use",
            Self::Server(fault) => fault.code(),
            Self::GaveUp { last, .. } => last.code(),
            Self::Connect(_) => "store_connect",
            Self::Create { .. } => "store_create",
            Self::TooOld { .. } => "store_too_old",
            Self::Durability { .. } => "store_durability",
            Self::TooSmall { .. } => "store_too_small",
            Self::SchemaTooNew { .. } => "store_schema_too_new",
            Self::ShardCount { .. } => "store_shard_count",
            Self::Migrate { .. } => "store_migrate",
            Self::Corrupt { .. } => "store_corrupt",
            Self::Sealed { .. } => "store_sealed",
            Self::RolledBack { .. } => "store_rolled_back",
            Self::Database(_) => "store_database",
            Self::Busy => "store_busy",
        }
    }

    /// Asking again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Server(fault) => fault.is_transient(),
            Self::Connect(_) | Self::Database(_) | Self::Busy => true,
            _ => false,
        }
    }
}

/// Why a sealed row cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    #[error("as no master key is configured")]
    NoKeys,
    #[error("as master key {0} is not loaded")]
    UnknownKey(u16),
    /// Also one of another account or generation, or under another key of that id.
    #[error("as it is damaged or belongs elsewhere")]
    Refused,
    #[error("as its format is unknown")]
    Format,
}

/// Only the driver's message is kept: details may name keys.
impl From<diesel::result::Error> for StoreError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Database(error.to_string())
    }
}
