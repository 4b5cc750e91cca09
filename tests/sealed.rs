//! What the sealed sessions promise, seen from the outside: identities that change, keys that are not
//! what they should be, devices that come and go, phones that cannot decrypt.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use serde_json::{Value, json};
use support::{
    Gateway, PASSWORD,
    device::{Device, envelope_of, registration},
    until,
    webhook::Webhook,
};

const ADA: &str = "4915112345678";
const BOB: &str = "4915112345679";
/// The own number of a gateway that starts for the first time.
const OWN: &str = "15550100100";

/// With a webhook that hears of changed identities.
async fn start() -> (Gateway, Webhook) {
    let (gateway, webhook) = (Gateway::start().await, Webhook::start().await);
    gateway.settings(json!({"webhooks": {"url": webhook.url(), "message": {"sent": true}}})).await;
    (gateway, webhook)
}

async fn latency(gateway: &Gateway, ms: u64) {
    gateway.network("PUT", "/faults", &json!({"latency_ms": [ms, ms]})).await;
}

async fn new_identity(gateway: &Gateway, phone: &str) {
    let change = json!({"new_identity": true});
    gateway.network("PUT", &format!("/phones/{phone}"), &change).await;
}

async fn acknowledge(gateway: &Gateway, phone: &str, hash: &str) -> (u16, Option<u64>) {
    let body = json!({ "hash": hash }).to_string();
    let answer = gateway.call("PUT", &format!("/v1/contacts/{phone}/identity"), &body).await;
    (answer.status.as_u16(), answer.code())
}

async fn identity(gateway: &Gateway, phone: &str) -> Value {
    let answer = gateway.call("GET", &format!("/v1/contacts/{phone}/identity"), "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body["contacts"].clone()
}

async fn status_comes(webhook: &Webhook, id: &str, status: &str) {
    until(status, async || webhook.statuses_of(id).iter().any(|came| came == status).then_some(()))
        .await;
}

/// The texts at `ADA`'s, once there are so many.
async fn texts(gateway: &Gateway, count: usize) -> Vec<String> {
    until(&format!("{count} messages at the phone"), async || {
        let came = gateway.texts_at(ADA).await;
        (came.len() >= count).then_some(came)
    })
    .await
}

async fn stats(gateway: &Gateway) -> Value {
    gateway.network("GET", "/stats", &Value::Null).await
}

/// Messages wait for an answer of the network, and more behind them, when the identity changes.
async fn held_messages(gateway: &Gateway, webhook: &Webhook) -> Vec<String> {
    let first = gateway.send(ADA, "first").await;
    status_comes(webhook, &first, "read").await;
    latency(gateway, 4_000).await;
    let mut texts = vec!["first".to_owned()];
    for n in 0..20 {
        texts.push(format!("Message {n}"));
        gateway.send(ADA, texts.last().unwrap()).await;
    }
    new_identity(gateway, ADA).await;
    latency(gateway, 20).await;
    until("the callback", async || webhook.identities_of(ADA).first().cloned()).await;
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_stop_at_a_changed_identity_and_go_on_in_order_when_the_latest_is_acknowledged() {
    let (gateway, webhook) = start().await;
    gateway.settings(json!({"show_security_notifications": true})).await;
    let mut expected = held_messages(&gateway, &webhook).await;
    let on_their_way = stats(&gateway).await["accepted"].as_u64().unwrap() - 1;
    assert!((1..20).contains(&on_their_way), "some are taken, some wait: {on_their_way}");
    let known = identity(&gateway, ADA).await;
    assert_eq!(known["acknowledged"], false);
    assert_eq!(known["hash"], webhook.identities_of(ADA)[0]);

    // No other conversation waits, and no more is taken for this one.
    let other = gateway.send(BOB, "to another").await;
    status_comes(&webhook, &other, "read").await;
    let body = json!({"to": ADA, "type": "text", "text": {"body": "refused"}}).to_string();
    let refused = gateway.call("POST", "/v1/messages", &body).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, Some(1028)));

    // It changes once more: what was latest is stale.
    new_identity(&gateway, ADA).await;
    let hashes = until("the second callback", async || {
        let hashes = webhook.identities_of(ADA);
        (hashes.len() == 2).then_some(hashes)
    })
    .await;
    assert_eq!(acknowledge(&gateway, ADA, &hashes[0]).await, (400, Some(1009)));
    assert_eq!(acknowledge(&gateway, ADA, "AAAAAAAAAAA=").await, (400, Some(1009)));
    let other = gateway.send(BOB, "to another again").await;
    status_comes(&webhook, &other, "read").await;

    // What was on its way cannot be read any more, and is asked for again: that waits, too.
    until("the requests", async || {
        (stats(&gateway).await["retries"]["asked"] == on_their_way).then_some(())
    })
    .await;
    assert_eq!(gateway.texts_at(ADA).await, ["first"], "nothing is sent unacknowledged");

    assert_eq!(acknowledge(&gateway, ADA, &hashes[1]).await, (200, None));
    assert_eq!(identity(&gateway, ADA).await["acknowledged"], true);
    let last = gateway.send(ADA, "after").await;
    status_comes(&webhook, &last, "read").await;
    expected.push("after".to_owned());
    assert_eq!(texts(&gateway, expected.len()).await, expected);
    let stats = stats(&gateway).await;
    let counts = [&stats["key_reuse"], &stats["delivered_twice"], &stats["retries"]["given_up"]];
    assert_eq!(counts, [0, 0, 0], "{stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn held_messages_go_on_when_nobody_need_acknowledge_any_more() {
    let (gateway, webhook) = start().await;
    gateway.settings(json!({"show_security_notifications": true})).await;
    let mut expected = held_messages(&gateway, &webhook).await;
    gateway.settings(json!({"show_security_notifications": false})).await;
    let mut came = texts(&gateway, expected.len()).await;
    // Those that were on their way come again, behind the others.
    came.sort();
    expected.sort();
    assert_eq!(came, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_security_notifications_a_changed_identity_stops_nothing() {
    let (gateway, webhook) = start().await;
    let first = gateway.send(ADA, "first").await;
    status_comes(&webhook, &first, "read").await;
    new_identity(&gateway, ADA).await;
    let second = gateway.send(ADA, "second").await;
    status_comes(&webhook, &second, "read").await;
    assert_eq!(gateway.texts_at(ADA).await, ["first", "second"]);
    assert!(webhook.identities_of(ADA).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_accepted_after_an_unacknowledged_change_ends_failed_480() {
    let (gateway, webhook) = start().await;
    gateway.settings(json!({"show_security_notifications": true})).await;
    let first = gateway.send(ADA, "first").await;
    status_comes(&webhook, &first, "read").await;
    new_identity(&gateway, ADA).await;
    let hash = until("the callback", async || webhook.identities_of(ADA).first().cloned()).await;

    // After a restart memory does not know: it is taken, and its row says no.
    let (status, directory) = gateway.stop().await;
    assert!(status.success(), "{status}");
    let mut gateway = Gateway::start_in(directory).await;
    gateway.login(PASSWORD, &json!({})).await;
    let late = gateway.send(ADA, "late").await;
    let code = until("the failure", async || webhook.failure_of(&late)).await;
    assert_eq!(code, 480);
    assert_eq!(acknowledge(&gateway, ADA, &hash).await, (200, None));
    let again = gateway.send(ADA, "again").await;
    status_comes(&webhook, &again, "read").await;
    let texts = gateway.texts_at(ADA).await;
    assert!(texts.contains(&"again".to_owned()) && !texts.contains(&"late".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_everything_is_not_noticed_by_the_phones() {
    let (gateway, webhook) = start().await;
    let first = gateway.send(ADA, "first").await;
    status_comes(&webhook, &first, "read").await;
    gateway.write_from(ADA, "answer").await;
    until("the answer", async || webhook.texts().pop()).await;
    gateway.network("PUT", &format!("/phones/{BOB}"), &json!({"offline": true})).await;
    let waiting = gateway.send(BOB, "for later").await;
    status_comes(&webhook, &waiting, "sent").await;
    let (status, directory) = gateway.stop().await;
    assert!(status.success(), "{status}");

    let mut gateway = Gateway::start_in(directory).await;
    gateway.login(PASSWORD, &json!({})).await;
    let second = gateway.send(ADA, "second").await;
    status_comes(&webhook, &second, "read").await;
    gateway.write_from(ADA, "another answer").await;
    until("the second answer", async || {
        (webhook.texts() == ["answer", "another answer"]).then_some(())
    })
    .await;
    assert!(gateway.texts_at(BOB).await.is_empty(), "still offline");
    gateway.network("PUT", &format!("/phones/{BOB}"), &json!({"offline": false})).await;
    status_comes(&webhook, &waiting, "read").await;
    assert_eq!(gateway.texts_at(BOB).await, ["for later"]);
    assert_eq!(gateway.texts_at(ADA).await, ["second"]);
    let stats = stats(&gateway).await;
    assert_eq!((&stats["undecryptable"], &stats["bundles"]["given"]), (&json!({}), &json!(0)));
    assert_eq!(gateway.metric("retry_receipts", "").await, 0.0);
}

/// An outside device of `ADA`'s with a signature that is none.
fn forged(of: &Device, device: u32) -> Value {
    let mut keys = registration(ADA, of, device);
    keys["signed_pre_key"]["signature"] = json!(STANDARD.encode([7; 64]));
    keys
}

/// As the vendor's servers do, which verify nothing.
async fn take_any_keys(gateway: &Gateway) {
    gateway.network("PUT", "/faults", &json!({"unchecked_keys": true})).await;
}

/// Envelopes that wait for `ADA`'s outside devices, once there are so many.
async fn envelopes(gateway: &Gateway, count: usize) -> Vec<Value> {
    until("envelopes", async || {
        let path = format!("/devices/{ADA}/envelopes");
        let mail = gateway.network("GET", &path, &Value::Null).await;
        let envelopes = mail["envelopes"].as_array().unwrap().clone();
        (envelopes.len() >= count).then_some(envelopes)
    })
    .await
}

async fn tell(gateway: &Gateway, envelope: &Value, mut receipt: Value) {
    receipt["device"] = envelope["device"].clone();
    receipt["message_id"] = envelope["message_id"].clone();
    gateway.network("POST", &format!("/devices/{ADA}/receipts"), &receipt).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sealed_for_a_bundle_that_its_owner_did_not_sign() {
    let (gateway, webhook) = start().await;
    take_any_keys(&gateway).await;
    gateway.network("POST", "/devices", &forged(&Device::new(5, 3), 0)).await;
    let id = gateway.send(ADA, "for your eyes only").await;
    let code = until("the failure", async || webhook.failure_of(&id)).await;
    assert_eq!(code, 500);
    assert_eq!(gateway.metric("prekey_bundles_refused", "").await, 1.0);
    let stats = stats(&gateway).await;
    assert_eq!((&stats["sends"], &stats["waiting_outside"]), (&json!(0), &json!(0)));
    until("the log line", async || {
        gateway.log.lock().unwrap().contains("signature does not verify").then_some(())
    })
    .await;
    assert!(!gateway.log.lock().unwrap().contains(ADA), "a log names nobody");

    // A key that is none at all is no better.
    let mut malformed = registration(ADA, &Device::new(5, 3), 0);
    malformed["signed_pre_key"]["public"] = json!("AAAA");
    gateway.network("POST", "/devices", &malformed).await;
    let id = gateway.send(ADA, "again").await;
    assert_eq!(until("the failure", async || webhook.failure_of(&id)).await, 500);

    // Good keys put it right.
    gateway.network("POST", "/devices", &registration(ADA, &Device::new(5, 3), 0)).await;
    gateway.send(ADA, "good").await;
    envelopes(&gateway, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_with_a_bad_bundle_costs_the_others_nothing() {
    let (gateway, webhook) = start().await;
    take_any_keys(&gateway).await;
    let mut phone = Device::new(5, 3);
    gateway.network("POST", "/devices", &registration(ADA, &phone, 0)).await;
    gateway.network("POST", "/devices", &forged(&Device::new(6, 3), 1)).await;
    for n in 0..3 {
        let text = format!("Message {n}");
        let id = gateway.send(ADA, &text).await;
        let waiting = envelopes(&gateway, 1).await;
        assert_eq!((waiting.len(), &waiting[0]["device"]), (1, &json!(0)));
        let content: Value =
            serde_json::from_str(&phone.open(OWN, &envelope_of(&waiting[0]))).unwrap();
        assert_eq!(content["text"]["body"], text);
        tell(&gateway, &waiting[0], json!({"type": "delivered"})).await;
        status_comes(&webhook, &id, "delivered").await;
        assert_eq!(webhook.failure_of(&id), None);
    }
    let stats = stats(&gateway).await;
    assert_eq!(stats["bundle_fetch"]["count"], 1, "it is not asked for again and again");
    assert_eq!(gateway.metric("prekey_bundles_refused", "").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_may_come_and_go_between_messages() {
    let (gateway, webhook) = start().await;
    let phone = "4915112340007";
    let mut expected = Vec::new();
    for devices in [3, 1, 4, 2] {
        gateway.network("PUT", &format!("/phones/{phone}"), &json!({ "devices": devices })).await;
        for n in 0..2 {
            let text = format!("Message {n} for {devices} devices");
            let id = gateway.send(phone, &text).await;
            status_comes(&webhook, &id, "read").await;
            expected.push((text, devices));
        }
    }
    let path = format!("/phones/{phone}/messages");
    let messages = gateway.network("GET", &path, &Value::Null).await;
    let messages = messages["messages"].as_array().unwrap().clone();
    let got: Vec<_> = messages
        .iter()
        .map(|it| {
            let text = it["content"]["text"]["body"].as_str().unwrap().to_owned();
            (text, it["devices"].as_array().unwrap().len())
        })
        .collect();
    assert_eq!(got, expected);
    let stats = stats(&gateway).await;
    assert_eq!((&stats["undecryptable"], &stats["key_reuse"]), (&json!({}), &json!(0)));
    // Once a list of devices: nobody seals for devices that are known to be gone.
    assert_eq!(stats["stale_devices"], 3, "{stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_without_one_time_keys_reads_all_the_same() {
    let (gateway, webhook) = start().await;
    let phone = "4915112340004";
    for text in ["one", "two"] {
        let id = gateway.send(phone, text).await;
        status_comes(&webhook, &id, "read").await;
    }
    gateway.write_from(phone, "three").await;
    until("the answer", async || webhook.texts().pop()).await;
    let id = gateway.send(phone, "four").await;
    status_comes(&webhook, &id, "read").await;
    assert_eq!(gateway.texts_at(phone).await, ["one", "two", "four"]);
    let stats = stats(&gateway).await;
    assert_eq!((&stats["undecryptable"], &stats["bundles"]["given"]), (&json!({}), &json!(1)));
    assert_eq!(stats["bundles"]["without_one_time"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_a_phone_could_not_decrypt_comes_again_and_is_read_once() {
    let (gateway, webhook) = start().await;
    let phone = "4915112340005";
    for text in ["one", "two"] {
        let id = gateway.send(phone, text).await;
        status_comes(&webhook, &id, "read").await;
        assert_eq!(webhook.statuses_of(&id), ["sent", "delivered", "read"], "each is said once");
    }
    assert_eq!(gateway.texts_at(phone).await, ["one", "two"]);
    let stats = stats(&gateway).await;
    assert_eq!(stats["undecryptable"], json!({"pretended": 2}));
    assert_eq!(gateway.metric("retry_receipts", "followed").await, 2.0);
    assert_eq!(gateway.metric("retry_receipts", "refused").await, 0.0);
}

/// Whatever the phone says of how often it has asked.
async fn asks_for_ever(counts: impl Fn(u32) -> u32) {
    let (gateway, webhook) = start().await;
    let phone = Device::new(5, 3);
    gateway.network("POST", "/devices", &registration(ADA, &phone, 0)).await;
    let registration_id = phone.own_keys().registration_id;
    let id = gateway.send(ADA, "never understood").await;
    for asked in 1..=6 {
        let envelope = envelopes(&gateway, 1).await.remove(0);
        assert_eq!(envelope["message_id"], id);
        let retry = json!({"count": counts(asked), "registration_id": registration_id});
        tell(&gateway, &envelope, json!({"type": "retry", "retry": retry})).await;
    }
    until("the refusal", async || {
        (gateway.metric("retry_receipts", "refused").await == 1.0).then_some(())
    })
    .await;
    assert_eq!(gateway.metric("retry_receipts", "followed").await, 5.0);
    // The conversation goes on, without that message.
    let next = gateway.send(ADA, "next").await;
    let waiting = envelopes(&gateway, 1).await;
    assert_eq!((waiting.len(), &waiting[0]["message_id"]), (1, &json!(next)));
    assert_eq!(webhook.statuses_of(&id), ["sent"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_asks_for_ever_is_heard_five_times() {
    asks_for_ever(|asked| asked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_always_asks_for_the_first_time_is_heard_five_times() {
    asks_for_ever(|_| 1).await;
}
