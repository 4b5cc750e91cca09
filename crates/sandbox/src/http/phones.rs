//! What a phone does: `GET` and `PUT /phones/{wa_id}`, `POST …/messages`, `DELETE …/messages/{id}`,
//! `GET …/sent`, `POST …/read`.

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
use contract::{Direction, Key, MessageId, Number, envelope::MAX_PLAINTEXT};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Problem,
    attached::keep,
    body, phone,
    written::{Asked, check},
};
use crate::{
    driver::Shared,
    network::{PhonePatch, PhoneView, Written},
    numbering::wa_id,
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
    let mut message: Map<String, Value> = body(bytes)?;
    match check(&message)? {
        Asked::Message => {
            keep(&shared, &mut message).await?;
            send(&shared, phone, written(message)?).await
        }
        Asked::Number(new) => {
            shared.with(|network, _| network.change_number(phone, wa_id(new)))?;
            shared.durable().await?;
            Ok((StatusCode::CREATED, Json(json!({}))))
        }
        Asked::Identity => {
            shared.with(|network, _| network.new_identity(phone));
            shared.durable().await?;
            Ok((StatusCode::CREATED, Json(json!({}))))
        }
    }
}

/// The customer deletes a message: told inside an envelope, as everything customers write.
pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let Path((wa_id, id)) = path.map_err(|rejection| Problem::bad(rejection.body_text()))?;
    let phone = phone(Ok(Path(wa_id)))?;
    let theirs = |id: &MessageId| id.direction == Direction::Inbound && id.number == phone;
    if !id.parse().is_ok_and(|id: MessageId| theirs(&id)) {
        return Err(Problem::bad("the path names no message that this phone has written"));
    }
    let content = json!({ "type": "revoke", "revoke": { "message_id": id } }).to_string();
    let profile_name = PROFILE_NAME.to_owned();
    send(&shared, phone, Written { to: None, profile_name, content: content.into() }).await
}

/// What the phone has written, in order, and whether the business has read it.
pub(super) async fn sent(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let phone = phone(path)?;
    let written = shared.with(|network, _| network.written(&phone));
    let messages = written.into_iter().map(|(to, written)| {
        let id = MessageId { direction: Direction::Inbound, number: phone, key: written.key };
        json!({ "id": id.to_string(), "to": to, "read": written.read })
    });
    Ok(Json(json!({ "messages": messages.collect::<Vec<_>>() })))
}

async fn send(
    shared: &Shared,
    phone: Number,
    written: Written,
) -> Result<(StatusCode, Json<Value>), Problem> {
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
    let content = serde_json::to_vec(&message)
        .map_err(|error| Problem::bad(format!("the message cannot be written: {error}")))?;
    // No phone reads more, and none of ours writes it.
    if content.len() > MAX_PLAINTEXT {
        return Err(Problem::bad(format!("the message has more than {MAX_PLAINTEXT} bytes")));
    }
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
