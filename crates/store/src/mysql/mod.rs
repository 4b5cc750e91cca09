//! MySQL and MariaDB: lanes with connections of their own, pools for reads and for control.
//!
//! Everything is text (`text`), as only a text carries many statements in one round trip; why, and
//! why not through Diesel: `docs/decisions/007-*`.

mod batch;
mod cluster;
mod connect;
mod error;
mod fault;
mod open;
mod pool;
mod reads;
mod text;
mod tls;

use std::sync::Arc;

use contract::{Key, MediaId, Route, ShardId};

use crate::{
    batch::{Batch, fold},
    cluster::{Claim, Tick},
    engine::{Engine, PROBE_LANE},
    error::StoreError,
    history::{Mark, Reach, Stretch},
    lanes::{Done, Fence, LaneEngine},
    reader::{DeadPage, File, Found, Read, ShardLoad},
    rows::{Config, DeadEvent, Event, Generation, Node, NodeState, OwnKey, Revoked, Shard, User},
};
use connect::{Connector, Session, in_time};
use pool::Pool;

/// An open database.
#[derive(Clone)]
pub(crate) struct Mysql {
    inner: Arc<Inner>,
}

struct Inner {
    connector: Connector,
    /// Apart from `control`, so that no amount of reading delays a tick.
    reads: Pool,
    control: Pool,
    /// Longest text the server takes.
    packet_max: usize,
}

impl LaneEngine for Mysql {
    type Session = Session;

    async fn connect(&self) -> Result<Session, StoreError> {
        self.inner.connector.lane().await
    }

    async fn commit(&self, session: &mut Session, fence: Fence, batch: &Arc<Batch>) -> Done {
        // Of a lane that had nothing to write: its last batch is answered, so it may be replaced.
        if !session.is_there().await {
            match self.connect().await {
                Ok(new) => *session = new,
                Err(error) => return Done::Lost { answered: false, why: error.to_string() },
            }
        }
        batch::commit(session, fence, &fold(batch), self.inner.packet_max).await
    }

    async fn ask(
        &self,
        session: &mut Session,
        fence: Fence,
    ) -> Result<Option<(bool, i64)>, StoreError> {
        batch::ask(session, fence).await
    }
}

/// A call on a connection of a pool.
macro_rules! on {
    ($pool:expr, $module:ident::$call:ident($($argument:expr),*)) => {{
        let mut conn = $pool.lend().await?;
        let result = in_time($module::$call(&mut conn $(, $argument)*)).await;
        conn.back(result)
    }};
}

impl Engine for Mysql {
    async fn look_up(
        &self,
        keys: &[(ShardId, Read)],
    ) -> Result<Vec<Result<Found, StoreError>>, StoreError> {
        on!(self.inner.reads, reads::look_up(keys))
    }

    async fn load_shard(&self, shard: ShardId) -> Result<ShardLoad, StoreError> {
        on!(self.inner.reads, reads::load_shard(shard))
    }

    async fn events(
        &self,
        shard: ShardId,
        after_seq: i64,
        limit: i64,
    ) -> Result<Vec<Event>, StoreError> {
        on!(self.inner.reads, reads::events(shard, after_seq, limit))
    }

    async fn dead_events(&self, page: DeadPage) -> Result<Vec<DeadEvent>, StoreError> {
        on!(self.inner.reads, reads::dead_events(page))
    }

    async fn dead_after(
        &self,
        endpoint: i16,
        after: (ShardId, i64),
        limit: i64,
    ) -> Result<Vec<(ShardId, DeadEvent)>, StoreError> {
        on!(self.inner.reads, reads::dead_after(endpoint, after, limit))
    }

    async fn messages_before(&self, shard: ShardId, key: Key) -> Result<i64, StoreError> {
        on!(self.inner.reads, reads::messages_before(shard, key))
    }

    async fn dead_count(&self, endpoint: i16) -> Result<i64, StoreError> {
        on!(self.inner.reads, reads::dead_count(endpoint))
    }

    async fn contact_page(
        &self,
        shard: ShardId,
        after: &[u8],
        limit: i64,
    ) -> Result<Vec<(Vec<u8>, bool)>, StoreError> {
        on!(self.inner.reads, reads::contact_page(shard, after, limit))
    }

    async fn message_page(
        &self,
        shard: ShardId,
        after: &[u8],
        limit: i64,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        on!(self.inner.reads, reads::message_page(shard, after, limit))
    }

    async fn event_page(
        &self,
        shard: ShardId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(i64, i16)>, StoreError> {
        on!(self.inner.reads, reads::event_page(shard, after, limit))
    }

    async fn reaches(&self) -> Result<Vec<Reach>, StoreError> {
        on!(self.inner.reads, reads::reaches())
    }

    async fn marks(&self, stretches: &[Stretch], each: i64) -> Result<Vec<Mark>, StoreError> {
        on!(self.inner.reads, reads::marks(stretches, each))
    }

    async fn events_at(&self, at: &[(ShardId, i64)]) -> Result<Vec<Event>, StoreError> {
        on!(self.inner.reads, reads::events_at(at))
    }

    async fn generations(&self) -> Result<Vec<Generation>, StoreError> {
        on!(self.inner.reads, reads::generations())
    }

    async fn latest_inbound(
        &self,
        shard: ShardId,
        peer: Route,
        limit: i64,
    ) -> Result<Vec<(Key, i64)>, StoreError> {
        on!(self.inner.reads, reads::latest_inbound(shard, peer, limit))
    }

    async fn own_keys(&self) -> Result<Vec<OwnKey>, StoreError> {
        on!(self.inner.reads, reads::own_keys())
    }

    async fn file(&self, id: MediaId) -> Result<Option<File>, StoreError> {
        on!(self.inner.reads, reads::file(id))
    }

    async fn files_after(&self, id: MediaId, limit: i64) -> Result<Vec<File>, StoreError> {
        on!(self.inner.reads, reads::files_after(id, limit))
    }

    async fn users(&self) -> Result<Vec<User>, StoreError> {
        on!(self.inner.reads, reads::users())
    }

    async fn user(&self, name: &str) -> Result<Option<User>, StoreError> {
        on!(self.inner.reads, reads::user(name))
    }

    async fn config(&self, name: &str) -> Result<Option<Config>, StoreError> {
        on!(self.inner.reads, reads::config(name))
    }

    async fn revoked(&self) -> Result<Vec<Revoked>, StoreError> {
        on!(self.inner.reads, reads::revoked())
    }

    async fn shards(&self) -> Result<Vec<Shard>, StoreError> {
        on!(self.inner.control, reads::shards())
    }

    async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        on!(self.inner.control, cluster::nodes())
    }

    async fn join(&self, node: &Node, lanes: i16) -> Result<(), StoreError> {
        on!(self.inner.control, cluster::join(node, lanes))
    }

    async fn fence(&self, inc: i64, seen_beat: Option<i64>) -> Result<bool, StoreError> {
        on!(self.inner.control, cluster::fence(inc, seen_beat))
    }

    async fn claim(&self, inc: i64, claims: &[Claim]) -> Result<Vec<Shard>, StoreError> {
        on!(self.inner.control, cluster::claim(inc, claims))
    }

    async fn begin_generation(
        &self,
        inc: Option<i64>,
        generation: i64,
        above: &[(ShardId, i64)],
    ) -> Result<(), StoreError> {
        on!(self.inner.control, cluster::begin_generation(inc, generation, above))
    }

    async fn tick(&self, inc: i64) -> Result<Tick, StoreError> {
        on!(self.inner.control, cluster::tick(inc))
    }

    async fn set_state(&self, inc: i64, state: NodeState) -> Result<(), StoreError> {
        on!(self.inner.control, cluster::set_state(inc, state))
    }

    async fn leave(&self, inc: i64) -> Result<(), StoreError> {
        self.fence(inc, None).await.map(|_| ())
    }

    async fn forget_dead(&self) -> Result<(), StoreError> {
        on!(self.inner.control, cluster::forget_dead())
    }

    async fn add_probe(&self, inc: i64) -> Result<(), StoreError> {
        on!(self.inner.control, cluster::add_lane(inc, PROBE_LANE))
    }

    async fn remove_probe(&self, inc: i64) -> Result<(), StoreError> {
        on!(self.inner.control, cluster::remove_lane(inc, PROBE_LANE))
    }
}
