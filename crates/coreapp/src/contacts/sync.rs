//! The batcher.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use contract::Number;
use tokio::{sync::mpsc, time::Instant};
use upstream::{Batch, ContactResult, ContactStatus, Upstream};

use crate::{metrics::Metrics, shard::task::Drivers};

/// Numbers that may wait; beyond, a number is answered `failed` at once and messages ask again.
const PENDING_MAX: usize = 50_000;
/// The original's name for the call.
const OPERATION: &str = "UnifiedSyncResult";

/// Numbers that wait, in order of arrival, each once.
#[derive(Default)]
struct Pending {
    order: VecDeque<Number>,
    known: HashSet<Number>,
}

impl Pending {
    /// Gives back what had no room.
    fn extend(&mut self, numbers: Vec<Number>) -> Vec<Number> {
        let mut refused = Vec::new();
        for number in numbers {
            if self.known.contains(&number) {
                continue;
            }
            if self.order.len() >= PENDING_MAX {
                refused.push(number);
                continue;
            }
            self.known.insert(number);
            self.order.push_back(number);
        }
        refused
    }

    fn take(&mut self, max: usize) -> Vec<Number> {
        let batch: Vec<Number> = self.order.drain(..max.min(self.order.len())).collect();
        for number in &batch {
            self.known.remove(number);
        }
        batch
    }
}

/// Runs until `asked` is closed.
pub(crate) async fn sync<U: Upstream>(
    upstream: Arc<U>,
    batch: Batch,
    mut asked: mpsc::UnboundedReceiver<Vec<Number>>,
    drivers: Drivers,
    metrics: Metrics,
) {
    let mut pending = Pending::default();
    loop {
        if pending.order.is_empty() {
            let Some(numbers) = asked.recv().await else { return };
            take_in(&mut pending, numbers, &drivers);
        }
        while let Ok(numbers) = asked.try_recv() {
            take_in(&mut pending, numbers, &drivers);
        }
        let numbers = pending.take(batch.max);
        let started = Instant::now();
        let call = tokio::time::timeout(batch.timeout, upstream.check_contacts(numbers.clone()));
        tokio::pin!(call);
        let answer = loop {
            tokio::select! {
                answer = &mut call => break answer,
                Some(more) = asked.recv() => take_in(&mut pending, more, &drivers),
            }
        };
        let took = started.elapsed();
        let results = match answer {
            Ok(Ok(results)) => {
                metrics.upstream_call(OPERATION, true, numbers.len(), took);
                results
            }
            Ok(Err(error)) => {
                metrics.upstream_call(OPERATION, false, numbers.len(), took);
                tracing::warn!(%error, contacts = numbers.len(), "a contact sync failed; messages will ask again");
                failed(numbers)
            }
            Err(_) => {
                metrics.upstream_call(OPERATION, false, numbers.len(), took);
                tracing::warn!(
                    contacts = numbers.len(),
                    "a contact sync took too long; messages will ask again"
                );
                failed(numbers)
            }
        };
        drivers.contacts(results);
    }
}

fn take_in(pending: &mut Pending, numbers: Vec<Number>, drivers: &Drivers) {
    let refused = pending.extend(numbers);
    if !refused.is_empty() {
        tracing::warn!(contacts = refused.len(), "too many contacts wait for a sync");
        drivers.contacts(failed(refused));
    }
}

fn failed(numbers: Vec<Number>) -> Vec<ContactResult> {
    numbers
        .into_iter()
        .map(|number| ContactResult { number, status: ContactStatus::Failed })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(range: std::ops::Range<u64>) -> Vec<Number> {
        range.map(|n| Number::parse(&format!("4915{n:09}")).unwrap()).collect()
    }

    #[test]
    fn what_waits_is_asked_once_in_order_and_bounded() {
        let mut pending = Pending::default();
        assert!(pending.extend(numbers(0..3)).is_empty());
        assert!(pending.extend(numbers(1..5)).is_empty());
        assert_eq!(pending.take(4), numbers(0..4));
        assert_eq!(pending.take(4), numbers(4..5));
        let refused = pending.extend(numbers(0..PENDING_MAX as u64 + 2));
        assert_eq!(refused.len(), 2);
    }
}
