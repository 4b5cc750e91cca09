//! The two calls of a client: a contact check, a message.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::{Plan, attempt, pace::Pace};
use crate::{
    bench::{
        args::Blocking,
        tally::{Step, Tally},
    },
    client::Client,
};

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
struct Checked<'a> {
    #[serde(borrow)]
    contacts: Vec<Contact<'a>>,
}

#[derive(Deserialize)]
struct Contact<'a> {
    status: &'a str,
}

/// Message `n`, which was due at `due`. With `--contacts` the message itself is due when its
/// contact check is answered.
pub(super) async fn message(
    client: &mut Client,
    plan: &Plan,
    n: u64,
    (due, counted): (Instant, bool),
    tally: &Tally,
    mut pace: Option<&mut Pace>,
) -> bool {
    let to = plan.recipients.get(n);
    let mut begun = due;
    if let Some(blocking) = plan.contacts {
        let pace = pace.as_deref_mut();
        let body = contacts(&[format!("+{to}")], blocking);
        if !check(client, plan, &body, (due, counted), tally, pace).await {
            return false;
        }
        begun = Instant::now();
    }
    let body = format!(
        r#"{{"to":"{to}","type":"text","text":{{"body":"Message {n}: your order has left our house and will be with you tomorrow between nine and noon."}}}}"#
    );
    match attempt::call(client, plan, "/v1/messages", &body.into(), tally, pace).await {
        Ok(body) => match serde_json::from_slice::<Accepted<'_>>(&body) {
            Ok(Accepted { messages }) if !messages.is_empty() => {
                for message in &messages {
                    tally.accepted(message.id, begun, counted);
                }
                true
            }
            _ => tally.failed("a success without an id".to_owned(), counted),
        },
        Err(reason) => tally.failed(reason, counted),
    }
}

/// The body of a contact check.
pub(super) fn contacts(numbers: &[String], blocking: Blocking) -> Bytes {
    json!({"blocking": blocking.name(), "contacts": numbers}).to_string().into()
}

/// A contact check.
pub(super) async fn check(
    client: &mut Client,
    plan: &Plan,
    body: &Bytes,
    (due, counted): (Instant, bool),
    tally: &Tally,
    pace: Option<&mut Pace>,
) -> bool {
    match attempt::call(client, plan, "/v1/contacts", body, tally, pace).await {
        Ok(body) => match serde_json::from_slice::<Checked<'_>>(&body) {
            Ok(Checked { contacts }) => {
                tally.step(Step::Contacts, due, counted);
                tally.contacts(contacts.iter().map(|contact| contact.status), counted);
                true
            }
            Err(_) => tally.failed("a contacts answer that is none".to_owned(), counted),
        },
        Err(reason) => tally.failed(reason, counted),
    }
}
