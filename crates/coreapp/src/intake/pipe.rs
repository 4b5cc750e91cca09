//! The replies' side of one `Pipe` stream.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use contract::{ApiError, Code};
use rpc::coreapp::{self as proto, SendReplies, SendReply, send_reply};
use tokio::sync::mpsc;
use tonic::Status;

use super::Quota;
use crate::shard::effects::Accepted;

/// Items of a pipe that may be unanswered; the next is refused with 503/1016.
pub(crate) const PIPE_MAX: usize = 1_024;
/// The same of a stream of `SendMany`.
pub(crate) const MANY_MAX: usize = 1_000;

/// When a repeat makes sense after that, milliseconds.
const FULL_RETRY_MS: u64 = 100;

/// Where the answers of one stream go.
#[derive(Debug)]
pub(crate) struct StreamOut {
    replies: mpsc::Sender<Result<SendReplies, Status>>,
    unanswered: AtomicUsize,
    max: usize,
    quota: Arc<Quota>,
}

impl StreamOut {
    /// The two ends. Every queued list holds at least one reply, so the bound on what is
    /// unanswered, with room for refusals, bounds the queue.
    pub(crate) fn new(
        max: usize,
        quota: Arc<Quota>,
    ) -> (Self, mpsc::Receiver<Result<SendReplies, Status>>) {
        let (replies, queue) = mpsc::channel(2 * max);
        (Self { replies, unanswered: AtomicUsize::new(0), max, quota }, queue)
    }

    /// Takes a place for an item; `false` when all are taken.
    pub(crate) fn begin(&self) -> bool {
        self.unanswered
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < self.max).then_some(n + 1))
            .is_ok()
    }

    /// Sends answers together and frees their places. When the caller is gone, or reads so slowly
    /// that the queue is full, they are dropped: it will ask again under the same keys.
    pub(crate) fn answer(&self, replies: Vec<SendReply>) {
        self.unanswered.fetch_sub(replies.len(), Ordering::Relaxed);
        self.refuse(replies);
    }

    /// Sends answers to items that had no place.
    pub(crate) fn refuse(&self, replies: Vec<SendReply>) {
        let quota = self.quota.left().map(|left| proto::Quota {
            per_second: left.per_second,
            remaining: left.remaining,
            reset_s: left.reset_s,
        });
        if self.replies.try_send(Ok(SendReplies { replies, quota })).is_err() {
            tracing::debug!("answers were dropped: their stream is gone or does not read");
        }
    }

    /// Ends the stream; whatever is unanswered then is asked again.
    pub(crate) fn end(&self, status: Status) {
        if self.replies.try_send(Err(status)).is_err() {
            tracing::debug!("a stream that broke is gone or does not read");
        }
    }

    /// What a caller is told who has no place left.
    pub(crate) fn full(&self) -> ApiError {
        let details = format!("{} items of this stream are unanswered", self.max);
        ApiError::new(Code::OVERLOADED, details).retry_after_ms(FULL_RETRY_MS)
    }

    /// The caller has gone.
    pub(crate) fn closed(&self) -> bool {
        self.replies.is_closed()
    }
}

/// An answer as the wire has it.
pub(crate) fn reply(seq: u64, accepted: &Accepted) -> SendReply {
    let result = match accepted {
        Ok(accepted) => send_reply::Result::Accepted(proto::Accepted {
            id: accepted.id.to_string(),
            replayed: accepted.replayed,
        }),
        Err(error) => send_reply::Result::Error(error.clone().into()),
    };
    SendReply { seq, result: Some(result) }
}
