//! What the dispatcher needs of the event log: pages of it and of `dead_event`, and a place for its
//! cursor.

use contract::ShardId;
use futures_util::future::BoxFuture;
use store::{
    rows::{DeadEvent, Event},
    write::Op,
};

/// A page or a cursor did not get through. The dispatcher repeats; the text is for the log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Once.
    #[error("{0}")]
    Once(String),
    /// As everything else at the moment, which is said elsewhere.
    #[error("{0}")]
    AsAll(String),
}

/// The event log as one dispatcher sees it. Called a few times a second and shard, hence boxed.
pub trait Log: Send + Sync + 'static {
    /// At most `limit` committed events after `after`, ascending. An event that is left out
    /// between two others, or below a number known to be committed, does not exist any more.
    fn page(
        &self,
        shard: ShardId,
        after: i64,
        limit: u32,
    ) -> BoxFuture<'static, Result<Vec<Event>, LogError>>;

    /// At most `limit` parked (not dead) events of the endpoint after `after`, ascending.
    fn parked(
        &self,
        endpoint: i16,
        shard: ShardId,
        after: i64,
        limit: u32,
    ) -> BoxFuture<'static, Result<Vec<DeadEvent>, LogError>>;

    /// Stores a cursor and what goes with it, all or nothing; answered when it is on disk.
    fn save(
        &self,
        shard: ShardId,
        epoch: i64,
        ops: Vec<Op>,
    ) -> BoxFuture<'static, Result<(), LogError>>;
}
