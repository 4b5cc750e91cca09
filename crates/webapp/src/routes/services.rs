//! `/v1/services/{message,media}/gc`: collects old messages, or files that were not used for long. A
//! callback tells what came of it.

use std::time::Duration;

use axum::response::Response;
use contract::{ApiError, Code, answer, monitoring::GcAnswer};
use rpc::coreapp::{CollectRequest, CollectResponse, collection_client::CollectionClient};
use serde_json::{Value, json};

use super::{asking::Asking, done};
use crate::edge::Refusal;

/// Only begins.
const CALL: Duration = Duration::from_secs(10);

/// Begins to collect unused files: those that were not sent for 30 days.
#[utoipa::path(
    put, path = "/v1/services/media/gc", tag = "Services",
    responses(
        (status = 200, description = "It has begun; a callback tells what came of it.", body = GcAnswer),
    ),
)]
pub(super) async fn media(asking: Asking) -> Result<Response, Refusal> {
    asking
        .writer(CALL, CollectRequest {}, |channel, request| async move {
            CollectionClient::new(channel).media(request).await
        })
        .await?;
    Ok(processing("media", &json!({ "status": "processing" })))
}

/// Begins to collect old messages, at every coreapp.
#[utoipa::path(
    put, path = "/v1/services/message/gc", tag = "Services",
    responses(
        (status = 200, description = "It has begun; a callback tells what came of it.", body = GcAnswer),
    ),
)]
pub(super) async fn messages(asking: Asking) -> Result<Response, Refusal> {
    let answers = asking
        .every(CALL, CollectRequest {}, |channel, request| async move {
            CollectionClient::new(channel).messages(request).await
        })
        .await;
    let mut nodes = serde_json::Map::new();
    let mut refused: Option<ApiError> = None;
    for (_, answer) in answers {
        match answer {
            Ok(CollectResponse { node }) => {
                nodes.insert(node, json!({ "status": "processing" }));
            }
            Err(error) => refused = Some(error),
        }
    }
    if nodes.is_empty() {
        let none = || ApiError::new(Code::NOT_READY, "No coreapp can be reached");
        return Err(refused.unwrap_or_else(none).into());
    }
    let gc = match asking.app.cores.cluster() {
        true => Value::Object(nodes),
        false => json!({ "status": "processing" }),
    };
    Ok(processing("message", &gc))
}

fn processing(what: &str, gc: &Value) -> Response {
    done(answer::resource("services", &json!({ what: { "gc": gc } })))
}
