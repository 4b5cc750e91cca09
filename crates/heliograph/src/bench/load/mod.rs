//! The load: clients that each wait for their answer, or messages at a fixed rate whatever the
//! answers do; beside either, contact checks at a rate of their own.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{args::Blocking, recipients::Recipients, tally::Tally};
use crate::client::Client;

mod attempt;
mod closed;
mod contacts;
mod open;
mod pace;
mod schedule;
mod send;

use schedule::Schedule;

/// Where the calls go.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// host:port of each webapp.
    pub(crate) authorities: Arc<[String]>,
    /// `Bearer …`.
    pub(crate) authorization: Arc<str>,
}

/// What is to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) shape: Shape,
    /// Connections; in an open loop: most calls in flight.
    pub(crate) clients: usize,
    pub(crate) warmup: Duration,
    pub(crate) recipients: Recipients,
    /// A contact check before each message.
    pub(crate) contacts: Option<Blocking>,
    /// Repeat what was refused.
    pub(crate) retry: bool,
    /// Contact checks beside the messages.
    pub(crate) checks: Option<Checks>,
}

/// When messages leave.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// Each client sends when it has its answer, until so many were sent after the warm-up.
    Closed { messages: u64 },
    /// So many a second, for so long after the warm-up.
    Open { rate: f64, seconds: u64 },
}

/// Contact checks at a rate of their own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checks {
    /// Calls a second.
    pub(crate) rate: f64,
    /// Numbers a call.
    pub(crate) batch: u32,
    pub(crate) numbers: Recipients,
}

/// What the load writes its results to.
#[derive(Clone, Debug)]
pub(crate) struct Tallies {
    pub(crate) messages: Arc<Tally>,
    pub(crate) checks: Arc<Tally>,
}

/// Sends everything; the checks end with the messages.
pub(crate) async fn run(plan: &Plan, tallies: &Tallies) {
    let start = Instant::now();
    tallies.messages.begin(start + plan.warmup);
    tallies.checks.begin(start + plan.warmup);
    let checks = async {
        if let Some(checks) = &plan.checks {
            contacts::run(plan, checks, start, &tallies.checks).await;
        }
        std::future::pending::<()>().await;
    };
    let messages = async {
        match plan.shape {
            Shape::Closed { messages } => {
                closed::run(plan, messages, start, &tallies.messages).await;
            }
            Shape::Open { rate, seconds } => {
                let schedule = Schedule::new(start, rate, plan.warmup, Some(seconds));
                open::messages(plan, schedule, &tallies.messages).await;
            }
        }
    };
    tokio::select! {
        () = messages => {}
        () = checks => {}
    }
}

// === impl Target ===

impl Target {
    /// The n-th connection; connections are spread over the webapps.
    pub(crate) fn client(&self, n: u64) -> Client {
        let count = self.authorities.len().max(1) as u64;
        let index = usize::try_from(n % count).unwrap_or(0);
        Client::new(self.authorities.get(index).cloned().unwrap_or_default())
    }
}

// === impl Plan ===

impl Plan {
    /// Messages that will count, for the progress bar.
    pub(crate) fn messages(&self) -> u64 {
        match self.shape {
            Shape::Closed { messages } => messages,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a count of messages"
            )]
            Shape::Open { rate, seconds } => (rate * seconds as f64) as u64,
        }
    }
}
