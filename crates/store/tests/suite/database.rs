//! Databases that exist for one test.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use contract::Rng;
use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use store::{Settings, Store, StoreError};

/// A database of its own.
pub(crate) enum Database {
    Sqlite { folder: tempfile::TempDir },
    Postgres { admin: String, name: String, _server: Option<Server> },
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite { folder: tempfile::tempdir().unwrap() }
    }

    /// Does not create it: that is what opening it does.
    pub(crate) async fn postgres() -> Self {
        let (admin, server) = match std::env::var("HELIOGRAPH_TEST_POSTGRES") {
            Ok(url) => (url, None),
            Err(_) => {
                let start = || Server::start(None);
                let server = tokio::task::spawn_blocking(start).await.unwrap();
                (server.url.clone(), Some(server))
            }
        };
        static NAMES: AtomicU64 = AtomicU64::new(0);
        let n = NAMES.fetch_add(1, Ordering::Relaxed);
        let name = format!("store_{}_{n}", std::process::id());
        Self::Postgres { admin, name, _server: server }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite { folder } => format!("sqlite:{}", folder.path().join("db").display()),
            Self::Postgres { admin, name, .. } => {
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
        }
    }

    /// A connection to the test's own database.
    pub(crate) async fn client(&self) -> tokio_postgres::Client {
        client(&self.url()).await
    }

    /// A connection to the server, outside of the test's database.
    pub(crate) async fn admin(&self) -> tokio_postgres::Client {
        let Self::Postgres { admin, .. } = self else { panic!("SQLite has no server") };
        client(admin).await
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Sqlite { .. } => "db",
            Self::Postgres { name, .. } => name,
        }
    }

    pub(crate) fn file(&self) -> PathBuf {
        let Self::Sqlite { folder } = self else { panic!("PostgreSQL has no file") };
        folder.path().join("db")
    }

    pub(crate) async fn remove(self) {
        if let Self::Postgres { name, .. } = &self {
            let drop = format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)");
            self.admin().await.batch_execute(&drop).await.unwrap();
        }
    }
}

pub(crate) async fn client(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A server for one test, when nobody has started one for all of them.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    pub(crate) url: String,
}

impl Server {
    /// `with`: what `scripts/pg` is to give it besides.
    pub(crate) fn start(with: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut start = script("start", &folder);
        let output = start.args(with).output().expect("scripts/pg cannot be run");
        assert!(
            output.status.success(),
            "scripts/pg cannot start a server: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let url = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        Self { folder, url }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(script("stop", &self.folder).output());
    }
}

fn script(action: &str, folder: &tempfile::TempDir) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/pg"));
    command.arg(action).arg(folder.path().join("postgres"));
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
