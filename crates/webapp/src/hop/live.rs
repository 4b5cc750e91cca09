//! One open stream and who waits for answers on it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use rpc::coreapp::{Quota, SendFrame, SendReplies, send_reply};
use tokio::sync::{mpsc, oneshot};

/// Unanswered items a stream may have; one more is refused with 1016.
pub(super) const MAX_PENDING: usize = 1_024;

/// What a coreapp said of an item, and what is left of its quota.
pub(super) struct Verdict {
    pub(super) result: send_reply::Result,
    pub(super) quota: Option<Quota>,
}

/// An open stream. Dropping the last sender of frames ends it.
pub(super) struct Live {
    frames: mpsc::Sender<SendFrame>,
    pending: Mutex<Pending>,
}

struct Pending {
    open: bool,
    next_seq: u64,
    waiting: HashMap<u64, oneshot::Sender<Verdict>>,
}

/// Why an item was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// [`MAX_PENDING`] are unanswered.
    Full,
    /// The stream broke.
    Broken,
}

/// A place among the unanswered; given up when dropped, so a client that leaves frees it.
pub(super) struct Waiting {
    live: Arc<Live>,
    seq: u64,
    verdict: oneshot::Receiver<Verdict>,
}

impl Live {
    /// A stream, and where its frames come out.
    pub(super) fn new() -> (Arc<Self>, mpsc::Receiver<SendFrame>) {
        let (frames, out) = mpsc::channel(MAX_PENDING);
        let pending = Pending { open: true, next_seq: 1, waiting: HashMap::new() };
        (Arc::new(Self { frames, pending: Mutex::new(pending) }), out)
    }

    /// Puts an item on the stream under a fresh `seq`.
    pub(super) fn submit(self: &Arc<Self>, frame: SendFrame) -> Result<Waiting, NotTaken> {
        let (answer, verdict) = oneshot::channel();
        let mut pending = self.pending();
        if !pending.open {
            return Err(NotTaken::Broken);
        }
        if pending.waiting.len() >= MAX_PENDING {
            return Err(NotTaken::Full);
        }
        let seq = pending.next_seq;
        // Under the lock, so that frames leave in the order of their numbers.
        match self.frames.try_send(SendFrame { seq, ..frame }) {
            Ok(()) => {}
            // The coreapp reads more slowly than clients come and go.
            Err(mpsc::error::TrySendError::Full(_)) => return Err(NotTaken::Full),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(NotTaken::Broken),
        }
        pending.next_seq += 1;
        pending.waiting.insert(seq, answer);
        drop(pending);
        Ok(Waiting { live: Arc::clone(self), seq, verdict })
    }

    /// Passes answers on. Those nobody waits for any more are dropped.
    pub(super) fn answered(&self, replies: SendReplies) {
        let SendReplies { replies, quota } = replies;
        let mut pending = self.pending();
        for reply in replies {
            let waiting = pending.waiting.remove(&reply.seq);
            if let (Some(waiting), Some(result)) = (waiting, reply.result) {
                let _gone = waiting.send(Verdict { result, quota });
            }
        }
    }

    /// The stream broke: everybody who waits learns it, nobody else is let in.
    pub(super) fn close(&self) {
        let mut pending = self.pending();
        pending.open = false;
        pending.waiting.clear();
    }

    /// Items without an answer.
    pub(super) fn unanswered(&self) -> usize {
        self.pending().waiting.len()
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The answer; `None` when the stream broke before it came.
    pub(super) async fn verdict(&mut self) -> Option<Verdict> {
        (&mut self.verdict).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.live.pending().waiting.remove(&self.seq);
    }
}

#[cfg(test)]
mod tests {
    use rpc::coreapp::SendReply;

    use super::*;

    fn submit(live: &Arc<Live>) -> Result<Waiting, NotTaken> {
        live.submit(SendFrame::default())
    }

    #[tokio::test]
    async fn the_item_above_the_bound_is_refused_until_one_is_answered_or_given_up() {
        let (live, mut out) = Live::new();
        let mut waiting: Vec<_> = (0..MAX_PENDING).map(|_| submit(&live).unwrap()).collect();
        assert_eq!(submit(&live).err(), Some(NotTaken::Full));
        waiting.pop();
        assert_eq!(submit(&live).err(), Some(NotTaken::Full), "its frame was not sent yet");
        out.recv().await.unwrap();
        waiting.push(submit(&live).unwrap());
        out.recv().await.unwrap();
        let seq = waiting[0].seq;
        let accepted = rpc::coreapp::Accepted { id: "a".to_owned(), replayed: false };
        let result = Some(send_reply::Result::Accepted(accepted));
        let quota = Some(Quota { per_second: 80, remaining: 7, reset_s: 1 });
        live.answered(SendReplies { replies: vec![SendReply { seq, result }], quota });
        let verdict = waiting[0].verdict().await.unwrap();
        assert!(matches!(verdict.result, send_reply::Result::Accepted(_)));
        assert_eq!(verdict.quota, quota);
        assert!(submit(&live).is_ok());
    }

    #[tokio::test]
    async fn everybody_who_waits_learns_of_a_break() {
        let (live, _out) = Live::new();
        let mut waiting = submit(&live).unwrap();
        live.close();
        assert!(waiting.verdict().await.is_none());
        assert_eq!(submit(&live).err(), Some(NotTaken::Broken));
    }
}
