//! Connections: how long they may be silent, and what a session must have set.

use std::time::Duration;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use tokio_postgres::{Config, NoTls};

use crate::error::StoreError;

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
    timeout: Duration,
}

impl Connector {
    pub(crate) fn new(config: &Config, timeout: Duration) -> Self {
        let mut config = config.clone();
        config
            .connect_timeout(timeout)
            .tcp_user_timeout(USER_TIMEOUT)
            .keepalives(true)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES);
        if config.get_application_name().is_none() {
            config.application_name("heliograph");
        }
        Self { config, timeout }
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

    pub(crate) async fn lane(&self) -> Result<AsyncPgConnection, StoreError> {
        self.session(&format!("{COMMON}; {LANE}")).await
    }

    pub(crate) async fn read(&self) -> Result<AsyncPgConnection, StoreError> {
        self.session(&format!("{COMMON}; {READ}")).await
    }

    pub(crate) async fn plain(&self) -> Result<AsyncPgConnection, StoreError> {
        self.session(COMMON).await
    }

    /// A bare connection, for errors that have to be told apart.
    pub(crate) async fn try_connect(&self) -> Result<(), tokio_postgres::Error> {
        self.config.connect(NoTls).await.map(|_| ())
    }

    async fn session(&self, settings: &str) -> Result<AsyncPgConnection, StoreError> {
        let connect = async {
            let (client, connection) = self.config.connect(NoTls).await.map_err(|e| refused(&e))?;
            let mut conn = AsyncPgConnection::try_from_client_and_connection(client, connection)
                .await
                .map_err(|error| StoreError::Connect(error.to_string()))?;
            conn.batch_execute(settings).await?;
            Ok(conn)
        };
        // The driver's own limit is for the first packet only.
        tokio::time::timeout(self.timeout, connect)
            .await
            .unwrap_or_else(|_| Err(StoreError::Connect("no answer in time".to_owned())))
    }
}

/// The server's words when there are some: the driver's are only "db error".
pub(crate) fn refused(error: &tokio_postgres::Error) -> StoreError {
    let cause = std::error::Error::source(error);
    StoreError::Connect(match (error.as_db_error(), cause) {
        (Some(db), _) => db.message().to_owned(),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    })
}
