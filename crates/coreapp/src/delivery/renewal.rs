//! Catches up with a network that has seen more of us than our rows hold: the database was restored
//! from a backup, or has lost what it had acknowledged.
//!
//! A new generation of the account begins, behind all numbers the network has seen, and epochs are
//! raised above those it has seen. Both are durable before the machines are told, and the machines
//! are told before anything is sealed: that waits for the next greeting.

use std::{sync::Arc, time::Duration};

use contract::{Clock, ShardId};
use store::{Claim, Cluster, Lanes, StoreError};
use tokio::time::{Instant, sleep, sleep_until};

use super::greeting::Behind;
use crate::{
    generation::Generations,
    metrics::Metrics,
    prekeys::Ring,
    shard::task::{Drivers, Renewed},
};

/// Between two renewals: two databases that both speak for one number would go on for ever.
const PAUSE: Duration = Duration::from_secs(5);
/// The database did not answer: again after this long. There is no limit: nothing may be sent
/// before.
const AGAIN: Duration = Duration::from_secs(1);

/// What it works with.
pub(crate) struct Renewal {
    pub cluster: Cluster,
    pub inc: i64,
    pub generations: Arc<Generations>,
    pub clock: Arc<dyn Clock>,
    pub lanes: Lanes,
    pub keys: Arc<Ring>,
    pub metrics: Metrics,
    /// Of the last one.
    pub last: Option<Instant>,
}

impl Renewal {
    /// Catches up; gives the shards that are ours, with their epochs. What our rows no longer call
    /// ours is let go: then the network was told by its new owner.
    pub(crate) async fn renew(
        &mut self,
        drivers: &Drivers,
        own: &[(ShardId, i64)],
        behind: &Behind,
    ) -> Vec<(ShardId, i64)> {
        if let Some(last) = self.last {
            sleep_until(last + PAUSE).await;
        }
        let shards = loop {
            match self.try_renew(drivers, own, behind).await {
                Ok(shards) => break shards,
                Err(error) => {
                    tracing::error!(%error, "the database is behind the network and cannot be put right; nothing is sent until it can");
                    sleep(AGAIN).await;
                }
            }
        };
        self.last = Some(Instant::now());
        shards
    }

    async fn try_renew(
        &self,
        drivers: &Drivers,
        own: &[(ShardId, i64)],
        behind: &Behind,
    ) -> Result<Vec<(ShardId, i64)>, StoreError> {
        let rows = self.cluster.shards().await?;
        let mine: Vec<_> = rows
            .into_iter()
            .filter(|row| row.owner_inc == self.inc && own.contains(&(row.id, row.epoch)))
            .collect();
        let is_mine = |shard: ShardId| mine.iter().any(|row| row.id == shard);
        for (shard, _) in own.iter().filter(|(shard, _)| !is_mine(*shard)) {
            tracing::warn!(shard = shard.get(), "the shard has another owner; it is let go");
            self.lanes.disown(*shard);
        }
        let concerned = behind.seqs.iter().chain(&behind.epochs).any(|(shard, _)| is_mine(*shard));
        if !concerned {
            return Ok(mine.iter().map(|row| (row.id, row.epoch)).collect());
        }

        // First the generation: without it higher epochs and numbers would hide what has happened.
        let generation = self.generations.next(self.clock.unix_s());
        let rows = self.cluster.begin_generation(Some(self.inc), generation, &behind.seqs).await?;
        if rows.iter().all(|row| row.generation != generation) {
            // Whoever has fenced us decides; the beat ends this process.
            own.iter().for_each(|(shard, _)| self.lanes.disown(*shard));
            return Ok(Vec::new());
        }
        self.generations.replace(&rows);
        let above = |shard: ShardId| {
            let told = behind.epochs.iter().find(|(told, _)| *told == shard);
            told.map(|(_, epoch)| *epoch)
        };
        let claims: Vec<Claim> = mine
            .iter()
            .filter_map(|seen| Some(Claim { seen: *seen, above: above(seen.id)? }))
            .collect();
        let raised = self.cluster.claim_above(self.inc, &claims).await?;
        tracing::error!(
            generation,
            shards.events = behind.seqs.len(),
            shards.epochs = behind.epochs.len(),
            "the database is older than what the network has seen, as after the restore of a backup: \
             a new generation begins, sessions are made anew (HG-GENERATION-1)"
        );
        self.metrics.renewed(generation, raised.len());

        let now: Vec<Renewed> = mine
            .iter()
            .map(|row| {
                let epoch =
                    raised.iter().find(|it| it.id == row.id).map_or(row.epoch, |it| it.epoch);
                Renewed { shard: row.id, epoch, next_seq: self.generations.start(row.id) }
            })
            .collect();
        let shards = now.iter().map(|renewed| (renewed.shard, renewed.epoch)).collect();
        drivers.renew(generation, now).await;
        self.keys.low();
        Ok(shards)
    }
}
