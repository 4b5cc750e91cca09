//! `GET /v1/support`: what every coreapp says of itself; a lone one as an object, a cluster as a map.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use contract::{ApiError, Code, answer, monitoring::SupportAnswer};
use rpc::coreapp::{SupportRequest, SupportResponse, monitoring_client::MonitoringClient};
use serde_json::Value;

use super::{by_node, done};
use crate::{app::App, auth::Caller};

/// Of one node; the slowest decides when the answer comes.
const CALL: Duration = Duration::from_secs(5);

/// Shows what a support case begins with.
///
/// Versions, schema, keys, shards, free disk of every coreapp; no secret.
#[utoipa::path(
    get, path = "/v1/support", tag = "Monitoring",
    responses((status = 200, description = "Of every coreapp.", body = SupportAnswer)),
)]
pub(super) async fn support(State(app): State<Arc<App>>, _: Caller) -> Response {
    let answers = app
        .cores
        .every_node(CALL, |channel| async move {
            MonitoringClient::new(channel).support(SupportRequest {}).await
        })
        .await;
    let nodes = answers.into_iter().map(|(address, answer)| match answer.and_then(shown) {
        Ok((node, support)) => (node, Ok(support)),
        Err(error) => (address, Err(error)),
    });
    done(answer::resource("support", &by_node(app.cores.cluster(), nodes)))
}

fn shown(answer: SupportResponse) -> Result<(String, Value), ApiError> {
    let support = serde_json::from_slice(&answer.support);
    let support = support
        .map_err(|_| ApiError::new(Code::INTERNAL, "The coreapp's answer cannot be read"))?;
    Ok((answer.node, support))
}
