//! Files that customers send: there when their callback comes, or fetched when somebody asks; and what the
//! webhook is told when the network does not give them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use support::{Gateway, PASSWORD, call, exchange, network::Network, until, webhook::Webhook};

const CUSTOMER: &str = "16315550112";
const OTHER: &str = "16315550113";
const KINDS: [(&str, &str); 6] = [
    ("image", "image/jpeg"),
    ("video", "video/mp4"),
    ("audio", "audio/mpeg"),
    ("voice", "audio/ogg; codecs=opus"),
    ("document", "application/pdf"),
    ("sticker", "image/webp"),
];

/// Bytes that no two pieces of are alike.
fn content(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()
}

fn sha256(data: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, data);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn file(kind: &str, mime: &str, data: &[u8], more: &Value) -> Value {
    let mut object = json!({"mime_type": mime, "data": STANDARD.encode(data)});
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"type": kind, kind: object})
}

fn photo(data: &[u8]) -> Value {
    file("image", "image/jpeg", data, &json!({}))
}

async fn to(gateway: &Gateway, settings: Value) -> Webhook {
    let webhook = Webhook::start().await;
    let mut patch = json!({"webhooks": {"url": webhook.url()}});
    patch.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    gateway.settings(patch).await;
    webhook
}

async fn write(gateway: &Gateway, phone: &str, message: &Value) -> String {
    let path = format!("/phones/{phone}/messages");
    let written = gateway.network("POST", &path, message).await;
    written["id"].as_str().unwrap().to_owned()
}

async fn told(webhook: &Webhook, id: &str) -> Value {
    until("the customer's message", async || {
        let mut messages =
            webhook.taken().into_iter().map(|callback| callback["messages"][0].clone());
        messages.find(|message| message["id"] == id)
    })
    .await
}

async fn item(webhook: &Webhook, id: &str, nth: usize) -> Value {
    until("what came of the download", async || {
        let items = webhook.taken().into_iter().map(|callback| callback["media_items"][0].clone());
        let of = |item: &Value| item["type"].as_str().is_some_and(|kind| item[kind]["id"] == id);
        items.filter(of).nth(nth)
    })
    .await
}

async fn get(gateway: &Gateway, id: &Value) -> (StatusCode, String, Bytes) {
    let request = Request::builder()
        .uri(format!("/v1/media/{}", id.as_str().unwrap()))
        .header("host", "gateway")
        .header("authorization", gateway.token())
        .body(Full::new(Bytes::new()));
    let (status, headers, body) = exchange(gateway.http, request.unwrap()).await;
    (status, headers["content-type"].to_str().unwrap().to_owned(), body)
}

async fn fault(gateway: &Gateway, fault: &str) {
    gateway.network("PUT", "/faults", &json!({"media": fault})).await;
}

async fn asked_for(gateway: &Gateway) -> u64 {
    gateway.network("GET", "/stats", &Value::Null).await["calls"]["get_media"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_file_is_there_when_its_callback_comes() {
    let gateway = Gateway::start().await;
    let webhook = to(&gateway, json!({})).await;
    for (n, (kind, mime)) in KINDS.into_iter().enumerate() {
        // The second of several pieces.
        let data = content(if kind == "video" { 700_001 } else { 90_000 + n });
        let more = json!({"caption": "Look", "filename": "a.b"});
        let id = write(&gateway, CUSTOMER, &file(kind, mime, &data, &more)).await;
        let message = told(&webhook, &id).await;
        let shown = &message[kind];
        assert_eq!(message["errors"], Value::Null, "{message}");
        assert_eq!((&shown["mime_type"], &shown["sha256"]), (&json!(mime), &json!(sha256(&data))));
        assert_eq!((&shown["caption"], &shown["filename"]), (&json!("Look"), &json!("a.b")));
        assert_eq!(
            shown.as_object().unwrap().len(),
            5,
            "nothing of the network's is shown: {shown}"
        );
        let (status, content_type, body) = get(&gateway, &shown["id"]).await;
        assert_eq!((status, &*content_type), (StatusCode::OK, mime), "{body:?}");
        assert!(body == data, "{kind}: {} bytes came back", body.len());
        assert!(gateway.metric("media_downloads", kind).await >= 1.0);
    }
    // Of an advertisement too; and what was received can be sent on.
    let data = content(1_000);
    let mut ad =
        json!({"type": "text", "text": {"body": "Seen"}, "referral": {"source_type": "ad"}});
    ad["referral"]["image"] = photo(&data)["image"].take();
    let id = write(&gateway, CUSTOMER, &ad).await;
    let message = told(&webhook, &id).await;
    let image = message["referral"]["image"]["id"].clone();
    assert!(get(&gateway, &image).await.2 == data, "{message}");
    let body = json!({"to": CUSTOMER, "type": "image", "image": {"id": image}}).to_string();
    let answer = gateway.call("POST", "/v1/messages", &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_nobody_wants_unasked_is_fetched_when_somebody_asks() {
    let gateway = Gateway::start().await;
    let webhook = to(&gateway, json!({"media": {"auto_download": ["voice"]}})).await;
    let data = content(300_000);
    let id = write(&gateway, CUSTOMER, &photo(&data)).await;
    let message = told(&webhook, &id).await;
    assert_eq!(message["errors"], Value::Null);
    assert_eq!(message["image"]["sha256"], sha256(&data));
    let media = message["image"]["id"].as_str().unwrap().to_owned();
    let (status, _, body) = get(&gateway, &message["image"]["id"]).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (status, &body["errors"][0]["code"]),
        (StatusCode::NOT_FOUND, &json!(1006)),
        "{body}"
    );
    assert_eq!(asked_for(&gateway).await, 0);

    let path = format!("/v1/media/{media}/download");
    let answer = gateway.call("GET", &path, "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.body["media_items"], json!([{"id": media}]));
    let image = json!({"id": media, "mime_type": "image/jpeg", "sha256": sha256(&data), "status": "downloaded"});
    let first = item(&webhook, &media, 0).await;
    assert_eq!(first, json!({"type": "image", "image": image}));
    assert!(get(&gateway, &json!(media)).await.2 == data);

    // Asked for again, it is told again; nothing is fetched twice.
    gateway.call("GET", &path, "").await;
    assert_eq!(item(&webhook, &media, 1).await, first);
    assert_eq!(asked_for(&gateway).await, 1);

    let upload = Request::builder()
        .method("POST")
        .uri("/v1/media")
        .header("host", "gateway")
        .header("content-type", "image/png")
        .header("authorization", gateway.token())
        .body(Full::new(Bytes::from_static(b"x")));
    let (_, _, body) = exchange(gateway.http, upload.unwrap()).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    let uploaded = body["media"][0]["id"].as_str().unwrap();
    for id in [uploaded, "f043afd0-f0ae-4b9c-ab3d-696fb4c8cd68", "no-id"] {
        let answer = gateway.call("GET", &format!("/v1/media/{id}/download"), "").await;
        assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, Some(1006)), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_network_refuses_or_changes_is_told_with_an_error_and_may_be_asked_for() {
    let gateway = Gateway::start().await;
    let webhook = to(&gateway, json!({})).await;
    let data = content(5_000);
    for kind in ["gone", "damaged"] {
        fault(&gateway, kind).await;
        let id = write(&gateway, CUSTOMER, &photo(&data)).await;
        let message = told(&webhook, &id).await;
        assert_eq!(message["errors"][0]["code"], 400, "{message}");
        assert_eq!(message["errors"][0]["title"], "Media download error");
        let media = message["image"]["id"].clone();
        assert_eq!(get(&gateway, &media).await.0, StatusCode::NOT_FOUND);
        let media = media.as_str().unwrap();
        let path = format!("/v1/media/{media}/download");
        assert_eq!(gateway.call("GET", &path, "").await.status, StatusCode::OK);
        let failed = item(&webhook, media, 0).await;
        assert_eq!(
            (&failed["image"]["status"], &failed["errors"][0]["code"]),
            (&json!("failed"), &json!(400))
        );

        fault(&gateway, "none").await;
        gateway.call("GET", &path, "").await;
        assert_eq!(item(&webhook, media, 1).await["image"]["status"], "downloaded");
        assert!(get(&gateway, &json!(media)).await.2 == data);
    }
    let tmp = gateway.directory.path().join("media/tmp");
    let left = std::fs::read_dir(tmp)
        .unwrap()
        .flat_map(|node| std::fs::read_dir(node.unwrap().path()).unwrap());
    assert_eq!(left.count(), 0, "what did not become whole leaves nothing");
    // A throttle passes.
    fault(&gateway, "throttled").await;
    let before = asked_for(&gateway).await;
    let id = write(&gateway, CUSTOMER, &photo(&data)).await;
    until("the refusal", async || (asked_for(&gateway).await > before).then_some(())).await;
    fault(&gateway, "none").await;
    let message = told(&webhook, &id).await;
    assert_eq!(message["errors"], Value::Null, "{message}");
    // What names no file at all has no id that could be asked for.
    let forged = json!({"type": "image", "image": {"handle": "x", "mime_type": "image/png", "id": "f043afd0-f0ae-4b9c-ab3d-696fb4c8cd68"}});
    let id = write(&gateway, CUSTOMER, &forged).await;
    let message = told(&webhook, &id).await;
    assert_eq!(
        (&message["image"]["id"], &message["errors"][0]["code"]),
        (&Value::Null, &json!(400))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_does_not_come_holds_up_its_own_conversation_for_30_seconds_and_no_other() {
    let gateway = Gateway::start().await;
    let webhook = to(&gateway, json!({})).await;
    fault(&gateway, "stalled").await;
    let held = write(&gateway, CUSTOMER, &photo(&content(5_000))).await;
    until("the download", async || (asked_for(&gateway).await > 0).then_some(())).await;
    let behind =
        write(&gateway, CUSTOMER, &json!({"type": "text", "text": {"body": "Got it?"}})).await;
    let beside = write(&gateway, OTHER, &json!({"type": "text", "text": {"body": "Hello"}})).await;
    told(&webhook, &beside).await;
    let message = told(&webhook, &held).await;
    assert_eq!(message["errors"][0]["code"], 400, "{message}");
    told(&webhook, &behind).await;
    let order: Vec<Value> = webhook
        .taken()
        .into_iter()
        .map(|callback| callback["messages"][0]["id"].clone())
        .filter(|id| {
            [&held, &behind, &beside].contains(&&id.as_str().unwrap_or_default().to_owned())
        })
        .collect();
    assert_eq!(order, [json!(beside), json!(held), json!(behind)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_arrival_and_download_loses_neither_message_nor_file() {
    let network = Network::start().await;
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let mut gateway = Gateway::start_on(directory.clone(), &network).await;
    gateway.login("secret", &json!({"new_password": PASSWORD})).await;
    let webhook = to(&gateway, json!({})).await;
    fault(&gateway, "stalled").await;
    let data = content(200_000);
    let id = write(&gateway, CUSTOMER, &photo(&data)).await;
    until("the download", async || (asked_for(&gateway).await > 0).then_some(())).await;
    gateway.kill().await;
    assert!(webhook.taken().iter().all(|callback| callback["messages"].is_null()));

    let answer = call(network.http, "PUT", "/faults", "", r#"{"media":"none"}"#).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let mut gateway = Gateway::start_on(directory, &network).await;
    gateway.login(PASSWORD, &Value::Null).await;
    let message = told(&webhook, &id).await;
    assert_eq!(message["errors"], Value::Null, "{message}");
    assert!(get(&gateway, &message["image"]["id"]).await.2 == data);
    let times =
        webhook.taken().iter().filter(|callback| callback["messages"][0]["id"] == *id).count();
    assert_eq!(times, 1);
}
