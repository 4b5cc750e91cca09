//! What a support case begins with: versions, schema, keys, shards, disks of this node. Names no secret,
//! no address and no user.

use std::{path::PathBuf, sync::Arc};

use contract::{
    Clock, Number,
    monitoring::{Build, OwnKeys, Schemas, Support, iso8601, ranges},
};
use store::Facts;
use tokio::{sync::watch, task::spawn_blocking, time::Instant};

use crate::{
    cluster::MapRx, control::Control, delivery::Line, generation::Generations, prekeys::Ring,
};

/// The last second of the year 9999: clients compare it with the time, and builds do not expire.
const NEVER: i64 = 253_402_300_799;
/// Variables that are listed, at most; and characters of one.
const VARIABLES: usize = 64;
const CHARACTERS: usize = 128;
/// What the names of our variables begin with.
const OURS: [&str; 5] = ["HELIOGRAPH_", "WA_", "WACORE_", "COREAPP_", "OTEL_"];
/// Labels of an installation: their values are shown.
const SHOWN: [&str; 10] = [
    "AWS_REGION",
    "AWS_STACK_NAME",
    "ORCHESTRATION",
    "WA_APP_MULTICONNECT",
    "WA_CONFIG_ON_DB",
    "WA_DB_ENGINE",
    "WA_DB_PERSISTENT",
    "WA_MASTER_NODE",
    "WA_RUNNING_ENV",
    "WA_RUNNING_ENV_VERSION",
];

/// What of an environment may be shown.
pub(crate) fn variables(environment: &[(String, String)]) -> Vec<String> {
    let mut shown: Vec<String> = environment
        .iter()
        .filter_map(|(name, value)| {
            let entry = if SHOWN.contains(&name.as_str()) {
                format!("{name}={value}")
            } else if OURS.iter().any(|ours| name.starts_with(ours)) {
                name.clone()
            } else {
                return None;
            };
            Some(entry.chars().take(CHARACTERS).collect())
        })
        .collect();
    shown.sort();
    shown.truncate(VARIABLES);
    shown
}

/// See the module.
pub(crate) struct Desk {
    pub node: String,
    pub facts: Facts,
    pub environment: Vec<String>,
    pub clock: Arc<dyn Clock>,
    pub began: Instant,
    pub number: watch::Receiver<Option<Number>>,
    pub line: watch::Receiver<Line>,
    pub ring: Arc<Ring>,
    pub control: Arc<Control>,
    pub generations: Arc<Generations>,
    pub map: MapRx,
    /// Where an SQLite database lies.
    pub database: Option<PathBuf>,
    pub media: PathBuf,
}

impl Desk {
    /// `gateway_status`.
    pub(crate) fn status(&self) -> &'static str {
        if self.number.borrow().is_none() {
            return "unregistered";
        }
        self.line.borrow().status()
    }

    pub(crate) fn role(&self) -> &'static str {
        if self.control.is_owner() { "primary_master" } else { "coreapp" }
    }

    /// All of it.
    pub(crate) async fn support(&self) -> Support {
        let facts = &self.facts;
        let number = *self.number.borrow();
        let line = *self.line.borrow();
        let map = self.map.borrow().clone();
        let free_media = free(Some(self.media.clone())).await;
        let mut db_info = vec![
            format!("{} {}", facts.engine, facts.version),
            format!("schema {}", facts.schema),
            facts.durability.clone(),
        ];
        if facts.server.is_some() {
            // Not where it is: that is nobody's business here.
            db_info.push(facts.encryption.clone());
        }
        Support {
            context: "healthcheck".to_owned(),
            db_engine: engine(facts.engine).to_owned(),
            db_info,
            debug_info: number.map_or_else(|| "unregistered".to_owned(), |own| own.to_string()),
            description: format!(
                "heliograph coreapp {} {} {}",
                env!("CARGO_PKG_VERSION"),
                std::env::consts::OS,
                std::env::consts::ARCH
            ),
            device_iso8601: iso8601(self.clock.unix_s()),
            e2e: OwnKeys {
                identity_timestamp: self.ring.made_s(),
                registration_id: self.ring.me().registration_id(),
            },
            env: self.environment.clone(),
            expire_timestamp: NEVER,
            free_space_data: free(self.database.clone()).await,
            free_space_logs: None,
            free_space_media_incoming: free_media,
            free_space_media_outgoing: free_media,
            lc: "US".to_owned(),
            lg: "en".to_owned(),
            multi_connect: !map.others.is_empty(),
            os_name: system("ostype", std::env::consts::OS),
            os_version: system("osrelease", "unknown"),
            schema: Schemas::of(facts.schema),
            socket_conn: if number.is_some() { line.socket() } else { "DN" }.to_owned(),
            role: self.role().to_owned(),
            shards: ranges(map.mine.keys().map(|shard| shard.get())),
            heliograph: Build {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                node: self.node.clone(),
                uptime_s: self.began.elapsed().as_secs(),
                gateway_status: self.status().to_owned(),
                generation: self.generations.current(),
                others: map.others.len(),
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a measured duration, in whole milliseconds"
                )]
                commit_ms: facts.commit_ms.round() as u64,
            },
        }
    }
}

/// As `WA_DB_ENGINE` calls it.
fn engine(name: &str) -> &'static str {
    match name {
        "SQLite" => "SQLITE",
        "PostgreSQL" => "PGSQL",
        _ => "MYSQL",
    }
}

/// Bytes free on the disk of a folder.
async fn free(folder: Option<PathBuf>) -> Option<u64> {
    let folder = folder?;
    let disk = spawn_blocking(move || rustix::fs::statvfs(&folder)).await.ok()?.ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn system(file: &str, otherwise: &str) -> String {
    let read = std::fs::read_to_string(format!("/proc/sys/kernel/{file}"));
    read.map_or_else(|_| otherwise.to_owned(), |text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_environment_only_labels_are_shown_with_their_values() {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let environment = [
            ("WA_RUNNING_ENV", "AWS"),
            ("WA_DB_PASSWORD", "hunter2"),
            ("WA_SECRET", "hunter2"),
            ("HELIOGRAPH_COREAPP__MASTER_KEY", "hunter2"),
            ("HELIOGRAPH_DATABASE__URL", "postgres://u:hunter2@h/d"),
            ("PATH", "/usr/bin"),
            ("WA_DB_ENGINE", "PGSQL"),
        ]
        .map(owned);
        let shown = variables(&environment);
        assert_eq!(
            shown,
            [
                "HELIOGRAPH_COREAPP__MASTER_KEY",
                "HELIOGRAPH_DATABASE__URL",
                "WA_DB_ENGINE=PGSQL",
                "WA_DB_PASSWORD",
                "WA_RUNNING_ENV=AWS",
                "WA_SECRET"
            ]
        );
        let many: Vec<_> = (0..1_000).map(|n| (format!("WA_{n}"), String::new())).collect();
        assert_eq!(variables(&many).len(), VARIABLES);
        let long = [("WA_RUNNING_ENV".to_owned(), "x".repeat(1_000))];
        assert_eq!(variables(&long)[0].len(), CHARACTERS);
    }
}
