//! The open loop: calls begin when they are due, whatever became of the earlier ones.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

use super::{Plan, Schedule, Target, send};
use crate::{bench::tally::Tally, client::Client};

/// Messages by `schedule`.
pub(super) async fn messages(plan: &Plan, schedule: Schedule, tally: &Arc<Tally>) {
    let plan = Arc::new(plan.clone());
    let bound = plan.clients;
    let call = |mut client: Client, n, due| {
        let (plan, tally) = (plan.clone(), tally.clone());
        async move {
            send::message(&mut client, &plan, n, due, &tally, None).await;
            client
        }
    };
    drive(schedule, bound, &plan.target, tally, call).await;
}

/// Begins each call when it is due and waits for the last. A call is given a connection and gives
/// it back. With `bound` calls in flight the next is not started, and counted as that.
pub(super) async fn drive<F>(
    schedule: Schedule,
    bound: usize,
    target: &Target,
    tally: &Tally,
    call: impl Fn(Client, u64, (Instant, bool)) -> F,
) where
    F: Future<Output = Client> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(bound));
    let idle = Arc::<Mutex<Vec<Client>>>::default();
    let mut calls = JoinSet::new();
    let mut connections = 0;
    for n in 0.. {
        let Some((due, counted)) = schedule.due(n) else { break };
        tokio::time::sleep_until(due).await;
        while calls.try_join_next().is_some() {}
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            tally.not_started(counted);
            continue;
        };
        let client = lock(&idle).pop().unwrap_or_else(|| {
            connections += 1;
            target.client(connections)
        });
        let call = call(client, n, (due, counted));
        let idle = idle.clone();
        calls.spawn(async move {
            let client = call.await;
            lock(&idle).push(client);
            drop(permit);
        });
    }
    while calls.join_next().await.is_some() {}
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A list of connections stays good whatever a panicking holder did.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
