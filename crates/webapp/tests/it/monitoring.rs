//! Health, stats, metrics.

use serde_json::json;

use crate::{
    client::{Edge, bearer},
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
