//! `PUT /v1/messages/{id}`: a customer's message was read.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{Path, rejection::PathRejection},
    response::Response,
};
use contract::{
    ApiError, Code, Direction, MessageId,
    answer::{self, Empty, Errors},
    message::{ReadMarkBody, check_read_mark},
};
use rpc::coreapp::{MarkReadRequest, messages_client::MessagesClient};

use crate::{
    edge::{Refusal, read},
    routes::{asking::Asking, done},
};

/// The network is given 5 s to answer, a coreapp a moment to look the message up.
const CALL: Duration = Duration::from_secs(8);

/// Marks a message of a customer read, and what the customer wrote before it.
///
/// May be repeated.
#[utoipa::path(
    put, path = "/v1/messages/{id}", tag = "Messages",
    params(("id" = String, Path, description = "Of a customer's message, as its callback gave it.")),
    request_body(content = ReadMarkBody),
    responses(
        (status = 200, description = "The network knows.", body = Empty),
        (status = 400, description = "1008 no `status`, 1009 another one than `read`, 1010 unknown field, 1025 no JSON.", body = Errors),
    ),
)]
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
