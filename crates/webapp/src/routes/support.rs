//! `GET /v1/support`: what every coreapp says of itself; one node as an object, several as a map.

use std::time::Duration;

use axum::response::Response;
use contract::{ApiError, Code, answer, monitoring::SupportAnswer};
use rpc::coreapp::{SupportRequest, SupportResponse, monitoring_client::MonitoringClient};
use serde_json::{Value, json};

use super::{asking::Asking, by_node, done};
use crate::edge::Refusal;

/// Of one node; the slowest decides when the answer comes.
const CALL: Duration = Duration::from_secs(5);

/// Shows what a support case begins with.
///
/// Versions, schema, keys, shards, free disk of every coreapp; no secret.
#[utoipa::path(
    get, path = "/v1/support", tag = "Monitoring",
    responses((status = 200, description = "Of every coreapp.", body = SupportAnswer)),
)]
pub(super) async fn support(asking: Asking) -> Result<Response, Refusal> {
    let answers = asking
        .every(CALL, SupportRequest {}, |channel, request| async move {
            MonitoringClient::new(channel).support(request).await
        })
        .await;
    let nodes = answers.into_iter().map(|(address, answer)| match answer.and_then(shown) {
        Ok((node, support)) => (node, support),
        Err(error) => (address, json!({ "errors": [error] })),
    });
    Ok(done(answer::resource("support", &by_node(nodes))))
}

fn shown(answer: SupportResponse) -> Result<(String, Value), ApiError> {
    let support = serde_json::from_slice(&answer.support);
    let support = support
        .map_err(|_| ApiError::new(Code::INTERNAL, "The coreapp's answer cannot be read"))?;
    Ok((answer.node, support))
}
