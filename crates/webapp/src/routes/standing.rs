//! `/v1/contacts/{number}/block`, `/unblock`, `/report`: how the business stands to a customer. The
//! coreapp that owns the customer's shard keeps it.

use std::time::Duration;

use axum::{body::Body, response::Response};
use contract::{
    answer,
    contacts::{self, ReportRequest},
};
use rpc::coreapp::{self as proto, contacts_client::ContactsClient};

use crate::{
    edge::{Refusal, read},
    routes::{InPath, asking::Asking, done, number},
};

/// The coreapp answers after 10 s at the latest, and then says why.
const CALL: Duration = Duration::from_secs(12);

/// Takes no more messages of a customer.
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

/// Takes them again.
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

/// Complains to the network.
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
