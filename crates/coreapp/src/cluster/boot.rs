//! The first look at the cluster: goes on until this coreapp owns shard -1 or the account exists.
//! Only shard -1's owner makes the account's keys, settings and first user, and nothing can be set up
//! without them.

use std::{sync::Arc, time::Duration};

use contract::ShardId;
use store::{Cluster, Reader, StoreError, rows::Shard};
use tokio::time::{Instant, sleep};

use super::{
    beat::Beat,
    join::Me,
    machine::{Input, Machine, Output},
};
use crate::{control, prekeys};

/// Shard -1's owner is as good as ready: it only has to write the first rows.
const PERIOD: Duration = Duration::from_millis(200);

/// Why the first look failed.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// Somebody fenced us while we started.
    #[error(
        "another coreapp was started under the same node name at the same time (HG-CLUSTER-2): \
         give each its own (--node or HELIOGRAPH_NODE__NAME)"
    )]
    Fenced,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the first look has come to.
pub(crate) struct Booted {
    pub(super) machine: Machine,
    /// What is still to be done.
    pub(super) outputs: Vec<Output>,
    /// Zero of the machine's time.
    pub(super) origin: Instant,
}

impl Booted {
    /// Shard -1, if it is ours.
    pub(crate) fn control(&self) -> Option<Shard> {
        self.outputs.iter().find_map(|output| match output {
            Output::Own(row) if row.id == ShardId::CONTROL => Some(*row),
            _ => None,
        })
    }
}

/// Ticks and claims; loads nothing.
pub(crate) async fn boot(
    cluster: &Cluster,
    reader: &Reader,
    me: &Me,
    inc: i64,
    beat: &Arc<Beat>,
) -> Result<Booted, BootError> {
    let origin = Instant::now();
    let ms = || u64::try_from(origin.elapsed().as_millis()).unwrap_or(u64::MAX);
    let machine = Machine::new(inc, me.name.clone());
    let mut booted = Booted { machine, outputs: Vec::new(), origin };
    loop {
        let (sent, sent_ms) = (Instant::now(), ms());
        let tick = cluster.tick(inc).await?;
        beat.good(sent);
        let settings = control::exists(&tick.configs);
        let mut todo = booted.machine.step(Input::Tick { sent_ms, got_ms: ms(), tick });
        while let Some(output) = todo.pop() {
            match output {
                Output::Fence { inc, beat } => {
                    let dead = Some(cluster.fence(inc, Some(beat)).await?);
                    todo.extend(booted.machine.step(Input::Fenced { inc, dead }));
                }
                Output::Claim(seen) => {
                    let got = cluster.claim(inc, &seen).await?;
                    let asked = seen.iter().map(|row| row.id).collect();
                    let claimed = Input::Claimed { now_ms: ms(), asked, got };
                    todo.extend(booted.machine.step(claimed));
                }
                Output::Lost(_) => return Err(BootError::Fenced),
                // What is not loaded is not closed either.
                output => booted.outputs.push(output),
            }
        }
        if booted.control().is_some() || (settings && prekeys::exist(reader).await?) {
            return Ok(booted);
        }
        sleep(PERIOD).await;
    }
}
