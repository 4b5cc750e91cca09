//! `/v1/contacts/{number}/block`, `/unblock`, `/report`: how the business stands to a customer. The
//! coreapp that owns the customer's shard keeps it.

use std::{sync::Arc, time::Duration};

use axum::{Extension, body::Body, extract::State, response::Response};
use contract::{
    Number, answer,
    contacts::{self, ReportRequest},
};
use http::HeaderMap;
use rpc::coreapp::{self as proto, contacts_client::ContactsClient};
use tonic::{Request, Status, transport::Channel};

use crate::{
    app::App,
    auth::Caller,
    edge::{Context, Refusal, read},
    routes::{InPath, done, number},
};

/// The coreapp answers after 10 s at the latest, and then says why.
const CALL: Duration = Duration::from_secs(12);

/// Takes no more messages of a customer.
pub(super) async fn block(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    caller: Caller,
    headers: HeaderMap,
    given: InPath,
    body: Body,
) -> Result<Response, Refusal> {
    let number = number("number", given)?;
    contacts::block(&read(&app.metrics, body).await?)?;
    let message = proto::BlockRequest { number: number.to_string() };
    let asker = caller.asker(&context, &headers);
    let call = |request, channel| async move { ContactsClient::new(channel).block(request).await };
    ask(&app, &number, || asker.request(message.clone(), CALL), call).await
}

/// Takes them again.
pub(super) async fn unblock(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    caller: Caller,
    headers: HeaderMap,
    given: InPath,
    body: Body,
) -> Result<Response, Refusal> {
    let number = number("number", given)?;
    contacts::unblock(&read(&app.metrics, body).await?)?;
    let message = proto::UnblockRequest { number: number.to_string() };
    let asker = caller.asker(&context, &headers);
    let call =
        |request, channel| async move { ContactsClient::new(channel).unblock(request).await };
    ask(&app, &number, || asker.request(message.clone(), CALL), call).await
}

/// Complains to the network.
pub(super) async fn report(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    caller: Caller,
    headers: HeaderMap,
    given: InPath,
    body: Body,
) -> Result<Response, Refusal> {
    let number = number("number", given)?;
    let report = ReportRequest::parse(&read(&app.metrics, body).await?, &number)?;
    let message = proto::ReportRequest {
        number: number.to_string(),
        reason: report.reason,
        block: report.block,
        message_id: report.message.map(|id| id.to_string()).unwrap_or_default(),
    };
    let asker = caller.asker(&context, &headers);
    let call = |request, channel| async move { ContactsClient::new(channel).report(request).await };
    ask(&app, &number, || asker.request(message.clone(), CALL), call).await
}

async fn ask<M, T, F>(
    app: &App,
    number: &Number,
    request: impl Fn() -> Request<M>,
    call: impl Fn(Request<M>, Channel) -> F,
) -> Result<Response, Refusal>
where
    F: Future<Output = Result<tonic::Response<T>, Status>>,
{
    app.cores.owner_of(number, CALL, |channel| call(request(), channel)).await?;
    Ok(done(answer::empty()))
}
