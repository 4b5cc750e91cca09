//! `PUT /v1/messages/{id}`: a customer's message was read.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{Path, rejection::PathRejection},
    response::Response,
};
use contract::{ApiError, Code, Direction, MessageId, answer, message::check_read_mark};
use rpc::coreapp::{MarkReadRequest, messages_client::MessagesClient};

use crate::{
    edge::{Refusal, read},
    routes::{asking::Asking, done},
};

/// The network is given 5 s to answer, a coreapp a moment to look the message up.
const CALL: Duration = Duration::from_secs(8);

/// Marks a message of a customer read, and what the customer wrote before it: `{"status":"read"}`.
///
/// 200 and an empty answer once the network knows; may be repeated. 404/1006 for a message that no
/// customer wrote or that is no longer known, 400/1009 for another status, 503/1011 when the network
/// does not answer.
pub(super) async fn put(
    asking: Asking,
    id: Result<Path<String>, PathRejection>,
    body: Body,
) -> Result<Response, Refusal> {
    let body = read(&asking.app.metrics, body).await?;
    check_read_mark(&body)?;
    let id = id.ok().and_then(|Path(id)| id.parse::<MessageId>().ok());
    let id = id.filter(|id| id.direction == Direction::Inbound).ok_or_else(unknown)?;
    let message = MarkReadRequest { id: id.to_string() };
    asking
        .messages_owner_of(&id.number, CALL, message, |channel, request| async move {
            MessagesClient::new(channel).mark_read(request).await
        })
        .await?;
    Ok(done(answer::empty()))
}

fn unknown() -> ApiError {
    ApiError::new(Code::NOT_FOUND, "No customer's message with this id is known here")
}
