//! Every type of message, both ways: what the business sends the phone decrypts as it was sent, what
//! the customer writes the webhook gets in the documented shape.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

#[path = "../crates/contract/tests/wire/samples.rs"]
mod samples;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use insta::assert_json_snapshot;
use serde_json::{Map, Value, json};
use support::{Gateway, exchange, until, webhook::Webhook};

const CUSTOMER: &str = "16315550111";

/// A gateway that calls a webhook, and `settings` beside it.
async fn started(settings: Value) -> (Gateway, Webhook) {
    let gateway = Gateway::start().await;
    let webhook = Webhook::start().await;
    let mut patch = json!({"webhooks": {"url": webhook.url(), "message": {"sent": true}}});
    patch.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    gateway.settings(patch).await;
    (gateway, webhook)
}

async fn send(gateway: &Gateway, to: &str, message: &Value) -> String {
    let mut body = message.clone();
    body["to"] = to.into();
    let answer = gateway.call("POST", "/v1/messages", &body.to_string()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{body}: {}", answer.body);
    answer.body["messages"][0]["id"].as_str().unwrap().to_owned()
}

async fn write(gateway: &Gateway, message: &Value) -> String {
    let path = format!("/phones/{CUSTOMER}/messages");
    let written = gateway.network("POST", &path, message).await;
    written["id"].as_str().unwrap_or_default().to_owned()
}

const FILES: [(&str, &str); 5] = [
    ("image", "image/png"),
    ("audio", "audio/mpeg"),
    ("video", "video/mp4"),
    ("document", "application/pdf"),
    ("sticker", "image/webp"),
];

/// One upload of each kind; their ids.
async fn uploads(gateway: &Gateway) -> Value {
    let mut ids = json!({});
    for (kind, mime) in FILES {
        let request = Request::builder()
            .method("POST")
            .uri("/v1/media")
            .header("host", "gateway")
            .header("authorization", gateway.token())
            .header("content-type", mime)
            .body(Full::new(Bytes::from_static(b"a file")).boxed_unsync());
        let (status, _, body) = exchange(gateway.http, request.unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{body:?}");
        let body: Value = serde_json::from_slice(&body).unwrap();
        ids[kind] = body["media"][0]["id"].clone();
    }
    ids
}

/// Visits the objects that stand for files.
fn each_file(value: &mut Value, visit: &mut impl FnMut(&str, &mut Map<String, Value>)) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| each_file(item, visit)),
        Value::Object(object) => {
            for (name, item) in object {
                match item {
                    Value::Object(file) if FILES.iter().any(|(kind, _)| kind == name) => {
                        visit(name, file);
                    }
                    item => each_file(item, visit),
                }
            }
        }
        _ => {}
    }
}

/// The status of a message, once it came.
async fn status(webhook: &Webhook, id: &str, kind: &str) -> Value {
    until(kind, async || {
        let taken = webhook.taken();
        let mut all = taken.iter().filter_map(|callback| callback["statuses"].get(0));
        all.find(|status| status["id"] == id && status["status"] == kind).cloned()
    })
    .await
}

/// The callback of a message that a customer wrote, once it came.
async fn inbound(webhook: &Webhook, is_it: impl Fn(&Value) -> bool) -> Value {
    until("the customer's message", async || {
        let mut taken = webhook.taken().into_iter();
        taken.find(|callback| callback["messages"].get(0).is_some_and(&is_it))
    })
    .await
}

/// What differs from run to run, by the name it has.
fn scrubbed(mut value: Value) -> Value {
    match &mut value {
        Value::Array(items) => items.iter_mut().for_each(|item| *item = scrubbed(item.take())),
        Value::Object(map) => {
            for (name, item) in map {
                let is_id = |text: &str| text.starts_with("AB") || text.starts_with("gB");
                let changes = match name.as_str() {
                    "id" | "message_id" => item
                        .as_str()
                        .is_some_and(|text| is_id(text) || [32, 36].contains(&text.len())),
                    "timestamp" | "expiration_timestamp" | "created_timestamp" | "hash" => true,
                    _ => false,
                };
                *item = if changes { format!("<{name}>").into() } else { scrubbed(item.take()) };
            }
        }
        _ => {}
    }
    value
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_decrypts_every_type_as_it_was_sent() {
    let (gateway, webhook) = started(json!({})).await;
    let files = uploads(&gateway).await;
    for (name, mut sample) in samples::all() {
        each_file(&mut sample, &mut |kind, file| {
            file.retain(|name, _| name != "link" && name != "provider");
            file.insert("id".to_owned(), files[kind].clone());
        });
        let id = send(&gateway, CUSTOMER, &sample).await;
        status(&webhook, &id, "read").await;
        let path = format!("/phones/{CUSTOMER}/messages");
        let phone = gateway.network("GET", &path, &Value::Null).await;
        let arrived = phone["messages"].as_array().unwrap().iter().find(|it| it["id"] == *id);
        let arrived = arrived.unwrap_or_else(|| panic!("{name} is not at the phone"));
        let mut content = arrived["content"].clone();
        // What the parser makes of it is held by the contract's own snapshots.
        let canonical = contract::message::Outgoing::parse(samples::request(&sample).as_bytes());
        let mut canonical: Value = serde_json::from_slice(&canonical.unwrap().message).unwrap();
        // The text in words is held by `templates.rs`.
        let text = content.get_mut(sample["type"].as_str().unwrap_or("text"));
        let text = text.and_then(Value::as_object_mut).and_then(|it| it.remove("rendered"));
        let of_template = matches!(sample["type"].as_str(), Some("template" | "hsm"));
        assert_eq!(text.is_some(), of_template, "{name}");
        // A phone gets to know files by the network's names for them.
        let (mut sent, mut got) = (0, 0);
        each_file(&mut canonical, &mut |_, file| sent += usize::from(file.remove("id").is_some()));
        each_file(&mut content, &mut |_, file| {
            got += usize::from(file.remove("handle").is_some());
            file.retain(|name, _| !["mime_type", "sha256", "size"].contains(&name.as_str()));
        });
        assert_eq!((&content, got), (&canonical, sent), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webhook_gets_every_type_a_customer_writes_in_its_documented_shape() {
    let (gateway, webhook) =
        started(json!({"notify_user_change_number": true, "show_security_notifications": true}))
            .await;
    let ours = send(&gateway, CUSTOMER, &json!({"text": {"body": "Yes or no?"}})).await;
    status(&webhook, &ours, "read").await;
    let quoting = json!({"id": ours});
    let media = |kind: &str, mime_type: &str, more: Value| {
        let mut object = json!({"mime_type": mime_type, "data": "AAEC"});
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"type": kind, kind: object})
    };
    let reply = |kind: &str, reply: Value| json!({"type": "interactive", "interactive": {"type": kind, kind: reply}, "context": quoting});
    let product = json!({"catalog_id": "7", "product_retailer_id": "shoe-1"});
    let written = [
        ("text", json!({"type": "text", "text": {"body": "Hello"}})),
        ("image", media("image", "image/jpeg", json!({"caption": "Look"}))),
        ("video", media("video", "video/mp4", json!({}))),
        ("audio", media("audio", "audio/mpeg", json!({"filename": "song.mp3"}))),
        ("voice", media("voice", "audio/ogg; codecs=opus", json!({}))),
        (
            "document",
            media(
                "document",
                "application/pdf",
                json!({"filename": "bill.pdf", "caption": "The bill"}),
            ),
        ),
        (
            "sticker",
            media(
                "sticker",
                "image/webp",
                json!({"metadata": {"sticker-pack-id": "p", "emojis": ["😀"]}}),
            ),
        ),
        (
            "location",
            json!({"type": "location", "location": {"latitude": 52.5, "longitude": -13.25, "name": "Shop", "url": "https://example.org"}}),
        ),
        (
            "contacts",
            json!({"type": "contacts", "contacts": [{"name": {"formatted_name": "Ada L."}, "phones": [{"phone": "+1 631 555 0112"}]}]}),
        ),
        (
            "button",
            json!({"type": "button", "button": {"payload": "yes-17", "text": "Yes"}, "context": quoting}),
        ),
        ("button_reply", reply("button_reply", json!({"id": "yes", "title": "Yes"}))),
        (
            "list_reply",
            reply(
                "list_reply",
                json!({"id": "row-2", "title": "Tomorrow", "description": "9–12 h"}),
            ),
        ),
        (
            "nfm_reply",
            reply(
                "nfm_reply",
                json!({"name": "flow", "body": "Sent", "response_json": "{\"flow_token\":\"t\"}"}),
            ),
        ),
        (
            "order",
            json!({"type": "order", "order": {"catalog_id": "7", "text": "Please", "product_items": [{"product_retailer_id": "shoe-1", "quantity": 1, "item_price": 9.9, "currency": "EUR"}]}}),
        ),
        ("reaction", json!({"type": "reaction", "reaction": {"message_id": ours, "emoji": "👍"}})),
        ("ephemeral", json!({"type": "ephemeral"})),
        ("unknown", json!({"type": "unknown"})),
        (
            "forwarded",
            json!({"type": "text", "text": {"body": "Seen?"}, "context": {"forwarded": true, "frequently_forwarded": true}}),
        ),
        (
            "product_enquiry",
            json!({"type": "text", "text": {"body": "Is it blue?"}, "context": {"referred_product": product}}),
        ),
        (
            "referral",
            json!({"type": "text", "text": {"body": "Seen your ad"}, "referral": {"source_type": "ad", "source_id": "6023", "source_url": "https://fb.example/x", "headline": "Hi", "body": "Offer", "image": {"mime_type": "image/jpeg", "data": "AAEC"}}}),
        ),
    ];
    let mut shapes = serde_json::Map::new();
    for (name, message) in written {
        let id = write(&gateway, &message).await;
        let callback = inbound(&webhook, |message| message["id"] == *id).await;
        shapes.insert(name.to_owned(), scrubbed(callback));
    }
    let moves = json!({"type": "system", "system": {"type": "user_changed_number", "new_wa_id": "16315550222"}});
    write(&gateway, &moves).await;
    let moved = inbound(&webhook, |it| it["system"]["type"] == "user_changed_number").await;
    shapes.insert("user_changed_number".to_owned(), scrubbed(moved));
    assert_json_snapshot!(shapes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_settings_turn_off_is_not_told() {
    let (gateway, webhook) = started(json!({
        "skip_referral_media_download": true, "webhook_payload_conversation_pricingmodel_disabled": true
    }))
    .await;
    let moves = json!({"type": "system", "system": {"type": "user_changed_number", "new_wa_id": "16315550222"}});
    gateway.network("POST", "/phones/16315550112/messages", &moves).await;
    let ad = json!({"type": "text", "text": {"body": "x"}, "referral": {"source_url": "https://fb.example/x", "video": {"mime_type": "video/mp4", "data": "AAEC"}}});
    let id = write(&gateway, &ad).await;
    let callback = inbound(&webhook, |message| message["id"] == *id).await;
    assert_eq!(callback["messages"][0]["referral"], json!({"source_url": "https://fb.example/x"}));
    assert!(callback["messages"][0].get("identity").is_none());
    let id = send(&gateway, CUSTOMER, &json!({"text": {"body": "x"}})).await;
    let read = status(&webhook, &id, "read").await;
    assert!(read.get("pricing").is_none() && read.get("conversation").is_none(), "{read}");
    let system = |callback: &Value| callback["messages"][0]["type"] == "system";
    assert!(!webhook.taken().iter().any(system));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_status_has_its_documented_shape() {
    let (gateway, webhook) = started(json!({})).await;
    let mut shapes = serde_json::Map::new();
    let template =
        json!({"type": "template", "template": {"name": "hello", "language": {"code": "en"}}});
    for (name, message) in
        [("free_form", json!({"text": {"body": "Hello"}})), ("template", template.clone())]
    {
        let id = send(&gateway, "+1 631 555 0111", &message).await;
        for kind in ["sent", "delivered", "read"] {
            let told = status(&webhook, &id, kind).await;
            shapes.insert(format!("{name}_{kind}"), scrubbed(told));
        }
    }
    let product = json!({"type": "interactive", "interactive": {"type": "product", "action": {"catalog_id": "7", "product_retailer_id": "shoe-1"}}});
    let phone = format!("/phones/{CUSTOMER}");
    gateway.network("PUT", &phone, &json!({"products_missing": true})).await;
    let id = send(&gateway, CUSTOMER, &product).await;
    shapes.insert("warning".to_owned(), scrubbed(status(&webhook, &id, "warning").await));

    let theirs = write(&gateway, &json!({"type": "text", "text": {"body": "Oops"}})).await;
    inbound(&webhook, |message| message["id"] == *theirs).await;
    gateway.network("DELETE", &format!("{phone}/messages/{theirs}"), &Value::Null).await;
    shapes.insert("deleted".to_owned(), scrubbed(status(&webhook, &theirs, "deleted").await));

    gateway.network("PUT", &phone, &json!({"fails": 410})).await;
    let id = send(&gateway, CUSTOMER, &template).await;
    shapes.insert("failed".to_owned(), scrubbed(status(&webhook, &id, "failed").await));
    gateway
        .network("PUT", "/faults", &json!({"trouble": {"code": 1014, "details": "credentials"}}))
        .await;
    let trouble = until("the errors", async || {
        webhook.taken().into_iter().find(|callback| callback.get("errors").is_some())
    })
    .await;
    shapes.insert("trouble".to_owned(), trouble);
    assert_json_snapshot!(shapes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_fails_with_the_code_the_network_gives() {
    let (gateway, webhook) = started(json!({})).await;
    let phone = format!("/phones/{CUSTOMER}");
    let text = json!({"text": {"body": "x"}});
    for (behaviour, codes) in [
        (
            "refuses",
            &[402, 429, 430, 432, 433, 471, 472, 500, 1000, 1007, 1026, 1031, 2024, 2025, 2050][..],
        ),
        ("fails", &[408, 410, 470, 1013, 1014, 2002, 2027, 2028, 2029, 2030][..]),
    ] {
        for code in codes {
            gateway.network("PUT", &phone, &json!({behaviour: code})).await;
            let id = send(&gateway, CUSTOMER, &text).await;
            let failed = status(&webhook, &id, "failed").await;
            assert_eq!(failed["errors"][0]["code"], *code, "{failed}");
            let sent = webhook.statuses_of(&id).contains(&"sent".to_owned());
            assert_eq!(sent, behaviour == "fails", "{behaviour} {code}");
        }
        gateway.network("PUT", &phone, &json!({behaviour: 0})).await;
    }
    // Only what was approved beforehand reaches somebody who has not written for a day.
    gateway.network("PUT", "/faults", &json!({"window_24h": true})).await;
    let id = send(&gateway, CUSTOMER, &text).await;
    assert_eq!(status(&webhook, &id, "failed").await["errors"][0]["code"], 470);
    for (name, sample) in samples::all() {
        if ["template_bare", "hsm"].contains(&name) {
            let id = send(&gateway, CUSTOMER, &sample).await;
            status(&webhook, &id, "delivered").await;
        }
    }
    write(&gateway, &json!({"type": "text", "text": {"body": "Hello"}})).await;
    let id = send(&gateway, CUSTOMER, &text).await;
    status(&webhook, &id, "delivered").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_sees_what_the_business_has_read() {
    let (gateway, webhook) = started(json!({})).await;
    let mut ids = Vec::new();
    for text in ["One", "Two", "Three"] {
        ids.push(write(&gateway, &json!({"type": "text", "text": {"body": text}})).await);
    }
    inbound(&webhook, |message| message["id"] == *ids[2]).await;
    let path = format!("/v1/messages/{}", ids[1]);
    // To be repeated without harm.
    for _ in 0..2 {
        let answer = gateway.call("PUT", &path, r#"{"status":"read"}"#).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert!(answer.body.get("meta").is_some_and(Value::is_object), "{}", answer.body);
    }
    let sent = gateway.network("GET", &format!("/phones/{CUSTOMER}/sent"), &Value::Null).await;
    let read = sent["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["id"].clone(), it["read"] == true));
    let expected = ids.iter().zip([true, true, false]).map(|(id, read)| (json!(id), read));
    assert!(read.eq(expected), "{sent}");

    let ours = send(&gateway, CUSTOMER, &json!({"text": {"body": "x"}})).await;
    // Of the same customer, and never written.
    let never = samples::QUOTED;
    for (id, body, status, code) in [
        (never, r#"{"status":"read"}"#, 404, 1006),
        (&ours, r#"{"status":"read"}"#, 404, 1006),
        ("nonsense", r#"{"status":"read"}"#, 404, 1006),
        (&ids[0], r#"{"status":"delivered"}"#, 400, 1009),
        (&ids[0], "{}", 400, 1008),
    ] {
        let answer = gateway.call("PUT", &format!("/v1/messages/{id}"), body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, Some(code)), "{id} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_the_parameter_wherever_it_stands() {
    let gateway = Gateway::start().await;
    let sections: Value = (0..4).map(|n| json!({"id": n.to_string(), "title": "x"})).collect();
    let mut list = samples::with(
        "interactive_list",
        "/interactive/action/sections",
        json!([{"rows": sections}]),
    );
    list["interactive"]["action"]["sections"][0]["rows"][3]["title"] = "x".repeat(25).into();
    list["to"] = CUSTOMER.into();
    let answer = gateway.call("POST", "/v1/messages", &list.to_string()).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, Some(1009)));
    assert_eq!(
        answer.body["errors"][0]["details"],
        "Parameter 'interactive.action.sections[0].rows[3].title': given was a text of 25 \
         characters, allowed is a text of 1 to 24 characters"
    );
    // A batch judges each alone.
    let (good, bad) = (samples::request(&samples::all()[0].1), list);
    let batch = format!(r#"{{"messages":[{good},{bad}]}}"#);
    let answer = gateway.call("POST", "/v1/messages/batch", &batch).await;
    assert_eq!(
        answer.body.pointer("/messages/1/errors/0/code"),
        Some(&json!(1009)),
        "{}",
        answer.body
    );
}
