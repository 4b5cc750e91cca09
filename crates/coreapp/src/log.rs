//! The event log as the callback dispatcher sees it: pages from the reader, cursors through the
//! lanes.

use contract::ShardId;
use futures_util::{FutureExt, future::BoxFuture};
use store::{
    DeadPage, Lanes, Reader,
    rows::{DeadEvent, DeadState, Event},
    write::{Class, Op, WriteError},
};

use crate::callbacks::{Log, LogError};

/// See the module.
pub(crate) struct StoreLog {
    pub reader: Reader,
    pub lanes: Lanes,
}

impl Log for StoreLog {
    fn page(
        &self,
        shard: ShardId,
        after: i64,
        limit: u32,
    ) -> BoxFuture<'static, Result<Vec<Event>, LogError>> {
        let reader = self.reader.clone();
        async move {
            reader
                .events(shard, after, limit)
                .await
                .map_err(|error| LogError::Once(error.to_string()))
        }
        .boxed()
    }

    fn parked(
        &self,
        endpoint: i16,
        shard: ShardId,
        after_seq: i64,
        limit: u32,
    ) -> BoxFuture<'static, Result<Vec<DeadEvent>, LogError>> {
        let reader = self.reader.clone();
        let page = DeadPage { endpoint, shard, state: DeadState::Parked, after_seq, limit };
        async move { reader.dead_events(page).await.map_err(|error| LogError::Once(error.to_string())) }
            .boxed()
    }

    fn save(
        &self,
        shard: ShardId,
        epoch: i64,
        ops: Vec<Op>,
    ) -> BoxFuture<'static, Result<(), LogError>> {
        let saved = self.lanes.commit(shard, epoch, Class::Cursor, ops);
        async move { saved.await.map(|_| ()).map_err(|error| not_saved(&error)) }.boxed()
    }
}

fn not_saved(error: &WriteError) -> LogError {
    match error {
        WriteError::Failed(_) => LogError::AsAll(error.to_string()),
        _ => LogError::Once(error.to_string()),
    }
}
