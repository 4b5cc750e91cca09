//! Lanes: the only way to write. A lane is one dedicated connection that commits batches one after
//! another; a shard always uses the same one, so that its commits are in order.
//!
//! `inbox` holds what waits, `run` is the loop of one lane, `answer` tells the outcome. What a
//! lane needs of a database is `LaneEngine`.

mod answer;
mod inbox;
mod run;

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use contract::{Rng, ShardId};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use crate::{
    batch::Batch,
    error::StoreError,
    rows::Event,
    vault::Vault,
    write::{Answer, Class, Committed, Op, Reply, Write, WriteError},
};

pub(crate) use inbox::Inbox;

/// Hot writes that may wait in a lane before [`Lanes::has_room`] says no. Callers then wait 250 ms
/// and refuse their work; what settles work already accepted is submitted regardless.
pub const HOT_ROOM: usize = 1_024;
/// Bulk writes that may wait in a lane before [`Lanes::has_bulk_room`] tells their writers to wait.
pub const BULK_ROOM: usize = 4_096;

/// Told of every committed event, in commit order per shard, before whoever waits for the write.
/// Runs within the lane: it must be quick and must not block.
pub trait Feed: Send + Sync {
    fn committed(&self, events: &[Event]);
}

/// A lane's own row before a batch is committed; the batch moves it from `batch - 1` to `batch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    pub(crate) inc: i64,
    pub(crate) lane: i16,
    pub(crate) batch: i64,
}

/// What became of one attempt to commit.
#[derive(Debug)]
pub(crate) enum Done {
    Committed,
    /// The fence changed no row: committed by an earlier attempt, or taken over.
    NoRow,
    /// Certainly not committed: a row breaks a constraint.
    Refused(Refusal),
    /// Unknown. `answered`: the database itself reported an error, the connection may be fine.
    Lost {
        answered: bool,
        why: String,
    },
}

/// The constraint of a table is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Of the table whose key is taken.
    pub(crate) taken_in: Option<String>,
    pub(crate) why: String,
}

/// The database behind lanes. One module an engine.
pub(crate) trait LaneEngine: Clone + Send + Sync + 'static {
    type Session: Send + 'static;

    /// A new connection, in no way related to an earlier one.
    fn connect(&self) -> impl Future<Output = Result<Self::Session, StoreError>> + Send;

    /// Commits a batch behind its fence in one transaction, in one round trip.
    fn commit(
        &self,
        session: &mut Self::Session,
        fence: Fence,
        batch: &Arc<Batch>,
    ) -> impl Future<Output = Done> + Send;

    /// The lane's row as (live, batch), locked while it is read, so that the answer waits for
    /// whatever an earlier connection has still open.
    fn ask(
        &self,
        session: &mut Self::Session,
        fence: Fence,
    ) -> impl Future<Output = Result<Option<(bool, i64)>, StoreError>> + Send;
}

/// The lanes of an incarnation. Clones share them.
#[derive(Clone)]
pub struct Lanes {
    inner: Arc<Inner>,
}

struct Inner {
    inboxes: Vec<Arc<Inbox>>,
    fenced: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Lanes {
    pub(crate) fn start<E: LaneEngine>(
        engine: &E,
        inc: i64,
        lanes: usize,
        batch_max: usize,
        feed: &Arc<dyn Feed>,
        vault: &Arc<Vault>,
        rng: &Arc<dyn Rng>,
    ) -> Self {
        let (fenced, _) = watch::channel(false);
        let (cut, _) = watch::channel(());
        let inboxes: Vec<_> = (0..lanes.max(1)).map(|_| Arc::new(Inbox::default())).collect();
        let tasks = (0..).zip(&inboxes).map(|(lane, inbox)| {
            let lane = run::Lane::new(
                engine.clone(),
                Fence { inc, lane, batch: 1 },
                batch_max,
                Arc::clone(inbox),
                inboxes.clone(),
                fenced.clone(),
                cut.clone(),
                Arc::clone(feed),
                Arc::clone(vault),
                Arc::clone(rng),
            );
            tokio::spawn(lane.run())
        });
        let tasks = Mutex::new(tasks.collect());
        Self { inner: Arc::new(Inner { inboxes, fenced, tasks }) }
    }

    /// The lane a shard uses: shard modulo lanes, the control shard's is 0.
    #[must_use]
    pub fn lane_of(&self, shard: ShardId) -> usize {
        usize::try_from(shard.get()).unwrap_or(0) % self.inner.inboxes.len().max(1)
    }

    /// Lets writes of a shard pass under `epoch`. `next_seq` numbers its next event (see
    /// [`crate::reader::ShardLoad::next_seq`]); [`crate::write::Reply::Token`] answers go to
    /// `answers`.
    pub fn own(
        &self,
        shard: ShardId,
        epoch: i64,
        next_seq: i64,
        answers: mpsc::UnboundedSender<Vec<Answer>>,
    ) {
        self.inbox(shard).own(shard, epoch, next_seq, answers);
    }

    /// The owner has raised its shard's epoch, and with it, perhaps, the number of its next event.
    /// Writes under the epochs since [`Lanes::own`] pass as before.
    pub fn renew(&self, shard: ShardId, epoch: i64, next_seq: i64) {
        self.inbox(shard).renew(shard, epoch, next_seq);
    }

    /// Number of the last event of a shard that is committed, as far as its lane knows; 0 of one
    /// that was never owned.
    #[must_use]
    pub fn committed_seq(&self, shard: ShardId) -> i64 {
        self.inbox(shard).committed_seq(shard)
    }

    /// Refuses further writes of a shard, and those that wait. A batch under way is still answered.
    pub fn disown(&self, shard: ShardId) {
        self.inbox(shard).disown(shard);
    }

    /// The same, and waits until the fate of the batch under way is known: then nothing of the shard
    /// can be written by this process any more. What was written was answered before; what waits will
    /// be refused.
    pub fn part(&self, shard: ShardId) -> impl Future<Output = ()> + Send + use<> {
        let inbox = Arc::clone(self.inbox(shard));
        inbox.disown(shard);
        async move { inbox.settled().await }
    }

    /// Hands a write over; never blocks. Its outcome, a refusal included, comes as its reply.
    pub fn submit(&self, write: Write) {
        self.inbox(write.shard).submit([write]);
    }

    /// Hands a write over at once and gives its outcome to whoever waits for it. A lane that ends
    /// without an answer is one that was fenced.
    pub fn commit(
        &self,
        shard: ShardId,
        epoch: i64,
        class: Class,
        ops: Vec<Op>,
    ) -> impl Future<Output = Result<Committed, WriteError>> + Send + use<> {
        let (reply, outcome) = oneshot::channel();
        self.submit(Write { shard, epoch, class, ops, reply: Reply::Once(reply) });
        async move { outcome.await.unwrap_or(Err(WriteError::Fenced)) }
    }

    /// As [`Lanes::submit`] for each, in order, with one wake-up a lane.
    pub fn submit_many(&self, writes: Vec<Write>) {
        let mut by_lane: Vec<Vec<Write>> = Vec::new();
        by_lane.resize_with(self.inner.inboxes.len(), Vec::new);
        for write in writes {
            if let Some(lane) = by_lane.get_mut(self.lane_of(write.shard)) {
                lane.push(write);
            }
        }
        for (writes, inbox) in by_lane.into_iter().zip(&self.inner.inboxes) {
            if !writes.is_empty() {
                inbox.submit(writes);
            }
        }
    }

    /// Whether fewer than [`HOT_ROOM`] hot writes wait in the shard's lane.
    #[must_use]
    pub fn has_room(&self, shard: ShardId) -> bool {
        self.inbox(shard).hot_waiting() < HOT_ROOM
    }

    /// Whether the shard's lane does not reach the database: intake is refused.
    #[must_use]
    pub fn is_away(&self, shard: ShardId) -> bool {
        self.inbox(shard).is_away()
    }

    /// Whether fewer than [`BULK_ROOM`] bulk writes wait in a lane.
    #[must_use]
    pub fn has_bulk_room(&self, lane: usize) -> bool {
        self.inner.inboxes.get(lane).is_some_and(|inbox| inbox.bulk_waiting() < BULK_ROOM)
    }

    /// Becomes true once: another incarnation has taken over, nothing is written any more and
    /// every write is answered [`crate::write::WriteError::Fenced`].
    #[must_use]
    pub fn fenced(&self) -> watch::Receiver<bool> {
        self.inner.fenced.subscribe()
    }

    /// Writes what waits, then stops. Writes submitted later are refused. Takes as long as the
    /// database needs to answer: callers set the limit.
    pub async fn close(self) {
        let tasks = {
            let mut tasks = self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        for inbox in &self.inner.inboxes {
            inbox.close();
        }
        for task in tasks {
            // A lane has no way to fail but a bug, which has reported itself.
            let _ = task.await;
        }
    }

    fn inbox(&self, shard: ShardId) -> &Arc<Inbox> {
        // `lane_of` is within bounds, and there is a lane.
        &self.inner.inboxes[self.lane_of(shard)]
    }
}

/// The lanes finish what waits and end.
impl Drop for Inner {
    fn drop(&mut self) {
        for inbox in &self.inboxes {
            inbox.close();
        }
    }
}

#[cfg(test)]
mod tests;
