//! `/v1/contacts/{number}/block`, `/unblock`, `/report`: how the business stands to a customer. The
//! coreapp that owns the customer's shard keeps it.

use std::time::Duration;

use axum::{body::Body, response::Response};
use contract::{
    answer::{self, Empty, Errors},
    contacts::{self, ReportRequest},
};
use rpc::coreapp::{self as proto, contacts_client::ContactsClient};

use crate::{
    edge::{Refusal, read},
    routes::{InPath, asking::Asking, done, number},
};

/// The coreapp answers after 10 s at the latest, and then says why.
const CALL: Duration = Duration::from_secs(12);

/// Blocks a customer: their messages are dropped.
#[utoipa::path(
    post, path = "/v1/contacts/{number}/block", tag = "Contacts",
    params(("number" = String, Path, description = "Any notation of the number.")),
    request_body(content = Option<contacts::BlockBody>),
    responses(
        (status = 200, description = "No more messages of this customer come.", body = Empty),
        (status = 400, description = "1009 no number, type or length; 1010 unknown field; 1025 no JSON; 2048 no message of this customer within the last 24 hours.", body = Errors),
    ),
)]
pub(super) async fn block(asking: Asking, given: InPath, body: Body) -> Result<Response, Refusal> {
    let number = number("number", given)?;
    contacts::block(&read(&asking.app.metrics, body).await?)?;
    let message = proto::BlockRequest { number: number.to_string() };
    asking
        .owner_of(&number, CALL, message, |channel, request| async move {
            ContactsClient::new(channel).block(request).await
        })
        .await?;
    Ok(done(answer::empty()))
}

/// Takes a customer's messages again.
#[utoipa::path(
    post, path = "/v1/contacts/{number}/unblock", tag = "Contacts",
    params(("number" = String, Path, description = "Any notation of the number.")),
    responses(
        (status = 200, description = "They come again.", body = Empty),
        (status = 400, description = "1009 no number; 1010 unknown field; 1025 no JSON.", body = Errors),
    ),
)]
pub(super) async fn unblock(
    asking: Asking,
    given: InPath,
    body: Body,
) -> Result<Response, Refusal> {
    let number = number("number", given)?;
    contacts::unblock(&read(&asking.app.metrics, body).await?)?;
    let message = proto::UnblockRequest { number: number.to_string() };
    asking
        .owner_of(&number, CALL, message, |channel, request| async move {
            ContactsClient::new(channel).unblock(request).await
        })
        .await?;
    Ok(done(answer::empty()))
}

/// Reports a customer to the network.
#[utoipa::path(
    post, path = "/v1/contacts/{number}/report", tag = "Contacts",
    params(("number" = String, Path, description = "Any notation of the number.")),
    request_body(content = Option<contacts::ReportBody>),
    responses(
        (status = 200, description = "The network was told.", body = Empty),
        (status = 400, description = "1009 no number, type or length; 1010 unknown field; 1025 no JSON; 2048 no message of this customer within the last 24 hours.", body = Errors),
    ),
)]
pub(super) async fn report(asking: Asking, given: InPath, body: Body) -> Result<Response, Refusal> {
    let number = number("number", given)?;
    let report = ReportRequest::parse(&read(&asking.app.metrics, body).await?, &number)?;
    let message = proto::ReportRequest {
        number: number.to_string(),
        reason: report.reason,
        block: report.block,
        message_id: report.message.map(|id| id.to_string()).unwrap_or_default(),
    };
    asking
        .owner_of(&number, CALL, message, |channel, request| async move {
            ContactsClient::new(channel).report(request).await
        })
        .await?;
    Ok(done(answer::empty()))
}
