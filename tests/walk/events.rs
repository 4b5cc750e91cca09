//! The event log, with what becomes of one message in it.

use serde_json::{Value, json};

use crate::{
    steps::{For, Walk},
    support::until,
};

const EVENTS: &str = "/v1/events";
const DEAD: &str = "/v1/events/dead";
const REPLAY: &str = "/v1/events/replay";
const ONE: &str = "/v1/events/replay/{id}";

pub async fn walk(walk: &mut Walk) {
    walk.step(For::Admins, "GET", EVENTS, &Value::Null).await;
    let text = json!({"to": "16315550111", "type": "text", "text": {"body": "Hello"}}).to_string();
    let sent = walk.call("admin", "POST", "/v1/messages", "", text.as_bytes()).await;
    assert_eq!(sent.status, 201);
    until("it is read", async || {
        let log = walk.call("admin", "GET", EVENTS, "", b"").await;
        (log.json()["events"].as_array()?.len() == 3).then_some(())
    })
    .await;
    let log = walk.step(For::Admins, "GET", EVENTS, &Value::Null).await;
    let cursor = log.text("/cursor");
    walk.step(For::Admins, "GET", "/v1/events?limit=1", &Value::Null).await;
    let behind = format!("{EVENTS}?after={cursor}");
    let none = walk.call("admin", "GET", &behind, "", b"").await;
    assert_eq!(none.json()["events"], json!([]));
    for query in ["after=nonsense", "limit=0", "limit=1001", "wait_ms=x", "page=2"] {
        walk.step(For::Admins, "GET", &format!("{EVENTS}?{query}"), &Value::Null).await;
    }
    walk.step(For::Admins, "GET", DEAD, &Value::Null).await;
    walk.step(For::Admins, "GET", "/v1/events/dead?after=nonsense", &Value::Null).await;

    // There is a webhook; nothing it would not take.
    for body in [
        json!({}),
        json!({"from": "x"}),
        json!({"after": "nonsense"}),
        json!({"dead": true, "rate": 201}),
        json!({"dead": true, "colour": 1}),
        json!("{"),
    ] {
        walk.step(For::Admins, "POST", REPLAY, &body).await;
    }
    let begun = walk.step(For::Admins, "POST", REPLAY, &json!({"dead": true})).await;
    let path = format!("{REPLAY}/{}", begun.text("/replays/0/id"));
    until("it is done", async || {
        let now = walk.call("admin", "GET", &path, "", b"").await;
        (now.text("/replays/0/state") == "done").then_some(())
    })
    .await;
    walk.at(For::Admins, "GET", ONE, &path, &Value::Null).await;
    walk.at(For::Admins, "DELETE", ONE, &path, &Value::Null).await;
    for path in ["/v1/events/replay/1", "/v1/events/replay/x"] {
        walk.at(For::Admins, "GET", ONE, path, &Value::Null).await;
        walk.at(For::Admins, "DELETE", ONE, path, &Value::Null).await;
    }
    let no_url = r#"{"webhooks":{"url":""}}"#.as_bytes();
    walk.call("admin", "PATCH", "/v1/settings/application", "", no_url).await;
    walk.step(For::Admins, "POST", REPLAY, &json!({"dead": true})).await;
    walk.call("admin", "DELETE", "/v1/settings/application", "", b"").await;
    walk.settle("events");
}
