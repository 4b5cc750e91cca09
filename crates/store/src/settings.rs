//! Which database, and how it is used.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use contract::Number;
use session::sealing::MasterKeys;

use crate::{error::StoreError, migrate::Migrating, tls, tls::TlsSettings};

/// Most writes a transaction takes; larger ones save nothing and delay whoever waits.
pub const BATCH_MAX: usize = 256;
/// Most lanes of an incarnation; a lane is a connection.
pub const LANES_MAX: usize = 16;
/// Default of [`Settings::connect_timeout`].
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Default of [`Settings::start_wait`].
pub const START_WAIT: Duration = Duration::from_secs(60);
/// Default of [`Settings::idle_timeout`]: the original's 180,000 ms.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(180);
/// Default of [`Pools::read`]: one for the grouped look-ups, the others for pages and loads.
pub const READ_CONNECTIONS: usize = 6;
/// Default of [`Pools::control`].
pub const CONTROL_CONNECTIONS: usize = 2;
/// Most of a pool. Whoever finds all of them in use waits, at most for `connect_timeout`.
pub const POOL_MAX: usize = 64;

/// How many connections there may be besides the lanes. SQLite has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pools {
    /// For reads, 1 to [`POOL_MAX`].
    pub read: usize,
    /// For ticks, claims and fences: apart, so that no amount of reading delays a tick.
    pub control: usize,
}

impl Default for Pools {
    fn default() -> Self {
        Self { read: READ_CONNECTIONS, control: CONTROL_CONNECTIONS }
    }
}

/// How to open a [`crate::Store`].
#[derive(Clone, Debug)]
pub struct Settings {
    pub url: DatabaseUrl,
    /// For a server. SQLite has none.
    pub tls: TlsSettings,
    pub pools: Pools,
    /// After how long an unused connection of a pool is closed; `None`: never. Lanes keep theirs.
    pub idle_timeout: Option<Duration>,
    /// How long a server that does not serve yet is asked again and again before opening fails.
    pub start_wait: Duration,
    /// Parallel committers, at most [`LANES_MAX`]. `None`: measured at start. SQLite has one.
    pub lanes: Option<usize>,
    /// Writes a transaction, at most [`BATCH_MAX`]; 1 switches group commit off.
    pub batch_max: usize,
    /// Accept a database that loses acknowledged writes in a power failure. SQLite then also runs
    /// with `synchronous=NORMAL`.
    pub unsafe_durability: bool,
    /// For one connection attempt.
    pub connect_timeout: Duration,
    /// Seals messages, events, sessions and own keys at rest. Without: they are stored plain, and
    /// rows that are sealed already are errors. Plain rows are read in either case.
    pub vault: Option<Arc<MasterKeys>>,
    /// The business number, part of what a sealed row belongs to: rows of another one do not open.
    /// So it stays as it was when the first row was sealed.
    pub account: Option<Number>,
    /// Told of each migration before it runs; it may take long on a large table.
    pub migrating: fn(Migrating),
}

impl Settings {
    /// The defaults for a database.
    #[must_use]
    pub fn new(url: DatabaseUrl) -> Self {
        Self {
            url,
            tls: TlsSettings::default(),
            pools: Pools::default(),
            idle_timeout: Some(IDLE_TIMEOUT),
            start_wait: START_WAIT,
            lanes: None,
            batch_max: BATCH_MAX,
            unsafe_durability: false,
            connect_timeout: CONNECT_TIMEOUT,
            vault: None,
            account: None,
            migrating: |_| {},
        }
    }

    /// The defaults for an address that may hold TLS parameters (`sslmode`, `sslrootcert`,
    /// `sslcert`, `sslkey`).
    ///
    /// # Errors
    /// [`StoreError::Address`].
    pub fn parse(address: &str) -> Result<Self, StoreError> {
        if address.starts_with("sqlite:") {
            return Ok(Self::new(address.parse()?));
        }
        let (address, tls) = tls::split(address)?;
        Ok(Self { tls, ..Self::new(address.parse()?) })
    }
}

/// What [`Settings::parse`] takes out of an address.
const TLS_PARAMETERS: &[&str] = &["sslmode", "sslrootcert", "sslcert", "sslkey"];
/// What else an address may say about a PostgreSQL server; time-outs and TLS are settings.
const PARAMETERS: &[&str] = &[
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "target_session_attrs",
    "user",
];

/// The address of a database, without TLS parameters: see [`Settings::parse`]. Neither `Debug` nor `Display` shows a password.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// `sqlite:PATH`
    Sqlite(PathBuf),
    /// `postgres://user:password@host:port/name`
    Postgres(Box<tokio_postgres::Config>),
    /// `mysql://user:password@host:port/name`, MariaDB too
    Mysql(Box<mysql_async::Opts>),
}

impl DatabaseUrl {
    /// PostgreSQL from its parts, none of them escaped.
    #[must_use]
    pub fn postgres(host: &str, port: u16, user: &str, password: &str, name: &str) -> Self {
        let mut config = tokio_postgres::Config::new();
        config.host(host).port(port).user(user).dbname(name);
        if !password.is_empty() {
            config.password(password);
        }
        Self::Postgres(Box::new(config))
    }

    /// MySQL or MariaDB from its parts, none of them escaped.
    #[must_use]
    pub fn mysql(host: &str, port: u16, user: &str, password: &str, name: &str) -> Self {
        let opts = mysql_async::OptsBuilder::default()
            .ip_or_hostname(host)
            .tcp_port(port)
            .user(Some(user))
            .pass((!password.is_empty()).then_some(password))
            .db_name(Some(name));
        Self::Mysql(Box::new(opts.into()))
    }
}

/// What an address may begin with, for people.
const SCHEMES: &str = "it starts with none of sqlite:, postgres: and mysql:";

impl FromStr for DatabaseUrl {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let bad = |why: &str| StoreError::Address(why.to_owned());
        let (scheme, rest) = text.split_once(':').ok_or_else(|| bad(SCHEMES))?;
        match scheme {
            "sqlite" => match rest.strip_prefix("//").unwrap_or(rest) {
                "" | ":memory:" => Err(bad("sqlite: needs the path of a file")),
                path => Ok(Self::Sqlite(path.into())),
            },
            "postgres" | "postgresql" => {
                known_parameters(text, PARAMETERS)?;
                // The parser's own message may repeat parts of the address, the password included.
                let config: tokio_postgres::Config = text.parse().map_err(|_| {
                    bad("it is not of the form postgres://user:password@host:port/name")
                })?;
                if config.get_hosts().is_empty() || config.get_dbname().is_none_or(str::is_empty) {
                    return Err(bad("postgres: needs a host and the name of a database"));
                }
                Ok(Self::Postgres(Box::new(config)))
            }
            "mysql" | "mariadb" => {
                known_parameters(text, &[])?;
                let opts = mysql_async::Opts::from_url(&format!("mysql:{rest}")).map_err(|_| {
                    bad("it is not of the form mysql://user:password@host:port/name")
                })?;
                if opts.ip_or_hostname().is_empty() || opts.db_name().is_none_or(str::is_empty) {
                    return Err(bad("mysql: needs a host and the name of a database"));
                }
                Ok(Self::Mysql(Box::new(opts)))
            }
            _ => Err(bad(SCHEMES)),
        }
    }
}

/// Refuses what nobody reads, by its name.
fn known_parameters(address: &str, known: &[&str]) -> Result<(), StoreError> {
    let query = address.split_once('?').map_or("", |(_, query)| query);
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
        if known.contains(&name) {
            continue;
        }
        // What is no name may be the rest of a password.
        let why = if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            let known = [TLS_PARAMETERS, known].concat().join(", ");
            format!("the parameter {name} is not known; known are {known}")
        } else {
            "what follows the question mark is no parameter; percent-encode the password".to_owned()
        };
        return Err(StoreError::Address(why));
    }
    Ok(())
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Mysql(opts) => {
                let (host, port) = (opts.ip_or_hostname(), opts.tcp_port());
                write!(f, "mysql://{host}:{port}/{}", opts.db_name().unwrap_or_default())
            }
            Self::Postgres(config) => {
                f.write_str("postgres://")?;
                for (n, host) in config.get_hosts().iter().enumerate() {
                    f.write_str(if n == 0 { "" } else { "," })?;
                    match host {
                        tokio_postgres::config::Host::Tcp(name) => f.write_str(name)?,
                        #[cfg(unix)]
                        tokio_postgres::config::Host::Unix(path) => {
                            write!(f, "{}", path.display())?;
                        }
                    }
                    if let Some(port) = config.get_ports().get(n).or(config.get_ports().first()) {
                        write!(f, ":{port}")?;
                    }
                }
                write!(f, "/{}", config.get_dbname().unwrap_or_default())
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_no_password() {
        let url: DatabaseUrl = "postgres://me:s3cret@db.example:5433/gateway".parse().unwrap();
        for text in [format!("{url}"), format!("{url:?}"), format!("{:?}", Settings::new(url))] {
            assert!(text.contains("postgres://db.example:5433/gateway"), "{text}");
            assert!(!text.contains("s3cret"), "{text}");
        }
        let url: DatabaseUrl = "mysql://me:s3cret@db.example:3307/gateway".parse().unwrap();
        for text in [format!("{url}"), format!("{url:?}"), format!("{:?}", Settings::new(url))] {
            assert!(text.contains("mysql://db.example:3307/gateway"), "{text}");
            assert!(!text.contains("s3cret"), "{text}");
        }
        for scheme in ["postgres", "mysql"] {
            let error = format!("{scheme}://me:s3cret@[::1/x").parse::<DatabaseUrl>().unwrap_err();
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }

    /// As the separate settings make it (`database.password`, `WA_DB_PASSWORD`).
    #[test]
    fn a_password_of_any_characters_arrives_as_it_is() {
        let url = "mariadb://w%40:p%40%2F%3A%25%23%3F%C3%A9@db/name".parse().unwrap();
        let DatabaseUrl::Mysql(opts) = url else { panic!("{url}") };
        assert_eq!((opts.user(), opts.pass()), (Some("w@"), Some("p@/:%#?é")));
        assert_eq!((opts.ip_or_hostname(), opts.tcp_port()), ("db", 3306));
    }

    #[test]
    fn an_unknown_parameter_is_refused_by_its_name_and_a_password_is_not_taken_for_one() {
        let error = |text: &str| Settings::parse(text).unwrap_err().to_string();
        let unknown = error("postgres://me:s3cret@db/x?sslmode=require&sslrotcert=/ca.pem");
        assert!(unknown.contains("sslrotcert") && unknown.contains("sslrootcert"), "{unknown}");
        let unknown = error("postgres://me:s3cret@db/x?connect_timeout=3");
        assert!(unknown.contains("connect_timeout"), "{unknown}");
        let cut = error("postgres://me:hun?ter2@db/x");
        assert!(cut.contains("percent-encode") && !cut.contains("ter2"), "{cut}");
        let settings =
            Settings::parse("postgres://me@db/x?sslmode=verify-full&sslrootcert=/ca.pem");
        assert_eq!(settings.unwrap().tls.ca.as_deref(), Some("/ca.pem"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_reason() {
        for (text, code) in [
            ("", "store_address"),
            ("data/x.db", "store_address"),
            ("sqlite:", "store_address"),
            ("sqlite::memory:", "store_address"),
            ("postgres://host", "store_address"),
            ("mysql://root@host", "store_address"),
            ("mysql:name", "store_address"),
            ("oracle:x", "store_address"),
        ] {
            assert_eq!(text.parse::<DatabaseUrl>().unwrap_err().code(), code, "{text}");
        }
        assert_eq!(
            "sqlite:///var/x.db".parse::<DatabaseUrl>().unwrap(),
            DatabaseUrl::Sqlite("/var/x.db".into())
        );
        assert_eq!(
            "sqlite:data/x.db".parse::<DatabaseUrl>().unwrap(),
            DatabaseUrl::Sqlite("data/x.db".into())
        );
    }
}
