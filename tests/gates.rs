//! The two queues that close intake, with small limits: who closes them, what goes on, when they
//! open.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that cannot go on has failed; counts are small"
)]

mod support;

use http::StatusCode;
use serde_json::{Value, json};
use support::{Answer, Gateway, free_ports, network::Network, until, webhook::Webhook};

const CUSTOMER: &str = "4915112345678";

async fn send(gateway: &Gateway) -> Answer {
    let body = json!({"to": CUSTOMER, "type": "text", "text": {"body": "hi"}}).to_string();
    gateway.call("POST", "/v1/messages", &body).await
}

/// Sends until a gate is closed; gives the ids accepted before.
async fn until_refused(gateway: &Gateway) -> Vec<String> {
    let mut accepted = Vec::new();
    until("the gate to close", async || {
        let answer = send(gateway).await;
        if answer.status == StatusCode::CREATED {
            let id = answer.body.pointer("/messages/0/id").unwrap();
            accepted.push(id.as_str().unwrap().to_owned());
            return None;
        }
        assert_eq!((answer.status.as_u16(), answer.code()), (503, Some(1016)), "{}", answer.body);
        assert!(answer.headers.contains_key("retry-after"));
        Some(())
    })
    .await;
    accepted
}

/// A metric of a queue, from `/v1/stats/app`.
async fn of_queue(gateway: &Gateway, metric: &str, queue: &str) -> u64 {
    let stats = gateway.call("GET", "/v1/stats/app", "").await;
    let samples = stats.body["stats"]["app"][metric]["data"].as_array().unwrap().clone();
    let mine = |sample: &&Value| sample["labels"]["queue"] == queue;
    samples.iter().find(mine).unwrap()["value"].as_f64().unwrap() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_job_queue_refuses_until_the_network_has_taken_half_of_it() {
    // No network listens there yet.
    let [grpc, http, ..] = free_ports().await;
    let url = format!("http://127.0.0.1:{grpc}");
    let gateway = Gateway::start_with(&["--upstream", &url]).await;
    gateway.settings(json!({"heliograph": {"jobs": {"max": 10}}})).await;
    assert_eq!(until_refused(&gateway).await.len(), 10);
    assert_eq!(of_queue(&gateway, "gate_closed", "jobs").await, 1);
    assert_eq!(of_queue(&gateway, "gate_closed", "callbacks").await, 0);
    assert_eq!(of_queue(&gateway, "gate_queue_size", "jobs").await, 10);
    assert_eq!(of_queue(&gateway, "gate_queue_limit", "jobs").await, 10);
    assert!(of_queue(&gateway, "gate_refusals", "jobs").await >= 1);
    // Contacts and everything else go on.
    let contacts = json!({"contacts": [CUSTOMER]}).to_string();
    assert_eq!(gateway.call("POST", "/v1/contacts", &contacts).await.status, StatusCode::OK);

    let network = Network::start_on(grpc, http).await;
    until("half of the queue to leave", async || {
        (send(&gateway).await.status == StatusCode::CREATED).then_some(())
    })
    .await;
    assert_eq!(of_queue(&gateway, "gate_closed", "jobs").await, 0);
    until("all of it to arrive", async || {
        (network.stats().await["accepted"].as_u64()? >= 11).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_webhook_closes_the_gate_at_its_limit_and_no_receipt_is_lost() {
    let gateway = Gateway::start().await;
    let webhook = Webhook::start().await;
    webhook.answer_next(1_000_000, StatusCode::INTERNAL_SERVER_ERROR);
    let callbacks = json!({"queue_max": 10});
    gateway
        .settings(json!({
            // What is parked, being refused too often, is tried at the cap.
            "max_callback_backoff_delay_ms": 1_000,
            "webhooks": {"url": webhook.url(), "message": {"sent": true}},
            "heliograph": {"callbacks": callbacks, "quotas": {"messages_per_second": 0}},
        }))
        .await;
    let accepted = until_refused(&gateway).await;
    assert!(accepted.len() >= 4, "three callbacks a message do not fill it before");
    // Receipts of what was accepted are stored all the same, far above the limit.
    let all = 3 * accepted.len() as u64;
    until("all receipts to be stored", async || {
        (of_queue(&gateway, "gate_queue_size", "callbacks").await == all).then_some(())
    })
    .await;
    assert_eq!(of_queue(&gateway, "gate_closed", "callbacks").await, 1);
    assert_eq!(of_queue(&gateway, "gate_closed", "jobs").await, 0);
    assert_eq!(send(&gateway).await.code(), Some(1016));

    // Whoever says so keeps sending.
    let keep = |how: &str| json!({"heliograph": {"callbacks": {"when_full": how}}});
    gateway.settings(keep("keep_sending")).await;
    assert_eq!(send(&gateway).await.status, StatusCode::CREATED);
    gateway.settings(keep("refuse")).await;
    assert_eq!(send(&gateway).await.code(), Some(1016));

    webhook.recover();
    until("the webhook to take half of it", async || {
        (send(&gateway).await.status == StatusCode::CREATED).then_some(())
    })
    .await;
    for id in &accepted {
        // Whose hold was spent on a dead webhook may be overtaken.
        until("every callback of what was accepted", async || {
            let statuses = webhook.statuses_of(id);
            let there = |status: &str| statuses.iter().any(|known| known == status);
            ["sent", "delivered", "read"].into_iter().all(there).then_some(())
        })
        .await;
    }
}
