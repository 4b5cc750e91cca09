//! What `GET /v1/health`, `/v1/support`, `/v1/stats/…`, `/metrics` and `PUT /v1/services/…` answer, as
//! shapes: the webapp fills them, that of a node's support information the coreapp.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::Meta;

/// The state of every coreapp.
#[derive(ToSchema)]
pub struct HealthAnswer {
    /// With one coreapp `{"gateway_status":…}`; with several a map of node to
    /// `{"gateway_status":…,"role":…}`. What does not answer has `errors` in its place.
    /// `gateway_status` is `connected`, `connecting`, `disconnected`, `unregistered` or
    /// `uninitialized`.
    #[schema(value_type = Object, example = json!({"gateway_status": "connected"}))]
    pub health: (),
    /// As in every answer.
    pub meta: Meta,
}

/// What a support case begins with.
#[derive(ToSchema)]
pub struct SupportAnswer {
    /// With one coreapp the object itself, with several a map of node to it. What does not answer has
    /// `errors` in its place.
    #[schema(inline)]
    pub support: Support,
    /// As in every answer.
    pub meta: Meta,
}

/// A coreapp of itself. No secret is in it. Times are Unix seconds, sizes bytes.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Support {
    /// Always `healthcheck`.
    pub context: String,
    /// `SQLITE`, `PGSQL` or `MYSQL`.
    pub db_engine: String,
    /// Product and version, schema, durability, encryption of the way there.
    pub db_info: Vec<String>,
    /// The own number, or `unregistered`.
    pub debug_info: String,
    /// The build.
    pub description: String,
    /// The time there.
    pub device_iso8601: String,
    /// Our own keys.
    #[schema(inline)]
    pub e2e: OwnKeys,
    /// Variables of the environment that mean something here: the name, and the value only where it is
    /// none of a secret's, an address's or a user's.
    pub env: Vec<String>,
    /// The end of the year 9999: builds do not expire.
    pub expire_timestamp: i64,
    /// Of the disk an SQLite database is on; `null`: the database is a server's.
    pub free_space_data: Option<u64>,
    /// `null`: logs are written to the standard error stream.
    pub free_space_logs: Option<u64>,
    /// Of the disk the media directory is on.
    pub free_space_media_incoming: Option<u64>,
    /// The same.
    pub free_space_media_outgoing: Option<u64>,
    /// Country and language of the client.
    pub lc: String,
    /// See `lc`.
    pub lg: String,
    /// Several coreapps share the shards.
    pub multi_connect: bool,
    /// The operating system.
    pub os_name: String,
    /// Its version.
    pub os_version: String,
    /// Versions of the stores. They are one database here, so all are alike.
    #[schema(inline)]
    pub schema: Schemas,
    /// `UP`, `SC` (connecting) or `DN`.
    pub socket_conn: String,
    /// `primary_master` or `coreapp`.
    pub role: String,
    /// Shards of this node as pairs of the first and the last; -1 is the one of the account.
    #[schema(value_type = Vec<Vec<i16>>)]
    pub shards: Vec<(i16, i16)>,
    /// What the original did not have.
    #[schema(inline)]
    pub heliograph: Build,
}

/// Own keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OwnKeys {
    /// When the identity was made.
    pub identity_timestamp: i64,
    /// What phones know this installation by.
    pub registration_id: u32,
}

/// Versions of the stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Schemas {
    pub axolotl: usize,
    pub callback: usize,
    pub cluster: usize,
    pub config: usize,
    pub contact: usize,
    pub jobqueue: usize,
    pub message: usize,
}

impl Schemas {
    /// All alike.
    #[must_use]
    pub fn of(version: usize) -> Self {
        Self {
            axolotl: version,
            callback: version,
            cluster: version,
            config: version,
            contact: version,
            jobqueue: version,
            message: version,
        }
    }
}

/// Of this product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Build {
    pub version: String,
    pub node: String,
    pub uptime_s: u64,
    /// As `GET /v1/health` says it.
    pub gateway_status: String,
    /// Generation of the account.
    pub generation: i64,
    /// Other coreapps that live.
    pub others: usize,
    /// Measured at the start.
    pub commit_ms: u64,
}

/// `YYYY-MM-DDTHH:MM:SSZ`. What no calendar holds is the end of time.
#[must_use]
pub fn iso8601(unix_s: i64) -> String {
    Timestamp::from_second(unix_s).unwrap_or(Timestamp::MAX).to_string()
}

/// As pairs of the first and the last of those that follow one another.
pub fn ranges(shards: impl IntoIterator<Item = i16>) -> Vec<(i16, i16)> {
    let mut ranges: Vec<(i16, i16)> = Vec::new();
    for shard in shards {
        match ranges.last_mut() {
            // -1 stands for itself, so that old readers see it.
            Some((first, last)) if *last + 1 == shard && *first != -1 => *last = shard,
            _ => ranges.push((shard, shard)),
        }
    }
    ranges
}

/// What the database holds.
#[derive(ToSchema)]
pub struct DatabaseStatsAnswer {
    /// By group.
    #[schema(inline)]
    pub stats: DatabaseStats,
    /// As in every answer.
    pub meta: Meta,
}

/// `stats`.
#[derive(ToSchema)]
pub struct DatabaseStats {
    /// By name.
    pub db: BTreeMap<String, Metric>,
}

/// The coreapps' metrics.
#[derive(ToSchema)]
pub struct StatsAnswer {
    /// By group.
    #[schema(inline)]
    pub stats: Stats,
    /// As in every answer.
    pub meta: Meta,
}

/// `stats`.
#[derive(ToSchema)]
pub struct Stats {
    /// By name.
    pub app: BTreeMap<String, Metric>,
}

/// This webapp's metrics.
#[derive(ToSchema)]
pub struct MetricsAnswer {
    /// By name.
    pub metrics: BTreeMap<String, Metric>,
    /// As in every answer.
    pub meta: Meta,
}

/// One metric.
#[derive(ToSchema)]
pub struct Metric {
    /// `counter` or `gauge`.
    pub r#type: String,
    /// What it is, with its unit.
    pub help: String,
    /// Its samples.
    pub data: Vec<Sample>,
}

/// One sample.
#[derive(ToSchema)]
pub struct Sample {
    /// What tells it from the others; with several coreapps also `node`.
    #[schema(required = false)]
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// A collection has begun.
#[derive(ToSchema)]
pub struct GcAnswer {
    /// `{"message":{"gc":{"status":"processing"}}}`, of files `media`; where messages are collected by
    /// several coreapps `gc` is a map by node.
    #[schema(value_type = Object)]
    pub services: (),
    /// As in every answer.
    pub meta: Meta,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_shown_as_the_original_wrote_them() {
        assert_eq!(ranges([]), []);
        assert_eq!(ranges([-1, 0]), [(-1, -1), (0, 0)], "the one active coreapp of two");
        assert_eq!(ranges([-1]), [(-1, -1)], "a primary master");
        assert_eq!(ranges([7]), [(7, 7)]);
        assert_eq!(ranges(-1..=63), [(-1, -1), (0, 63)]);
        assert_eq!(ranges([3, 4, 5, 9]), [(3, 5), (9, 9)]);
    }

    #[test]
    fn a_time_is_one_of_iso_8601() {
        assert_eq!(iso8601(1_766_048_000), "2025-12-18T08:53:20Z");
    }
}
