//! `POST /v1/messages/batch`: many messages in one request.
//!
//! Each is judged and charged alone; the answer is 200 whatever became of them. They travel on the
//! pipes of their shards' owners like all others, what is ready together in one frame.

use std::{sync::Arc, time::Duration};

use axum::{Extension, body::Body, extract::State, response::Response};
use contract::{
    ApiError, Code,
    answer::Errors,
    batch::{self, Item, Outcome},
};
use http::{HeaderMap, StatusCode};
use tokio::time::timeout;

use super::messages::{self, IDEMPOTENCY_KEY, Sender};
use crate::{
    app::App,
    auth::Caller,
    edge::{ARRIVAL, Consulted, Context, Refusal, json, read_within},
    hop::Failure,
};

/// How long a batch waits for its turn; then 503/1016.
const TURN: Duration = Duration::from_secs(5);

/// Sends up to 1,000 messages in one request.
///
/// Each is judged and charged alone, so the answer is 200 whatever became of them.
#[utoipa::path(
    post, path = "/v1/messages/batch", tag = "Messages",
    request_body(content = batch::BatchBody, description = "At most 2 MiB."),
    responses(
        (
            status = 200, description = "What became of each message, in the order of the request.",
            body = batch::BatchAnswer,
            headers(
                ("RateLimit-Policy" = String, description = "As with a single message."),
                ("RateLimit" = String, description = "As with a single message."),
            ),
        ),
        (status = 400, description = "Of the batch as a whole. 1008 no `messages`, 1009 none, too many, or a header `Idempotency-Key`, 1010 unknown field, 1025 no JSON.", body = Errors),
    ),
)]
pub(super) async fn send(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    if headers.contains_key(IDEMPOTENCY_KEY) {
        return Err(batch::key_in_header().into());
    }
    // Before the body is read: what waits for its turn takes no memory.
    let Ok(Ok(_turn)) = timeout(TURN, app.hop.batches.acquire()).await else {
        let details = "Too many batches are being sent at this moment";
        return Err(ApiError::new(Code::OVERLOADED, details).into());
    };
    let body = read_within(&app.metrics, body, batch::MAX_BODY, ARRIVAL).await?;
    let items = batch::parse(&body)?;
    drop(body);
    let sender = Sender::of(&app, &context, &caller, &headers)?;
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(items.len());
    let mut messages = Vec::with_capacity(items.len());
    for item in items {
        let message = item.and_then(|Item { message, idempotency_key }| {
            sender.message(&app, message, idempotency_key)
        });
        match message {
            Ok(message) => {
                messages.push(message);
                outcomes.push(None);
            }
            Err(error) => outcomes.push(Some(Outcome::Refused(error))),
        }
    }
    let ids: Vec<String> = messages.iter().map(|message| message.id().to_string()).collect();
    let mut answers = app.hop.send_many(messages).await.into_iter().zip(ids);
    let mut quota = None;
    for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
        let Some((answer, id)) = answers.next() else { break };
        quota = answer.quota.or(quota);
        *outcome = Some(match answer.result {
            Ok(sent) => Outcome::Accepted { id: sent.id, replayed: sent.replayed },
            Err(Failure::Refused(error)) => Outcome::Refused(error),
            Err(Failure::Unknown(error)) => Outcome::Unknown { id, error },
        });
    }
    let outcomes: Vec<Outcome> = outcomes.into_iter().flatten().collect();
    let mut response = json(StatusCode::OK, batch::answer(&outcomes));
    messages::show_quota(&mut response, quota);
    response.extensions_mut().insert(Consulted(None));
    Ok(response)
}
