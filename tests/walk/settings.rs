//! Settings: application, business, profile, certificates of the webhook.

use serde_json::{Value, json};

use crate::steps::{For, Walk};

const APPLICATION: &str = "/v1/settings/application";
const BUSINESS: &str = "/v1/settings/business/profile";
const ABOUT: &str = "/v1/settings/profile/about";
const PHOTO: &str = "/v1/settings/profile/photo";
const AUTHORITIES: &str = "/v1/certificates/webhooks/ca";
const CERTIFICATE: &str = "/v1/certificates/external";
const AUTHORITY: &str = "/v1/certificates/external/ca";

pub async fn walk(walk: &mut Walk) {
    walk.step(For::Admins, "GET", APPLICATION, &Value::Null).await;
    for body in [
        json!({"callback_backoff_delay_ms": "4000", "max_callback_backoff_delay_ms": 800_000}),
        json!({"webhooks": {"url": "https://example.org/hook", "max_concurrent_requests": 12}}),
        json!({"media": {"auto_download": ["image"]}, "heartbeat_interval": 6}),
        json!({"heliograph": {"callbacks": {"dead_letter_days": 3}}}),
        json!({}),
        json!({"callback_backoff_delay_ms": -1}),
        json!({"callback_persist": "yes"}),
        json!({"webhooks": {"url": "example.org"}}),
        json!({"webhooks": {"url": "https://169.254.169.254/"}}),
        json!({"webhooks": {"max_concurrent_requests": 0}}),
        json!({"media": {"auto_download": ["film"]}}),
        json!({"wa_id": "16315550100"}),
        json!({"colour": "red"}),
        json!("{"),
        json!("[]"),
    ] {
        walk.step(For::Admins, "PATCH", APPLICATION, &body).await;
    }
    walk.step(For::Admins, "GET", APPLICATION, &Value::Null).await;
    walk.step(For::Admins, "DELETE", APPLICATION, &Value::Null).await;
    walk.step(For::Admins, "GET", APPLICATION, &Value::Null).await;

    walk.step(For::Admins, "GET", BUSINESS, &Value::Null).await;
    for body in [
        json!({"address": "Main Street 1", "description": "A shop", "email": "hello@example.org", "vertical": "Education", "websites": ["https://example.org/a"]}),
        json!({}),
        json!({"address": "x".repeat(257)}),
        json!({"email": "nobody"}),
        json!({"vertical": "EDU"}),
        json!({"websites": ["ftp://example.org"]}),
        json!({"colour": "red"}),
    ] {
        walk.step(For::Admins, "POST", BUSINESS, &body).await;
    }
    walk.step(For::Admins, "GET", BUSINESS, &Value::Null).await;
    walk.step(For::Admins, "GET", ABOUT, &Value::Null).await;
    for body in [
        json!({"text": "Open"}),
        json!({}),
        json!({"text": "x".repeat(140)}),
        json!({"text": 7}),
        json!({"text": "x", "colour": "red"}),
    ] {
        walk.step(For::Admins, "PATCH", ABOUT, &body).await;
    }
    walk.step(For::Admins, "GET", ABOUT, &Value::Null).await;

    walk.step(For::Admins, "GET", PHOTO, &Value::Null).await;
    for (kind, body) in [("image/png", PICTURE), ("image/png", b""), ("image/gif", b"GIF89a")] {
        walk.raw(For::Admins, "POST", PHOTO, PHOTO, (kind, body)).await;
    }
    walk.step(For::Admins, "GET", PHOTO, &Value::Null).await;
    walk.step(For::Admins, "GET", &format!("{PHOTO}?format=link"), &Value::Null).await;
    walk.step(For::Admins, "GET", &format!("{PHOTO}?format=gif"), &Value::Null).await;
    walk.step(For::Admins, "DELETE", PHOTO, &Value::Null).await;
    walk.step(For::Admins, "DELETE", PHOTO, &Value::Null).await;

    walk.step(For::Admins, "GET", AUTHORITIES, &Value::Null).await;
    let pem = std::fs::read_dir(walk.gateway.directory.path()).unwrap().flatten();
    let pem = pem.map(|entry| entry.path().join("webapp-certificate.pem"));
    let own = walk.gateway.directory.path().join("webapp-certificate.pem");
    let pem = pem.chain([own]).find_map(|path| std::fs::read(path).ok()).unwrap();
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for body in [&pem[..], b"", b"nonsense", broken] {
        walk.raw(For::Admins, "POST", AUTHORITIES, AUTHORITIES, ("text/plain", body)).await;
    }
    let shown = walk.step(For::Admins, "GET", AUTHORITIES, &Value::Null).await;
    assert_eq!(shown.bytes, pem);
    walk.step(For::Admins, "DELETE", AUTHORITIES, &Value::Null).await;
    walk.step(For::Admins, "DELETE", AUTHORITIES, &Value::Null).await;

    // One that is good is in `tests/certificates.rs`.
    walk.step(For::Users, "GET", AUTHORITY, &Value::Null).await;
    for body in [&pem[..], b"", b"nonsense", broken] {
        walk.raw(For::Admins, "POST", CERTIFICATE, CERTIFICATE, ("text/plain", body)).await;
    }
    walk.step(For::Admins, "DELETE", CERTIFICATE, &Value::Null).await;
    walk.settle("settings");
}

/// A grey PNG of one pixel.
const PICTURE: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52,
    0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00, 0x00, 0x3a, 0x7e, 0x9b,
    0x55, 0x00, 0x00, 0x00, 0x0a, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0x68, 0x00, 0x00, 0x00,
    0x82, 0x00, 0x81, 0x77, 0xcd, 0x72, 0xb6, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae,
    0x42, 0x60, 0x82,
];
