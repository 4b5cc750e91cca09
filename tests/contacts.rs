//! Contacts over REST, against the real program: every notation, the cache, blocks, accounts that
//! are gone.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use support::{Answer, Gateway, PASSWORD, call, network::Network, until, webhook::Webhook};

const CUSTOMER: &str = "4915112345678";

/// What is written, and as whom the network knows it; `None`: as nobody.
const NOTATIONS: &[(&str, Option<&str>)] = &[
    ("16315551001", Some("16315551001")),
    ("+1 631 555 1002", Some("16315551002")),
    ("+1 (631) 555-1003", Some("16315551003")),
    ("1-631-555-1004", Some("16315551004")),
    ("001 631.555/1005", Some("16315551005")),
    ("+49 151 12345678", Some(CUSTOMER)),
    // Mexico: the 1 after the country code.
    ("+52 1 55 1234 5678", Some("5215512345678")),
    ("+52 55 1234 5678", Some("5215512345678")),
    // Argentina: the 9 after the country code.
    ("+54 9 11 2345-6789", Some("5491123456789")),
    ("+54 11 2345-6789", Some("5491123456789")),
    // Brazil: the ninth digit.
    ("+55 (11) 98765-4321", Some("5511987654321")),
    ("+55 (11) 8765-4321", Some("5511987654321")),
    // Not registered, no country code that is assigned, no number at all.
    ("+49 151 1234 0000", None),
    ("9994567890", None),
    ("12", None),
    ("customer", None),
];

async fn check(gateway: &Gateway, body: Value) -> Vec<Value> {
    let answer = gateway.call("POST", "/v1/contacts", &body.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body["contacts"].as_array().unwrap().clone()
}

fn statuses(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["status"].as_str().unwrap()).collect()
}

fn refused(answer: &Answer) -> (u16, u64) {
    (answer.status.as_u16(), answer.code().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_notation_of_a_number_is_understood_and_answered_in_its_place() {
    let gateway = Gateway::start().await;
    let inputs: Vec<&str> = NOTATIONS.iter().map(|(input, _)| *input).collect();
    let entries = check(&gateway, json!({"contacts": inputs, "blocking": "wait"})).await;
    assert_eq!(entries.len(), NOTATIONS.len());
    for (entry, (input, wa_id)) in entries.iter().zip(NOTATIONS) {
        let expected = match wa_id {
            Some(wa_id) => json!({"input": input, "status": "valid", "wa_id": wa_id}),
            None => json!({"input": input, "status": "invalid"}),
        };
        assert_eq!(*entry, expected);
    }
    gateway.settings(json!({"heliograph": {"contacts": {"always_valid": true}}})).await;
    let body = json!({"contacts": ["+49 151 1234 0000", "+49 151 99 00 11 22", "customer"]});
    let entries = check(&gateway, body).await;
    assert_eq!(statuses(&entries), ["valid", "valid", "invalid"]);
    assert_eq!(
        (&entries[0]["wa_id"], &entries[1]["wa_id"]),
        (&json!("4915112340000"), &json!("4915199001122"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_blocking_a_stranger_is_processing_and_told_of_later_and_an_answer_outlives_a_restart()
 {
    let gateway = Gateway::start().await;
    let webhook = Webhook::start().await;
    gateway.settings(json!({"webhooks": {"url": webhook.url()}})).await;
    let body = json!({"contacts": [CUSTOMER]});
    let strangers = json!({"contacts": ["+49 151 1234-5678", "+49 151 1234 0000"]});
    assert_eq!(statuses(&check(&gateway, strangers).await), ["processing", "processing"]);
    let late = until("its late results", async || {
        webhook.taken().into_iter().find(|callback| callback.get("contacts").is_some())
    })
    .await;
    let expected = json!({"contacts": [
        {"input": "+49 151 1234-5678", "status": "valid", "wa_id": CUSTOMER},
        {"input": "+49 151 1234 0000", "status": "invalid"},
    ]});
    assert_eq!(late, expected);
    // The row is written behind the answer; a stop writes what waits.
    let (status, directory) = gateway.stop().await;
    assert!(status.success(), "{status}");
    let mut gateway = Gateway::start_in(directory).await;
    assert_eq!(gateway.login(PASSWORD, &json!({})).await.status, StatusCode::OK);
    assert_eq!(statuses(&check(&gateway, body.clone()).await), ["valid"]);
    let phone = format!("/phones/{CUSTOMER}");
    let gone = call(gateway.sandbox, "PUT", &phone, "", r#"{"deleted":true}"#).await;
    assert_eq!(gone.body["deleted"], true);
    assert_eq!(statuses(&check(&gateway, body).await), ["valid"], "the cache does not know");
    let forced = json!({"contacts": [CUSTOMER], "blocking": "wait", "force_check": true});
    assert_eq!(statuses(&check(&gateway, forced).await), ["invalid"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_a_hundred_callers_ask_for_at_once_is_synced_once() {
    let network = Network::start().await;
    let gateway = Gateway::start_with(&["--upstream", &network.url()]).await;
    gateway
        .settings(json!({"heliograph": {
            "quotas": {"contacts_per_second": 0},
            "web": {"per_user": 0, "per_address": 0},
        }}))
        .await;
    let asked =
        (0..100).map(|_| check(&gateway, json!({"contacts": [CUSTOMER], "blocking": "wait"})));
    for entries in futures_util::future::join_all(asked).await {
        assert_eq!(statuses(&entries), ["valid"]);
    }
    let stats = network.stats().await;
    assert_eq!(
        (&stats["contact_sync"]["sum"], &stats["in_flight"]["contact_syncs_max"]),
        (&json!(1), &json!(1)),
        "{stats}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wrote_today_can_be_blocked_and_reported_and_nobody_else() {
    let gateway = Gateway::start().await;
    let webhook = Webhook::start().await;
    gateway.settings(json!({"webhooks": {"url": webhook.url()}})).await;
    let post = async |what: &str, body: Value| {
        let path = format!("/v1/contacts/+{CUSTOMER}/{what}");
        gateway.call("POST", &path, &body.to_string()).await
    };
    assert_eq!(refused(&post("block", json!({})).await), (400, 2048));
    assert_eq!(refused(&post("report", json!({})).await), (400, 2048));

    gateway.write_from(CUSTOMER, "one").await;
    until("the customer's message", async || (webhook.texts() == ["one"]).then_some(())).await;
    let report = post("report", json!({"reason": "spam", "block": true})).await;
    assert_eq!(report.status, StatusCode::OK, "{}", report.body);
    let stats = call(gateway.sandbox, "GET", "/stats", "", "").await;
    assert_eq!((&stats.body["calls"]["report"], &stats.body["reported"]), (&json!(1), &json!(1)));

    let body = json!({"to": CUSTOMER, "type": "text", "text": {"body": "hi"}}).to_string();
    let send = async || gateway.call("POST", "/v1/messages", &body).await;
    assert_eq!(refused(&send().await), (400, 1007));
    gateway.write_from(CUSTOMER, "two").await;
    until("the network to be rid of it", async || {
        let stats = call(gateway.sandbox, "GET", "/stats", "", "").await;
        let unacked = stats.body.pointer("/numbers/15550100100/unacked")?.as_u64()?;
        (stats.body["inbound"] == 2 && unacked == 0).then_some(())
    })
    .await;
    assert_eq!(post("unblock", json!({})).await.status, StatusCode::OK);
    assert_eq!(send().await.status, StatusCode::CREATED);
    gateway.write_from(CUSTOMER, "three").await;
    until("the next message", async || (webhook.texts() == ["one", "three"]).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_an_account_deleted_lately_is_taken_and_told_of_only_on_request() {
    let gateway = Gateway::start().await;
    let webhook = Webhook::start().await;
    gateway.settings(json!({"webhooks": {"url": webhook.url(), "message": {"sent": true}}})).await;
    let first = gateway.send(CUSTOMER, "there").await;
    until("its receipts", async || (webhook.statuses_of(&first).len() >= 3).then_some(())).await;
    let phone = format!("/phones/{CUSTOMER}");
    call(gateway.sandbox, "PUT", &phone, "", r#"{"deleted":true}"#).await;

    let silent = gateway.send(CUSTOMER, "gone").await;
    until("it is taken", async || (webhook.statuses_of(&silent) == ["sent"]).then_some(())).await;
    let notice = json!({"undelivered_notice": true, "undelivered_after_s": 1});
    gateway.settings(json!({"heliograph": {"messages": notice}})).await;
    let told = gateway.send(CUSTOMER, "gone too").await;
    until("the notice", async || (webhook.statuses_of(&told) == ["sent", "failed"]).then_some(()))
        .await;
    assert_eq!(webhook.statuses_of(&silent), ["sent"], "sent before anybody asked to be told");
    assert_eq!(gateway.texts_at(CUSTOMER).await, ["there"]);
    // Now it is known.
    let body = json!({"to": CUSTOMER, "type": "text", "text": {"body": "hi"}}).to_string();
    assert_eq!(refused(&gateway.call("POST", "/v1/messages", &body).await), (400, 1013));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_quotas_answer_429_with_a_time_to_wait_and_change_while_it_runs() {
    let gateway = Gateway::start().await;
    let quotas = |n: u32| {
        json!({"heliograph": {"quotas":
            {"messages_per_second": n, "contacts_per_second": n, "burst": 1}}})
    };
    gateway.settings(quotas(1)).await;
    let message = json!({"to": CUSTOMER, "type": "text", "text": {"body": "hi"}}).to_string();
    let contacts = json!({"contacts": [CUSTOMER]}).to_string();
    for (path, body) in [("/v1/messages", &message), ("/v1/contacts", &contacts)] {
        let answer = until("a refusal", async || {
            let answer = gateway.call("POST", path, body).await;
            (answer.status == StatusCode::TOO_MANY_REQUESTS).then_some(answer)
        })
        .await;
        assert_eq!(answer.code(), Some(1015), "{path}");
        let after: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert_eq!(after, 1, "{path}");
        tokio::time::sleep(Duration::from_secs(after)).await;
        let answer = gateway.call("POST", path, body).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.body);
    }
    gateway.settings(quotas(0)).await;
    for _ in 0..20 {
        assert!(gateway.call("POST", "/v1/contacts", &contacts).await.status.is_success());
    }
}
