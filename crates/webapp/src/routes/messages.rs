//! `POST /v1/messages`.

use std::sync::Arc;

use axum::{Extension, body::Body, extract::State, response::Response};
use contract::{ApiError, Code, Direction, Key, MessageId, answer, message::Outgoing};
use http::{HeaderMap, HeaderName, StatusCode};

use crate::{
    app::App,
    auth::{Caller, traceparent},
    edge::{Consulted, Context, Refusal, json, read},
    hop::{Failure, Message},
};

/// The id a message may have been accepted under, when that is not known.
const MESSAGE_ID: HeaderName = HeaderName::from_static("x-heliograph-message-id");

/// Accepts a message: 201 with its id once a coreapp has committed it.
pub(super) async fn send(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let body = read(&app.metrics, body).await?;
    let Outgoing { to, input, message, .. } = Outgoing::parse(&body)?;
    if app.directory.current()?.own_number == Some(to) {
        let details = "Parameter 'to': a message to the business' own number cannot be sent";
        return Err(ApiError::new(Code::BAD_USER, details).into());
    }
    let key = Key::mint(&app.clock, &app.rng);
    let message = Message {
        key,
        to,
        input,
        body: message,
        actor: caller.user,
        request_id: context.id.to_string(),
        traceparent: traceparent(&headers),
    };
    let consulted = Consulted(Some(key));
    let id = match app.hop.send(message).await {
        Ok(id) => id,
        Err(Failure::Refused(error)) => return Err(Refusal::from(error).consulted(consulted)),
        Err(Failure::Unknown(error)) => {
            let id = MessageId { direction: Direction::Outbound, number: to, key };
            let refusal = Refusal::from(error).header(MESSAGE_ID, &id.to_string());
            return Err(refusal.consulted(consulted));
        }
    };
    let id: MessageId = id.parse().map_err(|_| {
        ApiError::new(Code::INTERNAL, "The coreapp accepted the message under no valid id")
    })?;
    let mut response = json(StatusCode::CREATED, answer::message_accepted(&id));
    response.extensions_mut().insert(consulted);
    Ok(response)
}
