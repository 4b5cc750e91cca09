//! PostgreSQL: lanes with connections of their own, pools for reads and for control.

mod batch;
mod cluster;
mod connect;
mod fault;
mod open;
mod pool;
mod privileges;
mod reads;
mod stmt;
mod tls;

use std::sync::Arc;

use contract::{Key, MediaId, Route, ShardId};
use diesel_async::{
    AsyncPgConnection, RunQueryDsl,
    pooled_connection::deadpool::{Object, Pool},
};

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
use connect::Connector;
use stmt::{
    Bind::{Big, Small},
    Stmt,
};

/// An open database.
#[derive(Clone)]
pub(crate) struct Postgres {
    inner: Arc<Inner>,
}

struct Inner {
    connector: Connector,
    /// Apart from `control`, so that no amount of reading delays a tick.
    reads: Pool<AsyncPgConnection>,
    control: Pool<AsyncPgConnection>,
}

impl LaneEngine for Postgres {
    type Session = AsyncPgConnection;

    async fn connect(&self) -> Result<AsyncPgConnection, StoreError> {
        self.inner.connector.lane().await
    }

    async fn commit(
        &self,
        session: &mut AsyncPgConnection,
        fence: Fence,
        batch: &Arc<Batch>,
    ) -> Done {
        batch::commit(session, fence, &fold(batch)).await
    }

    async fn ask(
        &self,
        session: &mut AsyncPgConnection,
        fence: Fence,
    ) -> Result<Option<(bool, i64)>, StoreError> {
        batch::ask(session, fence).await
    }
}

impl Engine for Postgres {
    async fn look_up(
        &self,
        keys: &[(ShardId, Read)],
    ) -> Result<Vec<Result<Found, StoreError>>, StoreError> {
        reads::look_up(&mut *self.reads().await?, keys).await
    }

    async fn load_shard(&self, shard: ShardId) -> Result<ShardLoad, StoreError> {
        reads::load_shard(&mut *self.reads().await?, shard).await
    }

    async fn events(
        &self,
        shard: ShardId,
        after_seq: i64,
        limit: i64,
    ) -> Result<Vec<Event>, StoreError> {
        reads::events(&mut *self.reads().await?, shard, after_seq, limit).await
    }

    async fn dead_events(&self, page: DeadPage) -> Result<Vec<DeadEvent>, StoreError> {
        reads::dead_events(&mut *self.reads().await?, page).await
    }

    async fn dead_after(
        &self,
        endpoint: i16,
        after: (ShardId, i64),
        limit: i64,
    ) -> Result<Vec<(ShardId, DeadEvent)>, StoreError> {
        reads::dead_after(&mut *self.reads().await?, endpoint, after, limit).await
    }

    async fn messages_before(&self, shard: ShardId, key: Key) -> Result<i64, StoreError> {
        reads::messages_before(&mut *self.reads().await?, shard, key).await
    }

    async fn dead_count(&self, endpoint: i16) -> Result<i64, StoreError> {
        reads::dead_count(&mut *self.reads().await?, endpoint).await
    }

    async fn contact_page(
        &self,
        shard: ShardId,
        after: &[u8],
        limit: i64,
    ) -> Result<Vec<(Vec<u8>, bool)>, StoreError> {
        reads::contact_page(&mut *self.reads().await?, shard, after, limit).await
    }

    async fn message_page(
        &self,
        shard: ShardId,
        after: &[u8],
        limit: i64,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        reads::message_page(&mut *self.reads().await?, shard, after, limit).await
    }

    async fn event_page(
        &self,
        shard: ShardId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(i64, i16)>, StoreError> {
        reads::event_page(&mut *self.reads().await?, shard, after, limit).await
    }

    async fn reaches(&self) -> Result<Vec<Reach>, StoreError> {
        reads::reaches(&mut *self.reads().await?).await
    }

    async fn marks(&self, stretches: &[Stretch], each: i64) -> Result<Vec<Mark>, StoreError> {
        reads::marks(&mut *self.reads().await?, stretches, each).await
    }

    async fn events_at(&self, at: &[(ShardId, i64)]) -> Result<Vec<Event>, StoreError> {
        reads::events_at(&mut *self.reads().await?, at).await
    }

    async fn generations(&self) -> Result<Vec<Generation>, StoreError> {
        reads::generations(&mut *self.reads().await?).await
    }

    async fn latest_inbound(
        &self,
        shard: ShardId,
        peer: Route,
        limit: i64,
    ) -> Result<Vec<(Key, i64)>, StoreError> {
        reads::latest_inbound(&mut *self.reads().await?, shard, peer, limit).await
    }

    async fn own_keys(&self) -> Result<Vec<OwnKey>, StoreError> {
        reads::own_keys(&mut *self.reads().await?).await
    }

    async fn file(&self, id: MediaId) -> Result<Option<File>, StoreError> {
        reads::file(&mut *self.reads().await?, id).await
    }

    async fn files_after(&self, id: MediaId, limit: i64) -> Result<Vec<File>, StoreError> {
        reads::files_after(&mut *self.reads().await?, id, limit).await
    }

    async fn users(&self) -> Result<Vec<User>, StoreError> {
        reads::users(&mut *self.reads().await?).await
    }

    async fn user(&self, name: &str) -> Result<Option<User>, StoreError> {
        reads::user(&mut *self.reads().await?, name).await
    }

    async fn config(&self, name: &str) -> Result<Option<Config>, StoreError> {
        reads::config(&mut *self.reads().await?, name).await
    }

    async fn revoked(&self) -> Result<Vec<Revoked>, StoreError> {
        reads::revoked(&mut *self.reads().await?).await
    }

    async fn shards(&self) -> Result<Vec<Shard>, StoreError> {
        reads::shards(&mut *self.control().await?).await
    }

    async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        cluster::nodes(&mut *self.control().await?).await
    }

    async fn join(&self, node: &Node, lanes: i16) -> Result<(), StoreError> {
        cluster::join(&mut *self.control().await?, node, lanes).await
    }

    async fn fence(&self, inc: i64, seen_beat: Option<i64>) -> Result<bool, StoreError> {
        cluster::fence(&mut *self.control().await?, inc, seen_beat).await
    }

    async fn claim(&self, inc: i64, claims: &[Claim]) -> Result<Vec<Shard>, StoreError> {
        cluster::claim(&mut *self.control().await?, inc, claims).await
    }

    async fn begin_generation(
        &self,
        inc: Option<i64>,
        generation: i64,
        above: &[(ShardId, i64)],
    ) -> Result<(), StoreError> {
        cluster::begin_generation(&mut *self.control().await?, inc, generation, above).await
    }

    async fn tick(&self, inc: i64) -> Result<Tick, StoreError> {
        cluster::tick(&mut *self.control().await?, inc).await
    }

    async fn set_state(&self, inc: i64, state: NodeState) -> Result<(), StoreError> {
        cluster::set_state(&mut *self.control().await?, inc, state).await
    }

    async fn leave(&self, inc: i64) -> Result<(), StoreError> {
        cluster::fence(&mut *self.control().await?, inc, None).await.map(|_| ())
    }

    async fn forget_dead(&self) -> Result<(), StoreError> {
        cluster::forget_dead(&mut *self.control().await?).await
    }

    async fn add_probe(&self, inc: i64) -> Result<(), StoreError> {
        let binds = [Big(inc), Small(PROBE_LANE)];
        let text = "INSERT INTO lane (inc, lane, live, batch) VALUES ($1, $2, 1, 0)";
        Stmt::<()>::new(text, &binds).execute(&mut *self.control().await?).await?;
        Ok(())
    }

    async fn remove_probe(&self, inc: i64) -> Result<(), StoreError> {
        let binds = [Big(inc), Small(PROBE_LANE)];
        let text = "DELETE FROM lane WHERE inc = $1 AND lane = $2";
        Stmt::<()>::new(text, &binds).execute(&mut *self.control().await?).await?;
        Ok(())
    }
}

impl Postgres {
    async fn reads(&self) -> Result<Object<AsyncPgConnection>, StoreError> {
        self.inner.reads.get().await.map_err(|error| StoreError::Connect(error.to_string()))
    }

    async fn control(&self) -> Result<Object<AsyncPgConnection>, StoreError> {
        self.inner.control.get().await.map_err(|error| StoreError::Connect(error.to_string()))
    }
}
