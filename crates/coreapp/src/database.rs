//! The database as it is configured: opened, and told in the log.

use std::{ops::RangeInclusive, time::Duration};

use store::{
    Store, TlsSettings,
    settings::{BATCH_MAX, LANES_MAX, POOL_MAX},
};
use telemetry::config::ConfigError;

use crate::{Config, Env, StartError, vault};

/// Longest time-out that can be set.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Opens it, waits for it if need be, brings its schema up to date. The line it logs holds no
/// password.
///
/// # Errors
/// [`StartError::Config`] and [`StartError::Store`].
pub(crate) async fn open(config: &Config, env: &Env) -> Result<Store, StartError> {
    let store = Store::open(settings(config)?, env.rng.clone()).await?;
    let facts = store.facts();
    tracing::info!(
        database.engine = facts.engine,
        database.version = facts.version,
        database.server = facts.server,
        database.encryption = facts.encryption,
        database.lanes = facts.lanes,
        database.batch_max = facts.batch_max,
        database.read_connections = facts.pools.read,
        database.control_connections = facts.pools.control,
        database.commit_ms = facts.commit_ms,
        database.durability = facts.durability,
        "the database is open: {facts}"
    );
    Ok(store)
}

fn settings(config: &Config) -> Result<store::Settings, StartError> {
    let database = &config.database;
    let mut settings = store::Settings::parse(database.to_url()?.expose())?;
    settings.tls = settings.tls.or(TlsSettings {
        mode: database.ssl_mode,
        ca: database.ssl_ca.clone(),
        cert: database.ssl_cert.clone(),
        key: database.ssl_key.clone(),
    });
    let lanes = database.lanes.map(usize::from);
    settings.lanes = within("database.lanes", lanes, 1..=LANES_MAX)?;
    settings.unsafe_durability = database.unsafe_durability;
    settings.vault = vault::master_keys(&config.coreapp)?;
    settings.account = config.account.number;
    if let Some(max) = within("database.batch_max", database.batch_max, 1..=BATCH_MAX)? {
        settings.batch_max = max;
    }
    let pools = &mut settings.pools;
    for (setting, value, place) in [
        ("database.read_connections", database.read_connections, &mut pools.read),
        ("database.control_connections", database.control_connections, &mut pools.control),
    ] {
        if let Some(value) = within(setting, value, 1..=POOL_MAX)? {
            *place = value;
        }
    }
    let ms = |setting, value, least| {
        let value = within(setting, value, least..=DAY_MS)?;
        Ok::<_, ConfigError>(value.map(Duration::from_millis))
    };
    if let Some(idle) = ms("database.idle_timeout_ms", database.idle_timeout_ms, 0)? {
        settings.idle_timeout = (!idle.is_zero()).then_some(idle);
    }
    if let Some(limit) = ms("database.connect_timeout_ms", database.connect_timeout_ms, 100)? {
        settings.connect_timeout = limit;
    }
    if let Some(wait) = ms("database.start_wait_ms", database.start_wait_ms, 0)? {
        settings.start_wait = wait;
    }
    Ok(settings)
}

/// A value that is set must be within its limits: it is refused, not bent.
fn within<T: PartialOrd + std::fmt::Display>(
    setting: &str,
    value: Option<T>,
    limits: RangeInclusive<T>,
) -> Result<Option<T>, ConfigError> {
    match value {
        Some(value) if !limits.contains(&value) => {
            let reason = format!("give {} to {}", limits.start(), limits.end());
            Err(ConfigError::invalid(telemetry::config::named(setting), reason))
        }
        value => Ok(value),
    }
}
