//! A server of the kind under test, with TLS, and how a user is made on it. What differs between
//! engines is here; the cases are the same for all.

use crate::{
    database::{self, Server},
    refusals::certificates::{Pair, file},
};

/// Engines the cases are run against.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Engine {
    Postgres,
}

impl Engine {
    pub(crate) const ALL: [Self; 1] = [Self::Postgres];
}

/// Takes connections with TLS only; of the user [`CERTIFIED`] only with a certificate.
pub(crate) struct TlsServer {
    pub(crate) port: u16,
    _server: Server,
}

/// The user every test may be, and the one that has to show a certificate.
pub(crate) const USER: &str = "gateway";
pub(crate) const CERTIFIED: &str = "certified";
/// What the original's templates warn of in passwords.
pub(crate) const PASSWORD: &str = "0?{}&~!()^=@/%'\"\\é";

impl TlsServer {
    pub(crate) async fn start(engine: Engine, shows: &Pair, clients_from: &str) -> Self {
        match engine {
            Engine::Postgres => Self::postgres(shows, clients_from).await,
        }
    }

    async fn postgres(shows: &Pair, clients_from: &str) -> Self {
        let with = tempfile::tempdir().unwrap();
        file(with.path(), "server.crt", &shows.certificate);
        file(with.path(), "server.key", &shows.key);
        file(with.path(), "clients.crt", clients_from);
        file(with.path(), "postgresql.conf", "ssl = on\nssl_ca_file = 'clients.crt'\n");
        // The administrator alone may come in clear, to set things up.
        let rules = format!(
            "local all all trust\nhost all heliograph all scram-sha-256\n\
             hostssl all {CERTIFIED} all scram-sha-256 clientcert=verify-full\n\
             hostssl all {USER} all scram-sha-256\n"
        );
        file(with.path(), "pg_hba.conf", &rules);
        let server = Server::start("postgres", Some(with.path())).await;
        let admin = database::client(&server.url).await;
        for user in [USER, CERTIFIED] {
            admin.batch_execute(&create_user(user, "CREATEDB")).await.unwrap();
        }
        let config: tokio_postgres::Config = server.url.parse().unwrap();
        Self { port: config.get_ports()[0], _server: server }
    }
}

/// The statement that makes a user with [`PASSWORD`].
pub(crate) fn create_user(user: &str, rights: &str) -> String {
    let password = PASSWORD.replace('\'', "''");
    format!("CREATE ROLE \"{user}\" LOGIN {rights} PASSWORD '{password}'")
}
