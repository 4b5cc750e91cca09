//! The event log as the callback dispatcher sees it: pages from the reader, cursors through the
//! lanes.

use contract::ShardId;
use futures_util::{FutureExt, future::BoxFuture};
use store::{
    Lanes, Reader,
    rows::{Cursor, Event},
    write::{Class, Op, Reply, Write, WriteError},
};
use tokio::sync::oneshot;

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
            reader.events(shard, after, limit).await.map_err(|error| LogError(error.to_string()))
        }
        .boxed()
    }

    fn save(
        &self,
        shard: ShardId,
        epoch: i64,
        cursor: Cursor,
    ) -> BoxFuture<'static, Result<(), LogError>> {
        let (reply, saved) = oneshot::channel();
        self.lanes.submit(Write {
            shard,
            epoch,
            class: Class::Cursor,
            ops: vec![Op::PutCursor(cursor)],
            reply: Reply::Once(reply),
        });
        async move {
            let result = saved.await.unwrap_or(Err(WriteError::Fenced));
            result.map(|_| ()).map_err(|error| LogError(error.to_string()))
        }
        .boxed()
    }
}
