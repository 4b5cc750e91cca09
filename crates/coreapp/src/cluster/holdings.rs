//! Takes shards up and lets them go: database, dispatcher, driver and link, in the order that keeps
//! what was promised.

use std::sync::Arc;

use contract::ShardId;
use store::{Lanes, Reader, ShardLoad, rows::Shard};
use tokio::{
    sync::{Semaphore, watch},
    time::{Duration, sleep},
};
use upstream::Upstream;

use super::{duties::Duties, map::Map};
use crate::{
    callbacks::{Callbacks, HolesError},
    control::ControlError,
    delivery::Claims,
    shard::task::Drivers,
};

/// Shards that are loaded at the same time.
pub(crate) const LOADS: usize = 4;
/// A load that failed is repeated after this, without end: nobody else has the shard. So is what shard
/// -1 brings with it, while the database is away.
const AGAIN: Duration = Duration::from_secs(1);

/// A shard is ours and cannot be worked with: trying again does not help.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// A cursor row holds something this version does not know.
    #[error("failed to read table cursor, column holes, shard {shard}: {error}")]
    Cursor {
        /// The row's shard.
        shard: ShardId,
        /// Why.
        error: HolesError,
    },
    /// Settings and users.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// See the module.
pub(crate) struct Holdings<U> {
    pub reader: Reader,
    pub lanes: Lanes,
    pub drivers: Drivers,
    pub callbacks: Arc<Callbacks>,
    pub claims: Claims,
    pub duties: Duties<U>,
    pub map: watch::Sender<Arc<Map>>,
    pub loads: Semaphore,
}

impl<U: Upstream> Holdings<U> {
    /// The rows name us: from now on the shard is worked with. Accepts as soon as it is loaded, sends
    /// once the network has welcomed it.
    pub(super) async fn own(&self, row: Shard) -> Result<(), HoldError> {
        let Shard { id: shard, epoch, .. } = row;
        let load = {
            // Never closed.
            let _place = self.loads.acquire().await;
            self.load(shard).await
        };
        self.callbacks
            .attach(shard, epoch, &load)
            .map_err(|error| HoldError::Cursor { shard, error })?;
        self.drivers.own(shard, epoch, load).await;
        self.claims.claim(shard, epoch);
        self.change(|map| map.mine.extend([(shard, epoch)]));
        if shard == ShardId::CONTROL {
            self.begin_duties(epoch).await?;
        }
        Ok(())
    }

    async fn begin_duties(&self, epoch: i64) -> Result<(), HoldError> {
        loop {
            match self.duties.begin(epoch).await {
                Err(error) if error.is_transient() => {
                    tracing::error!(%error, "failed to look after the account; will try again");
                    sleep(AGAIN).await;
                }
                begun => return begun.map_err(HoldError::Control),
            }
        }
    }

    async fn load(&self, shard: ShardId) -> ShardLoad {
        loop {
            match self.reader.load_shard(shard).await {
                Ok(load) => return load,
                Err(error) => {
                    tracing::error!(shard = shard.get(), %error, "failed to load a shard that is ours; will try again");
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// Lets a shard go: when this is done nothing of it can be written by this process any more, and
    /// what was promised for it is in the rows.
    pub(super) async fn close(&self, shard: ShardId) {
        // First what may take long, as a slow webhook is waited for: messages are taken all the while.
        if !self.callbacks.release(shard).await {
            tracing::warn!(
                shard = shard.get(),
                "a callback cursor was not saved; the next owner repeats some callbacks"
            );
        }
        if shard == ShardId::CONTROL {
            self.duties.end().await;
        }
        self.change(|map| map.mine.retain(|mine, _| *mine != shard));
        self.drivers.close(shard).await;
        self.claims.leave(shard).await;
        self.lanes.part(shard).await;
        self.drivers.disown(shard).await;
    }

    fn change(&self, change: impl FnOnce(&mut Map)) {
        self.map.send_modify(|map| change(Arc::make_mut(map)));
    }
}
