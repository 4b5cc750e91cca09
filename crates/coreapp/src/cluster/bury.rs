//! Makes sure that nobody lives on a database that is to be worked on.

use std::time::Duration;

use store::{
    Cluster, StoreError,
    rows::{Node, NodeState},
};
use tokio::time::Instant;

/// How long a beat must stand still.
const SUSPICION: Duration = Duration::from_secs(5);
/// Between two looks at it.
const LOOK: Duration = Duration::from_secs(1);

/// Why nodes were not buried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuryError {
    /// One of them lives.
    #[error("the coreapp '{name}' at {addr} is alive")]
    Alive {
        /// Its node name.
        name: String,
        /// Where it listens.
        addr: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Fences nodes whose beat stands still.
pub(crate) async fn bury(cluster: &Cluster, suspects: Vec<Node>) -> Result<(), BuryError> {
    tracing::info!(
        nodes = suspects.len(),
        "coreapps are on record; watching for 5 s whether any is alive"
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
                return Err(BuryError::Alive { name, addr });
            }
        }
    }
    for suspect in suspects {
        if !cluster.fence(suspect.inc, Some(suspect.beat)).await? {
            return Err(BuryError::Alive { name: suspect.name, addr: suspect.addr });
        }
        tracing::warn!(node.name = suspect.name, "fenced a coreapp whose beat stood still");
    }
    Ok(())
}
