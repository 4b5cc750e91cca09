//! What a database has to offer besides lanes. A module an engine implements [`Engine`] and
//! [`LaneEngine`](crate::lanes::LaneEngine); [`Backend`] picks one of them at run time.

use std::future::Future;

use contract::{Key, MediaId, Route, ShardId};

use crate::{
    cluster::{Claim, Tick},
    error::StoreError,
    history::{Mark, Reach, Stretch},
    lanes::LaneEngine,
    mysql::Mysql,
    postgres::Postgres,
    reader::{DeadPage, File, Found, Read, ShardLoad},
    rows::{Config, DeadEvent, Event, Generation, Node, NodeState, OwnKey, Revoked, Shard, User},
    sqlite::Sqlite,
};

type Answer<T> = Result<T, StoreError>;

/// Reads and membership. Each method is one round trip, and one transaction where it writes.
pub(crate) trait Engine: LaneEngine {
    /// Answers in the order of the keys, rows as they are stored. A bad row spoils its own key only.
    fn look_up(
        &self,
        keys: &[(ShardId, Read)],
    ) -> impl Future<Output = Answer<Vec<Answer<Found>>>> + Send;
    fn load_shard(&self, shard: ShardId) -> impl Future<Output = Answer<ShardLoad>> + Send;
    fn events(
        &self,
        shard: ShardId,
        after_seq: i64,
        limit: i64,
    ) -> impl Future<Output = Answer<Vec<Event>>> + Send;
    fn dead_events(&self, page: DeadPage) -> impl Future<Output = Answer<Vec<DeadEvent>>> + Send;
    fn dead_after(
        &self,
        endpoint: i16,
        after: (ShardId, i64),
        limit: i64,
    ) -> impl Future<Output = Answer<Vec<(ShardId, DeadEvent)>>> + Send;
    fn messages_before(&self, shard: ShardId, key: Key)
    -> impl Future<Output = Answer<i64>> + Send;
    fn dead_count(&self, endpoint: i16) -> impl Future<Output = Answer<i64>> + Send;
    fn contact_page(
        &self,
        shard: ShardId,
        after: &[u8],
        limit: i64,
    ) -> impl Future<Output = Answer<Vec<(Vec<u8>, bool)>>> + Send;
    fn message_page(
        &self,
        shard: ShardId,
        after: &[u8],
        limit: i64,
    ) -> impl Future<Output = Answer<Vec<Vec<u8>>>> + Send;
    fn event_page(
        &self,
        shard: ShardId,
        after: i64,
        limit: i64,
    ) -> impl Future<Output = Answer<Vec<(i64, i16)>>> + Send;
    fn reaches(&self) -> impl Future<Output = Answer<Vec<Reach>>> + Send;
    fn marks(
        &self,
        stretches: &[Stretch],
        each: i64,
    ) -> impl Future<Output = Answer<Vec<Mark>>> + Send;
    fn events_at(&self, at: &[(ShardId, i64)]) -> impl Future<Output = Answer<Vec<Event>>> + Send;
    fn generations(&self) -> impl Future<Output = Answer<Vec<Generation>>> + Send;
    fn latest_inbound(
        &self,
        shard: ShardId,
        peer: Route,
        limit: i64,
    ) -> impl Future<Output = Answer<Vec<(Key, i64)>>> + Send;
    fn own_keys(&self) -> impl Future<Output = Answer<Vec<OwnKey>>> + Send;
    fn file(&self, id: MediaId) -> impl Future<Output = Answer<Option<File>>> + Send;
    fn files_after(
        &self,
        id: MediaId,
        limit: i64,
    ) -> impl Future<Output = Answer<Vec<File>>> + Send;
    fn users(&self) -> impl Future<Output = Answer<Vec<User>>> + Send;
    fn user(&self, name: &str) -> impl Future<Output = Answer<Option<User>>> + Send;
    fn config(&self, name: &str) -> impl Future<Output = Answer<Option<Config>>> + Send;
    fn revoked(&self) -> impl Future<Output = Answer<Vec<Revoked>>> + Send;

    fn shards(&self) -> impl Future<Output = Answer<Vec<Shard>>> + Send;
    fn nodes(&self) -> impl Future<Output = Answer<Vec<Node>>> + Send;
    fn join(&self, node: &Node, lanes: i16) -> impl Future<Output = Answer<()>> + Send;
    fn fence(&self, inc: i64, seen_beat: Option<i64>) -> impl Future<Output = Answer<bool>> + Send;
    fn claim(&self, inc: i64, claims: &[Claim]) -> impl Future<Output = Answer<Vec<Shard>>> + Send;
    fn begin_generation(
        &self,
        inc: Option<i64>,
        generation: i64,
        above: &[(ShardId, i64)],
    ) -> impl Future<Output = Answer<()>> + Send;
    fn tick(&self, inc: i64) -> impl Future<Output = Answer<Tick>> + Send;
    fn set_state(&self, inc: i64, state: NodeState) -> impl Future<Output = Answer<()>> + Send;
    fn leave(&self, inc: i64) -> impl Future<Output = Answer<()>> + Send;
    fn forget_dead(&self) -> impl Future<Output = Answer<()>> + Send;

    /// A lane row of its own, outside any node, to measure commits with.
    fn add_probe(&self, inc: i64) -> impl Future<Output = Answer<()>> + Send;
    fn remove_probe(&self, inc: i64) -> impl Future<Output = Answer<()>> + Send;
}

/// Lane number of a probe's row.
pub(crate) const PROBE_LANE: i16 = -1;

/// The database in use.
#[derive(Clone)]
pub(crate) enum Backend {
    Mysql(Mysql),
    Postgres(Postgres),
    Sqlite(Sqlite),
}

/// Runs `$call` with `$engine` bound to whichever engine is in use.
macro_rules! with_engine {
    ($backend:expr, $engine:ident => $call:expr) => {
        match $backend {
            $crate::engine::Backend::Mysql($engine) => $call,
            $crate::engine::Backend::Postgres($engine) => $call,
            $crate::engine::Backend::Sqlite($engine) => $call,
        }
    };
}
pub(crate) use with_engine;
