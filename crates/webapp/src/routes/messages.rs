//! `POST /v1/messages`.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use contract::{
    ApiError, Code, IdempotencyKey, Key, MessageId,
    answer::{self, Errors, MessageAccepted},
    message::{MessageBody, Outgoing},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use rpc::coreapp::Quota;

use crate::{
    app::App,
    auth::{Caller, traceparent},
    edge::{Consulted, Context, Refusal, json, read},
    hop::{Failure, Message, Outcome},
};

/// What the client calls its request.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The answer is that of an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The id a message may have been accepted under, when that is not known.
const MESSAGE_ID: HeaderName = HeaderName::from_static("x-heliograph-message-id");
/// The quota and what is left of it, as draft-ietf-httpapi-ratelimit-headers-10 writes them.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// Sends a message.
///
/// 201 with its id once it is flushed to disk; everything after that is told by callbacks. All but
/// templates need a message of the customer within the last 24 hours, else the message fails with 470.
#[utoipa::path(
    post, path = "/v1/messages", tag = "Messages",
    params(
        ("Idempotency-Key" = Option<String>, Header, max_length = 255, description = "Heliograph's addition. Names the request: within 24 hours another one with the same name, of the same user and to the same recipient, is answered with the first one's id."),
    ),
    request_body(content = MessageBody),
    responses(
        (
            status = 201, description = "Accepted, and flushed to disk. What becomes of it is told by callbacks.",
            body = MessageAccepted,
            headers(
                ("Idempotency-Replayed" = String, description = "`true`: the answer is that of an earlier request with this key."),
                ("RateLimit-Policy" = String, description = "The coreapp's quota, as draft-ietf-httpapi-ratelimit-headers-10 writes it; absent: there is none."),
                ("RateLimit" = String, description = "What is left of it."),
            ),
        ),
        (status = 400, description = "1001 too long, 1002 recipient type, 1008 something is missing, 1009 type or value, 1010 unknown field, 1021 own number, 1025 no JSON; the 2000 family: of templates and interactive messages.", body = Errors),
        (status = 404, description = "1006: there is no file with an id that it names.", body = Errors),
        (status = 409, description = "1028: the recipient's identity has changed and is not acknowledged.", body = Errors),
        (
            status = 503, description = "As everywhere; also 1011 \"outcome unknown\": repeat under the same key, else it may be sent twice.",
            body = Errors,
            headers(
                ("Retry-After" = u32, description = "Whole seconds after which a repeat may succeed."),
                ("X-Heliograph-Message-Id" = String, description = "The id it was accepted under, if it was."),
            ),
        ),
    ),
)]
pub(super) async fn send(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let name = idempotency_key(&headers)?;
    let body = read(&app.metrics, body).await?;
    let message = Outgoing::parse(&body)?;
    let sender = Sender::of(&app, &context, &caller, &headers)?;
    let message = sender.message(&app, message, name)?;
    let (id, consulted) = (message.id(), Consulted(Some(message.key)));
    let Outcome { result, quota } = app.hop.send(message).await;
    let mut response = match result {
        Ok(sent) => {
            let id: MessageId = sent.id.parse().map_err(|_| {
                let details = "The coreapp accepted the message under no valid id";
                ApiError::new(Code::INTERNAL, details)
            })?;
            let mut response = json(StatusCode::CREATED, answer::message_accepted(&id));
            if sent.replayed {
                response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            }
            response.extensions_mut().insert(Consulted(Some(id.key)));
            response
        }
        Err(Failure::Refused(error)) => Refusal::from(error).consulted(consulted).into_response(),
        Err(Failure::Unknown(error)) => Refusal::from(error)
            .header(MESSAGE_ID, &id.to_string())
            .consulted(consulted)
            .into_response(),
    };
    show_quota(&mut response, quota);
    Ok(response)
}

/// What the messages of a request share.
pub(super) struct Sender {
    own_number: Option<contract::Number>,
    actor: Arc<str>,
    request_id: String,
    traceparent: String,
}

impl Sender {
    /// # Errors
    /// When the directory is too old to be trusted.
    pub(super) fn of(
        app: &App,
        context: &Context,
        caller: &Caller,
        headers: &HeaderMap,
    ) -> Result<Self, ApiError> {
        Ok(Self {
            own_number: app.directory.current()?.own_number,
            actor: Arc::clone(&caller.user),
            request_id: context.id.to_string(),
            traceparent: traceparent(headers),
        })
    }

    /// A message under a fresh key.
    ///
    /// # Errors
    /// When it is to our own number.
    pub(super) fn message(
        &self,
        app: &App,
        outgoing: Outgoing,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Result<Message, ApiError> {
        let Outgoing { to, input, message, .. } = outgoing;
        if self.own_number == Some(to) {
            let details = "Parameter 'to': a message to the business' own number cannot be sent";
            return Err(ApiError::new(Code::BAD_USER, details));
        }
        Ok(Message {
            key: Key::mint(&app.clock, &app.rng),
            to,
            input,
            body: message,
            idempotency_key,
            actor: Arc::clone(&self.actor),
            request_id: self.request_id.clone(),
            traceparent: self.traceparent.clone(),
        })
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, ApiError> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(name) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        let details = "'Idempotency-Key' was given more than once";
        return Err(ApiError::new(Code::INVALID, details));
    }
    IdempotencyKey::parse("Idempotency-Key", name.as_bytes()).map(Some)
}

/// Tells what is left of the coreapp's quota, if it has one.
pub(super) fn show_quota(response: &mut Response, quota: Option<Quota>) {
    let Some(Quota { per_second, remaining, reset_s }) = quota else { return };
    let policy = format!("\"messages\";q={per_second};w=1");
    let left = format!("\"messages\";r={remaining};t={reset_s}");
    for (name, value) in [(POLICY, policy), (LEFT, left)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
}
