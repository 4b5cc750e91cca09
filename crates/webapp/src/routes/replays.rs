//! `/v1/events/replay`, for admins: events sent to the webhook again. The coreapp keeps account.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    response::Response,
};
use contract::{ApiError, Code, events, json::check};
use http::{HeaderMap, StatusCode};
use rpc::coreapp::{ReplayEventsRequest, ReplayId, events_client::EventsClient};

use super::{InPath, answered, done};
use crate::{
    app::App,
    auth::Admin,
    edge::{Context, Refusal, read},
};

/// One commit at most.
const CALL: Duration = Duration::from_secs(10);

/// 202: it is durable and will be done. Should a lost answer make two of one, events come once more
/// under their ids.
pub(super) async fn start(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    Admin(caller): Admin,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let body = read(&app.metrics, body).await?;
    check(&body)?;
    let asker = caller.asker(&context, &headers);
    let replay = app
        .cores
        .writer(CALL, |channel| {
            let request = asker.request(ReplayEventsRequest { request: body.clone() }, CALL);
            async move { EventsClient::new(channel).replay(request).await }
        })
        .await?;
    Ok(answered(StatusCode::ACCEPTED, events::progress(&replay.progress)))
}

/// How it stands.
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    Admin(caller): Admin,
    headers: HeaderMap,
    id: InPath,
) -> Result<Response, Refusal> {
    let id = id_of(id)?;
    let asker = caller.asker(&context, &headers);
    let replay = app
        .cores
        .writer(CALL, |channel| {
            let request = asker.request(ReplayId { id: id.clone() }, CALL);
            async move { EventsClient::new(channel).get_replay(request).await }
        })
        .await?;
    Ok(done(events::progress(&replay.progress)))
}

/// Stops it.
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    Admin(caller): Admin,
    headers: HeaderMap,
    id: InPath,
) -> Result<Response, Refusal> {
    let id = id_of(id)?;
    let asker = caller.asker(&context, &headers);
    let replay = app
        .cores
        .writer(CALL, |channel| {
            let request = asker.request(ReplayId { id: id.clone() }, CALL);
            async move { EventsClient::new(channel).cancel_replay(request).await }
        })
        .await?;
    Ok(done(events::progress(&replay.progress)))
}

fn id_of(id: InPath) -> Result<String, ApiError> {
    let id = id.map(|Path(id)| id);
    id.map_err(|_| ApiError::new(Code::NOT_FOUND, "There is no replay with this id"))
}
