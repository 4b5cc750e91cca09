//! The load: clients that each wait for their answer, or messages at a fixed rate whatever the
//! answers do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Deserialize;
use tokio::{task::JoinSet, time::Instant};

use super::{recipients::Recipients, tally::Tally};
use crate::client::Client;

/// Pause of a client after a refusal: a refused closed loop must not become a busy loop.
const AFTER_REFUSAL: Duration = Duration::from_millis(10);

/// What is to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// host:port of the webapp.
    pub(crate) authority: String,
    /// `Bearer …`.
    pub(crate) authorization: String,
    /// Connections.
    pub(crate) clients: usize,
    pub(crate) messages: u64,
    /// Messages a second; `None`: each client sends when it has its answer.
    pub(crate) rate: Option<f64>,
    pub(crate) recipients: Recipients,
    /// Number of the first message, so that a warm-up and its run do not meet.
    pub(crate) first: u64,
}

#[derive(Deserialize)]
struct Accepted<'a> {
    #[serde(borrow)]
    messages: Vec<Id<'a>>,
}

#[derive(Deserialize)]
struct Id<'a> {
    id: &'a str,
}

#[derive(Deserialize)]
struct Refused {
    #[serde(default)]
    errors: Vec<Code>,
}

#[derive(Deserialize)]
struct Code {
    code: u32,
}

/// Sends everything; gives the time from the first send to the last answer.
pub(crate) async fn run(plan: &Plan, tally: &Arc<Tally>) -> Duration {
    let start = Instant::now();
    let next = Arc::<AtomicU64>::default();
    let mut clients = JoinSet::new();
    for _ in 0..plan.clients {
        clients.spawn(client(plan.clone(), tally.clone(), next.clone(), start));
    }
    while clients.join_next().await.is_some() {}
    start.elapsed()
}

async fn client(plan: Plan, tally: Arc<Tally>, next: Arc<AtomicU64>, start: Instant) {
    let mut client = Client::new(plan.authority.clone());
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= plan.messages {
            return;
        }
        let due = match plan.rate {
            // In an open loop a message that could not leave in time has waited all the same.
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53 messages")]
            Some(rate) => {
                let due = start + Duration::from_secs_f64(n as f64 / rate);
                tokio::time::sleep_until(due).await;
                due
            }
            None => Instant::now(),
        };
        if !send(&mut client, &plan, plan.first + n, due, &tally).await {
            tokio::time::sleep(AFTER_REFUSAL).await;
        }
    }
}

async fn send(client: &mut Client, plan: &Plan, n: u64, due: Instant, tally: &Tally) -> bool {
    let to = plan.recipients.get(n);
    let body = format!(
        r#"{{"to":"{to}","type":"text","text":{{"body":"Message {n}: your order has left our house and will be with you tomorrow between nine and noon."}}}}"#
    );
    match client.call("POST", "/v1/messages", &plan.authorization, body).await {
        Ok(answer) if answer.status == http::StatusCode::CREATED => {
            match serde_json::from_slice::<Accepted<'_>>(&answer.body) {
                Ok(Accepted { messages }) if !messages.is_empty() => {
                    for message in &messages {
                        tally.accepted(message.id, due);
                    }
                    true
                }
                _ => {
                    tally.refused("201 without an id".to_owned());
                    false
                }
            }
        }
        Ok(answer) => {
            let code = serde_json::from_slice::<Refused>(&answer.body)
                .ok()
                .and_then(|refused| refused.errors.first().map(|error| error.code));
            let code = code.map_or(String::new(), |code| format!("/{code}"));
            tally.refused(format!("{}{code}", answer.status.as_u16()));
            false
        }
        Err(error) => {
            tally.refused(error.to_string());
            false
        }
    }
}
