//! The `[database]` section, shared by everything that opens the database.

use std::str::FromStr;

use serde::Deserialize;

use super::{ConfigError, Secret};

/// Name of the database, behind the prefix.
const NAME: &str = "heliograph";

/// Where the database is: one `url`, or the parts of the original's environment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `sqlite:PATH`, `postgres://USER:PASSWORD@HOST:PORT/NAME` or `mysql://…`. Wins over the parts,
    /// and its TLS parameters over the `ssl_…` settings.
    pub url: Option<Secret>,
    pub engine: Option<Engine>,
    pub host: Option<String>,
    /// Default: the engine's own.
    pub port: Option<u16>,
    pub username: Option<String>,
    /// Any characters.
    pub password: Option<Secret>,
    /// Put before `heliograph`: the database's name, or the file's for SQLite.
    pub name_prefix: String,
    /// Default: [`SslMode::VerifyFull`] with an authority or a client certificate, else
    /// [`SslMode::Disable`].
    pub ssl_mode: Option<SslMode>,
    /// Authorities the server's certificate must come from: path of a PEM file, or the PEM text.
    pub ssl_ca: Option<String>,
    /// Our own certificate, for a server that asks for one: path or PEM text.
    pub ssl_cert: Option<String>,
    /// Its private key: path or PEM text.
    pub ssl_key: Option<Secret>,
    /// Most connections for reads. Default: the store's.
    pub read_connections: Option<usize>,
    /// Most connections for ticks, claims and fences. Default: the store's.
    pub control_connections: Option<usize>,
    /// After how long an unused one of those is closed; 0: never. Default: the store's.
    pub idle_timeout_ms: Option<u64>,
    /// Limit of one attempt to connect. Default: the store's.
    pub connect_timeout_ms: Option<u64>,
    /// How long a server that does not answer yet is waited for at start. Default: the store's.
    pub start_wait_ms: Option<u64>,
    /// Bring the schema up to date and end.
    pub upgrade: bool,
    /// Connections that commit at the same time. Default: measured at start.
    pub lanes: Option<u16>,
    /// Most writes in one transaction. Default: the store's.
    pub batch_max: Option<usize>,
    /// Start even though the database is set to lose what it acknowledged.
    pub unsafe_durability: bool,
}

/// `WA_DB_ENGINE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Engine {
    #[serde(alias = "mysql")]
    MYSQL,
    #[serde(alias = "pgsql", alias = "postgres")]
    PGSQL,
    #[serde(alias = "sqlite")]
    SQLITE,
}

/// How much of TLS is asked for. The words are those of libpq.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SslMode {
    /// Clear text.
    Disable,
    /// Encrypted; anybody's certificate will do unless an authority is given.
    Require,
    /// The certificate comes from the authority, whatever name it is for.
    VerifyCa,
    /// From the authority, and for the name that was connected to.
    VerifyFull,
}

impl SslMode {
    /// As it is written in a setting.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl FromStr for SslMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Disable, Self::Require, Self::VerifyCa, Self::VerifyFull];
        match (all.into_iter().find(|mode| mode.name() == text), text) {
            (Some(mode), _) => Ok(mode),
            (None, "prefer" | "allow") => {
                Err("prefer and allow would send passwords in clear text unasked; say disable, \
                     require, verify-ca or verify-full")
            }
            _ => Err("say disable, require, verify-ca or verify-full"),
        }
    }
}

impl TryFrom<String> for SslMode {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl Database {
    /// The one form the store takes. It holds the password: not for logs.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] without an engine, or without a host for a server.
    pub fn to_url(&self) -> Result<Secret, ConfigError> {
        if let Some(url) = &self.url {
            return Ok(url.clone());
        }
        let engine = self.engine.ok_or_else(|| ConfigError::missing("database.url"))?;
        let name = format!("{}{NAME}", self.name_prefix);
        let (scheme, port) = match engine {
            Engine::SQLITE => return Ok(Secret::new(format!("sqlite:data/{name}.db"))),
            Engine::MYSQL => ("mysql", 3306),
            Engine::PGSQL => ("postgres", 5432),
        };
        let host = self.host.as_ref().ok_or_else(|| ConfigError::missing("database.host"))?;
        let host = match host {
            v6 if v6.contains(':') && !v6.starts_with('[') => format!("[{v6}]"),
            socket if socket.starts_with('/') => percent(socket),
            name => name.clone(),
        };
        let user = percent(self.username.as_deref().unwrap_or(NAME));
        let password = self.password.as_ref().map(|secret| percent(secret.expose()));
        let login = password.map_or(user.clone(), |password| format!("{user}:{password}"));
        let port = self.port.unwrap_or(port);
        Ok(Secret::new(format!("{scheme}://{login}@{host}:{port}/{}", percent(&name))))
    }
}

/// Percent-encodes all but unreserved characters (RFC 3986).
fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
