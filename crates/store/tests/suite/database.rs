//! Databases that exist for one test.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use contract::Rng;
use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use mysql_async::prelude::Queryable;
use store::{DatabaseUrl, Settings, Store, StoreError};

/// A database of its own.
pub(crate) enum Database {
    Sqlite { folder: tempfile::TempDir },
    Postgres { admin: String, name: String, _server: Option<Server> },
    Mariadb { admin: String, name: String, _server: Option<Server> },
}

/// What a program of ours is called at the server.
const APPLICATION: &str = "heliograph";

impl Database {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite { folder: tempfile::tempdir().unwrap() }
    }

    /// Does not create it: that is what opening it does.
    pub(crate) async fn postgres() -> Self {
        let (admin, server) = server("HELIOGRAPH_TEST_POSTGRES", "postgres").await;
        Self::Postgres { admin, name: new_name(), _server: server }
    }

    /// As [`Database::postgres`].
    pub(crate) async fn mariadb() -> Self {
        let (admin, server) = server("HELIOGRAPH_TEST_MYSQL", "mariadb").await;
        Self::Mariadb { admin, name: new_name(), _server: server }
    }

    /// On a server that no other test uses.
    pub(crate) async fn mariadb_alone() -> Self {
        Self::on(Server::start("mariadb", None).await)
    }

    /// On this server.
    pub(crate) fn on(server: Server) -> Self {
        let (admin, name) = (server.url.clone(), new_name());
        match server.engine {
            "mariadb" => Self::Mariadb { admin, name, _server: Some(server) },
            _ => Self::Postgres { admin, name, _server: Some(server) },
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite { folder } => format!("sqlite:{}", folder.path().join("db").display()),
            Self::Postgres { admin, name, .. } | Self::Mariadb { admin, name, .. } => {
                let (server, _) = admin.rsplit_once('/').unwrap();
                format!("{server}/{name}")
            }
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings { lanes: Some(2), ..Settings::parse(&self.url()).unwrap() }
    }

    pub(crate) async fn open(&self) -> Store {
        self.try_open().await.unwrap()
    }

    pub(crate) async fn try_open(&self) -> Result<Store, StoreError> {
        Store::open(self.settings(), rng()).await
    }

    /// On a server, without any table.
    pub(crate) async fn create(&self) {
        let create = format!("CREATE DATABASE {}", self.name());
        match self {
            Self::Mariadb { .. } => self.mysql_admin().await.query_drop(create).await.unwrap(),
            _ => self.admin().await.batch_execute(&create).await.unwrap(),
        }
    }

    /// Runs a statement beside the store.
    pub(crate) async fn sql(&self, text: &str) {
        match self {
            Self::Sqlite { folder } => {
                let path = folder.path().join("db");
                let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
                conn.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
                conn.batch_execute(text).unwrap();
            }
            Self::Postgres { .. } => client(&self.url()).await.batch_execute(text).await.unwrap(),
            Self::Mariadb { .. } => self.mysql(text).await,
        }
    }

    /// Runs statements on MariaDB, with names quoted as in the standard.
    async fn mysql(&self, text: &str) {
        let mut conn = self.mysql_client().await;
        conn.query_drop("SET SESSION sql_mode = concat(@@sql_mode, ',ANSI_QUOTES')").await.unwrap();
        conn.query_drop(text).await.unwrap();
    }

    /// A connection to the test's own database.
    pub(crate) async fn client(&self) -> tokio_postgres::Client {
        client(&self.url()).await
    }

    /// A connection to the server, outside of the test's database.
    pub(crate) async fn admin(&self) -> tokio_postgres::Client {
        let Self::Postgres { admin, .. } = self else { panic!("not PostgreSQL") };
        client(admin).await
    }

    /// A connection to the test's own database on MariaDB.
    pub(crate) async fn mysql_client(&self) -> mysql_async::Conn {
        mysql_async::Conn::from_url(self.url()).await.unwrap()
    }

    /// A connection to the MariaDB server, outside of the test's database.
    pub(crate) async fn mysql_admin(&self) -> mysql_async::Conn {
        let Self::Mariadb { admin, .. } = self else { panic!("not MariaDB") };
        mysql_async::Conn::from_url(admin).await.unwrap()
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        let (host, port) = match self.settings().url {
            DatabaseUrl::Postgres(config) => {
                let tokio_postgres::config::Host::Tcp(host) = &config.get_hosts()[0] else {
                    panic!("TCP")
                };
                (host.clone(), config.get_ports().first().copied().unwrap_or(5432))
            }
            DatabaseUrl::Mysql(opts) => (opts.ip_or_hostname().to_owned(), opts.tcp_port()),
            DatabaseUrl::Sqlite(_) => panic!("SQLite has no server"),
        };
        format!("{host}:{port}").parse().unwrap()
    }

    /// The same database at another port of this machine.
    pub(crate) fn url_at(&self, port: u16) -> DatabaseUrl {
        match self.settings().url {
            DatabaseUrl::Postgres(config) => {
                let password = String::from_utf8_lossy(config.get_password().unwrap());
                self.url_with(port, config.get_user().unwrap(), &password)
            }
            DatabaseUrl::Mysql(opts) => {
                self.url_with(port, opts.user().unwrap(), opts.pass().unwrap())
            }
            DatabaseUrl::Sqlite(_) => panic!("SQLite has no port"),
        }
    }

    /// The same database for another login.
    pub(crate) fn url_with(&self, port: u16, user: &str, password: &str) -> DatabaseUrl {
        let of = if let Self::Mariadb { .. } = self {
            DatabaseUrl::mysql
        } else {
            DatabaseUrl::postgres
        };
        of("127.0.0.1", port, user, password, self.name())
    }

    /// Bytes as they travel to the server.
    pub(crate) fn on_the_wire(&self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Mariadb { .. } => hex(bytes).into_bytes(),
            _ => bytes.to_vec(),
        }
    }

    /// Makes inserts of messages with this body hold their transaction open.
    pub(crate) async fn make_slow(&self, body: &[u8], pause: Duration) {
        let (body, pause) = (self.literal(body), pause.as_secs_f64());
        let text = match self {
            Self::Mariadb { .. } => format!(
                "CREATE TRIGGER dawdle BEFORE INSERT ON message FOR EACH ROW \
                 SET @dawdled = IF(NEW.body = {body}, sleep({pause}), 0)"
            ),
            _ => format!(
                "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 IF NEW.body = {body} THEN PERFORM pg_sleep({pause}); END IF; RETURN NEW; END $$; \
                 CREATE TRIGGER dawdle BEFORE INSERT ON message FOR EACH ROW \
                 EXECUTE FUNCTION dawdle()"
            ),
        };
        self.sql(&text).await;
    }

    /// The server's number of a connection that executes a slow insert, if there is one.
    pub(crate) async fn dawdling(&self) -> Option<i64> {
        if let Self::Mariadb { name, .. } = self {
            let text = format!(
                "SELECT id FROM information_schema.processlist \
                 WHERE db = '{name}' AND state = 'User sleep'"
            );
            return self.mysql_admin().await.query_first(text).await.unwrap();
        }
        let text = "SELECT pid::bigint FROM pg_stat_activity \
            WHERE datname = $1 AND wait_event = 'PgSleep'";
        let rows = self.admin().await.query(text, &[&self.name()]).await.unwrap();
        rows.first().map(|row| row.get(0))
    }

    /// How many connections of ours there are.
    pub(crate) async fn connections(&self) -> i64 {
        if let Self::Mariadb { name, .. } = self {
            let text =
                format!("SELECT count(*) FROM information_schema.processlist WHERE db = '{name}'");
            return self.mysql_admin().await.query_first(text).await.unwrap().unwrap();
        }
        let text = "SELECT count(*) FROM pg_stat_activity \
            WHERE datname = $1 AND application_name = $2";
        let rows = self.admin().await.query_one(text, &[&self.name(), &APPLICATION]).await;
        rows.unwrap().get(0)
    }

    /// Ends a connection from the server's side.
    pub(crate) async fn kill(&self, number: i64) {
        match self {
            Self::Mariadb { .. } => {
                // It may have ended by itself.
                let _ = self.mysql_admin().await.query_drop(format!("KILL {number}")).await;
            }
            _ => {
                let text = "SELECT pg_terminate_backend($1::bigint::int)";
                self.admin().await.query(text, &[&number]).await.unwrap();
            }
        }
    }

    /// Ends all connections of ours; tells how many.
    pub(crate) async fn kill_all(&self) -> usize {
        if let Self::Mariadb { name, .. } = self {
            let text = format!("SELECT id FROM information_schema.processlist WHERE db = '{name}'");
            let mut admin = self.mysql_admin().await;
            let found: Vec<i64> = admin.query(text).await.unwrap();
            let mut killed = 0;
            for number in found {
                killed += usize::from(admin.query_drop(format!("KILL {number}")).await.is_ok());
            }
            return killed;
        }
        let text = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
            WHERE datname = $1 AND application_name = $2";
        self.admin().await.query(text, &[&self.name(), &APPLICATION]).await.unwrap().len()
    }

    /// A literal the engine reads.
    pub(crate) fn literal(&self, bytes: &[u8]) -> String {
        match self {
            Self::Postgres { .. } => format!("'\\x{}'::bytea", hex(bytes)),
            Self::Sqlite { .. } | Self::Mariadb { .. } => format!("X'{}'", hex(bytes)),
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Sqlite { .. } => "db",
            Self::Postgres { name, .. } | Self::Mariadb { name, .. } => name,
        }
    }

    pub(crate) fn file(&self) -> PathBuf {
        let Self::Sqlite { folder } = self else { panic!("a server has no file") };
        folder.path().join("db")
    }

    pub(crate) async fn remove(self) {
        if let Self::Postgres { name, .. } = &self {
            let drop = format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)");
            self.admin().await.batch_execute(&drop).await.unwrap();
        }
        if let Self::Mariadb { name, .. } = &self {
            let drop = format!("DROP DATABASE IF EXISTS `{name}`");
            self.mysql_admin().await.query_drop(drop).await.unwrap();
        }
    }
}

/// The server that a variable names, or one for this test.
async fn server(variable: &str, engine: &'static str) -> (String, Option<Server>) {
    if let Ok(url) = std::env::var(variable) {
        return (url, None);
    }
    let server = Server::start(engine, None).await;
    (server.url.clone(), Some(server))
}

fn new_name() -> String {
    static NAMES: AtomicU64 = AtomicU64::new(0);
    let n = NAMES.fetch_add(1, Ordering::Relaxed);
    format!("store_{}_{n}", std::process::id())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) async fn client(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A server for one test, when nobody has started one for all of them.
pub(crate) struct Server {
    engine: &'static str,
    folder: tempfile::TempDir,
    pub(crate) url: String,
}

impl Server {
    /// `with`: what `scripts/db` is to give it besides.
    pub(crate) async fn start(engine: &'static str, with: Option<&Path>) -> Self {
        let with = with.map(Path::to_owned);
        tokio::task::spawn_blocking(move || {
            let folder = tempfile::tempdir().unwrap();
            let mut start = script(engine, "start", &folder);
            let output = start.args(with).output().expect("scripts/db cannot be run");
            assert!(
                output.status.success(),
                "scripts/db cannot start a server ({engine}): {}",
                String::from_utf8_lossy(&output.stderr)
            );
            let url = String::from_utf8(output.stdout).unwrap().trim().to_owned();
            Self { engine, folder, url }
        })
        .await
        .unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(script(self.engine, "stop", &self.folder).output());
    }
}

fn script(engine: &str, action: &str, folder: &tempfile::TempDir) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/db"));
    command.args([engine, action]).arg(folder.path().join("server"));
    command
}

/// Counts; as good as random for jitter and incarnations of one test.
struct Counter(AtomicU64);

impl Rng for Counter {
    fn fill(&self, out: &mut [u8]) {
        for byte in out.chunks_mut(8) {
            let n = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            byte.copy_from_slice(&n.to_be_bytes()[..byte.len()]);
        }
    }
}

pub(crate) fn rng() -> Arc<dyn Rng> {
    static SEED: AtomicU64 = AtomicU64::new(1);
    Arc::new(Counter(AtomicU64::new(SEED.fetch_add(1_000_000, Ordering::Relaxed))))
}
