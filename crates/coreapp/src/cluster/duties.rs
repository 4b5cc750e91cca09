//! What the owner of shard -1 does for the account: writes settings and users, keeps our own keys,
//! asks the network about contacts and templates.

use std::sync::{Arc, atomic::AtomicUsize};

use contract::{Clock, Rng};
use store::{Lanes, Reader};
use telemetry::Traces;
use tokio::task::JoinSet;
use upstream::Upstream;

use crate::{
    batcher,
    contacts::{Central, Sync},
    control::{Control, ControlError},
    generation::Generations,
    metrics::Metrics,
    prekeys::{self, Ring, Upkeep},
    templates::{Refresh, Templates},
};

use super::peers::Peers;

/// See the module.
pub(crate) struct Duties<U> {
    pub upstream: Arc<U>,
    pub control: Arc<Control>,
    pub templates: Arc<Templates>,
    pub central: Arc<Central>,
    pub peers: Arc<Peers>,
    pub reader: Reader,
    pub lanes: Lanes,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub ring: Arc<Ring>,
    pub generations: Arc<Generations>,
    pub metrics: Metrics,
    pub traces: Traces,
    /// Those under way.
    pub tasks: tokio::sync::Mutex<JoinSet<()>>,
}

impl<U: Upstream> Duties<U> {
    /// Shard -1 is ours. Gives an error when what the account is cannot be read.
    pub(super) async fn begin(&self, epoch: i64) -> Result<(), ControlError> {
        self.control.take_over(epoch).await?;
        let mut tasks = self.tasks.lock().await;
        if let Some(batch) = self.upstream.caps().contacts {
            let questions = self.central.begin();
            let call = Sync { upstream: self.upstream.clone(), central: self.central.clone() };
            let waiting = Arc::<AtomicUsize>::default();
            let (metrics, traces) = (self.metrics.clone(), self.traces.clone());
            tasks.spawn(batcher::run(call, batch, questions, metrics, waiting, traces));
        }
        if self.upstream.caps().prekeys.is_some() {
            let peers = self.peers.clone();
            let upkeep = Upkeep {
                upstream: self.upstream.clone(),
                reader: self.reader.clone(),
                lanes: self.lanes.clone(),
                epoch,
                clock: self.clock.clone(),
                rng: self.rng.clone(),
                ring: self.ring.clone(),
                generations: self.generations.clone(),
                tell: peers.telling(),
                known: prekeys::Known::default(),
            };
            tasks.spawn(upkeep.run());
        }
        let (upstream, control) = (self.upstream.clone(), self.control.clone());
        tasks.spawn(Refresh { upstream, control, templates: self.templates.clone() }.run());
        tracing::info!("this coreapp looks after the account: it owns shard -1");
        Ok(())
    }

    /// Shard -1 goes to another coreapp. What is under way is broken off: it is done again there.
    pub(super) async fn end(&self) {
        self.control.give_up();
        self.central.end();
        self.tasks.lock().await.shutdown().await;
    }
}
