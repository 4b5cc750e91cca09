//! Health, stats, metrics.

use serde_json::{Value, json};
use webapp::Config;

use crate::{
    client::{Edge, bearer, config, eventually},
    core::Core,
};

#[tokio::test]
async fn health_and_stats_are_those_of_the_coreapp() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let clerk = bearer("clerk_7");
    let health = edge.get("/v1/health", &clerk).await.json();
    assert_eq!(health["health"], json!({"gateway_status": "connected"}));
    let stats = edge.get("/v1/stats/app", &clerk).await.json();
    assert_eq!(
        stats["stats"]["app"]["pending_messages"],
        json!({"type": "gauge", "help": "Jobs.", "data": [{"value": 3}]})
    );
    let text = edge.get("/v1/stats/app?format=prometheus", &clerk).await;
    assert!(text.header("content-type").starts_with("text/plain"));
    assert_eq!(
        text.body,
        "# HELP pending_messages Jobs.\n# TYPE pending_messages gauge\npending_messages 3\n"
    );
}

/// `GET /v1/health` with a token.
async fn health(edge: &Edge) -> Value {
    edge.get("/v1/health", &bearer("clerk_7")).await.json()["health"].take()
}

#[tokio::test]
async fn a_cluster_is_a_map_also_while_one_of_it_cannot_be_reached() {
    let core = Core::start();
    let gone = "127.0.0.1:1".parse().unwrap();
    let config = Config { coreapps: vec![core.address(), gone], ..config(&core) };
    let edge = Edge::start_with(config).await.ready().await;
    let health = health(&edge).await;
    assert_eq!(health["core-1"], json!({"gateway_status": "connected", "role": "primary_master"}));
    assert_eq!(health["127.0.0.1:3"]["errors"][0]["code"], 1011, "{health}");
    let stats = edge.get("/v1/stats/app", &bearer("clerk_7")).await.json();
    assert_eq!(
        stats["stats"]["app"]["pending_messages"]["data"],
        json!([{"labels": {"node": "core-1"}, "value": 3}])
    );
}

#[tokio::test]
async fn who_has_seen_several_coreapps_shows_a_map_until_its_end() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    assert_eq!(health(&edge).await, json!({"gateway_status": "connected"}));
    core.shared.snapshot.send_modify(|snapshot| {
        snapshot.shards.as_mut().unwrap().control = "127.0.0.1:1".to_owned();
    });
    eventually("the other one is missed", async || {
        health(&edge).await["127.0.0.1:3"]["errors"][0]["code"] == 1011
    })
    .await;
    core.shared.snapshot.send_replace(core.everything());
    let alone = json!({"core-1": {"gateway_status": "connected", "role": "primary_master"}});
    eventually("it is forgotten", async || health(&edge).await == alone).await;
}

#[tokio::test]
async fn metrics_count_answers_by_route_and_status_and_name_the_node() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let clerk = bearer("clerk_7");
    edge.text("16315551004").await;
    edge.post("/v1/messages", &clerk, "{}").await;
    let metrics = edge.get("/v1/metrics", &clerk).await.json();
    let data = metrics["metrics"]["api_requests_duration_ms_count"]["data"].as_array().unwrap();
    for result in ["201", "400"] {
        let labels = json!({"method": "POST_v1_messages", "node": "webapp", "result": result});
        assert!(data.contains(&json!({"labels": labels, "value": 1})), "{data:?}");
    }
    let text = edge.get("/metrics?format=prometheus", &clerk).await;
    let text = String::from_utf8(text.body.to_vec()).unwrap();
    for line in [
        "api_requests_duration_ms_bucket{method=\"POST_v1_messages\",result=\"201\",node=\"webapp\"",
        "web_requests{state=\"handle-request\",node=\"webapp\"} 1",
        "web_connections{node=\"webapp\"}",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}
