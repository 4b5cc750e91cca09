//! Outside phones, whose keys the caller keeps: `POST /devices`, `…/envelopes`, `…/receipts`, and
//! `GET /business/bundle`. What is answered survives a restart when the sandbox has a `--data-dir`.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::{
        Path, Query, State,
        rejection::{BytesRejection, PathRejection, QueryRejection},
    },
    http::StatusCode,
};
use contract::{Direction, Key, MessageId, Number};
use rpc::upstream::{Envelope, OneTimePreKey, Retry, SignedPreKey, envelope::Kind};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::{Problem, body, phone, phones::PROFILE_NAME};
use crate::{
    bodies::{Base64, Bundle, Keys},
    driver::Shared,
    network::{Letter, Mail, OutsideReceipt},
    numbering::wa_id,
    sessions::wire::{self, Offered},
};

/// Longest wait for envelopes, milliseconds.
const WAIT_MAX_MS: u64 = 60_000;
/// Envelopes an answer has.
const ENVELOPES_MAX: usize = 100;

/// See DESIGN: binary fields are base64 of the wire forms.
#[derive(Deserialize)]
pub(super) struct Registration {
    wa_id: Number,
    #[serde(default)]
    device: u32,
    #[serde(flatten)]
    keys: Keys,
}

/// Registers an outside device, or adds one-time keys to it; a new identity key is a change of
/// identity.
pub(super) async fn register(
    State(shared): State<Arc<Shared>>,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let Registration { wa_id: number, device, mut keys } = body(bytes)?;
    keys.used.clear();
    let phone = wa_id(number);
    if !shared.with(|network, _| network.faults().unchecked_keys) {
        check(&keys).map_err(Problem::bad)?;
    }
    shared.with(|network, _| network.register(phone, device, &keys))?;
    shared.durable().await?;
    Ok((StatusCode::CREATED, Json(json!({ "wa_id": phone, "device": device }))))
}

fn check(keys: &Keys) -> Result<(), String> {
    let signed: SignedPreKey = keys.signed_pre_key.clone().into();
    let one_time: Vec<OneTimePreKey> =
        keys.one_time_pre_keys.iter().cloned().map(Into::into).collect();
    wire::check(Offered {
        identity_key: &keys.identity_key.0,
        signed_pre_key: Some(&signed),
        one_time: &one_time,
    })
}

/// `?after=N&wait_ms=`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// Place of the last envelope known.
    #[serde(default)]
    after: u64,
    /// How long to wait for one if there is none.
    #[serde(default)]
    wait_ms: u64,
}

/// What waits for an outside phone: envelopes, until a receipt of their device confirms them, and
/// messages of its own that the business could not decrypt.
pub(super) async fn envelopes(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    part: Result<Query<Part>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let phone = phone(path)?;
    let Query(Part { after, wait_ms }) =
        part.map_err(|error| Problem::bad(format!("the query is wrong: {}", error.body_text())))?;
    let until = Instant::now() + Duration::from_millis(wait_ms.min(WAIT_MAX_MS));
    // Before the look, so that what comes between look and wait is seen.
    let mut arrivals = shared.arrivals();
    let mut woken = false;
    loop {
        let mail = shared.with(|network, _| network.mail(&phone, after, ENVELOPES_MAX))?;
        // Retries stay until the phone writes again: those known before end no wait.
        let waits = mail.envelopes.is_empty() && (mail.retries.is_empty() || !woken);
        if waits && matches!(timeout_at(until, arrivals.changed()).await, Ok(Ok(()))) {
            woken = true;
            continue;
        }
        shared.durable().await?;
        return Ok(Json(view(mail, phone)));
    }
}

fn view(mail: Mail, phone: Number) -> Value {
    let envelopes = mail.envelopes.into_iter().map(|view| {
        json!({
            "n": view.n,
            "device": view.envelope.device,
            "message_id": view.id.to_string(),
            "kind": kind_name(view.envelope.kind()),
            "ciphertext": Base64(view.envelope.ciphertext),
        })
    });
    let retries = mail.retries.into_iter().map(|asked| {
        let id = MessageId { direction: Direction::Inbound, number: phone, key: asked.key };
        json!({
            "device": asked.device,
            "message_id": id.to_string(),
            "retry": {
                "count": asked.retry.count,
                "registration_id": asked.retry.registration_id,
                "bundle": asked.retry.bundle.map(Bundle::from),
            },
        })
    });
    json!({ "envelopes": envelopes.collect::<Vec<_>>(), "retries": retries.collect::<Vec<_>>() })
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Prekey => "prekey",
        Kind::Message => "message",
        Kind::Plain => "plain",
        Kind::Unspecified => "unspecified",
    }
}

/// The outside phone writes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Writing {
    #[serde(default)]
    device: u32,
    kind: WrittenKind,
    ciphertext: Base64,
    message_id: Option<String>,
    /// The business, when there are several.
    to: Option<Number>,
    profile_name: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenKind {
    Prekey,
    Message,
}

/// Hands an envelope to the business. A `message_id` given before writes that message again.
pub(super) async fn write(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let from = phone(path)?;
    let writing: Writing = body(bytes)?;
    let key = writing.message_id.as_deref().map(|id| key_of(id, Direction::Inbound)).transpose()?;
    let kind = match writing.kind {
        WrittenKind::Prekey => Kind::Prekey,
        WrittenKind::Message => Kind::Message,
    };
    let envelope =
        Envelope { device: writing.device, kind: kind.into(), ciphertext: writing.ciphertext.0 };
    let profile_name = writing.profile_name.unwrap_or_else(|| PROFILE_NAME.to_owned());
    let key = shared.with(|network, now| {
        let key = key.unwrap_or_else(|| network.mint(now));
        let letter =
            Letter { key, from, profile_name, content: Bytes::new(), unix_ms: now.unix_ms };
        network.write_outside(&letter, writing.to, envelope).map(|()| key)
    })?;
    shared.durable().await?;
    let id = MessageId { direction: Direction::Inbound, number: from, key };
    let answer = json!({ "key": key.to_string(), "id": id.to_string() });
    Ok((StatusCode::CREATED, Json(answer)))
}

/// What became of a message.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Told {
    #[serde(default)]
    device: u32,
    message_id: String,
    r#type: ToldType,
    retry: Option<ToldRetry>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ToldType {
    Delivered,
    Read,
    Retry,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldRetry {
    count: u32,
    registration_id: u32,
    bundle: Option<Bundle>,
}

/// A receipt of an outside device; its envelopes of the message wait no more.
pub(super) async fn receipt(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let phone = phone(path)?;
    let Told { device, message_id, r#type, retry, .. } = body(bytes)?;
    let key = key_of(&message_id, Direction::Outbound)?;
    let receipt = match (r#type, retry) {
        (ToldType::Delivered, None) => OutsideReceipt::Delivered,
        (ToldType::Read, None) => OutsideReceipt::Read,
        (ToldType::Retry, Some(ToldRetry { count, registration_id, bundle })) => {
            let bundle = bundle.map(Into::into);
            OutsideReceipt::Retry(Retry { count, registration_id, bundle })
        }
        (ToldType::Retry, None) => return Err(Problem::bad("a retry receipt has \"retry\"")),
        (_, Some(_)) => return Err(Problem::bad("only a retry receipt has \"retry\"")),
    };
    shared.with(|network, now| network.outside_receipt(phone, device, key, receipt, now))?;
    shared.durable().await?;
    Ok((StatusCode::CREATED, Json(json!({}))))
}

/// `?number=`: the business, when there are several.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    number: Option<Number>,
}

/// A bundle of the business; its one-time key is used up.
pub(super) async fn business_bundle(
    State(shared): State<Arc<Shared>>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Bundle>, Problem> {
    let Query(Which { number }) = which
        .map_err(|error| Problem::bad(format!("the query is wrong: {}", error.body_text())))?;
    let bundle = shared.with(|network, _| network.take_bundle(number))?;
    shared.durable().await?;
    Ok(Json(bundle.into()))
}

fn key_of(id: &str, direction: Direction) -> Result<Key, Problem> {
    let id: Option<MessageId> = id.parse().ok();
    id.filter(|id| id.direction == direction)
        .map(|id| id.key)
        .ok_or_else(|| Problem::bad("\"message_id\" is no id of a message in this direction"))
}
