//! Messages for a shard of another coreapp, from a webapp that does not reach it: handed on to the owner.
//!
//! Only what asks for it is handed on, once, and never back. What waits for its answer takes a place of
//! the stream it came by, so there are never more than that holds.

use std::{sync::Arc, time::Duration};

use contract::{ApiError, Code, Number, Route};
use rpc::coreapp::{SendFrame, SendReply, send_reply};

use super::pipe;
use crate::cluster::{MapRx, Peers};

/// For the owner to answer; then the sender asks again, by the map of that moment.
const LIMIT: Duration = Duration::from_secs(3);

/// See the module.
pub(crate) struct Handing {
    pub map: MapRx,
    pub peers: Arc<Peers>,
}

impl Handing {
    /// The owner this has to be handed on to; `None`: it is ours, or nobody's at the moment.
    pub(crate) fn owner(&self, frame: &SendFrame) -> Option<Arc<str>> {
        if !frame.forward {
            return None;
        }
        let shard = Route::of(&Number::from_digits(frame.to.as_bytes()).ok()?).shard();
        let map = self.map.borrow();
        let owner = map.owner(shard).filter(|_| !map.mine.contains_key(&shard))?;
        map.others.contains(owner).then(|| owner.clone())
    }

    /// What the owner answers.
    pub(crate) async fn send(&self, owner: Arc<str>, frame: SendFrame) -> SendReply {
        let seq = frame.seq;
        match self.peers.forward(&owner, frame, LIMIT).await {
            Ok(reply) => SendReply { seq, result: reply.result.map(said) },
            Err(_) => {
                let details = format!("the owner of the shard at {owner} does not answer");
                // Perhaps after the commit.
                pipe::reply(seq, &Err(ApiError::new(Code::NOT_PRIMARY_COREAPP, details)))
            }
        }
    }
}

/// An owner that does not hear of the database while we do is about to be replaced: worth waiting for.
fn said(result: send_reply::Result) -> send_reply::Result {
    match result {
        send_reply::Result::Error(error)
            if error.code == u32::from(Code::DATABASE.get()) && error.retry_after_ms > 0 =>
        {
            send_reply::Result::Error(ApiError::new(Code::NOT_READY, error.details).into())
        }
        result => result,
    }
}
