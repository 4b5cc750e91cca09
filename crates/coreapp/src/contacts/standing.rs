//! Blocks and reports: only of customers who wrote within the last 24 hours.

use std::{sync::Arc, time::Duration};

use contract::{ApiError, Clock, Code, Key, MessageId, Number, Route};
use futures_util::{FutureExt, future::BoxFuture};
use store::{Reader, StoreError};
use tokio::sync::oneshot;
use upstream::{Report, Upstream};

use crate::shard::{block::Standing, task::Drivers};

/// Who has not written for longer is not engaged.
const ENGAGED_MS: i64 = 24 * 60 * 60 * 1_000;
/// Messages a report names when the caller names none.
const LATEST: u32 = 5;
/// How long a block may take: one write.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells the network.
type Tell = Box<dyn Fn(Report) -> BoxFuture<'static, Result<(), ApiError>> + Send + Sync>;

/// See the module.
pub(crate) struct Complaints {
    drivers: Drivers,
    reader: Reader,
    clock: Arc<dyn Clock>,
    tell: Tell,
}

impl Complaints {
    pub(crate) fn new(
        drivers: Drivers,
        reader: Reader,
        clock: Arc<dyn Clock>,
        upstream: Arc<impl Upstream>,
    ) -> Self {
        let tell = move |report| {
            let upstream = upstream.clone();
            let told = async move {
                upstream.report(report).await.map_err(|error| {
                    let details = format!("the network did not take the report: {error}");
                    ApiError::new(Code::NOT_READY, details)
                })
            };
            told.boxed()
        };
        Self { drivers, reader, clock, tell: Box::new(tell) }
    }

    /// Blocks a customer; durable when it returns.
    ///
    /// # Errors
    /// 2048 they have not written for a day; 1016 too many are blocked; 1023.
    pub(crate) async fn block(&self, number: Number) -> Result<(), ApiError> {
        self.engaged(&number).await?;
        self.set(number, true).await
    }

    /// Ends a block, if there is one.
    ///
    /// # Errors
    /// 1023.
    pub(crate) async fn unblock(&self, number: Number) -> Result<(), ApiError> {
        self.set(number, false).await
    }

    /// Tells the network of `message`, or of the latest ones, and blocks the customer if asked to.
    ///
    /// # Errors
    /// As [`Self::block`]; 1006 for a message that is not known, 1011 when the network does not
    /// answer.
    pub(crate) async fn report(
        &self,
        number: Number,
        reason: String,
        message: Option<MessageId>,
        block: bool,
    ) -> Result<(), ApiError> {
        let latest = self.engaged(&number).await?;
        let keys = match message {
            None => latest,
            Some(MessageId { key, .. }) if latest.contains(&key) => vec![key],
            Some(MessageId { key, .. }) => {
                let route = Route::of(&number);
                let known = self.reader.heard(route.shard(), route, key).await;
                if !known.map_err(|error| database(&error))? {
                    let details = "'message_id' is no message of this contact that is known here";
                    return Err(ApiError::new(Code::NOT_FOUND, details));
                }
                vec![key]
            }
        };
        (self.tell)(Report { wa_id: number, keys, reason }).await?;
        if block { self.set(number, true).await } else { Ok(()) }
    }

    /// The latest messages of a customer who wrote within a day.
    async fn engaged(&self, number: &Number) -> Result<Vec<Key>, ApiError> {
        let route = Route::of(number);
        let latest = self.reader.latest_inbound(route.shard(), route, LATEST).await;
        let latest = latest.map_err(|error| database(&error))?;
        let since_ms = self.clock.unix_ms() - ENGAGED_MS;
        if latest.first().is_none_or(|(_, heard_ms)| *heard_ms < since_ms) {
            let details = "the contact has not written within the last 24 hours";
            return Err(ApiError::new(Code::NOT_ENGAGED, details));
        }
        Ok(latest.into_iter().map(|(key, _)| key).collect())
    }

    async fn set(&self, number: Number, blocked: bool) -> Result<(), ApiError> {
        let (reply, answer) = oneshot::channel();
        self.drivers.standing(number, Standing { blocked, reply });
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        answer.ok().and_then(Result::ok).unwrap_or_else(|| {
            Err(ApiError::new(Code::NOT_READY, "the coreapp did not answer in time"))
        })
    }
}

fn database(error: &StoreError) -> ApiError {
    ApiError::new(Code::DATABASE, error.to_string())
}
