//! Contact checks beside the messages, at a rate of their own: an open loop without an end.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Checks, Plan, Schedule, open, send};
use crate::{
    bench::{args::Blocking, tally::Tally},
    client::Client,
};

/// Most checks in flight.
const IN_FLIGHT: usize = 1_000;

pub(super) async fn run(plan: &Plan, checks: &Checks, start: Instant, tally: &Arc<Tally>) {
    let schedule = Schedule::new(start, checks.rate, plan.warmup, None);
    let (plan, checks) = (Arc::new(plan.clone()), *checks);
    let call = |mut client: Client, n, due| {
        let (plan, tally) = (plan.clone(), tally.clone());
        async move {
            let batch = u64::from(checks.batch);
            let numbers =
                (n * batch..(n + 1) * batch).map(|n| format!("+{}", checks.numbers.get(n)));
            let numbers: Vec<_> = numbers.collect();
            let body = send::contacts(&numbers, Blocking::Wait);
            send::check(&mut client, &plan, &body, due, &tally, None).await;
            client
        }
    };
    open::drive(schedule, IN_FLIGHT, &plan.target, tally, call).await;
}
