//! An outside phone, end to end over the control API, and across restarts of the sandbox.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use std::{path::Path, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use sandbox::{Config, Running};
use serde_json::{Value, json};
use session::{Bundle, IdentityKey, OneTimePublic, SignedPublic};
use upstream::{EnvelopeKind, Item, ReceiptKind, Refused, Upstream};

use support::device::{envelope_of, registration};
use support::{Coreapp, Counting, Device, Fixed, OWN, call, client, config, key, number};

const ADA: &str = "4915112341234";

async fn start_in(dir: &Path, seed: u64) -> Running {
    let config = Config { data_dir: Some(dir.to_owned()), ..config() };
    sandbox::start(config, Arc::new(Fixed), Counting::from(seed)).await.unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

fn id(value: &Value) -> u32 {
    value["id"].as_u64().unwrap().try_into().unwrap()
}

fn bundle_of(json: &Value) -> Bundle {
    let (signed, one_time) = (&json["signed_pre_key"], &json["one_time_pre_key"]);
    let signature = bytes(&signed["signature"]);
    Bundle {
        registration_id: json["registration_id"].as_u64().unwrap().try_into().unwrap(),
        identity: IdentityKey::from_wire(&bytes(&json["identity_key"])).unwrap(),
        signed: SignedPublic::from_wire(id(signed), &bytes(&signed["public"]), &signature).unwrap(),
        one_time: one_time
            .is_object()
            .then(|| OneTimePublic::from_wire(id(one_time), &bytes(&one_time["public"])).unwrap()),
    }
}

async fn mail(running: &Running, after: u64) -> Vec<Value> {
    let path = format!("/devices/{ADA}/envelopes?after={after}&wait_ms=10000");
    let (status, answer) = call(running, "GET", &path, "").await;
    assert_eq!(status, 200, "{answer}");
    answer["envelopes"].as_array().unwrap().clone()
}

async fn tell(running: &Running, message_id: &Value, device: u32, what: Value) -> u16 {
    let mut body = json!({"device": device, "message_id": message_id});
    body.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
    let path = format!("/devices/{ADA}/receipts");
    call(running, "POST", &path, &body.to_string()).await.0
}

#[tokio::test]
async fn an_outside_phone_reads_asks_again_and_writes() {
    let running = support::start().await;
    let sandbox = client(&running);
    let (mut phone, mut business) = (Device::new(5, 2), Device::new(2, 3));
    let (status, _) =
        call(&running, "POST", "/devices", &registration(ADA, &phone, 0).to_string()).await;
    assert_eq!(status, 201);
    sandbox.publish_keys(business.own_keys()).await.unwrap();
    let mut coreapp = Coreapp::attached(&sandbox, ADA).await;

    business.begin(ADA, 0, &support::bundle(&sandbox, ADA).await);
    coreapp.send(ADA, key(1), vec![business.seal(ADA, 0, "one")]).await;
    coreapp.answer().await.unwrap();
    let first = mail(&running, 0).await.remove(0);
    assert_eq!((&first["n"], &first["device"]), (&json!(1), &json!(0)));
    assert_eq!(phone.open(OWN, &envelope_of(&first)), "one");
    for (kind, expected) in [("delivered", ReceiptKind::Delivered), ("read", ReceiptKind::Read)] {
        let status = tell(&running, &first["message_id"], 0, json!({"type": kind})).await;
        assert_eq!(status, 201);
        let receipt = coreapp.receipt().await;
        assert_eq!((receipt.key, receipt.kind), (key(1), expected));
    }

    // The phone answers on the session, and on one of its own from the business's bundle.
    let path = format!("/devices/{ADA}/envelopes");
    let sealed = phone.seal(OWN, 0, "two");
    assert_eq!(sealed.kind, EnvelopeKind::Message);
    let body =
        json!({"device": 0, "kind": "message", "ciphertext": STANDARD.encode(&sealed.ciphertext)});
    let (status, written) = call(&running, "POST", &path, &body.to_string()).await;
    assert_eq!(status, 201);
    let inbound = coreapp.inbound().await;
    assert_eq!(json!(inbound.key.to_string()), written["key"]);
    assert_eq!(business.open(ADA, &inbound.envelope), "two");
    let (status, given) = call(&running, "GET", "/business/bundle", "").await;
    assert_eq!((status, id(&given["one_time_pre_key"])), (200, 1));
    phone.begin(OWN, 0, &bundle_of(&given));
    let sealed = phone.seal(OWN, 0, "three");
    let body = json!({
        "device": 0, "kind": "prekey", "ciphertext": STANDARD.encode(&sealed.ciphertext),
        "message_id": written["id"],
    });
    call(&running, "POST", &path, &body.to_string()).await;
    let inbound = coreapp.inbound().await;
    assert_eq!(json!(inbound.key.to_string()), written["key"], "the id it was given");
    assert_eq!(business.open(ADA, &inbound.envelope), "three");

    // It cannot decrypt one: asked for again, the same key is no duplicate.
    coreapp.send(ADA, key(2), vec![business.seal(ADA, 0, "lost")]).await;
    coreapp.answer().await.unwrap();
    let lost = mail(&running, 1).await.remove(0);
    let retry =
        json!({"type": "retry", "retry": {"count": 1, "registration_id": 7, "bundle": null}});
    assert_eq!(tell(&running, &lost["message_id"], 0, retry).await, 201);
    let asked = coreapp.retry().await;
    assert_eq!((asked.count, asked.registration_id, asked.bundle), (1, 7, None));
    business.begin(ADA, 0, &support::bundle(&sandbox, ADA).await);
    coreapp.send(ADA, key(2), vec![business.seal(ADA, 0, "found")]).await;
    coreapp.answer().await.unwrap();
    let found = mail(&running, 2).await.remove(0);
    assert_eq!(phone.open(OWN, &envelope_of(&found)), "found");
    tell(&running, &found["message_id"], 0, json!({"type": "delivered"})).await;
    assert_eq!(coreapp.receipt().await.kind, ReceiptKind::Delivered);

    // A second device: sends must be for both, and both must confirm.
    let second = Device::new(6, 1);
    call(&running, "POST", "/devices", &registration(ADA, &second, 4).to_string()).await;
    coreapp.send(ADA, key(3), vec![business.seal(ADA, 0, "four")]).await;
    assert_eq!(coreapp.answer().await, Err(Refused::StaleDevices(vec![0, 4])));
    let devices = sandbox.fetch_bundles(vec![number(ADA)]).await.unwrap().remove(0).devices;
    business.begin(ADA, 4, devices[1].bundle.as_ref().unwrap());
    let both = vec![business.seal(ADA, 0, "four"), business.seal(ADA, 4, "four")];
    coreapp.send(ADA, key(3), both).await;
    coreapp.answer().await.unwrap();
    let got = mail(&running, 3).await;
    assert_eq!(got.len(), 2);
    for device in [4, 0] {
        tell(&running, &got[0]["message_id"], device, json!({"type": "delivered"})).await;
    }
    // Set up anew.
    let anew = Device::new(7, 1);
    call(&running, "POST", "/devices", &registration(ADA, &anew, 4).to_string()).await;
    assert_eq!(coreapp.receipt().await.kind, ReceiptKind::Delivered);
    let (_, Item::IdentityChanged { device: 4, identity_key, .. }) = coreapp.item().await else {
        panic!("no notice")
    };
    assert_eq!(identity_key, *anew.identity.key());
    let (_, stats) = call(&running, "GET", "/stats", "").await;
    assert_eq!((&stats["waiting_outside"], &stats["key_reuse"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn an_outside_phone_loses_nothing_when_the_sandbox_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let running = start_in(dir.path(), 1).await;
    let sandbox = client(&running);
    let (mut phone, mut business) = (Device::new(5, 2), Device::new(2, 60));
    call(&running, "POST", "/devices", &registration(ADA, &phone, 0).to_string()).await;
    sandbox.publish_keys(business.own_keys()).await.unwrap();
    let mut coreapp = Coreapp::attached(&sandbox, ADA).await;
    business.begin(ADA, 0, &support::bundle(&sandbox, ADA).await);
    for n in 1..=2 {
        coreapp.send(ADA, key(n), vec![business.seal(ADA, 0, &n.to_string())]).await;
        coreapp.answer().await.unwrap();
    }
    let got = mail(&running, 0).await;
    phone.open(OWN, &envelope_of(&got[0]));
    tell(&running, &got[0]["message_id"], 0, json!({"type": "delivered"})).await;
    assert_eq!(coreapp.receipt().await.kind, ReceiptKind::Delivered);
    let second = sandbox::start(
        Config { data_dir: Some(dir.path().to_owned()), ..config() },
        Arc::new(Fixed),
        Counting::from(9),
    );
    let refused = second.await.unwrap_err().to_string();
    assert!(refused.contains("--data-dir"), "{refused}");
    drop(coreapp);
    running.stop().await;

    let running = start_in(dir.path(), 2).await;
    let sandbox = client(&running);
    let mut coreapp = Coreapp::attached(&sandbox, ADA).await;
    let (seq, Item::Receipt(receipt)) = coreapp.item().await else { panic!("no receipt") };
    assert_eq!((seq, receipt.key, receipt.kind), (1, key(1), ReceiptKind::Delivered));
    let got = mail(&running, 1).await;
    assert_eq!((got.len(), &got[0]["n"]), (1, &json!(2)));
    assert_eq!(phone.open(OWN, &envelope_of(&got[0])), "2");
    let (_, given) = call(&running, "GET", "/business/bundle", "").await;
    assert_eq!(id(&given["one_time_pre_key"]), 1);
    let bundle = support::bundle(&sandbox, ADA).await;
    assert_eq!(bundle.one_time.unwrap().id.get(), 2, "the first was used before");
}

#[tokio::test]
async fn a_wrong_call_says_what_is_wrong() {
    let running = support::start().await;
    let mut forged = registration(ADA, &Device::new(5, 1), 0);
    forged["signed_pre_key"]["id"] = json!(7);
    forged["signed_pre_key"]["signature"] = json!(STANDARD.encode([7; 64]));
    let envelopes = format!("/devices/{ADA}/envelopes");
    let receipts = format!("/devices/{ADA}/receipts");
    for (method, path, body, status, says) in [
        ("POST", "/devices", forged.to_string().as_str(), 400, "signature"),
        ("POST", "/devices", r#"{"wa_id":"4915112341234"}"#, 400, "registration_id"),
        ("GET", &envelopes, "", 404, "POST /devices"),
        ("POST", &envelopes, r#"{"kind":"message","ciphertext":"AA=="}"#, 404, "POST /devices"),
        ("POST", &envelopes, r#"{"kind":"plain","ciphertext":"AA=="}"#, 400, "plain"),
        ("POST", &envelopes, r#"{"kind":"message","ciphertext":"*"}"#, 400, "base64"),
        ("POST", &receipts, r#"{"message_id":"x","type":"read"}"#, 400, "message_id"),
        ("GET", "/business/bundle", "", 409, "Hello"),
        ("GET", "/business/bundle?number=15550100100", "", 409, "no keys"),
    ] {
        let (got, answer) = call(&running, method, path, body).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(got == status && error.contains(says), "{method} {path}: {got} {answer}");
    }
}
