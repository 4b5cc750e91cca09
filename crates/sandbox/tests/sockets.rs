//! The upstream client and the control API against a sandbox on real sockets.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use contract::{Key, Number, Route};
use sandbox::{Config, StartError};
use serde_json::{Value, json};
use tokio::time::timeout;
use upstream::{
    ContactStatus, Envelope, EnvelopeKind, Incoming, Item, Outgoing, ReceiptKind, SendItem,
    Upstream, sandbox::Sandbox,
};

use support::{Coreapp, Counting, DEADLINE, Device, Fixed, call, config, start};

fn message(to: Number, key: Key) -> Outgoing {
    let shard = Route::of(&to).shard();
    let ciphertext = Bytes::from_static(br#"{"type":"text","text":{"body":"Hello"}}"#);
    let envelopes = vec![Envelope { device: 0, kind: EnvelopeKind::Plain, ciphertext }];
    Outgoing::Send(SendItem {
        shard,
        epoch: 1,
        key,
        to,
        category: "text",
        envelopes,
        left_out: vec![],
    })
}

#[tokio::test]
async fn a_coreapp_that_reconnects_gets_only_what_it_did_not_acknowledge() {
    let running = start().await;
    let own = "15550100100".parse().unwrap();
    let sandbox = Sandbox::new(&format!("http://{}", running.grpc), own).unwrap();
    let ada: Number = "525512345678".parse().unwrap();

    let contacts = sandbox.check_contacts(vec![ada, "999123456789".parse().unwrap()]).await;
    let contacts = contacts.unwrap();
    let ContactStatus::Registered { wa_id } = contacts[0].status else { panic!("{contacts:?}") };
    assert_eq!(wa_id.as_str(), "5215512345678");
    assert_eq!(contacts[1].status, ContactStatus::NotRegistered);

    let mut coreapp = Coreapp::start(&sandbox);
    assert_eq!(coreapp.next().await, Incoming::Connected);
    let shard = Route::of(&wa_id).shard();
    let welcome = coreapp.hello(shard, 1).await;
    assert_eq!(welcome, Item::Welcome { epoch_seen: 1, acked_our_seq: 0 });

    let key = Key::from_bytes(b"key-one-1").unwrap();
    coreapp.out.send(message(wa_id, key)).await.unwrap();
    let (seq, answer) = coreapp.item().await;
    assert!(seq == 0 && matches!(answer, Item::Answer { key: k, result: Ok(_) } if k == key));
    for (seq, kind) in [(1, ReceiptKind::Delivered), (2, ReceiptKind::Read)] {
        let (got, Item::Receipt(receipt)) = coreapp.item().await else { panic!("no receipt") };
        assert_eq!((got, receipt.key, receipt.from, receipt.kind), (seq, key, wa_id, kind));
    }
    let ack = Outgoing::Ack { shard, epoch: 1, seq: 1, our_seq: 12 };
    coreapp.out.send(ack).await.unwrap();
    timeout(DEADLINE, async {
        while running.stats().numbers["15550100100"].unacked != 1 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();

    let (status, _) = call(&running, "PUT", "/faults", r#"{"disconnect_now":true}"#).await;
    assert_eq!(status, 200);
    assert!(matches!(coreapp.next().await, Incoming::Disconnected(_)));
    assert_eq!(coreapp.next().await, Incoming::Connected);
    // Written for the old connection: must not leave before the shard is claimed on this one.
    coreapp.out.send(message(wa_id, Key::from_bytes(b"key-stale").unwrap())).await.unwrap();
    let welcome = coreapp.hello(shard, 1).await;
    assert_eq!(welcome, Item::Welcome { epoch_seen: 1, acked_our_seq: 12 });
    let (seq, Item::Receipt(receipt)) = coreapp.item().await else { panic!("no receipt") };
    assert_eq!((seq, receipt.kind), (2, ReceiptKind::Read));

    let path = "/phones/525512345678/messages";
    let (status, answer) = call(&running, "GET", path, "").await;
    assert_eq!(status, 200);
    let messages = answer["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["content"], json!({"type":"text","text":{"body":"Hello"}}));
    assert_eq!((&messages[0]["key"], &messages[0]["copies"]), (&json!(key.to_string()), &json!(1)));

    let mut business = Device::new(2, 0);
    sandbox.publish_keys(business.own_keys()).await.unwrap();
    let body = r#"{"type":"text","text":{"body":"Hi"},"profile_name":"Ada"}"#;
    let (status, written) = call(&running, "POST", path, body).await;
    assert_eq!(status, 201);
    let (_, Item::Inbound(inbound)) = coreapp.item().await else { panic!("no inbound") };
    assert_eq!(json!(inbound.key.to_string()), written["key"]);
    assert_eq!(inbound.profile_name, "Ada");
    assert_eq!(
        serde_json::from_str::<Value>(&business.open("525512345678", &inbound.envelope)).unwrap(),
        json!({"type":"text","text":{"body":"Hi"}})
    );

    let (_, stats) = call(&running, "GET", "/stats", "").await;
    assert_eq!((&stats["sends"], &stats["stale_sends"]), (&json!(1), &json!(0)));
    assert_eq!(stats["contact_sync"], json!({"count":1,"sum":2,"max":2,"refused_concurrent":0}));
    timeout(DEADLINE, running.stop()).await.unwrap();
    assert!(matches!(coreapp.next().await, Incoming::Disconnected(_)));
}

#[tokio::test]
async fn the_last_acknowledgement_of_a_coreapp_that_stops_still_arrives() {
    let running = start().await;
    let own = "15550100100".parse().unwrap();
    let sandbox = Sandbox::new(&format!("http://{}", running.grpc), own).unwrap();
    let mut coreapp = Coreapp::start(&sandbox);
    assert_eq!(coreapp.next().await, Incoming::Connected);
    let shard = Route::of(&"4915112345678".parse().unwrap()).shard();
    coreapp.hello(shard, 1).await;
    sandbox.publish_keys(Device::new(2, 150).own_keys()).await.unwrap();
    let body = r#"{"type":"text","text":{"body":"Hi"}}"#;
    call(&running, "POST", "/phones/4915112345678/messages", body).await;
    assert!(matches!(coreapp.item().await, (1, Item::Inbound(_))));
    let ack = Outgoing::Ack { shard, epoch: 1, seq: 1, our_seq: 1 };
    coreapp.out.send(ack).await.unwrap();
    drop(coreapp);
    timeout(DEADLINE, async {
        while running.stats().numbers["15550100100"].unacked != 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_control_api_says_what_is_wrong() {
    let running = start().await;
    let big = format!(r#"{{"type":"text","text":{{"body":"{}"}}}}"#, "x".repeat(300 << 10));
    for (method, path, body, status, says) in [
        ("GET", "/phone", "", 404, "/phones/{wa_id}"),
        ("POST", "/stats", "", 405, "other methods"),
        ("GET", "/phones/abc/messages", "", 400, "no number"),
        ("GET", "/messages?limit=0", "", 400, "1 to 10000"),
        ("GET", "/messages?before=1", "", 400, "before"),
        ("PUT", "/faults", r#"{"latency_ms":[9,1]}"#, 400, "least"),
        ("PUT", "/faults", r#"{"answer_los":1}"#, 400, "answer_los"),
        ("PUT", "/faults", r#"{"answer_loss":2}"#, 400, "between 0 and 1"),
        ("PUT", "/phones/4915112345678", r#"{"online":true}"#, 400, "online"),
        ("POST", "/phones/4915112345678/messages", r#"{"type":"text"}"#, 400, "body"),
        ("POST", "/phones/4915112345678/messages", r#"{"type":"ephemeral"}"#, 409, "\"to\""),
        ("POST", "/phones/4915112340000/messages", r#"{"type":"ephemeral"}"#, 409, "no account"),
        ("POST", "/phones/4915112345678/messages", &big, 400, "262144 bytes"),
        ("PUT", "/faults", &big, 413, "bytes"),
        ("POST", "/phones/4915112345678/read", r#"{"keys":["zz"]}"#, 400, "hexadecimal"),
    ] {
        let (got, answer) = call(&running, method, path, body).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(got == status && error.contains(says), "{method} {path}: {got} {answer}");
    }
    let patch = r#"{"latency_ms":[2,3],"seed":9}"#;
    let (_, plan) = call(&running, "PUT", "/faults", patch).await;
    assert_eq!((&plan["latency_ms"], &plan["seed"]), (&json!([2, 3]), &json!(9)));
    let (_, plan) = call(&running, "DELETE", "/faults", "").await;
    assert_eq!(plan["latency_ms"], json!([1, 5]));
    assert_eq!(call(&running, "GET", "/livez", "").await.0, 200);
    running.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_and_an_open_control_api_are_named_by_their_options() {
    let running = start().await;
    let taken = |option: &str, config: Config| {
        let option = option.to_owned();
        async move {
            let error =
                sandbox::start(config, Arc::new(Fixed), Counting::from(1)).await.unwrap_err();
            assert!(error.to_string().contains(&option), "{error}");
            error
        }
    };
    taken("--listen", Config { listen: running.grpc, ..config() }).await;
    taken("--http", Config { http: running.http, ..config() }).await;
    let open = taken("--http", Config { http: "0.0.0.0:0".parse().unwrap(), ..config() }).await;
    assert!(matches!(open, StartError::NotLoopback(_)));
}
