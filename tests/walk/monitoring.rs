//! Health, figures, probes, the description; and what there is not.

use serde_json::{Value, json};

use crate::{
    steps::{For, Walk},
    support::until,
};

pub async fn walk(walk: &mut Walk) {
    for caller in ["API key", "user", "admin"] {
        let health = walk.call(caller, "GET", "/v1/health", "", b"").await;
        assert_eq!(health.status, 200, "{caller}");
    }
    walk.step(For::Monitors, "GET", "/v1/health", &Value::Null).await;
    for path in ["/v1/stats/app", "/metrics", "/v1/metrics"] {
        // Which figures there are is no part of this; each has the same shape.
        let given = walk.unwritten(For::Monitors, "GET", path).await;
        let body = given.json();
        let figures = body.pointer("/stats/app").or_else(|| body.get("metrics"));
        let figures = figures.and_then(Value::as_object).unwrap();
        assert!(!figures.is_empty() && given.status == 200, "{path}: {body}");
        for (name, figure) in figures {
            let kind = figure["type"].as_str().unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{name}: {figure}");
            assert!(figure["help"].is_string(), "{name}: {figure}");
            for sample in figure["data"].as_array().unwrap() {
                assert!(sample["value"].is_number(), "{name}: {figure}");
            }
        }
        walk.step(For::Monitors, "GET", &format!("{path}?format=prometheus"), &Value::Null).await;
    }
    // The first look at the tables takes a moment.
    until("the tables are counted", async || {
        let given = walk.call("API key", "GET", "/v1/stats/db", "", b"").await;
        (given.status == 200).then_some(())
    })
    .await;
    for path in ["/v1/stats/db", "/v1/stats/db/internal", "/v1/stats/app/internal"] {
        let given = walk.unwritten(For::Monitors, "GET", path).await;
        let body = given.json();
        let stats = body["stats"].as_object().unwrap();
        assert!(given.status == 200 && !stats.is_empty(), "{path}: {body}");
    }
    // What a gateway is like differs from machine to machine; `tests/monitoring.rs` looks at it.
    let given = walk.unwritten(For::Users, "GET", "/v1/support").await;
    assert!(given.status == 200 && given.json()["support"].is_object());
    for path in ["/livez", "/readyz", "/docs", "/docs/errors"] {
        walk.step(For::Everybody, "GET", path, &Value::Null).await;
    }
    let document = walk.unwritten(For::Everybody, "GET", "/v1/openapi.json").await;
    assert_eq!(document.json()["openapi"].as_str().unwrap().split('.').next(), Some("3"));
    for code in ["1008", "9", "x"] {
        let path = format!("/docs/errors/{code}");
        walk.at(For::Everybody, "GET", "/docs/errors/{code}", &path, &Value::Null).await;
    }
    // Not there: paths, methods, and groups, which the original has no more.
    for (method, path) in [
        ("GET", "/v1/nothing"),
        ("GET", "/"),
        ("PATCH", "/v1/messages"),
        ("GET", "/v1/messages"),
        ("DELETE", "/v1/contacts"),
        ("POST", "/v1/health"),
    ] {
        walk.told("user", method, path, ("", b"")).await;
    }
    for (method, path) in
        [("GET", "/v1/groups"), ("POST", "/v1/groups"), ("GET", "/v1/groups/1/invite")]
    {
        let body = json!({}).to_string();
        walk.told("user", method, path, ("application/json", body.as_bytes())).await;
    }
    walk.settle("monitoring");
}
