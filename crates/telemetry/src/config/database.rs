//! The `[database]` section, shared by everything that opens the database.

use serde::Deserialize;

use super::{ConfigError, Secret};

/// Name of the database, behind the prefix.
const NAME: &str = "heliograph";

/// Where the database is: one `url`, or the parts of the original's environment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `sqlite:PATH`, `postgres://USER:PASSWORD@HOST:PORT/NAME` or `mysql://…`. Wins over the parts.
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
