//! The pre-key fetch: bundles go straight to the pool, which sets the sessions up.

use std::sync::Arc;

use contract::Number;
use upstream::{CallError, Upstream, UserBundles};

use super::{Pool, SetUp, SetUpError};
use crate::{batcher::Call, shard::task::Drivers};

/// The original's name for the call.
pub(crate) const OPERATION: &str = "SendGetPreKeyBatchResult";

/// The call and its audience.
pub(crate) struct Fetch<U> {
    pub upstream: Arc<U>,
    pub pool: Pool,
    pub drivers: Drivers,
}

impl<U: Upstream> Call for Fetch<U> {
    type Answer = UserBundles;
    const OPERATION: &str = OPERATION;
    const PENDING_MAX: usize = 10_000;

    fn call(
        &self,
        users: Vec<Number>,
    ) -> impl Future<Output = Result<Vec<UserBundles>, CallError>> + Send {
        self.upstream.fetch_bundles(users)
    }

    async fn deliver(&self, answers: Vec<UserBundles>) {
        for user in answers {
            self.pool.submit(user, true);
        }
    }

    async fn failed(&self, numbers: Vec<Number>) {
        for wa_id in numbers {
            self.drivers.set_up(SetUp { wa_id, complete: true, sessions: Err(SetUpError::Fetch) });
        }
    }
}
