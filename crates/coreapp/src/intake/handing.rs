//! Messages for a shard of another coreapp, from a webapp that does not reach it: handed on to the owner.
//!
//! Only what asks for it is handed on, once, and never back. What waits for its answer takes a place of
//! the stream it came by, so there are never more than that holds.

use std::{sync::Arc, time::Duration};

use contract::{ApiError, Code, Number, Route};
use futures_util::future::BoxFuture;
use rpc::coreapp::{SendFrame, SendReply, send_reply};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::pipe;
use crate::cluster::{MapRx, Peers};

/// For the owner to answer; then the sender asks again, by the map of that moment.
const LIMIT: Duration = Duration::from_secs(3);

/// For the database to answer whoever asks whether it does; later is as good as never.
const HEARS: Duration = Duration::from_millis(300);
/// So long its answer, or its silence, goes for all.
const HEARD: Duration = Duration::from_millis(100);

/// Asks the database something small; false: it does not answer.
pub(crate) type Ask = Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// See the module.
pub(crate) struct Handing {
    map: MapRx,
    peers: Arc<Peers>,
    ask: Ask,
    /// When it was last asked, and what came of it.
    asked: Mutex<Option<(Instant, bool)>>,
}

impl Handing {
    pub(crate) fn new(map: MapRx, peers: Arc<Peers>, ask: Ask) -> Self {
        Self { map, peers, ask, asked: Mutex::default() }
    }

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
            Ok(SendReply { result: Some(send_reply::Result::Error(error)), .. })
                if is_silence(&error) && self.hears().await =>
            {
                // It alone does not hear of the database, and is about to be replaced: worth waiting for.
                pipe::reply(seq, &Err(ApiError::new(Code::NOT_READY, error.details)))
            }
            Ok(reply) => SendReply { seq, ..reply },
            Err(_) => {
                let details = format!("the owner of the shard at {owner} does not answer");
                // Perhaps after the commit.
                pipe::reply(seq, &Err(ApiError::new(Code::NOT_PRIMARY_COREAPP, details)))
            }
        }
    }

    /// The database answers us. A beat would tell only after seconds; one question at a time for all.
    async fn hears(&self) -> bool {
        let mut asked = self.asked.lock().await;
        if let Some((when, answers)) = *asked
            && when.elapsed() < HEARD
        {
            return answers;
        }
        let answers = timeout(HEARS, (self.ask)()).await.unwrap_or(false);
        if !answers {
            tracing::info!(
                "the owner of a shard does not hear of the database, nor does this coreapp"
            );
        }
        *asked = Some((Instant::now(), answers));
        answers
    }
}

/// The database does not answer the owner.
fn is_silence(error: &rpc::coreapp::ApiError) -> bool {
    error.code == u32::from(Code::DATABASE.get()) && error.retry_after_ms > 0
}
