//! Membership: who is there, who owns which shard, and taking over from who is gone. No wall clock
//! is involved; whoever suspects a node proves it with the node's own counter.

use contract::ShardId;

use crate::{
    engine::{Backend, Engine, with_engine},
    error::StoreError,
    rows::{Generation, Node, NodeState, Shard},
    settings::LANES_MAX,
};

/// What a tick reads, all in one round trip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Our own; [`NodeState::Dead`] also when the row is gone.
    pub state: NodeState,
    /// All our lanes may still write.
    pub lanes_live: bool,
    /// By incarnation, our own included.
    pub nodes: Vec<Node>,
    /// By id, 65 of them.
    pub shards: Vec<Shard>,
    /// Name and version of every document.
    pub configs: Vec<(String, i64)>,
    /// Of the account: the last that was begun; 0 in the first.
    pub generation: i64,
}

/// A shard to be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Claimed only if owner and epoch are still these.
    pub seen: Shard,
    /// The new epoch is above this too.
    pub above: i64,
}

/// Membership. Nothing here is repeated on error: the caller ticks anyway, and an outcome that is
/// unknown shows in the next tick.
#[derive(Clone)]
pub struct Cluster {
    backend: Backend,
}

impl Cluster {
    pub(crate) fn new(backend: Backend) -> Self {
        Self { backend }
    }

    /// All nodes, by incarnation.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer, as everywhere here.
    pub async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        with_engine!(&self.backend, engine => engine.nodes().await)
    }

    /// The shard map, by id.
    ///
    /// # Errors
    /// See [`Cluster::nodes`].
    pub async fn shards(&self) -> Result<Vec<Shard>, StoreError> {
        with_engine!(&self.backend, engine => engine.shards().await)
    }

    /// Adds a node with its beat (at 0) and its lanes. Repeating it changes nothing.
    ///
    /// # Errors
    /// See [`Cluster::nodes`].
    pub async fn join(&self, node: &Node, lanes: usize) -> Result<(), StoreError> {
        let lanes = i16::try_from(lanes.clamp(1, LANES_MAX)).unwrap_or(1);
        with_engine!(&self.backend, engine => engine.join(node, lanes).await)
    }

    /// Takes a node's right to write and marks it dead, in one transaction that waits for the
    /// node's open batches. With `seen_beat` only if its counter still stands there. False: it
    /// lives. A node that is dead or gone already is true.
    ///
    /// # Errors
    /// See [`Cluster::nodes`].
    pub async fn fence(&self, inc: i64, seen_beat: Option<i64>) -> Result<bool, StoreError> {
        with_engine!(&self.backend, engine => engine.fence(inc, seen_beat).await)
    }

    /// Makes `inc` the owner, under the next epoch, of those shards whose owner and epoch are still
    /// as seen. Gives those it got, as they are now. An orderly release is the same call by the old
    /// owner in favour of the next.
    ///
    /// # Errors
    /// See [`Cluster::nodes`].
    pub async fn claim(&self, inc: i64, seen: &[Shard]) -> Result<Vec<Shard>, StoreError> {
        let claims: Vec<_> = seen.iter().map(|seen| Claim { seen: *seen, above: 0 }).collect();
        self.claim_above(inc, &claims).await
    }

    /// The same for an owner that has been told of higher epochs than its rows hold.
    ///
    /// # Errors
    /// See [`Cluster::nodes`].
    pub async fn claim_above(&self, inc: i64, claims: &[Claim]) -> Result<Vec<Shard>, StoreError> {
        if claims.is_empty() {
            return Ok(Vec::new());
        }
        with_engine!(&self.backend, engine => engine.claim(inc, claims).await)
    }

    /// Begins a generation of the account in every shard, behind all numbers its log holds and
    /// those of `above`. Only for `inc`, while it lives; `None`: while no node does. Gives the
    /// generations there are now: without this one it was not permitted.
    ///
    /// # Errors
    /// See [`Cluster::nodes`].
    pub async fn begin_generation(
        &self,
        inc: Option<i64>,
        generation: i64,
        above: &[(ShardId, i64)],
    ) -> Result<Vec<Generation>, StoreError> {
        with_engine!(&self.backend, engine => {
            engine.begin_generation(inc, generation, above).await?;
            engine.generations().await
        })
    }

    /// Beats once and reads everything about the cluster.
    ///
    /// # Errors
    /// See [`Cluster::nodes`].
    pub async fn tick(&self, inc: i64) -> Result<Tick, StoreError> {
        with_engine!(&self.backend, engine => engine.tick(inc).await)
    }

    /// Tells the others that this node takes no more shards.
    ///
    /// # Errors
    /// See [`Cluster::nodes`].
    pub async fn drain(&self, inc: i64) -> Result<(), StoreError> {
        with_engine!(&self.backend, engine => engine.set_state(inc, NodeState::Draining).await)
    }

    /// Gives up the own right to write and the own place, after the lanes are closed.
    ///
    /// # Errors
    /// See [`Cluster::nodes`].
    pub async fn leave(&self, inc: i64) -> Result<(), StoreError> {
        with_engine!(&self.backend, engine => engine.leave(inc).await)
    }

    /// Removes the rows of dead nodes that own no shard.
    ///
    /// # Errors
    /// See [`Cluster::nodes`].
    pub async fn forget_dead(&self) -> Result<(), StoreError> {
        with_engine!(&self.backend, engine => engine.forget_dead().await)
    }
}
