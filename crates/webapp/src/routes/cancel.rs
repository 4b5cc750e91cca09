//! `DELETE /v1/messages/{id}`: takes a message back as long as it has not been sealed.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{Path, State, rejection::PathRejection},
    response::Response,
};
use contract::{
    ApiError, Code, Direction, MessageId,
    answer::{self, Errors, MessageAccepted},
};
use http::{HeaderMap, StatusCode};
use rpc::coreapp::{CancelRequest, messages_client::MessagesClient};
use tokio::time::{Instant, sleep};

use crate::{
    app::App,
    auth::Caller,
    edge::{Consulted, Context, Refusal, json},
    hop::Backoff,
};

/// From the request to its answer.
const BUDGET: Duration = Duration::from_secs(10);
/// Of one try.
const TRY: Duration = Duration::from_secs(3);

/// Takes a message back, as long as it is not sealed.
///
/// May be repeated. A message that is cancelled never leaves, and there is no callback about it.
#[utoipa::path(
    delete, path = "/v1/messages/{id}", tag = "Messages",
    params(("id" = String, Path, description = "As the answer to the message gave it.")),
    responses(
        (status = 200, description = "It will not be sent.", body = MessageAccepted),
        (status = 404, description = "1006: there is no message with this id that is still to be sent.", body = Errors),
        (status = 409, description = "1009: it is sealed, was sent or has failed.", body = Errors),
    ),
)]
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    caller: Caller,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    let id = id.ok().and_then(|Path(id)| id.parse::<MessageId>().ok());
    let id = id.filter(|id| id.direction == Direction::Outbound).ok_or_else(unknown)?;
    let consulted = Consulted(Some(id.key));
    let asker = caller.asker(&context, &headers);
    // To be repeated without harm, so a coreapp that is lost or has lost the shard is asked again, or
    // its successor.
    let deadline = Instant::now() + BUDGET;
    let mut backoff = Backoff::default();
    loop {
        let limit = TRY.min(deadline.saturating_duration_since(Instant::now()));
        let cancelled = app
            .cores
            .messages_owner_of(&id.number, limit, |channel| {
                let request = asker.request(CancelRequest { id: id.to_string() }, limit);
                async move { MessagesClient::new(channel).cancel(request).await }
            })
            .await;
        let Err(error) = cancelled else { break };
        let wait = backoff.next_delay();
        let may_pass =
            matches!(error.code, Code::NOT_READY | Code::NOT_PRIMARY_COREAPP | Code::DATABASE);
        if !may_pass || Instant::now() + wait >= deadline {
            return Err(Refusal::from(error).consulted(consulted));
        }
        sleep(wait).await;
    }
    let mut response = json(StatusCode::OK, answer::message_accepted(&id));
    response.extensions_mut().insert(consulted);
    Ok(response)
}

fn unknown() -> ApiError {
    ApiError::new(Code::NOT_FOUND, "There is no message with this id")
}
