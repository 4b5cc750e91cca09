//! The beat: once a second, say that we live and read whether others think so too.

use std::{sync::Arc, time::Duration};

use store::{Cluster, rows::NodeState};
use tokio::time::{Instant, MissedTickBehavior};

use super::beat::Beat;

const PERIOD: Duration = Duration::from_secs(1);

/// Another incarnation has taken over; this process must end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "another coreapp has taken over the shards; this one stops so as not to act twice (HG-CLUSTER-3)"
)]
pub(crate) struct Lost;

/// Beats until the node is lost.
pub(crate) async fn tick(cluster: Cluster, inc: i64, beat: Arc<Beat>) -> Lost {
    let mut period = tokio::time::interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        period.tick().await;
        let sent = Instant::now();
        match cluster.tick(inc).await {
            Ok(tick) => {
                let live = matches!(tick.state, NodeState::Live | NodeState::Draining);
                let owner = tick.shards.iter().all(|shard| shard.owner_inc == inc);
                if !(live && tick.lanes_live && owner) {
                    return Lost;
                }
                beat.good(sent);
                if std::mem::take(&mut failing) {
                    tracing::info!("the database answers again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "the beat was not written; after 3 s nothing leaves, after 5 s nothing is answered");
                }
            }
        }
    }
}
