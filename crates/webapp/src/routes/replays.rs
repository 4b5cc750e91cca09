//! `/v1/events/replay`, for admins: events sent to the webhook again. The coreapp keeps account.

use std::time::Duration;

use axum::{body::Body, extract::Path, response::Response};
use contract::{ApiError, Code, events, json::check};
use http::StatusCode;
use rpc::coreapp::{ReplayEventsRequest, ReplayId, events_client::EventsClient};

use super::{InPath, answered, asking::AskingAdmin, done};
use crate::edge::{Refusal, read};

/// One commit at most.
const CALL: Duration = Duration::from_secs(10);

/// 202: it is durable and will be done. Should a lost answer make two of one, events come once more
/// under their ids.
pub(super) async fn start(
    AskingAdmin(asking): AskingAdmin,
    body: Body,
) -> Result<Response, Refusal> {
    let request = read(&asking.app.metrics, body).await?;
    check(&request)?;
    let replay = asking
        .writer(CALL, ReplayEventsRequest { request }, |channel, request| async move {
            EventsClient::new(channel).replay(request).await
        })
        .await?;
    Ok(answered(StatusCode::ACCEPTED, events::progress(&replay.progress)))
}

/// How it stands.
pub(super) async fn get(AskingAdmin(asking): AskingAdmin, id: InPath) -> Result<Response, Refusal> {
    let replay = asking
        .writer(CALL, id_of(id)?, |channel, request| async move {
            EventsClient::new(channel).get_replay(request).await
        })
        .await?;
    Ok(done(events::progress(&replay.progress)))
}

/// Stops it.
pub(super) async fn cancel(
    AskingAdmin(asking): AskingAdmin,
    id: InPath,
) -> Result<Response, Refusal> {
    let replay = asking
        .writer(CALL, id_of(id)?, |channel, request| async move {
            EventsClient::new(channel).cancel_replay(request).await
        })
        .await?;
    Ok(done(events::progress(&replay.progress)))
}

fn id_of(id: InPath) -> Result<ReplayId, ApiError> {
    let id = id.map(|Path(id)| ReplayId { id });
    id.map_err(|_| ApiError::new(Code::NOT_FOUND, "There is no replay with this id"))
}
