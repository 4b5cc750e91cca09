//! `GET /v1/health`: one node as an object, several as a map. Always 200, also for what is ill.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use contract::{ApiError, answer, monitoring::HealthAnswer};
use http::StatusCode;
use rpc::coreapp::{HealthRequest, HealthResponse, ops_client::OpsClient};
use serde_json::{Value, json};

use super::by_node;
use crate::{
    app::App,
    auth::Monitor,
    edge::{self, Consulted},
};

/// Of one node; the slowest decides when the answer comes.
const CALL: Duration = Duration::from_secs(5);

/// Says how every coreapp is.
#[utoipa::path(
    get, path = "/v1/health", tag = "Monitoring", security(("Bearer" = []), ("Apikey" = [])),
    responses((status = 200, description = "Also of what is ill.", body = HealthAnswer)),
)]
pub(super) async fn health(State(app): State<Arc<App>>, _: Monitor) -> Response {
    let answers = app
        .cores
        .every(
            CALL,
            |channel| async move { OpsClient::new(channel).health(HealthRequest {}).await },
        )
        .await;
    let body = answer::resource("health", &shown(answers));
    let mut response = edge::json(StatusCode::OK, body);
    response.extensions_mut().insert(Consulted(None));
    response
}

fn shown(answers: Vec<(String, Result<HealthResponse, ApiError>)>) -> Value {
    let mut nodes = Vec::new();
    for (address, answer) in answers {
        match answer {
            Ok(health) => nodes.extend(health.nodes.into_iter().map(|node| {
                let shown = json!({"gateway_status": node.gateway_status, "role": node.role});
                (node.node, shown)
            })),
            Err(error) => nodes.push((address, json!({"errors": [error]}))),
        }
    }
    if let [(_, Value::Object(alone))] = &mut nodes[..] {
        alone.remove("role");
    }
    by_node(nodes)
}

#[cfg(test)]
mod tests {
    use contract::Code;
    use rpc::coreapp::NodeHealth;

    use super::*;

    fn node(name: &str) -> HealthResponse {
        let node = NodeHealth {
            node: name.to_owned(),
            gateway_status: "connected".to_owned(),
            role: "coreapp".to_owned(),
        };
        HealthResponse { nodes: vec![node] }
    }

    #[test]
    fn one_node_is_an_object_several_are_a_map_with_errors_in_their_place() {
        let one = shown(vec![("a:6252".to_owned(), Ok(node("a")))]);
        assert_eq!(one, json!({"gateway_status": "connected"}));
        let down = ApiError::new(Code::NOT_READY, "down");
        let both =
            shown(vec![("a:6252".to_owned(), Ok(node("a"))), ("b:6252".to_owned(), Err(down))]);
        assert_eq!(both["a"], json!({"gateway_status": "connected", "role": "coreapp"}));
        assert_eq!(both["b:6252"]["errors"][0]["code"], 1011);
    }
}
