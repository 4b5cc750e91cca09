//! The environment names of the original, and the setting each one means; and the one that every
//! program that traces knows.

/// One `WA_*` name.
pub(super) struct Name {
    pub(super) variable: &'static str,
    pub(super) setting: &'static str,
    pub(super) read: fn(&str) -> Result<String, &'static str>,
}

/// In the order of the original's table. Its other names are labels or without effect here, so that an
/// environment file of the original works unchanged.
pub(super) const NAMES: &[Name] = &[
    text("WA_DB_ENGINE", "database.engine"),
    text("WA_DB_HOSTNAME", "database.host"),
    text("WA_DB_PORT", "database.port"),
    text("WA_DB_USERNAME", "database.username"),
    text("WA_DB_PASSWORD", "database.password"),
    text("WA_DB_NAME_PREFIX", "database.name_prefix"),
    text("WA_DB_CONNECTION_IDLE_TIMEOUT", "database.idle_timeout_ms"),
    text("WA_DB_SSL_CA", "database.ssl_ca"),
    text("WA_DB_SSL_CERT", "database.ssl_cert"),
    text("WA_DB_SSL_KEY", "database.ssl_key"),
    text("WA_DB_UPGRADE", "database.upgrade"),
    text("COREAPP_HOSTNAME", "coreapp.hostname"),
    Name { variable: "WA_TCP_LISTEN_ADDRESS", setting: "coreapp.listen", read: listen },
    text("WACORE_HOSTNAME", "webapp.coreapps"),
    text("WA_WEB_SERVERNAME", "webapp.server_names"),
    text("WA_SECRET", "internal.secret"),
    text("WA_WEB_JWT_CRYPTO_KEY", "webapp.token_key"),
    text("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint"),
    Name { variable: "WA_API_KEY", setting: "webapp.api_key", read: api_key },
];

const fn text(variable: &'static str, setting: &'static str) -> Name {
    Name { variable, setting, read: |value| Ok(value.to_owned()) }
}

fn listen(value: &str) -> Result<String, &'static str> {
    Ok(if value == "any" { "0.0.0.0" } else { value }.to_owned())
}

fn api_key(value: &str) -> Result<String, &'static str> {
    if (12..=128).contains(&value.chars().count()) {
        Ok(value.to_owned())
    } else {
        Err("give 12 to 128 characters")
    }
}

/// Names of the original that mean nothing here, and why.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("WA_DB_PERSISTENT", "connections are always kept, until database.idle_timeout_ms"),
    ("WA_DB_CONNECTION_OPTION", "TLS is set with WA_DB_SSL_CA, WA_DB_SSL_CERT, WA_DB_SSL_KEY"),
    ("WA_CONFIG_ON_DB", "what is set by the API is always in the database"),
    ("WA_APP_MULTICONNECT", "coreapps on one database always share its shards"),
    ("WA_MASTER_NODE", "any coreapp may have the account, there are no masters"),
    ("COREAPP_EXTERNAL_PORTS", "others use the ports that are listened on, see coreapp.port"),
    ("WEBAPP_HOSTNAME", "no other process looks for a webapp"),
    ("WEBAPP_EXTERNAL_PORTS", "no other process looks for a webapp"),
    ("WA_WEB_SECURITY_LEVEL", "TLS is always 1.2 or 1.3, with modern suites alone"),
    ("http_proxy", "a proxy is set with egress.proxy"),
    ("https_proxy", "a proxy is set with egress.proxy"),
];

/// What is set in the environment without any effect, and why; to be logged once, at start.
pub fn without_effect(
    env: &[(String, String)],
) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
    let is_set = |name: &str| env.iter().any(|(n, value)| n == name && !value.is_empty());
    WITHOUT_EFFECT.iter().copied().filter(move |(name, _)| is_set(name))
}

/// A setting and the original's name for it, for a message of its own.
#[must_use]
pub fn named(setting: &str) -> String {
    match NAMES.iter().find(|name| name.setting == setting) {
        Some(name) => format!("{setting} ({})", name.variable),
        None => setting.to_owned(),
    }
}

/// How to set a setting, for an error message.
pub(super) fn remedy(setting: &str) -> String {
    let own = format!("HELIOGRAPH_{}", setting.replace('.', "__").to_uppercase());
    let file = super::DEFAULT_FILE;
    match NAMES.iter().find(|name| name.setting == setting) {
        Some(name) => format!("in {file}, with {own} or with {}", name.variable),
        None => format!("in {file} or with {own}"),
    }
}
