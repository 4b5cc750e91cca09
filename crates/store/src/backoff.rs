//! Pauses between attempts: doubling up to a bound, with jitter so that the lanes and coreapps that
//! lost the same database do not come back in step.

use std::{sync::Arc, time::Duration};

use contract::Rng;

pub(crate) struct Backoff {
    next: Duration,
    most: Duration,
    rng: Arc<dyn Rng>,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration, rng: Arc<dyn Rng>) -> Self {
        Self { next: first, most, rng }
    }

    /// Sleeps between half and the whole of the current pause.
    pub(crate) async fn wait(&mut self) {
        let half = self.next / 2;
        let spread = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        tokio::time::sleep(half + Duration::from_micros(self.rng.next_u64() % spread)).await;
        self.next = (self.next * 2).min(self.most);
    }
}
