//! Files and the providers links are fetched with.

use serde_json::{Value, json};

use crate::steps::{For, Walk};

const MEDIA: &str = "/v1/media";
const ONE: &str = "/v1/media/{id}";
const DOWNLOAD: &str = "/v1/media/{id}/download";
const PROVIDERS: &str = "/v1/settings/application/media/providers";
const PROVIDER: &str = "/v1/settings/application/media/providers/{name}";

pub async fn walk(walk: &mut Walk) {
    let mut id = String::new();
    for (kind, body) in [
        ("image/png", &b"a picture"[..]),
        ("audio/ogg; codecs=opus", b"a voice"),
        ("audio/ogg", b"a sound"),
        ("text/plain", b"a text"),
        ("nonsense", b"x"),
        ("", b"x"),
        ("image/png", b""),
        ("image/gif", b"x"),
        ("multipart/form-data; boundary=x", b"--x--"),
    ] {
        let given = walk.raw(For::Users, "POST", MEDIA, MEDIA, (kind, body)).await;
        if id.is_empty() {
            id = given.text("/media/0/id");
        }
    }
    let there = format!("{MEDIA}/{id}");
    let none = format!("{MEDIA}/f043afd0-f0ae-4b9c-ab3d-696fb4c8cd68");
    let given = walk.at(For::Users, "GET", ONE, &there, &Value::Null).await;
    assert_eq!(given.bytes, "a picture");
    for path in [&none, "/v1/media/nonsense"] {
        walk.at(For::Users, "GET", ONE, path, &Value::Null).await;
    }
    // Our own upload, and nothing: what customers send is in `tests/inbound_media.rs`.
    for path in [&*there, &*none, "/v1/media/nonsense"] {
        let path = format!("{path}/download");
        walk.at(For::Users, "GET", DOWNLOAD, &path, &Value::Null).await;
    }
    for path in [&*there, &*there, &*none, "/v1/media/nonsense"] {
        walk.at(For::Users, "DELETE", ONE, path, &Value::Null).await;
    }

    walk.step(For::Admins, "GET", PROVIDERS, &Value::Null).await;
    let basic = json!({"basic": {"username": "u", "password": "p"}});
    for body in [
        json!([{"name": "cdn", "type": "www", "config": basic}]),
        json!([{"name": "cdn-2", "type": "www", "config": {"bearer": "t0ken"}}]),
        json!([{"name": "cdn", "type": "www"}]),
        json!([{"type": "www", "config": basic}]),
        json!([{"name": "a/b", "type": "www", "config": basic}]),
        json!([{"name": "cdn", "type": "ftp", "config": basic}]),
        json!([{"name": "cdn", "type": "www", "config": {}}]),
        json!([{"name": "cdn", "type": "www", "config": basic, "colour": "red"}]),
        json!([]),
        json!({}),
        json!(""),
    ] {
        walk.step(For::Admins, "POST", PROVIDERS, &body).await;
    }
    walk.step(For::Admins, "GET", PROVIDERS, &Value::Null).await;
    for name in ["cdn", "cdn", "cdn-2"] {
        walk.at(For::Admins, "DELETE", PROVIDER, &format!("{PROVIDERS}/{name}"), &Value::Null)
            .await;
    }
    for what in ["message", "media"] {
        let path = format!("/v1/services/{what}/gc");
        walk.step(For::Users, "PUT", &path, &Value::Null).await;
    }
    walk.settle("media");
}
