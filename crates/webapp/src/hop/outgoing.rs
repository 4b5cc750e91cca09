//! The request side of a pipe: frames straight from the channel, no task in between.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::Stream;
use rpc::coreapp::SendFrame;
use tokio::sync::mpsc;

/// Frames taken from the channel at once; tonic writes what is ready in one piece.
const BATCH: usize = 64;

/// Ends when all senders are gone.
pub(super) struct Outgoing {
    frames: mpsc::Receiver<SendFrame>,
    /// Taken and not yet passed on, the next one last.
    ready: Vec<SendFrame>,
}

impl Outgoing {
    pub(super) fn new(frames: mpsc::Receiver<SendFrame>) -> Self {
        Self { frames, ready: Vec::with_capacity(BATCH) }
    }
}

impl Stream for Outgoing {
    type Item = SendFrame;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SendFrame>> {
        let this = &mut *self;
        if let Some(frame) = this.ready.pop() {
            return Poll::Ready(Some(frame));
        }
        match this.frames.poll_recv_many(cx, &mut this.ready, BATCH) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(0) => Poll::Ready(None),
            Poll::Ready(_) => {
                this.ready.reverse();
                Poll::Ready(this.ready.pop())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn frames_leave_in_the_order_they_came_over_several_batches() {
        let (sender, receiver) = mpsc::channel(4 * BATCH);
        for seq in 0..150 {
            sender.try_send(SendFrame { seq, ..SendFrame::default() }).unwrap();
        }
        drop(sender);
        let seqs: Vec<u64> = Outgoing::new(receiver).map(|frame| frame.seq).collect().await;
        assert_eq!(seqs, (0..150).collect::<Vec<_>>());
    }
}
