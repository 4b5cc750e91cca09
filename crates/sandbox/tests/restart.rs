//! A sandbox that starts again on its data directory is the one it was: nothing is shown twice,
//! nothing becomes unreadable, nothing that was written is lost.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use std::{path::Path, sync::Arc};

use contract::{Number, Route};
use sandbox::{Config, Running};
use serde_json::json;
use upstream::{EnvelopeKind, Incoming, Item, Outgoing, Receipt, ReceiptKind, Upstream};

use support::{Coreapp, Counting, Device, Fixed, bundle, call, client, config, key, received};

const ADA: &str = "4915112345678";

async fn start_in(dir: &Path, seed: u64) -> Running {
    let config = Config { data_dir: Some(dir.to_owned()), ..config() };
    sandbox::start(config, Arc::new(Fixed), Counting::from(seed)).await.unwrap()
}

/// What comes until a message is read: it was delivered once, and nobody asked for anything again.
/// Items of before the restart are repeated, since nothing here is acknowledged.
async fn read(coreapp: &mut Coreapp, n: u8) {
    let mut delivered = 0;
    loop {
        let Item::Receipt(Receipt { key: of, kind, .. }) = coreapp.item().await.1 else { continue };
        match kind {
            ReceiptKind::Delivered => delivered += usize::from(of == key(n)),
            ReceiptKind::Read if of == key(n) => break,
            ReceiptKind::Read => {}
            other => panic!("unexpected: {other:?}"),
        }
    }
    assert_eq!(delivered, 1);
}

#[tokio::test]
async fn a_phone_knows_its_sessions_and_what_it_has_read() {
    let dir = tempfile::tempdir().unwrap();
    let running = start_in(dir.path(), 1).await;
    let sandbox = client(&running);
    let mut coreapp = Coreapp::attached(&sandbox, ADA).await;
    let mut business = Device::new(2, 60);
    sandbox.publish_keys(business.own_keys()).await.unwrap();
    business.begin(ADA, 0, &bundle(&sandbox, ADA).await);
    let first = business.seal(ADA, 0, r#"{"n":1}"#);
    coreapp.send(ADA, key(1), vec![first.clone()]).await;
    read(&mut coreapp, 1).await;
    let path = format!("/phones/{ADA}/messages");
    call(&running, "POST", &path, r#"{"type":"text","text":{"body":"Hi"}}"#).await;
    business.open(ADA, &coreapp.inbound().await.envelope);
    let second = business.seal(ADA, 0, r#"{"n":2}"#);
    assert_eq!(second.kind, EnvelopeKind::Message, "both have the session now");
    coreapp.send(ADA, key(2), vec![second.clone()]).await;
    read(&mut coreapp, 2).await;
    drop(coreapp);
    running.stop().await;

    // Its answers are lost, so the coreapp sends both once more, and goes on.
    let running = start_in(dir.path(), 2).await;
    let sandbox = client(&running);
    let mut coreapp = Coreapp::attached(&sandbox, ADA).await;
    coreapp.send(ADA, key(1), vec![first]).await;
    coreapp.send(ADA, key(2), vec![second]).await;
    coreapp.send(ADA, key(3), vec![business.seal(ADA, 0, r#"{"n":3}"#)]).await;
    read(&mut coreapp, 3).await;
    let texts = received(&running, ADA).await;
    assert_eq!((texts.len(), &texts[0]["content"]), (1, &json!({"n": 3})));
    let (_, stats) = call(&running, "GET", "/stats", "").await;
    assert_eq!((&stats["duplicate_sends"], &stats["different_bytes"]), (&json!(2), &json!(0)));
    assert_eq!((&stats["undecryptable"], &stats["delivered"]), (&json!({}), &json!(1)));
    // And the other way round.
    call(&running, "POST", &path, r#"{"type":"text","text":{"body":"Hi again"}}"#).await;
    let inbound = coreapp.inbound().await;
    assert_eq!(inbound.envelope.kind, EnvelopeKind::Message);
    assert!(business.open(ADA, &inbound.envelope).contains("Hi again"));
    running.stop().await;

    // Once more, from a journal that was written anew at the last start.
    let running = start_in(dir.path(), 3).await;
    let mut coreapp = Coreapp::attached(&client(&running), ADA).await;
    coreapp.send(ADA, key(4), vec![business.seal(ADA, 0, r#"{"n":4}"#)]).await;
    read(&mut coreapp, 4).await;
    let (_, stats) = call(&running, "GET", "/stats", "").await;
    assert_eq!(stats["undecryptable"], json!({}));
}

#[tokio::test]
async fn a_phone_is_as_it_was_set_and_its_letters_are_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let running = start_in(dir.path(), 1).await;
    let sandbox = client(&running);
    let mut coreapp = Coreapp::attached(&sandbox, ADA).await;
    let phone = format!("/phones/{ADA}");
    call(&running, "PUT", &phone, r#"{"new_identity":true,"offline":true}"#).await;
    let identity = bundle(&sandbox, ADA).await;
    let mut business = Device::new(2, 60);
    business.begin(ADA, 0, &identity);
    coreapp.send(ADA, key(1), vec![business.seal(ADA, 0, r#"{"n":1}"#)]).await;
    while !matches!(coreapp.item().await.1, Item::Answer { result: Ok(_), .. }) {}
    // The business has no keys yet: what the customer writes waits.
    let letter = r#"{"type":"text","text":{"body":"Anybody there?"}}"#;
    assert_eq!(call(&running, "POST", &format!("{phone}/messages"), letter).await.0, 201);
    drop(coreapp);
    running.stop().await;

    let running = start_in(dir.path(), 2).await;
    let sandbox = client(&running);
    let mut coreapp = Coreapp::attached(&sandbox, ADA).await;
    assert_eq!(call(&running, "GET", &phone, "").await.1["offline"], true);
    assert_eq!(bundle(&sandbox, ADA).await.identity, identity.identity);
    assert!(received(&running, ADA).await.is_empty());
    call(&running, "PUT", &phone, r#"{"offline":false}"#).await;
    read(&mut coreapp, 1).await;
    sandbox.publish_keys(business.own_keys()).await.unwrap();
    let inbound = coreapp.inbound().await;
    assert!(business.open(ADA, &inbound.envelope).contains("Anybody there?"));
}

#[tokio::test]
async fn it_still_tells_how_far_a_business_had_got() {
    let dir = tempfile::tempdir().unwrap();
    let shard = Route::of(&Number::parse(ADA).unwrap()).shard();
    let told = Item::Welcome { epoch_seen: 3, acked_our_seq: 12 };
    let running = start_in(dir.path(), 1).await;
    let mut coreapp = Coreapp::attached(&client(&running), ADA).await;
    coreapp.hello(shard, 3).await;
    for our_seq in [12, 7] {
        coreapp.out.send(Outgoing::Ack { shard, epoch: 3, seq: 0, our_seq }).await.unwrap();
    }
    assert_eq!(coreapp.hello(shard, 3).await, told, "the highest counts");
    drop(coreapp);
    running.stop().await;

    // To one whose database is older as well.
    for seed in [2, 3] {
        let running = start_in(dir.path(), seed).await;
        let mut coreapp = Coreapp::start(&client(&running));
        assert_eq!(coreapp.next().await, Incoming::Connected);
        assert_eq!(coreapp.hello(shard, 1).await, told);
        drop(coreapp);
        running.stop().await;
    }
}
