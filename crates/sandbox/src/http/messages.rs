//! What phones have received: `GET /phones/{wa_id}/messages`, `GET /messages`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use contract::{Direction, MessageId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Problem, phone};
use crate::{
    driver::Shared,
    network::{Page, ReceivedView},
    sessions::Counters,
};

/// Messages an answer has when the query names no limit.
const LIMIT: usize = 1_000;
/// Most messages an answer has.
const LIMIT_MAX: usize = 10_000;

/// `?after=N&limit=N`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// Place of the last message known.
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

/// Everything delivered, in order. `copies` is how often the phone got a message (1, or the network
/// is wrong), `sends` how often the network got it (more after a lost answer), `decrypted` how many
/// devices have decrypted it.
pub(super) async fn delivered(
    State(shared): State<Arc<Shared>>,
    part: Result<Query<Part>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let (after, limit) = limits(part, LIMIT)?;
    let Page { messages, last } =
        shared.with(|network, _| network.delivered_after(after, limit))?;
    let next = messages.last().map_or(after, |message| message.n);
    let messages: Vec<_> = messages
        .iter()
        .map(|message| {
            json!({
                "n": message.n,
                "from": message.from,
                "to": message.to,
                "key": message.key.to_string(),
                "copies": message.copies,
                "sends": message.sends,
                "decrypted": message.opened.iter().filter(|(_, it)| it.is_some()).count(),
            })
        })
        .collect();
    Ok(Json(json!({ "messages": messages, "next": next, "last": last })))
}

/// What one phone has received, in order, with contents.
pub(super) async fn received(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    part: Result<Query<Part>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let phone = phone(path)?;
    let (after, limit) = limits(part, LIMIT_MAX)?;
    let page = shared.with(|network, _| network.received(&phone, after, limit))?;
    let messages: Vec<_> = page.messages.iter().map(message).collect();
    Ok(Json(json!({ "messages": messages })))
}

fn limits(
    part: Result<Query<Part>, QueryRejection>,
    default: usize,
) -> Result<(u64, usize), Problem> {
    let Query(part) =
        part.map_err(|error| Problem::bad(format!("the query is wrong: {}", error.body_text())))?;
    match part.limit.unwrap_or(default) {
        limit @ 1..=LIMIT_MAX => Ok((part.after, limit)),
        limit => Err(Problem::bad(format!("limit is {limit}; give 1 to {LIMIT_MAX}"))),
    }
}

/// The id is made with the wa_id; for a recipient dialled in another national variant the public id
/// differs and only the key is the same.
fn message(message: &ReceivedView) -> Value {
    let id = MessageId { direction: Direction::Outbound, number: message.to, key: message.key };
    let mut view = json!({
        "n": message.n,
        "id": id.to_string(),
        "key": message.key.to_string(),
        "from": message.from,
        "device": message.device,
        "received_ms": message.received_ms,
        "read": message.read,
        "copies": message.copies,
        "sends": message.sends,
        "content": null,
        "counters": null,
        "devices": message.opened.iter().map(opened).collect::<Vec<_>>(),
    });
    if let (Some((_, Some(first))), Some(view)) = (message.opened.first(), view.as_object_mut()) {
        view.insert("counters".to_owned(), counters(first));
    }
    if let (Some(content), Some(view)) = (&message.content, view.as_object_mut()) {
        match serde_json::from_slice(content) {
            Ok(json) => view.insert("content".to_owned(), json),
            Err(_) => view.insert("content_base64".to_owned(), STANDARD.encode(content).into()),
        };
    }
    view
}

fn opened((device, opened): &(u32, Option<Counters>)) -> Value {
    json!({ "device": device, "counters": opened.as_ref().map(counters) })
}

/// Hashes stand for the keys that name session and chain.
fn counters(counters: &Counters) -> Value {
    let hex = |hash: [u8; 8]| format!("{:016x}", u64::from_be_bytes(hash));
    json!({
        "session": hex(counters.session),
        "chain": hex(counters.chain),
        "counter": counters.counter,
    })
}
