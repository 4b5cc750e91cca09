//! The request side of a pipe: frames straight from the channel, no task in between, what is ready
//! together in one message.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::Stream;
use rpc::coreapp::{SendFrame, SendFrames};
use tokio::sync::mpsc;

/// Frames of one message.
const BATCH: usize = 64;
/// Bytes of messages after which it takes no further one; far below what the other side reads.
const BATCH_BYTES: usize = 256 << 10;

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

    /// What goes into the next message; empty when nothing is left.
    fn next_frames(&mut self) -> Vec<SendFrame> {
        let mut frames = Vec::with_capacity(self.ready.len());
        let mut bytes = 0;
        while bytes < BATCH_BYTES
            && let Some(frame) = self.ready.pop()
        {
            bytes += frame.message.len();
            frames.push(frame);
        }
        frames
    }
}

impl Stream for Outgoing {
    type Item = SendFrames;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SendFrames>> {
        let this = &mut *self;
        if this.ready.is_empty() {
            match this.frames.poll_recv_many(cx, &mut this.ready, BATCH) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(0) => return Poll::Ready(None),
                Poll::Ready(_) => this.ready.reverse(),
            }
        }
        Poll::Ready(Some(SendFrames { frames: this.next_frames() }))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    async fn passed(frames: impl Iterator<Item = SendFrame>) -> Vec<Vec<u64>> {
        let (sender, receiver) = mpsc::channel(4 * BATCH);
        frames.for_each(|frame| sender.try_send(frame).unwrap());
        drop(sender);
        let seqs = |frames: SendFrames| frames.frames.iter().map(|frame| frame.seq).collect();
        Outgoing::new(receiver).map(seqs).collect().await
    }

    #[tokio::test]
    async fn frames_leave_together_in_the_order_they_came() {
        let frames = (0..150).map(|seq| SendFrame { seq, ..SendFrame::default() });
        let passed = passed(frames).await;
        assert_eq!(passed.iter().map(Vec::len).collect::<Vec<_>>(), [64, 64, 22]);
        assert_eq!(passed.concat(), (0..150).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn large_frames_do_not_gather_beyond_what_is_read() {
        let message = bytes::Bytes::from(vec![b'x'; 200 << 10]);
        let frames =
            (0..5).map(|seq| SendFrame { seq, message: message.clone(), ..SendFrame::default() });
        assert_eq!(passed(frames).await, [vec![0, 1], vec![2, 3], vec![4]]);
    }
}
