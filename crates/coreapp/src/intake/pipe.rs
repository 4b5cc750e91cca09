//! The replies' side of one `Pipe` stream.

use std::sync::atomic::{AtomicUsize, Ordering};

use rpc::coreapp::{SendReplies, SendReply, send_reply};
use tokio::sync::mpsc;
use tonic::Status;

use crate::shard::effects::Accepted;

/// Items of one stream that may be unanswered; the next is refused with 503/1016.
pub(crate) const UNANSWERED_MAX: usize = 1_024;

/// Where the answers of one stream go.
#[derive(Debug)]
pub(crate) struct StreamOut {
    replies: mpsc::Sender<Result<SendReplies, Status>>,
    unanswered: AtomicUsize,
}

impl StreamOut {
    /// The two ends. Every queued list holds at least one reply, so the bound on what is
    /// unanswered, with room for refusals, bounds the queue.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Result<SendReplies, Status>>) {
        let (replies, queue) = mpsc::channel(2 * UNANSWERED_MAX);
        (Self { replies, unanswered: AtomicUsize::new(0) }, queue)
    }

    /// Takes a place for an item; `false` when all are taken.
    pub(crate) fn begin(&self) -> bool {
        self.unanswered
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < UNANSWERED_MAX).then_some(n + 1)
            })
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
        if self.replies.try_send(Ok(SendReplies { replies })).is_err() {
            tracing::debug!("answers were dropped: their stream is gone or does not read");
        }
    }

    /// The caller has gone.
    pub(crate) fn closed(&self) -> bool {
        self.replies.is_closed()
    }
}

/// An answer as the wire has it.
pub(crate) fn reply(seq: u64, accepted: &Accepted) -> SendReply {
    let result = match accepted {
        Ok(id) => send_reply::Result::Accepted(rpc::coreapp::Accepted { id: id.to_string() }),
        Err(error) => send_reply::Result::Error(error.clone().into()),
    };
    SendReply { seq, result: Some(result) }
}
