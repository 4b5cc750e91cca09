//! Connections: what a session must have set, and how a silent one is noticed.

use std::{future::Future, sync::Arc, time::Duration};

use mysql_async::{
    Conn, Opts, OptsBuilder, TextProtocol,
    prelude::{FromRow, Queryable},
};
use tokio::time::{Instant, timeout};

use crate::{
    error::StoreError,
    fault::Fault,
    mysql::{fault::Target, text::Text, tls},
    tls::{Tls, TlsSettings},
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
    tls: Option<Arc<Tls>>,
    timeout: Duration,
}

impl Connector {
    /// # Errors
    /// [`Fault::Setting`] about TLS.
    pub(super) fn new(opts: &Opts, tls: &TlsSettings, timeout: Duration) -> Result<Self, Fault> {
        let (tls, ssl) = tls::load(tls)?.unzip();
        let opts = OptsBuilder::from_opts(opts.clone())
            .ssl_opts(ssl)
            .prefer_socket(Some(false))
            .tcp_keepalive(Some(KEEPALIVE))
            .max_allowed_packet(Some(PACKET_MAX))
            // Asked of the server otherwise; only the driver's own pool would use it.
            .wait_timeout(Some(28_800))
            .stmt_cache_size(0);
        Ok(Self { opts: opts.into(), tls: tls.map(Arc::new), timeout })
    }

    /// The same server, no database.
    pub(super) fn without_database(&self) -> Self {
        let opts = OptsBuilder::from_opts(self.opts.clone()).db_name(None::<String>).into();
        Self { opts, ..self.clone() }
    }

    pub(super) fn target(&self) -> Target<'_> {
        Target { opts: &self.opts, tls: self.tls.as_deref(), timeout: self.timeout }
    }

    /// How it is spoken to, for people. `version` is the server's word for it.
    pub(super) fn encryption(&self, version: &str) -> String {
        match &self.tls {
            None => "no TLS".to_owned(),
            Some(tls) => format!("{} ({})", version.replace("TLSv", "TLS "), tls.mode.name()),
        }
    }

    /// Whether a connection can be made.
    pub(super) async fn try_connect(&self) -> Result<(), Fault> {
        self.open().await.map(drop)
    }

    pub(super) async fn plain(&self) -> Result<Session, StoreError> {
        self.session("").await
    }

    pub(super) async fn lane(&self) -> Result<Session, StoreError> {
        self.session(LANE).await
    }

    async fn session(&self, more: &'static str) -> Result<Session, StoreError> {
        let conn = self.open().await?;
        let mut session =
            Session { conn, used: Instant::now(), patience: self.timeout, whole: true };
        let mut text = Text::of(COMMON);
        text.sql(more);
        match timeout(self.timeout, session.run(&text)).await {
            Ok(Ok(_)) => Ok(session),
            Ok(Err((_, error))) => Err(self.target().explain(Some(&error)).await.into()),
            Err(_) => Err(self.target().silent().into()),
        }
    }

    async fn open(&self) -> Result<Conn, Fault> {
        match timeout(self.timeout, Conn::new(self.opts.clone())).await {
            Ok(Ok(conn)) => Ok(conn),
            Ok(Err(error)) => Err(self.target().explain(Some(&error)).await),
            Err(_) => Err(self.target().explain(None).await),
        }
    }
}

/// A connection that is set up.
pub(crate) struct Session {
    pub(super) conn: Conn,
    used: Instant,
    /// For the answer to a question about nothing.
    patience: Duration,
    /// No answer is outstanding.
    pub(super) whole: bool,
}

impl Session {
    /// It has answered just now.
    pub(super) fn answered(&mut self) {
        self.used = Instant::now();
    }

    /// Runs all statements of a text, for their effects. Tells how many there were, or the place of
    /// the one that failed, from 0.
    pub(super) async fn run(&mut self, text: &Text) -> Result<usize, (usize, mysql_async::Error)> {
        let answer = timeout(BATCH_PATIENCE, run(&mut self.conn, text)).await;
        self.answered();
        answer.unwrap_or_else(|_| {
            let silent = std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time");
            Err((0, silent.into()))
        })
    }

    /// The rows of a text's only statement.
    pub(super) async fn rows<R>(&mut self, text: &Text) -> Result<Vec<R>, StoreError>
    where
        R: FromRow + Send + 'static,
    {
        in_time(rows(&mut self.conn, text)).await
    }

    /// Whether it can still be spoken through; asks when it has been silent for long.
    pub(super) async fn is_there(&mut self) -> bool {
        if self.used.elapsed() < SILENT {
            return true;
        }
        let answer = timeout(self.patience, self.conn.ping()).await;
        self.answered();
        matches!(answer, Ok(Ok(())))
    }
}

/// An answer that does not come is an error.
pub(super) async fn in_time<T>(
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
pub(super) async fn rows<R>(conn: &mut Conn, text: &Text) -> Result<Vec<R>, StoreError>
where
    R: FromRow + Send + 'static,
{
    let mut result = conn.query_iter(text.as_bytes()).await?;
    let rows = next_rows(&mut result).await?;
    result.drop_result().await?;
    Ok(rows)
}

/// The rows of the next statement; none of one that has no rows to give.
pub(super) async fn next_rows<R>(
    result: &mut mysql_async::QueryResult<'_, '_, TextProtocol>,
) -> Result<Vec<R>, StoreError>
where
    R: FromRow + Send + 'static,
{
    let rows = result.map(|row| R::from_row_opt(row)).await?;
    let whole: Result<Vec<R>, _> = rows.into_iter().collect();
    whole.map_err(|_| StoreError::Database("a row has other columns than asked for".to_owned()))
}
