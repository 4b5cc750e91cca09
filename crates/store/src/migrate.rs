//! Which migrations there are and when a database may be used. How they are run, and under which
//! lock, is the engines' business.
//!
//! A migration is one idempotent statement, so that one that was interrupted can be repeated.
//! Changes expand in one version and contract in the next: the older program still works on the
//! newer tables until `min_reader` or `min_writer` says otherwise.

use contract::route::SHARDS;

use crate::error::StoreError;

/// Name and statement of a migration; its number is its place, from 1.
pub(crate) type Migration = (&'static str, &'static str);

/// A migration that is about to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrating {
    pub name: &'static str,
    /// From 1.
    pub number: i64,
    /// Migrations this version knows.
    pub of: usize,
}

/// The `schema` row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) version: i64,
    pub(crate) min_reader: i64,
    pub(crate) min_writer: i64,
}

/// Oldest program, by its number of migrations, that can read and write what this one leaves.
pub(crate) const MIN_READER: i64 = 1;
pub(crate) const MIN_WRITER: i64 = 1;

/// Shard rows, the control shard's included.
pub(crate) const SHARD_ROWS: i64 = SHARDS as i64 + 1;

/// One list of files for every engine; only their text differs.
macro_rules! migrations {
    ($engine:literal) => {
        $crate::migrate::migrations!(
            $engine,
            "001_schema",
            "002_node",
            "003_beat",
            "004_lane",
            "005_shard",
            "006_shard_rows",
            "007_message",
            "008_job",
            "009_outbox",
            "010_inbound",
            "011_contact",
            "012_event",
            "013_cursor",
            "014_dead_event",
            "015_config",
            "016_user",
            "017_revoked",
            "018_session",
            "019_identity",
            "020_own_key",
            "021_session_mark",
            "022_generation",
            "023_blocked",
            "025_idempotency",
            "026_refusal",
            "027_trace",
            "035_media",
            "036_blob_handle"
        )
    };
    ($engine:literal, $($name:literal),+) => {
        &[$((
            $name,
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../migrations/",
                $engine,
                "/",
                $name,
                ".sql"
            )),
        )),+]
    };
}
pub(crate) use migrations;

/// What remains to be run on a database that stands at `found` (`None`: it is empty).
///
/// # Errors
/// [`StoreError::SchemaTooNew`].
pub(crate) fn pending(
    all: &'static [Migration],
    found: Option<Version>,
) -> Result<impl Iterator<Item = (Migrating, &'static str)>, StoreError> {
    let ours = i64::try_from(all.len()).unwrap_or(i64::MAX);
    let done = match found {
        Some(found) if found.min_reader > ours || found.min_writer > ours => {
            return Err(StoreError::SchemaTooNew { found: found.version, ours });
        }
        Some(found) => found.version,
        None => 0,
    };
    let numbered = (1..).zip(all.iter().copied());
    Ok(numbered.filter(move |(number, _)| *number > done).map(
        move |(number, (name, statement))| (Migrating { name, number, of: all.len() }, statement),
    ))
}

/// The tables they create.
pub(crate) fn tables(all: &'static [Migration]) -> Vec<&'static str> {
    let created = |(_, statement): &(&str, &'static str)| {
        let (_, rest) = statement.split_once("CREATE TABLE IF NOT EXISTS ")?;
        rest.split([' ', '(', '\n']).next().map(|name| name.trim_matches(['"', '`']))
    };
    all.iter().filter_map(created).collect()
}

/// # Errors
/// [`StoreError::ShardCount`].
pub(crate) fn check_shards(found: i64) -> Result<(), StoreError> {
    if found == SHARD_ROWS {
        Ok(())
    } else {
        Err(StoreError::ShardCount { found, needed: SHARD_ROWS })
    }
}
