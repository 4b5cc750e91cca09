//! One call to the network in flight; whatever is asked meanwhile goes into the next.
//!
//! Contact sync and pre-key fetch are the same machine with another call.

use std::{
    collections::{HashSet, VecDeque},
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use contract::Number;
use telemetry::Traces;
use tokio::{sync::mpsc, time::Instant};
use upstream::{Batch, CallError};

use crate::metrics::Metrics;

/// A call that takes many numbers, and where its results go.
pub(crate) trait Call {
    /// Of one number.
    type Answer;
    /// The original's name for the call.
    const OPERATION: &str;
    /// Numbers that may wait; beyond, a number fails at once and whoever waits for it asks again.
    const PENDING_MAX: usize;

    fn call(
        &self,
        numbers: Vec<Number>,
    ) -> impl Future<Output = Result<Vec<Self::Answer>, CallError>> + Send;

    /// May wait for whoever takes them; the next call waits with it.
    fn deliver(&self, answers: Vec<Self::Answer>) -> impl Future<Output = ()> + Send;

    /// The call failed or timed out for these.
    fn failed(&self, numbers: Vec<Number>) -> impl Future<Output = ()> + Send;

    /// These had no room to wait.
    fn refused(&self, numbers: Vec<Number>) -> impl Future<Output = ()> + Send {
        self.failed(numbers)
    }
}

/// Runs until `asked` is closed.
pub(crate) async fn run<C: Call>(
    call: C,
    batch: Batch,
    mut asked: mpsc::UnboundedReceiver<Vec<Number>>,
    metrics: Metrics,
    waiting: Arc<AtomicUsize>,
    traces: Traces,
) {
    let mut pending = Pending { max: C::PENDING_MAX, waiting, ..Pending::default() };
    loop {
        if pending.order.is_empty() {
            let Some(numbers) = asked.recv().await else { return };
            take_in(&call, &mut pending, numbers).await;
        }
        while let Ok(numbers) = asked.try_recv() {
            take_in(&call, &mut pending, numbers).await;
        }
        let numbers = pending.take(batch.max);
        let traced = traces.calls(C::OPERATION, &numbers);
        let started = Instant::now();
        let answer = {
            let answer = tokio::time::timeout(batch.timeout, call.call(numbers.clone()));
            tokio::pin!(answer);
            loop {
                tokio::select! {
                    answer = &mut answer => break answer,
                    Some(more) = asked.recv() => take_in(&call, &mut pending, more).await,
                }
            }
        };
        let reason = match answer {
            Ok(Ok(answers)) => {
                metrics.upstream_call(C::OPERATION, true, numbers.len(), started.elapsed());
                traces.called(C::OPERATION, &traced, numbers.len(), started, None);
                call.deliver(answers).await;
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it took too long".to_owned(),
        };
        metrics.upstream_call(C::OPERATION, false, numbers.len(), started.elapsed());
        traces.called(C::OPERATION, &traced, numbers.len(), started, Some(&reason));
        tracing::warn!(
            operation = C::OPERATION,
            reason,
            numbers = numbers.len(),
            "a call to the network failed; whoever waits will ask again"
        );
        call.failed(numbers).await;
    }
}

async fn take_in<C: Call>(call: &C, pending: &mut Pending, numbers: Vec<Number>) {
    let refused = pending.extend(numbers);
    if !refused.is_empty() {
        tracing::warn!(
            operation = C::OPERATION,
            numbers = refused.len(),
            "too many wait for a call"
        );
        call.refused(refused).await;
    }
}

/// Numbers that wait, in order of arrival, each once.
#[derive(Default)]
struct Pending {
    order: VecDeque<Number>,
    known: HashSet<Number>,
    max: usize,
    /// How many there are, for others to see.
    waiting: Arc<AtomicUsize>,
}

impl Pending {
    /// Gives back what had no room.
    fn extend(&mut self, numbers: Vec<Number>) -> Vec<Number> {
        let mut refused = Vec::new();
        for number in numbers {
            if self.known.contains(&number) {
                continue;
            }
            if self.order.len() >= self.max {
                refused.push(number);
                continue;
            }
            self.known.insert(number);
            self.order.push_back(number);
        }
        self.waiting.store(self.order.len(), Ordering::Relaxed);
        refused
    }

    fn take(&mut self, max: usize) -> Vec<Number> {
        let batch: Vec<Number> = self.order.drain(..max.min(self.order.len())).collect();
        for number in &batch {
            self.known.remove(number);
        }
        self.waiting.store(self.order.len(), Ordering::Relaxed);
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(range: std::ops::Range<u64>) -> Vec<Number> {
        range.map(|n| Number::parse(&format!("4915{n:09}")).unwrap()).collect()
    }

    #[test]
    fn what_waits_is_asked_once_in_order_and_bounded() {
        let mut pending = Pending { max: 50, ..Pending::default() };
        assert!(pending.extend(numbers(0..3)).is_empty());
        assert!(pending.extend(numbers(1..5)).is_empty());
        assert_eq!(pending.take(4), numbers(0..4));
        assert_eq!(pending.take(4), numbers(4..5));
        assert_eq!(pending.extend(numbers(0..52)), numbers(50..52));
    }
}
