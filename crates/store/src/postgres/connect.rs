//! Connections: how long they may be silent, and what a session must have set.

use std::{sync::Arc, time::Duration};

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use tokio::time::timeout;
use tokio_postgres::{Client, Config, Connection, Socket, config::SslMode};

use crate::{
    error::StoreError,
    fault::Fault,
    postgres::{
        fault::Target,
        tls::{Rustls, Stream},
    },
    tls::{Tls, TlsSettings},
};

/// A peer that is gone without a word is noticed after about 11 s, on both ends: until the server
/// has given an old connection up, its open batch is not decided.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_RETRIES: u32 = 3;
const USER_TIMEOUT: Duration = Duration::from_secs(11);

/// Of every session. What an operator limits for other programs must not cut a commit in two.
const COMMON: &str = "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; \
    SET tcp_keepalives_count = 3; SET tcp_user_timeout = 11000; SET statement_timeout = 0; \
    SET lock_timeout = 0; SET jit = off";

/// Of lanes: their one statement is planned once, for indexes, whatever the statistics of tables
/// that are empty now and large in an hour say.
const LANE: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
    SET enable_hashjoin = off; SET enable_mergejoin = off; \
    SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off";

/// Of reads: their texts are fixed too, and each is answered by an index.
const READ: &str =
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";

/// Makes connections to one database.
#[derive(Clone)]
pub(crate) struct Connector {
    config: Config,
    tls: Option<Arc<Tls>>,
    rustls: Rustls,
    timeout: Duration,
}

type Opened = (Client, Connection<Socket, Stream<Socket>>);

impl Connector {
    /// # Errors
    /// [`Fault::Setting`] about TLS.
    pub(crate) fn new(
        config: &Config,
        tls: &TlsSettings,
        timeout: Duration,
    ) -> Result<Self, Fault> {
        let tls = tls.load()?;
        let rustls = Rustls::new(tls.as_ref().map(Tls::client_config).transpose()?);
        let mut config = config.clone();
        config
            .ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable })
            .connect_timeout(timeout)
            .tcp_user_timeout(USER_TIMEOUT)
            .keepalives(true)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES);
        if config.get_application_name().is_none() {
            config.application_name("heliograph");
        }
        Ok(Self { config, tls: tls.map(Arc::new), rustls, timeout })
    }

    /// The same server, another database.
    pub(crate) fn database(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.config.dbname(name);
        other
    }

    pub(crate) fn database_name(&self) -> &str {
        self.config.get_dbname().unwrap_or_default()
    }

    pub(crate) fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    /// `HOST:PORT`.
    pub(crate) fn server(&self) -> String {
        self.target().server()
    }

    /// How it is spoken to, for people; known after the first connection.
    pub(crate) fn encryption(&self) -> String {
        match &self.tls {
            None => "no TLS".to_owned(),
            Some(tls) => {
                format!("{} ({})", self.rustls.agreed().unwrap_or("TLS"), tls.mode.name())
            }
        }
    }

    pub(crate) async fn lane(&self) -> Result<AsyncPgConnection, StoreError> {
        self.session(&format!("{COMMON}; {LANE}")).await
    }

    pub(crate) async fn read(&self) -> Result<AsyncPgConnection, StoreError> {
        self.session(&format!("{COMMON}; {READ}")).await
    }

    pub(crate) async fn plain(&self) -> Result<AsyncPgConnection, StoreError> {
        self.session(COMMON).await
    }

    /// Whether a connection can be made.
    pub(crate) async fn try_connect(&self) -> Result<(), Fault> {
        self.open().await.map(|_| ())
    }

    fn target(&self) -> Target<'_> {
        Target { config: &self.config, tls: self.tls.as_deref() }
    }

    async fn open(&self) -> Result<Opened, Fault> {
        // The driver's own limit is for the first packet only, and for each address.
        match timeout(self.timeout, self.config.connect(self.rustls.clone())).await {
            Ok(Ok(opened)) => Ok(opened),
            Ok(Err(error)) => Err(self.target().explain(Some(&error)).await),
            Err(_) => Err(self.target().explain(None).await),
        }
    }

    async fn session(&self, settings: &str) -> Result<AsyncPgConnection, StoreError> {
        let (client, connection) = self.open().await?;
        let set_up = async {
            let mut conn = AsyncPgConnection::try_from_client_and_connection(client, connection)
                .await
                .map_err(|error| StoreError::Connect(error.to_string()))?;
            conn.batch_execute(settings).await?;
            Ok(conn)
        };
        let silent = Fault::Silent { server: self.server(), after: self.timeout };
        timeout(self.timeout, set_up).await.unwrap_or(Err(silent.into()))
    }
}
