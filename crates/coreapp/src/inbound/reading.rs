//! The business has read a customer's message.
//!
//! Nothing is kept here: whoever asks is answered once the network knows, and asks again otherwise.

use std::sync::Arc;

use contract::{ApiError, Code, Direction, Key, MessageId, Number, Route};
use futures_util::{FutureExt, future::BoxFuture};
use store::Reader;
use upstream::Upstream;

/// Tells the network.
type Tell = Box<dyn Fn(Number, Key) -> BoxFuture<'static, Result<(), ApiError>> + Send + Sync>;

/// See the module.
pub(crate) struct Reading {
    reader: Reader,
    tell: Tell,
}

impl Reading {
    pub(crate) fn new(reader: Reader, upstream: Arc<impl Upstream>) -> Self {
        let tell = move |wa_id, key| {
            let upstream = upstream.clone();
            let told = async move {
                upstream.mark_read(wa_id, key).await.map_err(|error| {
                    let details = format!("the network did not take it: {error}");
                    ApiError::new(Code::NOT_READY, details)
                })
            };
            told.boxed()
        };
        Self { reader, tell: Box::new(tell) }
    }

    /// Marks a message, and what its sender wrote before it.
    ///
    /// # Errors
    /// 1006 for a message that is not known, 1011 when the network does not answer, 1023.
    pub(crate) async fn mark(&self, id: MessageId) -> Result<(), ApiError> {
        if id.direction != Direction::Inbound {
            return Err(unknown());
        }
        let route = Route::of(&id.number);
        let known = self.reader.heard(route.shard(), route, id.key).await;
        if !known.map_err(|error| ApiError::new(Code::DATABASE, error.to_string()))? {
            return Err(unknown());
        }
        (self.tell)(id.number, id.key).await
    }
}

pub(crate) fn unknown() -> ApiError {
    ApiError::new(Code::NOT_FOUND, "No customer's message with this id is known here")
}
