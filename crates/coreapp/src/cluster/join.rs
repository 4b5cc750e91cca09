//! Joining: fence whoever was here before under the same name, then claim every shard.
//!
//! A coreapp of another name whose beat still moves is alive: then this one refuses to start. One
//! whose beat stands still over five seconds and four reads is dead and is fenced.

use std::time::Duration;

use contract::{Rng, ShardId};
use store::{
    Cluster, StoreError,
    rows::{Node, NodeState, Shard},
};
use tokio::time::Instant;

/// How long a beat must stand still.
const SUSPICION: Duration = Duration::from_secs(5);
/// Between two looks at it.
const LOOK: Duration = Duration::from_secs(1);
/// Claims that lost a race before giving up.
const CLAIMS_MAX: usize = 5;

/// Who joins.
#[derive(Clone, Debug)]
pub(crate) struct Me {
    pub name: String,
    /// host:port of 6250, as peers and webapps reach it.
    pub addr: String,
}

/// What joining gave.
#[derive(Debug)]
pub(crate) struct Joined {
    pub inc: i64,
    pub shards: Vec<Shard>,
}

/// This coreapp cannot join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// See the module.
    #[error(
        "another coreapp, '{name}' at {addr}, is alive on this database (HG-CLUSTER-1): stop it, or \
         give this one its own database; to replace it in place, start under the same node name \
         (--node or HELIOGRAPH_NODE__NAME)"
    )]
    Occupied {
        /// Its node name.
        name: String,
        /// Where it listens.
        addr: String,
    },
    /// Others keep claiming the same shards.
    #[error(
        "some shards could not be claimed: another coreapp is starting at the same time (HG-CLUSTER-2)"
    )]
    Race,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Joins as a new incarnation and claims all shards.
pub(crate) async fn join(
    cluster: &Cluster,
    me: &Me,
    lanes: usize,
    rng: &impl Rng,
) -> Result<Joined, JoinError> {
    let (mine, others): (Vec<Node>, Vec<Node>) = cluster
        .nodes()
        .await?
        .into_iter()
        .filter(|node| node.state != NodeState::Dead)
        .partition(|node| node.name == me.name);
    for node in mine {
        cluster.fence(node.inc, None).await?;
        tracing::info!(node.name = node.name, "fenced the predecessor of the same name");
    }
    if !others.is_empty() {
        bury(cluster, others).await?;
    }
    cluster.forget_dead().await?;

    // Positive and never zero, which stands for "no owner".
    let inc = (rng.next_u64() >> 1).max(1).cast_signed();
    let node = Node {
        inc,
        name: me.name.clone(),
        addr: me.addr.clone(),
        state: NodeState::Live,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        beat: 0,
    };
    cluster.join(&node, lanes).await?;
    for _ in 0..CLAIMS_MAX {
        let seen = cluster.shards().await?;
        let (own, rest): (Vec<Shard>, Vec<Shard>) =
            seen.into_iter().partition(|shard| shard.owner_inc == inc);
        if own.len() == ShardId::all().count() {
            return Ok(Joined { inc, shards: own });
        }
        cluster.claim(inc, &rest).await?;
    }
    Err(JoinError::Race)
}

/// Fences nodes whose beat stands still.
pub(crate) async fn bury(cluster: &Cluster, suspects: Vec<Node>) -> Result<(), JoinError> {
    tracing::info!(
        nodes = suspects.len(),
        "other coreapps are on record; watching for 5 s whether any is alive"
    );
    let until = Instant::now() + SUSPICION;
    while Instant::now() < until {
        tokio::time::sleep(LOOK).await;
        let now = cluster.nodes().await?;
        for suspect in &suspects {
            let alive = now.iter().any(|node| {
                node.inc == suspect.inc
                    && node.state != NodeState::Dead
                    && node.beat != suspect.beat
            });
            if alive {
                let (name, addr) = (suspect.name.clone(), suspect.addr.clone());
                return Err(JoinError::Occupied { name, addr });
            }
        }
    }
    for suspect in suspects {
        if !cluster.fence(suspect.inc, Some(suspect.beat)).await? {
            return Err(JoinError::Occupied { name: suspect.name, addr: suspect.addr });
        }
        tracing::warn!(node.name = suspect.name, "fenced a coreapp whose beat stood still");
    }
    Ok(())
}
