//! `GET /v1/health`: a lone coreapp as an object, a cluster as a map. Always 200, also for what is ill.

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
        .every_node(CALL, |channel| async move {
            OpsClient::new(channel).health(HealthRequest {}).await
        })
        .await;
    let body = answer::resource("health", &shown(app.cores.cluster(), answers));
    let mut response = edge::json(StatusCode::OK, body);
    response.extensions_mut().insert(Consulted(None));
    response
}

fn shown(cluster: bool, answers: Vec<(String, Result<HealthResponse, ApiError>)>) -> Value {
    let mut nodes = Vec::new();
    for (address, answer) in answers {
        match answer {
            Ok(health) => nodes.extend(health.nodes.into_iter().map(|node| {
                let mut shown = json!({"gateway_status": node.gateway_status});
                if cluster {
                    shown["role"] = node.role.into();
                }
                (node.node, Ok(shown))
            })),
            Err(error) => nodes.push((address, Err(error))),
        }
    }
    by_node(cluster, nodes)
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

    fn up(address: &str, name: &str) -> (String, Result<HealthResponse, ApiError>) {
        (address.to_owned(), Ok(node(name)))
    }

    fn down(address: &str) -> (String, Result<HealthResponse, ApiError>) {
        (address.to_owned(), Err(ApiError::new(Code::NOT_READY, "down")))
    }

    #[test]
    fn a_lone_coreapp_is_an_object_without_a_role_by_whatever_address_it_answers() {
        let alone = json!({"gateway_status": "connected"});
        assert_eq!(shown(false, vec![up("a:6252", "a")]), alone);
        assert_eq!(shown(false, vec![down("a-before:6252"), up("a:6252", "a")]), alone);
        assert_eq!(shown(false, vec![down("a:6252")])["errors"][0]["code"], 1011);
    }

    #[test]
    fn a_cluster_is_a_map_of_each_node_once_with_errors_in_their_place() {
        let a = json!({"gateway_status": "connected", "role": "coreapp"});
        assert_eq!(shown(true, vec![up("a:6252", "a")]), json!({"a": a}));
        assert_eq!(shown(true, vec![up("a:6252", "a"), up("any:6252", "a")]), json!({"a": a}));
        let both = shown(true, vec![up("a:6252", "a"), down("b:6252")]);
        assert_eq!(both["a"], a);
        assert_eq!(both["b:6252"]["errors"][0]["code"], 1011);
    }
}
