//! A server of the kind under test, with TLS, and how users are made on it. What differs between
//! engines is here; the cases are the same for all.

use std::{any::Any, time::Duration};

use mysql_async::prelude::Queryable;
use store::{DatabaseUrl, Settings};

use crate::{
    database::{self, Database, Server},
    refusals::certificates::{Pair, file},
};

/// Engines the cases are run against.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Engine {
    Postgres,
    Mariadb,
}

/// The user every test may be, and the one that has to show a certificate.
pub(crate) const USER: &str = "gateway";
pub(crate) const CERTIFIED: &str = "certified";
/// What the original's templates warn of in passwords.
pub(crate) const PASSWORD: &str = "0?{}&~!()^=@/%'\"\\é";

impl Engine {
    /// Where the two differ.
    pub(crate) fn pick<T>(self, postgres: T, mariadb: T) -> T {
        match self {
            Self::Postgres => postgres,
            Self::Mariadb => mariadb,
        }
    }

    pub(crate) fn other(self) -> Self {
        self.pick(Self::Mariadb, Self::Postgres)
    }

    pub(crate) async fn database(self) -> Database {
        match self {
            Self::Postgres => Database::postgres().await,
            Self::Mariadb => Database::mariadb().await,
        }
    }

    /// A server of the test's own, with what `scripts/db` is to give it besides.
    pub(crate) async fn server(self, with: Option<&std::path::Path>) -> Server {
        Server::start(self.pick("postgres", "mariadb"), with).await
    }

    pub(crate) fn url(
        self,
        host: &str,
        port: u16,
        user: &str,
        password: &str,
        name: &str,
    ) -> DatabaseUrl {
        let of = match self {
            Self::Postgres => DatabaseUrl::postgres,
            Self::Mariadb => DatabaseUrl::mysql,
        };
        of(host, port, user, password, name)
    }

    /// Somewhere on this machine, with [`PASSWORD`]. Does not wait for what is late.
    pub(crate) fn at(self, host: &str, port: u16, user: &str, name: &str) -> Settings {
        let url = self.url(host, port, user, PASSWORD, name);
        let connect_timeout = Duration::from_secs(30);
        let start_wait = Duration::ZERO;
        Settings { connect_timeout, start_wait, lanes: Some(2), ..Settings::new(url) }
    }

    /// The statement that makes a user with [`PASSWORD`].
    pub(crate) fn create_user(self, user: &str, rights: &str) -> String {
        match self {
            Self::Postgres => {
                let password = PASSWORD.replace('\'', "''");
                format!("CREATE ROLE \"{user}\" LOGIN {rights} PASSWORD '{password}'")
            }
            Self::Mariadb => {
                let password = PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");
                format!("CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY '{password}' {rights}")
            }
        }
    }

    /// The statement that lets a user do something with all tables of the database `name`, in which
    /// PostgreSQL wants it to be run.
    pub(crate) fn grant(self, rights: &str, name: &str, user: &str) -> String {
        match self {
            Self::Postgres => {
                format!("GRANT {rights} ON ALL TABLES IN SCHEMA public TO \"{user}\"")
            }
            Self::Mariadb => format!("GRANT {rights} ON \"{name}\".* TO '{user}'@'127.0.0.1'"),
        }
    }

    /// A connection that is in use while what is returned lives.
    pub(crate) async fn hold(self, settings: &Settings) -> Box<dyn Any> {
        match &settings.url {
            DatabaseUrl::Postgres(config) => {
                let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                Box::new(client)
            }
            DatabaseUrl::Mysql(opts) => {
                Box::new(mysql_async::Conn::new((**opts).clone()).await.unwrap())
            }
            DatabaseUrl::Sqlite(_) => panic!("SQLite has no server"),
        }
    }
}

/// Takes connections with TLS only; of the user [`CERTIFIED`] only with a certificate.
pub(crate) struct TlsServer {
    pub(crate) port: u16,
    _server: Server,
}

impl TlsServer {
    pub(crate) async fn start(engine: Engine, shows: &Pair, clients_from: &str) -> Self {
        let with = tempfile::tempdir().unwrap();
        file(with.path(), "server.crt", &shows.certificate);
        file(with.path(), "server.key", &shows.key);
        file(with.path(), "clients.crt", clients_from);
        match engine {
            Engine::Postgres => {
                file(with.path(), "postgresql.conf", "ssl = on\nssl_ca_file = 'clients.crt'\n");
                // The administrator alone may come in clear, to set things up.
                let rules = format!(
                    "local all all trust\nhost all heliograph all scram-sha-256\n\
                     hostssl all {CERTIFIED} all scram-sha-256 clientcert=verify-full\n\
                     hostssl all {USER} all scram-sha-256\n"
                );
                file(with.path(), "pg_hba.conf", &rules);
                let server = engine.server(Some(with.path())).await;
                let admin = database::client(&server.url).await;
                for user in [USER, CERTIFIED] {
                    let create = engine.create_user(user, "CREATEDB");
                    admin.batch_execute(&create).await.unwrap();
                }
                let config: tokio_postgres::Config = server.url.parse().unwrap();
                Self { port: config.get_ports()[0], _server: server }
            }
            Engine::Mariadb => {
                let settings =
                    "ssl_ca = clients.crt\nssl_cert = server.crt\nssl_key = server.key\n";
                file(with.path(), "my.cnf", settings);
                let server = engine.server(Some(with.path())).await;
                let opts = mysql_async::Opts::from_url(&server.url).unwrap();
                let port = opts.tcp_port();
                let mut admin = mysql_async::Conn::new(opts).await.unwrap();
                let subject = format!("REQUIRE SUBJECT '/CN={CERTIFIED}'");
                for (user, rule) in [(USER, "REQUIRE SSL"), (CERTIFIED, &*subject)] {
                    admin.query_drop(engine.create_user(user, rule)).await.unwrap();
                    let grant = format!("GRANT ALL ON `{user}`.* TO '{user}'@'127.0.0.1'");
                    admin.query_drop(grant).await.unwrap();
                }
                Self { port, _server: server }
            }
        }
    }
}
