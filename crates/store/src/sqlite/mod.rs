//! SQLite: one file, one coreapp, one lane.
//!
//! Everything that writes goes through one connection on one thread, in the order it was asked for:
//! the lane and the cluster's control statements cannot starve each other, and no commit waits in
//! SQLite's busy handler. Reads have a connection of their own, checkpoints another one.

mod checkpoint;
mod cluster;
mod open;
mod reads;
mod stmt;
mod worker;
mod write;

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
use checkpoint::Checkpoints;
use worker::Worker;

/// An open database file.
#[derive(Clone)]
pub(crate) struct Sqlite {
    inner: Arc<Inner>,
}

struct Inner {
    writer: Worker,
    reader: Worker,
    checkpoints: Checkpoints,
}

impl LaneEngine for Sqlite {
    /// The connection belongs to the writer's thread.
    type Session = ();

    async fn connect(&self) -> Result<(), StoreError> {
        self.inner.writer.run(worker::Slot::reopen).await?
    }

    async fn commit(&self, (): &mut (), fence: Fence, batch: &Arc<Batch>) -> Done {
        let batch = Arc::clone(batch);
        let (rows, done) = match self
            .inner
            .writer
            .run(move |slot| {
                let changes = fold(&batch);
                match slot.conn() {
                    Ok(conn) => write::commit(conn, fence, &changes),
                    Err(error) => (0, Done::Lost { answered: false, why: error.to_string() }),
                }
            })
            .await
        {
            Ok(outcome) => outcome,
            Err(error) => return Done::Lost { answered: false, why: error.to_string() },
        };
        self.inner.checkpoints.written(rows);
        done
    }

    async fn ask(&self, (): &mut (), fence: Fence) -> Result<Option<(bool, i64)>, StoreError> {
        self.inner.writer.query(move |conn| write::ask(conn, fence)).await
    }
}

impl Engine for Sqlite {
    async fn look_up(
        &self,
        keys: &[(ShardId, Read)],
    ) -> Result<Vec<Result<Found, StoreError>>, StoreError> {
        let keys = keys.to_vec();
        self.inner.reader.ask(move |conn| reads::look_up(conn, &keys)).await
    }

    async fn load_shard(&self, shard: ShardId) -> Result<ShardLoad, StoreError> {
        self.inner.reader.ask(move |conn| reads::load_shard(conn, shard)).await
    }

    async fn events(
        &self,
        shard: ShardId,
        after_seq: i64,
        limit: i64,
    ) -> Result<Vec<Event>, StoreError> {
        self.inner.reader.ask(move |conn| reads::events(conn, shard, after_seq, limit)).await
    }

    async fn dead_events(&self, page: DeadPage) -> Result<Vec<DeadEvent>, StoreError> {
        self.inner.reader.ask(move |conn| reads::dead_events(conn, page)).await
    }

    async fn dead_after(
        &self,
        endpoint: i16,
        after: (ShardId, i64),
        limit: i64,
    ) -> Result<Vec<(ShardId, DeadEvent)>, StoreError> {
        self.inner.reader.ask(move |conn| reads::dead_after(conn, endpoint, after, limit)).await
    }

    async fn messages_before(&self, shard: ShardId, key: Key) -> Result<i64, StoreError> {
        self.inner.reader.ask(move |conn| reads::messages_before(conn, shard, key)).await
    }

    async fn dead_count(&self, endpoint: i16) -> Result<i64, StoreError> {
        self.inner.reader.ask(move |conn| reads::dead_count(conn, endpoint)).await
    }

    async fn contact_page(
        &self,
        shard: ShardId,
        after: &[u8],
        limit: i64,
    ) -> Result<Vec<(Vec<u8>, bool)>, StoreError> {
        let after = after.to_vec();
        self.inner.reader.ask(move |conn| reads::contact_page(conn, shard, &after, limit)).await
    }

    async fn message_page(
        &self,
        shard: ShardId,
        after: &[u8],
        limit: i64,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let after = after.to_vec();
        self.inner.reader.ask(move |conn| reads::message_page(conn, shard, &after, limit)).await
    }

    async fn event_page(
        &self,
        shard: ShardId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(i64, i16)>, StoreError> {
        self.inner.reader.ask(move |conn| reads::event_page(conn, shard, after, limit)).await
    }

    async fn reaches(&self) -> Result<Vec<Reach>, StoreError> {
        self.inner.reader.ask(reads::reaches).await
    }

    async fn marks(&self, stretches: &[Stretch], each: i64) -> Result<Vec<Mark>, StoreError> {
        let stretches = stretches.to_vec();
        self.inner.reader.ask(move |conn| reads::marks(conn, &stretches, each)).await
    }

    async fn events_at(&self, at: &[(ShardId, i64)]) -> Result<Vec<Event>, StoreError> {
        let at = at.to_vec();
        self.inner.reader.ask(move |conn| reads::events_at(conn, &at)).await
    }

    async fn generations(&self) -> Result<Vec<Generation>, StoreError> {
        self.inner.reader.ask(reads::generations).await
    }

    async fn latest_inbound(
        &self,
        shard: ShardId,
        peer: Route,
        limit: i64,
    ) -> Result<Vec<(Key, i64)>, StoreError> {
        self.inner.reader.ask(move |conn| reads::latest_inbound(conn, shard, peer, limit)).await
    }

    async fn own_keys(&self) -> Result<Vec<OwnKey>, StoreError> {
        self.inner.reader.ask(reads::own_keys).await
    }

    async fn file(&self, id: MediaId) -> Result<Option<File>, StoreError> {
        self.inner.reader.ask(move |conn| reads::file(conn, id)).await
    }

    async fn files_after(&self, id: MediaId, limit: i64) -> Result<Vec<File>, StoreError> {
        self.inner.reader.ask(move |conn| reads::files_after(conn, id, limit)).await
    }

    async fn users(&self) -> Result<Vec<User>, StoreError> {
        self.inner.reader.ask(reads::users).await
    }

    async fn user(&self, name: &str) -> Result<Option<User>, StoreError> {
        let name = name.to_owned();
        self.inner.reader.ask(move |conn| reads::user(conn, &name)).await
    }

    async fn config(&self, name: &str) -> Result<Option<Config>, StoreError> {
        let name = name.to_owned();
        self.inner.reader.ask(move |conn| reads::config(conn, &name)).await
    }

    async fn revoked(&self) -> Result<Vec<Revoked>, StoreError> {
        self.inner.reader.ask(reads::revoked).await
    }

    async fn shards(&self) -> Result<Vec<Shard>, StoreError> {
        self.inner.reader.ask(reads::shards).await
    }

    async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        self.inner.reader.ask(cluster::nodes).await
    }

    async fn join(&self, node: &Node, lanes: i16) -> Result<(), StoreError> {
        let node = node.clone();
        self.control(move |conn| cluster::join(conn, &node, lanes)).await
    }

    async fn fence(&self, inc: i64, seen_beat: Option<i64>) -> Result<bool, StoreError> {
        self.control(move |conn| cluster::fence(conn, inc, seen_beat)).await
    }

    async fn claim(&self, inc: i64, claims: &[Claim]) -> Result<Vec<Shard>, StoreError> {
        let claims = claims.to_vec();
        self.control(move |conn| cluster::claim(conn, inc, &claims)).await
    }

    async fn begin_generation(
        &self,
        inc: Option<i64>,
        generation: i64,
        above: &[(ShardId, i64)],
    ) -> Result<(), StoreError> {
        let above = above.to_vec();
        self.control(move |conn| cluster::begin_generation(conn, inc, generation, &above)).await
    }

    async fn tick(&self, inc: i64) -> Result<Tick, StoreError> {
        self.control(move |conn| cluster::tick(conn, inc)).await
    }

    async fn set_state(&self, inc: i64, state: NodeState) -> Result<(), StoreError> {
        self.control(move |conn| cluster::set_state(conn, inc, state)).await
    }

    async fn leave(&self, inc: i64) -> Result<(), StoreError> {
        self.control(move |conn| cluster::leave(conn, inc)).await
    }

    async fn forget_dead(&self) -> Result<(), StoreError> {
        self.control(cluster::forget_dead).await
    }

    async fn add_probe(&self, inc: i64) -> Result<(), StoreError> {
        self.control(move |conn| cluster::add_lane(conn, inc, PROBE_LANE)).await
    }

    async fn remove_probe(&self, inc: i64) -> Result<(), StoreError> {
        self.control(move |conn| cluster::remove_lane(conn, inc, PROBE_LANE)).await
    }
}

impl Sqlite {
    /// One transaction on the writer's connection.
    async fn control<R: Send + 'static>(
        &self,
        run: impl FnOnce(&mut diesel::SqliteConnection) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        self.inner.writer.ask(move |conn| conn.immediate_transaction(run)).await
    }
}
