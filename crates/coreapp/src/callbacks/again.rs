//! A way to the endpoint beside the dispatcher, for events that are settled: one POST at a time, under
//! the same `webhook-id`, over a connection of its own.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use contract::{Clock, Rng, ShardId};
use telemetry::Traces;
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use super::{
    Callbacks,
    crew::Crew,
    schedule::{Outcome, Pace},
    shared::Spot,
    task::STALE_CHECK,
    worker::{Done, Endpoint, Job, Sender},
};

/// Where POSTs go, and how long one that failed waits.
#[derive(Clone)]
pub(super) struct Aim {
    pub(super) endpoint: Option<Arc<Endpoint>>,
    pub(super) pace: Pace,
    pub(super) has_url: bool,
}

/// What [`Again`] lives on.
pub(crate) struct AgainDeps {
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    /// As of the dispatcher.
    pub generation: Box<dyn Fn(ShardId, i64) -> i64 + Send + Sync>,
    /// As of the dispatcher.
    pub may_post: Box<dyn Fn() -> bool + Send + Sync>,
}

/// See the module.
pub(crate) struct Again {
    crew: Crew,
    results: mpsc::Receiver<Done>,
    aim: watch::Receiver<Aim>,
    deps: AgainDeps,
}

/// An event that is sent again.
pub(crate) struct Repeat {
    pub shard: ShardId,
    pub seq: i64,
    pub kind: i16,
    pub body: Bytes,
    /// From 1.
    pub attempt: u32,
}

/// What became of it.
pub(crate) enum Sent {
    Taken,
    /// To be tried again after a while. `refused`: there was an answer.
    Later {
        wait: Duration,
        refused: bool,
    },
    /// No repetition will mend that.
    Refused,
}

// === impl Again ===

impl Again {
    pub(crate) fn new(callbacks: &Callbacks, deps: AgainDeps) -> Self {
        let traces = Traces::default();
        let sender = Sender { prefix: deps.rng.next_u64(), clock: deps.clock.clone(), traces };
        let (crew, results) = Crew::new(1, sender);
        Self { crew, results, aim: callbacks.aim.clone(), deps }
    }

    /// POSTs it, as soon as this node may. To be awaited to its end.
    pub(crate) async fn post(&mut self, repeat: &Repeat) -> Sent {
        while !(self.deps.may_post)() {
            sleep(STALE_CHECK).await;
        }
        let Aim { endpoint, pace, .. } = self.aim.borrow().clone();
        let outcome = match endpoint {
            Some(endpoint) => self.send(repeat, endpoint).await,
            None => Outcome::Unreachable,
        };
        match outcome {
            Outcome::Delivered => Sent::Taken,
            outcome if outcome.is_permanent() => Sent::Refused,
            outcome => {
                let wait = pace.retry_ms(repeat.attempt, self.deps.rng.next_u64());
                let wait = Duration::from_millis(wait.max(outcome.pause_ms()));
                let refused = matches!(outcome, Outcome::Refused { .. });
                Sent::Later { wait, refused }
            }
        }
    }

    async fn send(&mut self, repeat: &Repeat, endpoint: Arc<Endpoint>) -> Outcome {
        let Repeat { shard, seq, kind, body, attempt } = repeat;
        let job = Job {
            spot: Spot { shard: *shard, lease: 0, seq: *seq },
            more: Vec::new(),
            generation: (self.deps.generation)(*shard, *seq),
            kind: *kind,
            attempt: *attempt,
            body: body.clone(),
            traces: Vec::new(),
            endpoint,
        };
        if !self.crew.give(job) {
            return Outcome::Closed;
        }
        match self.results.recv().await {
            Some(done) => {
                self.crew.back(done.worker, done.alive);
                done.outcome
            }
            None => Outcome::Closed,
        }
    }
}
