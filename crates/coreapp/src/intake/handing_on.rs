//! Messages that a shard of this process hands on to the shard of their recipient's number, here or at
//! another coreapp.

use std::{sync::Arc, time::Duration};

use contract::{ApiError, Route};
use futures_util::{StreamExt, stream};
use rpc::coreapp::{DeliverRequest, SendFrame, SendReply, send_reply::Result::Error};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::Intake;
use crate::{
    cluster::{MapRx, Peers},
    shard::elsewhere::{HandedOn, NotTaken},
};

/// For the other shard to answer; then it is asked again, by the map of that moment.
const LIMIT: Duration = Duration::from_secs(3);
/// Messages handed on at a time; the next ones wait.
const AT_ONCE: usize = 64;

/// See the module.
pub(crate) struct HandingOn {
    pub intake: Arc<Intake>,
    pub map: MapRx,
    pub peers: Arc<Peers>,
}

impl HandingOn {
    /// Runs until `handed_on` is closed.
    pub(crate) async fn run(self, handed_on: mpsc::UnboundedReceiver<Vec<HandedOn>>) {
        let all = UnboundedReceiverStream::new(handed_on).flat_map(stream::iter);
        all.for_each_concurrent(AT_ONCE, |handed| async {
            let (from, key) = (handed.shard, handed.key);
            let taken = self.hand_on(handed).await;
            self.intake.drivers.handed_on(from, key, taken);
        })
        .await;
    }

    async fn hand_on(&self, handed: HandedOn) -> Result<(), NotTaken> {
        let shard = Route::of(&handed.wa_id).shard();
        let here = self.map.borrow().mine.contains_key(&shard);
        let request = request(handed);
        let answer = if here {
            Ok(self.intake.deliver(request).await)
        } else {
            self.peers.deliver(shard, request, LIMIT).await
        };
        match answer {
            Ok(SendReply { result: Some(Error(error)), .. }) => Err(refused(error.into())),
            Ok(SendReply { result: Some(_), .. }) => Ok(()),
            // Perhaps after the commit.
            Ok(SendReply { result: None, .. }) | Err(_) => Err(NotTaken::Later),
        }
    }
}

fn request(handed: HandedOn) -> DeliverRequest {
    let HandedOn { key, meta, wa_id, message, .. } = handed;
    let frame = SendFrame {
        key: key.as_bytes().to_vec().into(),
        to: meta.to.to_string(),
        input: meta.input.clone(),
        message,
        // It may have been handed on before.
        attempt: 2,
        timeout_ms: u32::try_from(LIMIT.as_millis()).unwrap_or(0),
        traceparent: meta.trace.map(|trace| trace.header()).unwrap_or_default(),
        ..SendFrame::default()
    };
    DeliverRequest { frame: Some(frame), wa_id: wa_id.to_string() }
}

/// What is not the message's own fault goes by.
fn refused(error: ApiError) -> NotTaken {
    let goes_by = error.status() == 429 || error.status() >= 500;
    if goes_by { NotTaken::Later } else { NotTaken::Final(error) }
}
