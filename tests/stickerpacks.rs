//! Packs of stickers: made, changed, deleted, kept over a restart; and what is refused.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use support::{Answer, Gateway, PASSWORD, exchange};

async fn upload(gateway: &Gateway, mime: &str) -> String {
    let request = Request::builder()
        .method("POST")
        .uri("/v1/media")
        .header("host", "gateway")
        .header("content-type", mime)
        .header("authorization", gateway.token())
        .body(Full::new(Bytes::from_static(b"RIFF")));
    let (_, _, body) = exchange(gateway.http, request.unwrap()).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    body["media"][0]["id"].as_str().unwrap().to_owned()
}

async fn call(gateway: &Gateway, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    gateway.call(method, &format!("/v1/stickerpacks{path}"), &body).await
}

async fn done(gateway: &Gateway, method: &str, path: &str, body: Value) -> Value {
    let answer = call(gateway, method, path, &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{method} {path}: {}", answer.body);
    answer.body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_and_its_stickers_are_made_changed_kept_over_a_restart_and_deleted() {
    let gateway = Gateway::start().await;
    let get = Value::Null;
    assert_eq!(done(&gateway, "GET", "", get.clone()).await["stickerpacks"], json!([]));
    let body = json!({"publisher": "Shop", "name": "Bears", "ios_app_store_link": "https://example.com/a"});
    let made = done(&gateway, "POST", "", body.clone()).await;
    let id = made["stickerpacks"][0]["id"].as_str().unwrap().to_owned();
    let pack = format!("/{id}");
    assert_eq!(done(&gateway, "GET", &pack, get.clone()).await["stickerpacks"], json!([body]));
    done(&gateway, "PATCH", &pack, json!({"name": "Cats", "ios_app_store_link": ""})).await;

    let (first, second) =
        (upload(&gateway, "image/webp").await, upload(&gateway, "image/webp").await);
    let stickers = format!("{pack}/stickers");
    for (n, image) in [(1, &first), (2, &second), (1, &first)] {
        let sticker = json!({"image_data_id": image, "emojis": ["😀"]});
        let added = done(&gateway, "POST", &stickers, sticker).await;
        assert_eq!(added["stickers"], json!([{"index": n}]), "a pack has each image once");
    }
    done(&gateway, "PATCH", &format!("{stickers}/2"), json!({"emojis": []})).await;

    let (_, directory) = gateway.stop().await;
    let mut gateway = Gateway::start_in(directory).await;
    gateway.login(PASSWORD, &Value::Null).await;
    assert_eq!(done(&gateway, "GET", "", get.clone()).await["stickerpacks"], json!([{"id": id}]));
    let shown = done(&gateway, "GET", &pack, get.clone()).await;
    assert_eq!(shown["stickerpacks"], json!([{"publisher": "Shop", "name": "Cats"}]));
    let listed = done(&gateway, "GET", &stickers, get.clone()).await;
    assert_eq!(listed["stickers"], json!([{"index": 1}, {"index": 2}]));
    let shown = done(&gateway, "GET", &format!("{stickers}/2"), get.clone()).await;
    assert_eq!(shown["stickers"], json!([{"id": second, "image_data_id": second, "emojis": []}]));
    // The sticker's id is what a message names.
    let message = json!({"to": "16315550112", "type": "sticker", "sticker": {"id": second}});
    let sent = gateway.call("POST", "/v1/messages", &message.to_string()).await;
    assert_eq!(sent.status, StatusCode::CREATED, "{}", sent.body);

    done(&gateway, "DELETE", &format!("{stickers}/1"), Value::Null).await;
    let gone = call(&gateway, "GET", &format!("{stickers}/1"), &get).await;
    assert_eq!((gone.status, gone.code()), (StatusCode::NOT_FOUND, Some(1006)));
    done(&gateway, "DELETE", &pack, Value::Null).await;
    for (method, path) in [("GET", &pack), ("DELETE", &pack), ("GET", &stickers)] {
        let gone = call(&gateway, method, path, &get).await;
        assert_eq!(
            (gone.status, gone.code()),
            (StatusCode::NOT_FOUND, Some(1006)),
            "{method} {path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_pack_and_no_sticker_is_refused_by_its_code_and_changes_nothing() {
    let gateway = Gateway::start().await;
    let body = json!({"publisher": "Shop", "name": "Bears"});
    let made = done(&gateway, "POST", "", body.clone()).await;
    let pack = format!("/{}", made["stickerpacks"][0]["id"].as_str().unwrap());
    let stickers = format!("{pack}/stickers");
    let photo = upload(&gateway, "image/png").await;
    let nothing = "f043afd0-f0ae-4b9c-ab3d-696fb4c8cd68";
    for (method, path, body, code, names) in [
        ("POST", "", json!({"name": "Bears"}), 1008, "publisher"),
        ("PATCH", &*pack, json!({"name": ""}), 1009, "name"),
        ("PATCH", &pack, json!({"color": "red"}), 1010, "color"),
        ("POST", &stickers, json!({"emojis": []}), 1008, "image_data_id"),
        ("POST", &stickers, json!({"image_data_id": photo}), 1009, "image_data_id"),
        ("POST", &stickers, json!({"image_data_id": nothing}), 1006, "image_data_id"),
        ("PATCH", &format!("{stickers}/1"), json!({"emojis": ["x"]}), 1006, "index"),
        ("PATCH", &format!("{stickers}/one"), json!({"emojis": ["x"]}), 1006, "index"),
        ("POST", "?namespace=whatsapp", body.clone(), 1009, "namespace"),
        ("GET", "?namespace=other", Value::Null, 1009, "namespace"),
    ] {
        let answer = call(&gateway, method, path, &body).await;
        let details = answer.body["errors"][0]["details"].as_str().unwrap_or_default();
        assert_eq!(answer.code(), Some(code), "{method} {path} {body}: {}", answer.body);
        assert!(details.contains(names), "{method} {path} {body}: {details}");
    }
    assert_eq!(done(&gateway, "GET", &pack, Value::Null).await["stickerpacks"], json!([body]));
    assert_eq!(done(&gateway, "GET", &stickers, Value::Null).await["stickers"], json!([]));
    let theirs = done(&gateway, "GET", "?namespace=whatsapp", Value::Null).await;
    assert_eq!(theirs["stickerpacks"], json!([]), "the network has none of its own");
}
