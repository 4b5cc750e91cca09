//! What a phone does: `GET` and `PUT /phones/{wa_id}`, `POST …/messages`, `POST …/read`.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{
        Path, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::StatusCode,
};
use contract::{Direction, Key, MessageId, Number};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Problem, body, phone};
use crate::{
    driver::Shared,
    network::{PhonePatch, PhoneView, Written},
};

/// Name of a customer that writes without naming one.
pub(super) const PROFILE_NAME: &str = "Sandbox phone";

/// How the phone behaves.
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<PhoneView>, Problem> {
    let phone = phone(path)?;
    Ok(Json(shared.with(|network, _| network.phone(phone))))
}

/// Changes what the body names and answers how the phone behaves now.
pub(super) async fn change(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<Json<PhoneView>, Problem> {
    let phone = phone(path)?;
    let patch: PhonePatch = body(bytes)?;
    let view = shared.with(|network, now| network.set_phone(phone, patch, now))?;
    shared.durable().await?;
    Ok(Json(view))
}

/// The customer writes: a message as webhooks show it, and beside it `profile_name` and `to` (the
/// business, when there are several).
pub(super) async fn write(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let phone = phone(path)?;
    let written = written(body(bytes)?)?;
    let key = shared.with(|network, now| network.write_from(phone, written, now))?;
    shared.durable().await?;
    let id = MessageId { direction: Direction::Inbound, number: phone, key };
    let answer = json!({ "key": key.to_string(), "id": id.to_string() });
    Ok((StatusCode::CREATED, Json(answer)))
}

fn written(mut message: Map<String, Value>) -> Result<Written, Problem> {
    let to = match message.remove("to") {
        None => None,
        Some(Value::String(text)) => {
            let number = Number::parse(&text);
            Some(number.map_err(|error| Problem::bad(format!("\"to\" is no number: {error}")))?)
        }
        Some(_) => return Err(Problem::bad("\"to\" is the business's number, a string")),
    };
    let profile_name = match message.remove("profile_name") {
        None => PROFILE_NAME.to_owned(),
        Some(Value::String(name)) => name,
        Some(_) => return Err(Problem::bad("\"profile_name\" is a string")),
    };
    match message.get("type") {
        Some(Value::String(kind)) if kind == "text" => {
            if !message.get("text").is_some_and(|text| text["body"].is_string()) {
                return Err(Problem::bad("a text has its words in \"text\":{\"body\":\"…\"}"));
            }
        }
        Some(Value::String(_)) => {}
        _ => {
            return Err(Problem::bad(
                "\"type\" is missing: \"text\", \"image\", … as webhooks show it",
            ));
        }
    }
    let content = serde_json::to_vec(&message)
        .map_err(|error| Problem::bad(format!("the message cannot be written: {error}")))?;
    Ok(Written { to, profile_name, content: content.into() })
}

/// `{"keys":["<hex>",…]}`; absent: all that is unread.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Read {
    keys: Option<Vec<String>>,
}

/// The customer opens the conversation; answers how many receipts that made.
pub(super) async fn read(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Problem> {
    let phone = phone(path)?;
    let Read { keys } = body(bytes)?;
    let keys: Option<Vec<Key>> =
        keys.map(|keys| keys.iter().map(|key| parse_key(key)).collect()).transpose()?;
    let read = shared.with(|network, now| network.read_by_hand(&phone, keys.as_deref(), now))?;
    shared.durable().await?;
    Ok(Json(json!({ "read": read })))
}

/// A key as `GET …/messages` shows it.
fn parse_key(hex: &str) -> Result<Key, Problem> {
    let bytes: Option<Vec<u8>> = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    bytes
        .and_then(|bytes| Key::from_bytes(&bytes).ok())
        .ok_or_else(|| Problem::bad("a key is 18 to 32 hexadecimal digits"))
}
