//! The account: which number is ours, how customers see the business, how both are carried to another
//! installation.
//!
//! What is kept are documents of `control`, in force in every coreapp when a call returns. The network
//! is asked first: what it refuses is not kept. A registration, also of the same number in another
//! installation, begins a generation of the account: sessions die and are made anew, pre-keys are made
//! and published anew, the identity key of this installation stays.

mod backup;
mod profile;
mod registration;

use std::sync::Arc;

use contract::{ApiError, Clock, Code, Number, Rng, account::unregistered};
use store::Cluster;
use upstream::{AccountAction, AccountAnswer, Upstream};

use crate::{cluster::Members, control::Control, generation::Generations};

pub(crate) use profile::Change;
pub(crate) use registration::Registration;

/// See the module.
pub(crate) struct Account<U> {
    pub control: Arc<Control>,
    pub upstream: Arc<U>,
    pub cluster: Cluster,
    pub inc: i64,
    pub generations: Arc<Generations>,
    pub members: Members,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    /// One change after another: each goes by what the last has left.
    pub one: tokio::sync::Mutex<()>,
}

impl<U: Upstream> Account<U> {
    async fn number(&self) -> Result<Number, ApiError> {
        self.control.own_number().await.ok_or_else(unregistered)
    }

    fn owner(&self) -> Result<(), ApiError> {
        if self.control.is_owner() {
            return Ok(());
        }
        Err(ApiError::new(Code::NOT_PRIMARY_MASTER, "another coreapp looks after the account"))
    }

    /// Asks the network; gives the name it read from a certificate.
    async fn ask(&self, number: Number, action: AccountAction) -> Result<String, ApiError> {
        match self.upstream.account(number, action).await {
            Ok(AccountAnswer::Done { vname }) => Ok(vname),
            Ok(AccountAnswer::Refused { details, retry_after }) => {
                let refused = ApiError::new(Code::ACCESS_DENIED, details);
                Err(match retry_after {
                    Some(after) => {
                        refused.retry_after_ms(u64::try_from(after.as_millis()).unwrap_or(u64::MAX))
                    }
                    None => refused,
                })
            }
            Err(error) => Err(ApiError::new(Code::NOT_READY, error.to_string())),
        }
    }

    /// Sessions of before are dead from now on, in every coreapp.
    async fn begin_generation(&self) -> Result<(), ApiError> {
        let generation = self.generations.next(self.clock.unix_s());
        let failed = |error: store::StoreError| ApiError::new(Code::DATABASE, error.to_string());
        let rows = self.cluster.begin_generation(Some(self.inc), generation, &[]).await;
        if rows.map_err(failed)?.iter().all(|row| row.generation != generation) {
            return Err(ApiError::new(Code::NOT_PRIMARY_MASTER, "this coreapp was fenced"));
        }
        // The others see it in their next tick, within a second; this one at once.
        self.members.nudge().await;
        tracing::info!(
            generation,
            "a new generation of the account begins: a number is registered"
        );
        Ok(())
    }
}
