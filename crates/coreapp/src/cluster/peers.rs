//! The other coreapps: calls to their control listeners.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use contract::{Number, ShardId};
use futures_util::FutureExt;
use rpc::{
    coreapp::{
        BuryRequest, DeliverRequest, Looked, LookupRequest, NudgeRequest, SendFrame, SendReply,
        SettledRequest, SyncContactsRequest, peer_client::PeerClient,
    },
    identity::Identity,
};
use tokio::time::timeout;
use tonic::{Request, transport::Channel};

use super::map::MapRx;
use crate::control::Tell;

/// The control listener's port is so far above the one of messages.
const CONTROL: u16 = 2;
/// For a peer to look at the database. One that does not answer within it is as good as dead: it
/// sees for itself within a second, or is fenced.
const NUDGE: Duration = Duration::from_secs(1);
/// For a contact sync: two calls of the network, 10 s each.
const SYNC: Duration = Duration::from_secs(25);
/// For what a replay asks of a shard's owner: one commit at most.
const REPLAY: Duration = Duration::from_secs(2);
/// Peers whose channels are kept; at the bound all are forgotten and opened again when needed.
const PEERS_MAX: usize = 256;

/// A peer did not answer, or is not who it was taken for; ask again by the map of that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unanswered;

/// See the module.
pub(crate) struct Peers {
    map: MapRx,
    identity: Option<Arc<Identity>>,
    channels: Mutex<HashMap<Arc<str>, Channel>>,
}

impl Peers {
    pub(crate) fn new(map: MapRx, identity: Option<Arc<Identity>>) -> Self {
        Self { map, identity, channels: Mutex::default() }
    }

    /// Tells every other node to look at the database; waits for those that live.
    pub(crate) async fn nudge(&self) {
        let others = self.map.borrow().others.clone();
        let nudges = others.iter().map(|addr| async move {
            let Some(mut client) = self.client(addr) else { return };
            let told = timeout(NUDGE, client.nudge(NudgeRequest {})).await;
            if !matches!(told, Ok(Ok(_))) {
                tracing::info!(
                    peer = &**addr,
                    "a coreapp was not told of a change; it looks itself"
                );
            }
        });
        futures_util::future::join_all(nudges).await;
    }

    /// [`Self::nudge`], for those who change something.
    pub(crate) fn telling(self: &Arc<Self>) -> Tell {
        let peers = self.clone();
        Box::new(move || {
            let peers = peers.clone();
            async move { peers.nudge().await }.boxed()
        })
    }

    /// Asks the owner of shard -1.
    pub(crate) async fn sync_contacts(
        &self,
        numbers: &[Number],
    ) -> Result<Vec<Looked>, Unanswered> {
        let owner = self.map.borrow().owner(ShardId::CONTROL).cloned().ok_or(Unanswered)?;
        let mut client = self.client(&owner).ok_or(Unanswered)?;
        let numbers = numbers.iter().map(ToString::to_string).collect();
        let mut request = Request::new(SyncContactsRequest { numbers });
        request.set_timeout(SYNC);
        let answer = timeout(SYNC, client.sync_contacts(request)).await;
        Ok(answer.map_err(|_| Unanswered)?.map_err(|_| Unanswered)?.into_inner().looked)
    }

    /// Asks the owner of some numbers' shards.
    pub(crate) async fn lookup(
        &self,
        owner: &Arc<str>,
        request: LookupRequest,
        limit: Duration,
    ) -> Result<Vec<Looked>, Unanswered> {
        let mut client = self.client(owner).ok_or(Unanswered)?;
        let mut request = Request::new(request);
        request.set_timeout(limit);
        let answer = timeout(limit, client.lookup(request)).await;
        Ok(answer.map_err(|_| Unanswered)?.map_err(|_| Unanswered)?.into_inner().looked)
    }

    /// Hands a message on to its shard's owner.
    pub(crate) async fn forward(
        &self,
        owner: &Arc<str>,
        frame: SendFrame,
        limit: Duration,
    ) -> Result<SendReply, Unanswered> {
        let mut client = self.client(owner).ok_or(Unanswered)?;
        let mut request = Request::new(frame);
        request.set_timeout(limit);
        let answer = timeout(limit, client.forward(request)).await;
        Ok(answer.map_err(|_| Unanswered)?.map_err(|_| Unanswered)?.into_inner())
    }

    /// Hands a message on to the owner of the shard of its recipient's number.
    pub(crate) async fn deliver(
        &self,
        shard: ShardId,
        request: DeliverRequest,
        limit: Duration,
    ) -> Result<SendReply, Unanswered> {
        let mut client = self.client_of(shard)?;
        let mut request = Request::new(request);
        request.set_timeout(limit);
        let answer = timeout(limit, client.deliver(request)).await;
        Ok(answer.map_err(|_| Unanswered)?.map_err(|_| Unanswered)?.into_inner())
    }

    /// Asks a shard's owner how far the webhook is with it.
    pub(crate) async fn settled(&self, shard: ShardId) -> Result<i64, Unanswered> {
        let mut client = self.client_of(shard)?;
        let request = SettledRequest { shard: shard.get().into() };
        let answer = timeout(REPLAY, client.settled(request)).await;
        Ok(answer.map_err(|_| Unanswered)?.map_err(|_| Unanswered)?.into_inner().seq)
    }

    /// Tells a shard's owner that a dead letter was taken.
    pub(crate) async fn bury(&self, shard: ShardId, seq: i64) -> Result<(), Unanswered> {
        let mut client = self.client_of(shard)?;
        let request = BuryRequest { shard: shard.get().into(), seq };
        let answer = timeout(REPLAY, client.bury(request)).await;
        answer.map_err(|_| Unanswered)?.map_err(|_| Unanswered)?;
        Ok(())
    }

    fn client_of(&self, shard: ShardId) -> Result<PeerClient<Channel>, Unanswered> {
        let owner = self.map.borrow().owner(shard).cloned().ok_or(Unanswered)?;
        self.client(&owner).ok_or(Unanswered)
    }

    fn client(&self, addr: &Arc<str>) -> Option<PeerClient<Channel>> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = match channels.get(addr) {
            Some(channel) => channel.clone(),
            None => {
                let (host, port) = addr.rsplit_once(':')?;
                let control = port.parse::<u16>().ok()?.checked_add(CONTROL)?;
                let url = format!("http://{host}:{control}");
                let channel = rpc::http2::channel(&url, self.identity.as_ref()).ok()?;
                if channels.len() >= PEERS_MAX {
                    channels.clear();
                }
                channels.insert(Arc::clone(addr), channel.clone());
                channel
            }
        };
        Some(PeerClient::new(channel).max_decoding_message_size(rpc::http2::MAX_MESSAGE))
    }
}
