//! The closed loop: a fixed number of clients, each of which sends when it has its answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinSet, time::Instant};

use super::{Plan, pace::Pace, send};
use crate::bench::tally::Tally;

/// Pause of a client after a failure: a refused closed loop must not become a busy loop.
const AFTER_FAILURE: Duration = Duration::from_millis(10);

/// What the clients share.
struct Course {
    count_from: Instant,
    messages: u64,
    /// Messages begun, and those of them that count.
    begun: AtomicU64,
    counted: AtomicU64,
}

impl Course {
    /// The next message's number and whether it counts; `None` when all are begun.
    fn claim(&self, now: Instant) -> Option<(u64, bool)> {
        let counted = now >= self.count_from;
        if counted && self.counted.fetch_add(1, Ordering::Relaxed) >= self.messages {
            return None;
        }
        Some((self.begun.fetch_add(1, Ordering::Relaxed), counted))
    }
}

pub(super) async fn run(plan: &Plan, messages: u64, start: Instant, tally: &Arc<Tally>) {
    let course = Arc::new(Course {
        count_from: start + plan.warmup,
        messages,
        begun: AtomicU64::new(0),
        counted: AtomicU64::new(0),
    });
    let mut clients = JoinSet::new();
    for n in 0..plan.clients as u64 {
        clients.spawn(client(plan.clone(), n, course.clone(), tally.clone()));
    }
    while clients.join_next().await.is_some() {}
}

async fn client(plan: Plan, number: u64, course: Arc<Course>, tally: Arc<Tally>) {
    let mut client = plan.target.client(number);
    let mut pace = Pace::new(Instant::now());
    loop {
        let now = Instant::now();
        let Some((n, counted)) = course.claim(now) else { return };
        let sent = send::message(&mut client, &plan, n, (now, counted), &tally, Some(&mut pace));
        if sent.await {
            pace.taken();
            if !pace.gap().is_zero() {
                tokio::time::sleep_until(now + pace.gap()).await;
            }
        } else {
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }
}
