//! Connections: what a session must have set, and how a silent one is noticed.
//!
//! This driver does not survive that a call is dropped half-way: the next one would read the answer
//! of the last. So a pooled connection that was not given back in order is closed.

use std::{
    future::Future,
    ops::{Deref, DerefMut},
    time::Duration,
};

use deadpool::managed::{self, Metrics, Object, RecycleError, RecycleResult};
use mysql_async::{
    Conn, Opts, OptsBuilder, TextProtocol,
    prelude::{FromRow, Queryable},
};
use tokio::time::{Instant, timeout};

use crate::{
    error::StoreError,
    mysql::{
        error::{describe, is_unknown_database},
        text::Text,
    },
};

/// Longest SQL the driver sends; the server's own limit is checked before.
const PACKET_MAX: usize = 1 << 30;
/// A peer that is gone without a word.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// For the answer to a batch; then its outcome is asked for on another connection.
const BATCH_PATIENCE: Duration = Duration::from_secs(30);
/// For any other answer. A server waits less for a lock, see [`COMMON`].
const PATIENCE: Duration = Duration::from_secs(12);
/// A connection that was not used for so long is asked whether it still is one. Below what the
/// server of a lane waits, see [`LANE`].
const SILENT: Duration = Duration::from_secs(5);

/// Of every session, whatever an operator has set for other programs. Rows that do not fit are
/// errors; no commit begins another transaction.
const COMMON: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE; \
    SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', autocommit = 1, \
    completion_type = 0, innodb_lock_wait_timeout = 10, sql_safe_updates = 0 \
    /*M!, max_statement_time = 0 */";

/// Of lanes: the server gives up a transaction that stays open because its client is gone, and
/// with it the lane's row, which a take-over waits for.
const LANE: &str = "; SET SESSION wait_timeout = 11";

/// Makes connections to one database.
#[derive(Clone)]
pub(crate) struct Connector {
    opts: Opts,
    timeout: Duration,
}

impl Connector {
    pub(crate) fn new(opts: &Opts, timeout: Duration) -> Self {
        // Encryption belongs here: `ssl_opts`.
        let opts = OptsBuilder::from_opts(opts.clone())
            .prefer_socket(Some(false))
            .tcp_keepalive(Some(KEEPALIVE))
            .max_allowed_packet(Some(PACKET_MAX))
            // Asked of the server otherwise; only the driver's own pool would use it.
            .wait_timeout(Some(28_800))
            .stmt_cache_size(0);
        Self { opts: opts.into(), timeout }
    }

    /// The same server, no database.
    pub(crate) fn without_database(&self) -> Self {
        let opts = OptsBuilder::from_opts(self.opts.clone()).db_name(None::<String>).into();
        Self { opts, timeout: self.timeout }
    }

    pub(crate) fn database_name(&self) -> &str {
        self.opts.db_name().unwrap_or_default()
    }

    /// Whether there is such a database on the server.
    pub(crate) async fn is_there(&self) -> Result<bool, StoreError> {
        match self.bare().await {
            Ok(_) => Ok(true),
            Err(Refused::Server(error)) if is_unknown_database(&error) => Ok(false),
            Err(refused) => Err(refused.into()),
        }
    }

    pub(crate) async fn plain(&self) -> Result<Session, StoreError> {
        self.session("").await
    }

    pub(crate) async fn lane(&self) -> Result<Session, StoreError> {
        self.session(LANE).await
    }

    async fn session(&self, more: &'static str) -> Result<Session, StoreError> {
        let conn = self.bare().await?;
        let mut session =
            Session { conn, used: Instant::now(), patience: self.timeout, whole: true };
        let mut text = Text::of(COMMON);
        text.sql(more);
        session.run(&text).await.map_err(|(_, error)| StoreError::Connect(describe(&error)))?;
        Ok(session)
    }

    async fn bare(&self) -> Result<Conn, Refused> {
        match timeout(self.timeout, Conn::new(self.opts.clone())).await {
            Ok(conn) => conn.map_err(Refused::Server),
            Err(_) => Err(Refused::Silent),
        }
    }
}

/// Why there is no connection.
enum Refused {
    Server(mysql_async::Error),
    Silent,
}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> Self {
        Self::Connect(match refused {
            Refused::Server(error) => describe(&error),
            Refused::Silent => "no answer in time".to_owned(),
        })
    }
}

/// A connection that is set up.
pub(crate) struct Session {
    conn: Conn,
    used: Instant,
    /// For the answer to a question about nothing.
    patience: Duration,
    /// No answer is outstanding.
    whole: bool,
}

impl Session {
    pub(crate) fn conn(&mut self) -> &mut Conn {
        &mut self.conn
    }

    /// Runs all statements of a text, for their effects. Tells how many there were, or the place of
    /// the one that failed, from 0.
    pub(crate) async fn run(&mut self, text: &Text) -> Result<usize, (usize, mysql_async::Error)> {
        let answer = timeout(BATCH_PATIENCE, run(&mut self.conn, text)).await;
        self.used = Instant::now();
        answer.unwrap_or_else(|_| {
            let silent = std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time");
            Err((0, silent.into()))
        })
    }

    /// The rows of a text's only statement.
    pub(crate) async fn rows<R>(&mut self, text: &Text) -> Result<Vec<R>, StoreError>
    where
        R: FromRow + Send + 'static,
    {
        in_time(rows(&mut self.conn, text)).await
    }

    /// Whether it can still be spoken through; asks when it has been silent for long.
    pub(crate) async fn is_there(&mut self) -> bool {
        if self.used.elapsed() < SILENT {
            return true;
        }
        let answer = timeout(self.patience, self.conn.ping()).await;
        self.used = Instant::now();
        matches!(answer, Ok(Ok(())))
    }
}

/// An answer that does not come is an error.
pub(crate) async fn in_time<T>(
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let late = |_| Err(StoreError::Database("no answer in time".to_owned()));
    timeout(PATIENCE, answer).await.unwrap_or_else(late)
}

/// The driver keeps the error of a later statement back until it is asked for that statement's
/// result, and calls a result empty before an error as well as at the end.
async fn run(conn: &mut Conn, text: &Text) -> Result<usize, (usize, mysql_async::Error)> {
    let mut result = conn.query_iter(text.as_bytes()).await.map_err(|error| (0, error))?;
    let mut at = 0;
    loop {
        let last = result.is_empty();
        while result.next().await.map_err(|error| (at, error))?.is_some() {}
        at += 1;
        if last {
            return Ok(at);
        }
    }
}

/// The rows of a text's only statement.
pub(crate) async fn rows<R>(conn: &mut Conn, text: &Text) -> Result<Vec<R>, StoreError>
where
    R: FromRow + Send + 'static,
{
    let mut result = conn.query_iter(text.as_bytes()).await?;
    let rows = next_rows(&mut result).await?;
    result.drop_result().await?;
    Ok(rows)
}

/// The rows of the next statement; none of one that has no rows to give.
pub(crate) async fn next_rows<R>(
    result: &mut mysql_async::QueryResult<'_, '_, TextProtocol>,
) -> Result<Vec<R>, StoreError>
where
    R: FromRow + Send + 'static,
{
    let rows = result.map(|row| R::from_row_opt(row)).await?;
    let whole: Result<Vec<R>, _> = rows.into_iter().collect();
    whole.map_err(|_| StoreError::Database("a row has other columns than asked for".to_owned()))
}

/// A bounded pool. Whoever finds it empty waits, at most for the connect time-out.
pub(crate) struct Pool {
    pool: managed::Pool<Connector>,
}

impl Pool {
    pub(crate) fn new(connector: &Connector, size: usize) -> Result<Self, StoreError> {
        let pool = managed::Pool::builder(connector.clone())
            .max_size(size)
            .wait_timeout(Some(connector.timeout))
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| StoreError::Connect(error.to_string()))?;
        Ok(Self { pool })
    }

    /// A connection; [`Lent::back`] keeps it.
    pub(crate) async fn lend(&self) -> Result<Lent, StoreError> {
        match self.pool.get().await {
            Ok(mut session) => {
                session.whole = false;
                Ok(Lent { session })
            }
            Err(managed::PoolError::Backend(error)) => Err(error),
            Err(error) => Err(StoreError::Connect(error.to_string())),
        }
    }
}

/// A pooled connection at work.
pub(crate) struct Lent {
    session: Object<Connector>,
}

impl Lent {
    /// The connection can be used again: all its answers have been read.
    pub(crate) fn back<T>(mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        self.session.whole = result.is_ok();
        self.session.used = Instant::now();
        result
    }
}

impl Deref for Lent {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.session.conn
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.session.conn
    }
}

impl managed::Manager for Connector {
    type Type = Session;
    type Error = StoreError;

    async fn create(&self) -> Result<Session, StoreError> {
        self.plain().await
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<StoreError> {
        if session.whole && session.is_there().await {
            Ok(())
        } else {
            Err(RecycleError::message("an answer is missing"))
        }
    }
}
