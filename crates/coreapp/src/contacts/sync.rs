//! Contact sync: which numbers have an account.

use std::sync::Arc;

use contract::Number;
use upstream::{CallError, ContactResult, ContactStatus, Upstream};

use super::PENDING_MAX;
use crate::{batcher::Call, shard::task::Drivers};

/// The call and its audience.
pub(crate) struct Sync<U> {
    pub upstream: Arc<U>,
    pub drivers: Drivers,
}

impl<U: Upstream> Call for Sync<U> {
    type Answer = ContactResult;
    const OPERATION: &str = "UnifiedSyncResult";
    const PENDING_MAX: usize = PENDING_MAX;

    fn call(
        &self,
        numbers: Vec<Number>,
    ) -> impl Future<Output = Result<Vec<ContactResult>, CallError>> + Send {
        self.upstream.check_contacts(numbers)
    }

    fn deliver(&self, answers: Vec<ContactResult>) -> impl Future<Output = ()> + Send {
        self.drivers.contacts(answers)
    }

    async fn failed(&self, numbers: Vec<Number>) {
        let failed = |number| ContactResult { number, status: ContactStatus::Failed };
        self.drivers.contacts(numbers.into_iter().map(failed).collect()).await;
    }

    fn refused(&self, numbers: Vec<Number>) -> impl Future<Output = ()> + Send {
        self.drivers.contacts_refused(numbers)
    }
}
