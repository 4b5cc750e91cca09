//! The database as it is configured: opened, and told in the log.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use store::{
    DatabaseUrl, Store, StoreError, TlsSettings,
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

/// The folder whose disk the database fills, when it is one of this machine.
///
/// # Errors
/// [`StartError::Config`] and [`StartError::Store`].
pub(crate) fn disk(config: &Config) -> Result<Option<PathBuf>, StartError> {
    Ok(match store::Settings::parse(config.database.to_url()?.expose())?.url {
        DatabaseUrl::Sqlite(path) => path.parent().map(|folder| match folder.as_os_str().len() {
            0 => PathBuf::from("."),
            _ => folder.to_path_buf(),
        }),
        DatabaseUrl::Postgres(_) | DatabaseUrl::Mysql(_) => None,
    })
}

fn settings(config: &Config) -> Result<store::Settings, StartError> {
    let mut settings = connection::<StartError>(config)?;
    settings.vault = vault::master_keys(&config.coreapp)?;
    settings.account = config.account.number;
    Ok(settings)
}

/// All but what seals the rows.
pub(crate) fn connection<E>(config: &Config) -> Result<store::Settings, E>
where
    E: From<ConfigError> + From<StoreError>,
{
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

#[cfg(test)]
mod tests {
    use telemetry::config::SslMode;

    use super::*;
    use crate::Args;

    /// What an environment amounts to, without a file.
    fn configured(variables: &[(&str, &str)]) -> Result<store::Settings, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let args = Args { config: Some(file.path().to_owned()), ..Args::default() };
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let config = Config::load(&args, variables.iter().map(owned).collect()).unwrap();
        settings(&config).map_err(|error| error.to_string())
    }

    #[test]
    fn every_setting_reaches_the_store() {
        let settings = configured(&[
            ("WA_DB_ENGINE", "PGSQL"),
            ("WA_DB_HOSTNAME", "db"),
            ("WA_DB_USERNAME", "wa"),
            ("WA_DB_PASSWORD", "?{}&~!()^="),
            ("WA_DB_CONNECTION_IDLE_TIMEOUT", "90000"),
            ("WA_DB_SSL_CA", "/ca.pem"),
            ("WA_DB_SSL_CERT", "/cert.pem"),
            ("WA_DB_SSL_KEY", "/key.pem"),
            ("HELIOGRAPH_DATABASE__SSL_MODE", "verify-ca"),
            ("HELIOGRAPH_DATABASE__READ_CONNECTIONS", "3"),
            ("HELIOGRAPH_DATABASE__CONTROL_CONNECTIONS", "1"),
            ("HELIOGRAPH_DATABASE__CONNECT_TIMEOUT_MS", "2000"),
            ("HELIOGRAPH_DATABASE__START_WAIT_MS", "0"),
        ])
        .unwrap();
        assert_eq!(
            settings.url,
            store::DatabaseUrl::postgres("db", 5432, "wa", "?{}&~!()^=", "heliograph")
        );
        assert_eq!(settings.tls.mode, Some(SslMode::VerifyCa));
        assert_eq!(settings.tls.ca.as_deref(), Some("/ca.pem"));
        assert_eq!(settings.tls.cert.as_deref(), Some("/cert.pem"));
        assert_eq!(settings.tls.key.unwrap().expose(), "/key.pem");
        assert_eq!(settings.pools, store::Pools { read: 3, control: 1 });
        assert_eq!(settings.idle_timeout, Some(Duration::from_secs(90)));
        assert_eq!(settings.connect_timeout, Duration::from_secs(2));
        assert_eq!(settings.start_wait, Duration::ZERO);
    }

    #[test]
    fn tls_in_the_address_wins_over_the_settings_beside_it() {
        let url = "postgres://u@h/d?sslmode=require&sslrootcert=/url.pem";
        let settings = configured(&[
            ("HELIOGRAPH_DATABASE__URL", url),
            ("WA_DB_SSL_CA", "/setting.pem"),
            ("WA_DB_SSL_CERT", "/cert.pem"),
            ("WA_DB_CONNECTION_IDLE_TIMEOUT", "0"),
        ])
        .unwrap();
        assert_eq!(settings.tls.mode, Some(SslMode::Require));
        assert_eq!(settings.tls.ca.as_deref(), Some("/url.pem"));
        assert_eq!(settings.tls.cert.as_deref(), Some("/cert.pem"));
        assert_eq!(settings.idle_timeout, None);
    }

    #[test]
    fn a_value_out_of_its_limits_is_refused_and_not_bent() {
        for (variable, value, setting, limits) in [
            ("HELIOGRAPH_DATABASE__READ_CONNECTIONS", "0", "database.read_connections", "1 to 64"),
            ("HELIOGRAPH_DATABASE__LANES", "17", "database.lanes", "1 to 16"),
            ("HELIOGRAPH_DATABASE__BATCH_MAX", "1000", "database.batch_max", "1 to 256"),
            (
                "WA_DB_CONNECTION_IDLE_TIMEOUT",
                "86400001",
                "database.idle_timeout_ms (WA_DB_CONNECTION_IDLE_TIMEOUT)",
                "0 to 86400000",
            ),
        ] {
            let url = ("HELIOGRAPH_DATABASE__URL", "postgres://u@h/d");
            let error = configured(&[url, (variable, value)]).unwrap_err();
            assert!(error.contains(setting) && error.contains(limits), "{error}");
        }
    }
}
