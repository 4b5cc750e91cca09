//! What a tick shows beside the cluster: versions of what others have written, to be gone by here.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use contract::ShardId;
use store::{Reader, StoreError};

use super::map::MapRx;
use crate::{
    control::{Control, ControlError},
    generation::Generations,
    metrics::Metrics,
    prekeys::{self, KeyError, Ring},
    shard::task::{Drivers, Renewed},
};

/// What could not be followed; the next tick tries again.
#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a tick has shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    pub(super) configs: Vec<(String, i64)>,
    pub(super) generation: i64,
}

/// See the module.
pub(crate) struct Followers {
    pub control: Arc<Control>,
    pub ring: Arc<Ring>,
    /// Version of our own keys that the ring holds.
    pub keys: AtomicI64,
    pub generations: Arc<Generations>,
    pub reader: Reader,
    pub drivers: Drivers,
    pub metrics: Metrics,
    pub map: MapRx,
}

impl Followers {
    /// Goes by what is shown; nothing is read that is known.
    pub(super) async fn follow(&self, shown: &Shown) -> Result<(), FollowError> {
        self.control.follow(&shown.configs).await?;
        let version =
            |(name, version): &(String, i64)| (name == prekeys::VERSION).then_some(*version);
        let keys = shown.configs.iter().find_map(version).unwrap_or(0);
        if keys > self.keys.load(Ordering::Relaxed) {
            prekeys::refresh(&self.reader, &self.ring).await?;
            self.keys.store(keys, Ordering::Relaxed);
        }
        if shown.generation > self.generations.current() {
            self.renew().await?;
        }
        Ok(())
    }

    /// Another coreapp has begun a generation of the account: the sessions of ours are dead, too.
    async fn renew(&self) -> Result<(), StoreError> {
        self.generations.replace(&self.reader.generations().await?);
        let mine = self.map.borrow().mine.clone();
        let renewed = |(shard, epoch): (ShardId, i64)| Renewed {
            shard,
            epoch,
            next_seq: self.generations.start(shard),
        };
        let generation = self.generations.current();
        self.drivers.renew(generation, mine.into_iter().map(renewed).collect()).await;
        self.metrics.generation(generation);
        self.ring.low();
        tracing::warn!(generation, "another coreapp has begun a new generation of the account");
        Ok(())
    }
}
