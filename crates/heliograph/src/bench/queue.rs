//! How full the coreapp's job queue got.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;

use super::api;
use crate::client::Client;

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(250);
/// No figure yet.
const NONE: u64 = u64::MAX;

/// Looks at the queue until it is dropped.
#[derive(Debug)]
pub(crate) struct Peak {
    highest: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Peak {
    pub(crate) fn watch(authority: String, authorization: String) -> Self {
        let highest = Arc::new(AtomicU64::new(NONE));
        let shared = highest.clone();
        let task = tokio::spawn(async move {
            let mut client = Client::new(authority);
            loop {
                if let Some(pending) = api::pending_messages(&mut client, &authorization).await {
                    let before = shared.load(Ordering::Relaxed);
                    let highest = if before == NONE { pending } else { before.max(pending) };
                    shared.store(highest, Ordering::Relaxed);
                }
                tokio::time::sleep(PERIOD).await;
            }
        });
        Self { highest, task }
    }

    /// Most messages seen waiting; `None` when the stack does not say.
    pub(crate) fn get(&self) -> Option<u64> {
        Some(self.highest.load(Ordering::Relaxed)).filter(|highest| *highest != NONE)
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.task.abort();
    }
}
