//! Joining: fence whoever was here before under the same name, and take a place among the others.

use contract::Rng;
use store::{
    Cluster, StoreError,
    rows::{Node, NodeState},
};

/// Who joins.
#[derive(Clone, Debug)]
pub(crate) struct Me {
    pub name: String,
    /// host:port of 6250, as peers and webapps reach it.
    pub addr: String,
}

/// Joins as a new incarnation; gives its number.
pub(crate) async fn join(
    cluster: &Cluster,
    me: &Me,
    lanes: usize,
    rng: &impl Rng,
) -> Result<i64, StoreError> {
    let mine = |node: &Node| node.state != NodeState::Dead && node.name == me.name;
    for node in cluster.nodes().await?.into_iter().filter(mine) {
        cluster.fence(node.inc, None).await?;
        tracing::info!(node.name = node.name, "fenced the predecessor of the same name");
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
    Ok(inc)
}
