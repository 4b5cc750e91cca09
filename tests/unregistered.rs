//! An installation without a number: it starts, says so, and gets one, by registration or from a backup.

mod support;

use http::StatusCode;
use serde_json::{Value, json};
use support::{call, roles::Roles, until};

const NUMBER: &str = "15550100199";
const PHONE: &str = "4915112345678";

async fn health(roles: &Roles) -> Value {
    let answer = roles.call(0, "GET", "/v1/health", &[], "").await;
    answer.body["health"]["gateway_status"].clone()
}

async fn send(roles: &Roles, text: &str) -> support::Answer {
    let body = json!({"to": PHONE, "type": "text", "text": {"body": text}}).to_string();
    roles.call(0, "POST", "/v1/messages", &[], &body).await
}

async fn connected(roles: &Roles) {
    until("health says connected", async || (health(roles).await == "connected").then_some(()))
        .await;
}

async fn arrives(roles: &Roles, texts: &[&str]) {
    until("the messages are at the phone", async || {
        (roles.texts_at(PHONE).await == texts).then_some(())
    })
    .await;
}

/// What phones know the business by.
async fn identity(roles: &Roles) -> Value {
    let answer = call(roles.phones, "GET", "/business/bundle", "", "").await;
    answer.body["identity_key"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_registered_and_moves_to_a_fresh_installation_by_a_backup() {
    let mut roles = Roles::start_in(1, &[("HELIOGRAPH_ACCOUNT__NUMBER", "")]).await;
    assert_eq!(health(&roles).await, "unregistered");
    let support = roles.call(0, "GET", "/v1/support", &[], "").await;
    assert_eq!(support.body["support"]["debug_info"], "unregistered");
    assert_eq!(support.body["support"]["socket_conn"], "DN");
    let early = send(&roles, "too early").await;
    assert_eq!((early.status.as_u16(), early.code()), (503, Some(1011)), "{}", early.body);

    // Registration.
    let request = json!({
        "cc": "1", "phone_number": &NUMBER[1..], "method": "sms", "cert": "RXhhbXBsZSBMdGQ=",
    });
    let asked = roles.call(0, "POST", "/v1/account", &[], &request.to_string()).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.body);
    let code = roles.network(&format!("/businesses/{NUMBER}")).await["code"].clone();
    let verify = json!({ "code": code }).to_string();
    let verified = roles.call(0, "POST", "/v1/account/verify", &[], &verify).await;
    assert_eq!(verified.status, StatusCode::CREATED, "{}", verified.body);
    connected(&roles).await;
    assert_eq!(send(&roles, "registered").await.status, StatusCode::CREATED);
    arrives(&roles, &["registered"]).await;
    let before = identity(&roles).await;
    assert!(before.is_string(), "{before}");

    // It outlives a restart.
    roles.kill("coreapp").await;
    roles.start_coreapp();
    connected(&roles).await;

    // To a fresh installation. The old one is gone: two must not speak for one number.
    roles.settings(json!({"callback_backoff_delay_ms": 4321})).await;
    let profile = json!({"address": "1 Hacker Way"}).to_string();
    let changed = roles.call(0, "POST", "/v1/settings/business/profile", &[], &profile).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    let backup = "/v1/settings/backup";
    let backup = roles.call(0, "POST", backup, &[], r#"{"password":"0f-the-Backup"}"#).await;
    let data = backup.body["settings"]["data"].as_str().unwrap().to_owned();
    roles.kill("coreapp").await;
    for end in ["", "-wal", "-shm"] {
        let file = roles.directory.path().join(format!("heliograph.db{end}"));
        let _absent = std::fs::remove_file(file);
    }
    roles.start_coreapp();
    until("the fresh one knows nobody", async || {
        let answer = roles.call(0, "GET", "/v1/health", &[], "").await;
        (answer.status == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    roles.log_in_first().await;
    assert_eq!(health(&roles).await, "unregistered");
    let wrong = json!({"password": "an0ther-One", "data": data}).to_string();
    let refused = roles.call(0, "POST", "/v1/settings/restore", &[], &wrong).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (400, Some(1009)), "{}", refused.body);
    let restore = json!({"password": "0f-the-Backup", "data": data}).to_string();
    let restored = roles.call(0, "POST", "/v1/settings/restore", &[], &restore).await;
    assert_eq!(restored.status, StatusCode::OK, "{}", restored.body);
    connected(&roles).await;

    let settings = roles.call(0, "GET", "/v1/settings/application", &[], "").await;
    let application = &settings.body["settings"]["application"];
    assert_eq!(application["wa_id"], NUMBER);
    assert_eq!(application["callback_backoff_delay_ms"], 4321);
    let profile = roles.call(0, "GET", "/v1/settings/business/profile", &[], "").await;
    let address = &profile.body["settings"]["business"]["profile"]["address"];
    assert_eq!(address, "1 Hacker Way");
    assert_eq!(send(&roles, "restored").await.status, StatusCode::CREATED);
    arrives(&roles, &["registered", "restored"]).await;
    let after = identity(&roles).await;
    assert!(after.is_string() && after != before, "new identity keys");
    let again = roles.call(0, "POST", "/v1/settings/restore", &[], &restore).await;
    assert_eq!((again.status.as_u16(), again.code()), (403, Some(1005)), "{}", again.body);
}
