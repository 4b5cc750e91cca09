//! Messages: one by one, in batches, read marks, cancellations.

use serde_json::{Value, json};

use crate::steps::{For, Walk};

const MESSAGES: &str = "/v1/messages";
const BATCH: &str = "/v1/messages/batch";
const ONE: &str = "/v1/messages/{id}";
const TO: &str = "16315550111";
/// Does not show up for the rest of the test.
const OFFLINE: &str = "16315550001";

pub async fn walk(walk: &mut Walk) {
    let text = |more: Value| {
        let mut message = json!({"to": TO, "type": "text", "text": {"body": "Hello"}});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message
    };
    let typed = |kind: &str, object: Value| json!({"to": TO, "type": kind, kind: object});
    let long = "x".repeat(4_097);
    let rows = |count: usize| -> Value {
        (0..count).map(|n| json!({"id": n.to_string(), "title": "x"})).collect()
    };
    let list = |sections: Value| {
        typed(
            "interactive",
            json!({"type": "list", "body": {"text": "x"}, "action": {"button": "x", "sections": sections}}),
        )
    };
    let template = |components: Value| {
        typed(
            "template",
            json!({"name": "hello", "language": {"code": "en"}, "components": components}),
        )
    };
    let unknown_file = "f043afd0-f0ae-4b9c-ab3d-696fb4c8cd68";
    for body in [
        text(json!({})),
        text(
            json!({"to": "+1 (631) 555-0111", "recipient_type": "individual", "ttl": {}, "preview_url": true}),
        ),
        json!({"to": TO, "text": {"body": "type is text"}}),
        typed("location", json!({"latitude": "52.5", "longitude": -13.25})),
        json!(""),
        json!("{"),
        json!("[]"),
        json!({}),
        json!({"text": {"body": "x"}}),
        json!({"to": TO}),
        json!({"to": TO, "type": "image"}),
        text(json!({"text": {"body": long}})),
        text(json!({"recipient_type": "group"})),
        text(json!({"to": "nobody"})),
        text(json!({"to": 16_315_550_111_u64})),
        text(json!({"type": "smoke"})),
        text(json!({"colour": "red"})),
        text(json!({"to": "15550100100"})),
        typed("image", json!({})),
        typed("image", json!({"id": unknown_file})),
        typed("image", json!({"id": unknown_file, "link": "https://cdn.example/1.png"})),
        typed("audio", json!({"link": "ftp://cdn.example/1.mp3"})),
        list(json!([])),
        list(json!([{"rows": rows(11)}])),
        list(json!([{"rows": [{"id": " x", "title": "x"}]}])),
        typed(
            "interactive",
            json!({"type": "button", "header": {"type": "location"}, "body": {"text": "x"}, "action": {"buttons": [{"type": "reply", "reply": {"id": "1", "title": "x"}}]}}),
        ),
        typed(
            "interactive",
            json!({"type": "product_list", "header": {"type": "text", "text": "x"}, "body": {"text": "x"}, "action": {"catalog_id": "1", "sections": [{"title": "x", "product_items": []}]}}),
        ),
        template(json!([{"type": "header", "parameters": []}])),
        template(
            json!([{"type": "header", "parameters": [{"type": "text", "text": "x".repeat(61)}]}]),
        ),
        template(json!([{"type": "body", "parameters": [{"type": "text", "text": "a\tb"}]}])),
        template(
            json!([{"type": "body", "parameters": [{"type": "image", "image": {"id": "x"}}]}]),
        ),
        typed(
            "hsm",
            json!({"element_name": "hello", "language": {"code": "en"}, "localizable_params": []}),
        ),
    ] {
        walk.step(For::Users, "POST", MESSAGES, &body).await;
    }
    walk.told(
        "admin",
        "POST",
        MESSAGES,
        ("application/json", text(json!({})).to_string().as_bytes()),
    )
    .await;

    for body in [
        json!({"messages": [text(json!({})), {"to": TO}, text(json!({"to": "1"}))]}),
        json!({"messages": []}),
        json!({"messages": [1]}),
        json!({"messages": text(json!({}))}),
        json!({}),
        json!({"messages": [text(json!({}))], "colour": "red"}),
        json!("{"),
    ] {
        walk.step(For::Users, "POST", BATCH, &body).await;
    }

    // What a customer wrote is read.
    let written = json!({"type": "text", "text": {"body": "Hi"}});
    let written = walk.gateway.network("POST", &format!("/phones/{TO}/messages"), &written).await;
    let theirs = format!("{MESSAGES}/{}", written["id"].as_str().unwrap());
    let known = crate::support::until("it has come", async || {
        let read = walk.call("user", "PUT", &theirs, "", br#"{"status":"read"}"#).await;
        (read.status == 200).then_some(true)
    });
    assert!(known.await);
    let waiting = json!({"to": OFFLINE, "type": "text", "text": {"body": "x"}}).to_string();
    let ours = walk.call("user", "POST", MESSAGES, "", waiting.as_bytes()).await;
    let ours = format!("{MESSAGES}/{}", ours.text("/messages/0/id"));
    for (path, body) in [
        (&*theirs, json!({"status": "read"})),
        (&*theirs, json!({"status": "delivered"})),
        (&*theirs, json!({})),
        (&*theirs, json!({"status": "read", "colour": "red"})),
        (&*theirs, json!("")),
        (&*ours, json!({"status": "read"})),
        ("/v1/messages/unknown", json!({"status": "read"})),
    ] {
        walk.at(For::Users, "PUT", ONE, path, &body).await;
    }

    // What waits for its contact can be taken back, once.
    walk.gateway.network("PUT", "/faults", &json!({"contacts_failed": 1.0})).await;
    let waiting = json!({"to": "16315550345", "type": "text", "text": {"body": "x"}}).to_string();
    let waiting = walk.call("user", "POST", MESSAGES, "", waiting.as_bytes()).await;
    let waiting = format!("{MESSAGES}/{}", waiting.text("/messages/0/id"));
    for path in [&*waiting, &*waiting, "/v1/messages/unknown", &*theirs] {
        walk.at(For::Users, "DELETE", ONE, path, &Value::Null).await;
    }
    walk.gateway.network("PUT", "/faults", &json!({"contacts_failed": 0.0})).await;
    walk.settle("messages");
}
