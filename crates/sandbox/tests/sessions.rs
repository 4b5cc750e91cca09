//! Phones with real sessions, over real sockets; the test is the coreapp.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use contract::{Route, ShardId};
use serde_json::json;
use upstream::{EnvelopeKind, Item, Outgoing, ReceiptKind, Refused, Retry, Upstream};

use support::{Coreapp, Device, OWN, bundle, call, client, key, number, received, start};

const ADA: &str = "4915112345678";

#[tokio::test]
async fn a_phone_decrypts_a_strangers_first_message_and_the_following_once_each() {
    let running = start().await;
    let sandbox = client(&running);
    let mut coreapp = Coreapp::attached(&sandbox, ADA).await;
    let mut business = Device::new(2, 0);
    business.begin(ADA, 0, &bundle(&sandbox, ADA).await);
    let envelopes: Vec<_> =
        (0..4).map(|n| business.seal(ADA, 0, &format!("{{\"n\":{n}}}"))).collect();
    // The second before the first, and everything twice.
    for place in [1, 0, 1, 2, 0, 3] {
        let place_key = key(u8::try_from(place).unwrap());
        coreapp.send(ADA, place_key, vec![envelopes[place].clone()]).await;
    }
    let (mut answers, mut receipts) = (0, 0);
    while answers < 6 || receipts < 8 {
        match coreapp.item().await.1 {
            Item::Answer { result, .. } => answers += u32::from(result.is_ok()),
            Item::Receipt(receipt) => {
                assert!(!matches!(receipt.kind, ReceiptKind::Retry(_)));
                receipts += 1;
            }
            other => panic!("unexpected: {other:?}"),
        }
    }
    let messages = received(&running, ADA).await;
    let numbers: Vec<_> = messages.iter().map(|it| it["content"]["n"].clone()).collect();
    assert_eq!(numbers, [1, 0, 2, 3]);
    let counters: Vec<_> = messages.iter().map(|it| it["counters"]["counter"].clone()).collect();
    assert_eq!(counters, [1, 0, 2, 3]);
    for name in ["session", "chain"] {
        let first = &messages[0]["counters"][name];
        assert!(first.is_string() && messages.iter().all(|it| it["counters"][name] == *first));
    }
    // The phone answers: from now on messages need no set-up any more.
    sandbox.publish_keys(business.own_keys()).await.unwrap();
    let body = r#"{"type":"text","text":{"body":"Hi"}}"#;
    call(&running, "POST", &format!("/phones/{ADA}/messages"), body).await;
    let inbound = coreapp.inbound().await;
    assert_eq!(inbound.envelope.kind, EnvelopeKind::Message, "on the session there is");
    assert_eq!(business.open(ADA, &inbound.envelope), r#"{"text":{"body":"Hi"},"type":"text"}"#);
    let next = business.seal(ADA, 0, r#"{"n":4}"#);
    assert_eq!(next.kind, EnvelopeKind::Message);
    coreapp.send(ADA, key(9), vec![next]).await;
    coreapp.goes_through().await;
    assert_eq!(received(&running, ADA).await.len(), 5);

    let (_, stats) = call(&running, "GET", "/stats", "").await;
    assert_eq!(stats["bundle_fetch"], json!({"count":1,"sum":1,"max":1,"refused_concurrent":0}));
    assert_eq!((&stats["key_reuse"], &stats["undecryptable"]), (&json!(0), &json!({})));
    assert_eq!((&stats["duplicate_sends"], &stats["delivered"]), (&json!(2), &json!(5)));
}

#[tokio::test]
async fn a_message_a_phone_cannot_decrypt_comes_again_on_a_new_session() {
    let running = start().await;
    let sandbox = client(&running);
    let mut coreapp = Coreapp::attached(&sandbox, ADA).await;
    let mut business = Device::new(2, 0);
    business.begin(ADA, 0, &bundle(&sandbox, ADA).await);
    let patch = r#"{"new_identity":true}"#;
    call(&running, "PUT", &format!("/phones/{ADA}"), patch).await;
    let (_, Item::IdentityChanged { wa_id, device: 0, identity_key }) = coreapp.item().await else {
        panic!("no notice")
    };
    assert_eq!(wa_id, number(ADA));
    let sealed = business.seal(ADA, 0, r#"{"n":1}"#);
    coreapp.send(ADA, key(1), vec![sealed.clone()]).await;
    coreapp.answer().await.unwrap();
    let Retry { count, bundle, registration_id } = coreapp.retry().await;
    let fresh = bundle.unwrap();
    assert_eq!((count, registration_id, fresh.identity), (1, fresh.registration_id, identity_key));
    business.begin(ADA, 0, &fresh);
    let again = business.seal(ADA, 0, r#"{"n":1}"#);
    coreapp.send(ADA, key(1), vec![again.clone()]).await;
    coreapp.goes_through().await;
    coreapp.send(ADA, key(1), vec![again]).await;
    coreapp.answer().await.unwrap();
    let messages = received(&running, ADA).await;
    assert_eq!((messages.len(), &messages[0]["copies"]), (1, &json!(1)));
    let (_, stats) = call(&running, "GET", "/stats", "").await;
    assert_eq!(stats["retries"]["answered"], json!(1));
    assert_eq!((&stats["key_reuse"], &stats["different_bytes"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn without_a_one_time_key_a_phone_ending_in_0004_still_reads() {
    let to = "4915112340004";
    let running = start().await;
    let sandbox = client(&running);
    let mut coreapp = Coreapp::attached(&sandbox, to).await;
    let mut business = Device::new(2, 0);
    let bundle = bundle(&sandbox, to).await;
    assert!(bundle.one_time.is_none());
    business.begin(to, 0, &bundle);
    coreapp.send(to, key(1), vec![business.seal(to, 0, "{}")]).await;
    coreapp.goes_through().await;
}

#[tokio::test]
async fn a_phone_ending_in_0005_asks_once_for_each_message() {
    let to = "4915112340005";
    let running = start().await;
    let sandbox = client(&running);
    let mut coreapp = Coreapp::attached(&sandbox, to).await;
    let mut business = Device::new(2, 0);
    business.begin(to, 0, &bundle(&sandbox, to).await);
    for n in 1..=2 {
        coreapp.send(to, key(n), vec![business.seal(to, 0, "{}")]).await;
        coreapp.answer().await.unwrap();
        let retry = coreapp.retry().await;
        assert_eq!(retry.count, 1);
        business.begin(to, 0, &retry.bundle.unwrap());
        coreapp.send(to, key(n), vec![business.seal(to, 0, "{}")]).await;
        coreapp.goes_through().await;
    }
    let (_, stats) = call(&running, "GET", "/stats", "").await;
    assert_eq!(stats["undecryptable"], json!({"pretended": 2}));
}

#[tokio::test]
async fn a_phone_ending_in_0006_changes_its_identity_after_its_first_message() {
    let to = "4915112340006";
    let running = start().await;
    let sandbox = client(&running);
    let mut coreapp = Coreapp::attached(&sandbox, to).await;
    let mut business = Device::new(2, 0);
    let first = bundle(&sandbox, to).await;
    business.begin(to, 0, &first);
    coreapp.send(to, key(1), vec![business.seal(to, 0, "{}")]).await;
    coreapp.answer().await.unwrap();
    assert_eq!(coreapp.receipt().await.kind, ReceiptKind::Delivered);
    let (seq, Item::IdentityChanged { identity_key, .. }) = coreapp.item().await else {
        panic!("no notice")
    };
    assert!(seq > 0, "kept until acknowledged");
    assert_eq!(coreapp.receipt().await.kind, ReceiptKind::Read);
    coreapp.send(to, key(2), vec![business.seal(to, 0, "{}")]).await;
    coreapp.answer().await.unwrap();
    let retry = coreapp.retry().await;
    assert_eq!(retry.bundle.unwrap().identity, identity_key);
    let second = bundle(&sandbox, to).await;
    assert!(second.identity == identity_key && second.identity != first.identity);
    business.begin(to, 0, &second);
    coreapp.send(to, key(2), vec![business.seal(to, 0, "{}")]).await;
    coreapp.goes_through().await;
}

#[tokio::test]
async fn a_phone_ending_in_0007_has_three_devices_and_reads_when_all_have_decrypted() {
    let to = "4915112340007";
    let running = start().await;
    let sandbox = client(&running);
    let mut coreapp = Coreapp::attached(&sandbox, to).await;
    let mut business = Device::new(2, 0);
    let devices = sandbox.fetch_bundles(vec![number(to)]).await.unwrap().remove(0).devices;
    for device in &devices {
        business.begin(to, device.device, device.bundle.as_ref().unwrap());
    }
    let mut sealed: Vec<_> = (0..3).map(|device| business.seal(to, device, "{}")).collect();
    coreapp.send(to, key(1), sealed[..2].to_vec()).await;
    assert_eq!(coreapp.answer().await, Err(Refused::StaleDevices(vec![0, 1, 2])));
    assert!(received(&running, to).await.is_empty());
    // One of the three is broken: the others read, the message is delivered once that one has.
    let good = sealed[1].ciphertext.clone();
    let mut bytes = good.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    sealed[1].ciphertext = bytes.into();
    coreapp.send(to, key(1), sealed.clone()).await;
    coreapp.answer().await.unwrap();
    let receipt = coreapp.receipt().await;
    assert!(receipt.device == 1 && matches!(receipt.kind, ReceiptKind::Retry(_)), "{receipt:?}");
    sealed[1].ciphertext = good;
    coreapp.send(to, key(1), sealed.clone()).await;
    coreapp.goes_through().await;
    let messages = received(&running, to).await;
    assert_eq!(messages.len(), 1);
    let devices = messages[0]["devices"].as_array().unwrap();
    let devices: Vec<_> = devices.iter().map(|it| it["device"].clone()).collect();
    assert_eq!(devices, [0, 2, 1]);
}

#[tokio::test]
async fn a_customer_that_writes_first_uses_up_one_key_of_the_business() {
    let running = start().await;
    let sandbox = client(&running);
    let mut coreapp = Coreapp::attached(&sandbox, ADA).await;
    let mut business = Device::new(2, 60);
    assert_eq!(sandbox.publish_keys(business.own_keys()).await, Ok(60));
    let path = format!("/phones/{ADA}/messages");
    for n in 0..3 {
        let body = format!(r#"{{"type":"text","text":{{"body":"{n}"}}}}"#);
        assert_eq!(call(&running, "POST", &path, &body).await.0, 201);
        let inbound = coreapp.inbound().await;
        assert_eq!(inbound.envelope.kind, EnvelopeKind::PreKey, "until the business answers");
        let text = business.open(ADA, &inbound.envelope);
        assert_eq!(text, format!(r#"{{"text":{{"body":"{n}"}},"type":"text"}}"#));
    }
    let (_, stats) = call(&running, "GET", "/stats", "").await;
    assert_eq!(stats["numbers"][OWN]["one_time_left"], json!(59));
    coreapp.send(ADA, key(1), vec![business.seal(ADA, 0, "{}")]).await;
    coreapp.goes_through().await;
    // The business lost its session and asks for a message again, with a bundle of its own.
    let body = r#"{"type":"text","text":{"body":"again"}}"#;
    call(&running, "POST", &path, body).await;
    let lost = coreapp.inbound().await;
    assert_eq!(lost.envelope.kind, EnvelopeKind::Message);
    let fresh = business.identity.bundle(&business.signed, None);
    let retry =
        Retry { count: 1, registration_id: fresh.registration_id, bundle: Some(Box::new(fresh)) };
    let shard = Route::of(&number(ADA)).shard();
    let (key, to) = (lost.key, number(ADA));
    let ask = Outgoing::Retry { shard, epoch: 1, key, to, device: 0, retry };
    coreapp.out.send(ask).await.unwrap();
    let again = coreapp.inbound().await;
    assert_eq!((again.key, again.envelope.kind), (lost.key, EnvelopeKind::PreKey));
    assert!(business.open(ADA, &again.envelope).contains("again"));
}

#[tokio::test]
async fn one_fetch_at_a_time_a_coreapp_and_bad_keys_are_refused() {
    let running = start().await;
    let sandbox = client(&running);
    let slow = r#"{"latency_ms":[300,300]}"#;
    call(&running, "PUT", "/faults", slow).await;
    let asked = vec![number(ADA), number("4915112340000"), number(OWN)];
    let (first, second) =
        tokio::join!(sandbox.fetch_bundles(asked.clone()), sandbox.fetch_bundles(asked.clone()));
    let refused = [&first, &second].into_iter().filter(|it| it.is_err()).count();
    assert_eq!(refused, 1);
    let users = first.or(second).unwrap();
    let counts: Vec<_> = users.iter().map(|user| user.devices.len()).collect();
    assert_eq!(counts, [1, 0, 0], "no account, no keys");
    // Another connection is another coreapp.
    let other = client(&running);
    let (first, second) =
        tokio::join!(sandbox.fetch_bundles(asked.clone()), other.fetch_bundles(asked));
    assert!(first.is_ok() && second.is_ok());
    assert_ne!(
        first.unwrap()[0].devices[0].bundle.as_ref().unwrap().one_time,
        second.unwrap()[0].devices[0].bundle.as_ref().unwrap().one_time,
        "no one-time key is given twice"
    );
    let (_, stats) = call(&running, "GET", "/stats", "").await;
    assert_eq!(stats["bundle_fetch"], json!({"count":3,"sum":9,"max":3,"refused_concurrent":1}));

    let mut keys = Device::new(2, 1).own_keys();
    keys.signed = Device::new(3, 0).own_keys().signed;
    let error = sandbox.publish_keys(keys).await.unwrap_err();
    assert!(error.to_string().contains("signature"), "{error}");
}

#[tokio::test]
async fn phones_that_only_count_share_a_bundle_that_verifies() {
    let config = sandbox::Config { phones: sandbox::Phones::Count, ..support::config() };
    let rng = support::Counting::from(1);
    let running = sandbox::start(config, std::sync::Arc::new(support::Fixed), rng).await.unwrap();
    let sandbox = client(&running);
    let mut coreapp = Coreapp::attached(&sandbox, ADA).await;
    let mut business = Device::new(2, 0);
    let bundle = bundle(&sandbox, ADA).await;
    assert!(bundle.one_time.is_some());
    business.begin(ADA, 0, &bundle);
    coreapp.send(ADA, key(1), vec![business.seal(ADA, 0, "{}")]).await;
    coreapp.goes_through().await;
    let other = support::bundle(&sandbox, "4915112345679").await;
    assert_eq!(other, bundle);
}

#[tokio::test]
async fn the_owner_of_the_account_hears_at_once_that_the_network_has_no_keys() {
    let running = start().await;
    let sandbox = client(&running);
    let mut coreapp = Coreapp::start(&sandbox);
    coreapp.next().await;
    coreapp.hello(ShardId::CONTROL, 1).await;
    assert_eq!(coreapp.item().await, (0, Item::KeysLow { left: 0 }));
}
