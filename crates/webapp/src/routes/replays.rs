//! `/v1/events/replay`, for admins: events sent to the webhook again. The coreapp keeps account.

use std::time::Duration;

use axum::{body::Body, extract::Path, response::Response};
use contract::{ApiError, Code, answer::Errors, events, json::check};
use http::StatusCode;
use rpc::coreapp::{ReplayEventsRequest, ReplayId, events_client::EventsClient};

use super::{InPath, answered, asking::AskingAdmin, done};
use crate::edge::{Refusal, read};

/// One commit at most.
const CALL: Duration = Duration::from_secs(10);

/// Has events sent to the webhook again, under their `webhook-id`.
///
/// Should a lost answer make two replays of one, events come once more under their ids.
#[utoipa::path(
    post, path = "/v1/events/replay", tag = "Events", security(("Bearer" = ["ROLE_ADMIN"])),
    request_body(content = events::ReplayBody),
    responses(
        (status = 202, description = "Durable, and will be done.", body = events::ReplayAnswer),
        (status = 400, description = "1008 nothing says where to begin, 1009 type or range, 1010 unknown or in the way of another, 1022 no webhook is set, 1025 no JSON.", body = Errors),
    ),
)]
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

/// Shows how a replay stands.
#[utoipa::path(
    get, path = "/v1/events/replay/{id}", tag = "Events", security(("Bearer" = ["ROLE_ADMIN"])),
    params(("id" = String, Path, description = "As the start of the replay gave it.")),
    responses((status = 200, description = "How it stands.", body = events::ReplayAnswer)),
)]
pub(super) async fn get(AskingAdmin(asking): AskingAdmin, id: InPath) -> Result<Response, Refusal> {
    let replay = asking
        .writer(CALL, id_of(id)?, |channel, request| async move {
            EventsClient::new(channel).get_replay(request).await
        })
        .await?;
    Ok(done(events::progress(&replay.progress)))
}

/// Stops a replay.
#[utoipa::path(
    delete, path = "/v1/events/replay/{id}", tag = "Events", security(("Bearer" = ["ROLE_ADMIN"])),
    params(("id" = String, Path, description = "As the start of the replay gave it.")),
    responses((status = 200, description = "How it stood.", body = events::ReplayAnswer)),
)]
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
