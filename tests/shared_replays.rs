//! Replays of events while several coreapps share the shards: one keeps account and sends, whoever owns
//! what is sent, and another goes on when it dies.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::HashMap;

use futures_util::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};
use support::{
    PATIENCE,
    roles::{Roles, SHARDS},
    server::Server,
    until,
    webhook::Webhook,
};
use tokio::time::timeout;

/// Phones; they lie in about half of the shards, so in those of both.
const PHONES: usize = 40;
/// Events of a message: it was delivered, and read.
const EVENTS: usize = 2 * PHONES;

/// How often the webhook has taken each event.
fn times(webhook: &Webhook) -> HashMap<String, usize> {
    let mut times = HashMap::new();
    for (id, _) in webhook.ids() {
        *times.entry(id).or_default() += 1;
    }
    times
}

async fn send_to_all(roles: &Roles) {
    let sends = (0..PHONES).map(|n| async move {
        let to = format!("4915100{:05}", 10 + n);
        let body = json!({"to": to, "type": "text", "text": {"body": "Hello"}}).to_string();
        let answer = roles.call(0, "POST", "/v1/messages", &[], &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    });
    join_all(sends).await;
}

async fn replay(roles: &Roles, body: Value) -> String {
    let answer = roles.call(0, "POST", "/v1/events/replay", &[], &body.to_string()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    answer.body.pointer("/replays/0/id").unwrap().as_str().unwrap().to_owned()
}

async fn ended(roles: &Roles, id: &str) -> Value {
    until("the replay has ended", async || {
        let answer = roles.call(0, "GET", &format!("/v1/events/replay/{id}"), &[], "").await;
        let state = answer.body.pointer("/replays/0/state")?;
        (state != "running" && state != "queued").then(|| answer.body["replays"][0].clone())
    })
    .await
}

async fn replays_over_two_coreapps(server: Server) {
    let webhook = Webhook::start().await;
    let roles = Roles::start_on(Some(&server.url), 2, 2, 1, &[]).await;
    roles.shared_by(&[0, 1]).await;
    // What is refused dies, whosever it is, and can be sent to the repaired webhook.
    webhook.answer_next(1_000_000, StatusCode::BAD_REQUEST);
    roles
        .settings(json!({
            "webhooks": {"url": webhook.url()},
            "max_callback_backoff_delay_ms": 200,
            "heliograph": {"callbacks": {"max_age_s": 3}},
        }))
        .await;
    send_to_all(&roles).await;
    let letters = async || {
        let answer = roles.call(0, "GET", "/v1/events/dead?limit=1000", &[], "").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let letters = answer.body["events"].as_array().unwrap().clone();
        // The dispatchers' own word about dead letters may be among them.
        letters.into_iter().filter(|letter| letter["kind"] == "statuses").collect::<Vec<_>>()
    };
    until("all callbacks are dead", async || {
        let letters = letters().await;
        (letters.len() == EVENTS && letters.iter().all(|letter| letter["state"] == "dead"))
            .then_some(())
    })
    .await;
    webhook.recover();
    let id = replay(&roles, json!({"dead": true, "kind": "statuses", "rate": 200})).await;
    let all = ended(&roles, &id).await;
    assert_eq!([&all["state"], &all["sent"]], [&json!("done"), &json!(EVENTS)], "{all}");
    assert_eq!(letters().await, Vec::<Value>::new());
    let statuses = json!({"from": 0, "kind": "statuses", "rate": 200});

    // The log of all shards, each event once more under its id.
    let before = times(&webhook);
    let all = ended(&roles, &replay(&roles, statuses.clone()).await).await;
    assert_eq!([&all["state"], &all["sent"]], [&json!("done"), &json!(EVENTS)], "{all}");
    let after = times(&webhook);
    for (id, times) in &before {
        let more = after[id] - times;
        assert!(more <= 1, "{id} was sent {more} times");
    }
    assert_eq!(after.values().sum::<usize>(), before.values().sum::<usize>() + EVENTS);
    assert_eq!(after.len(), before.len(), "no new ids");

    // Stopped.
    let slow = json!({"from": 0, "kind": "statuses", "rate": 1});
    let id = replay(&roles, slow).await;
    let stop = roles.call(0, "DELETE", &format!("/v1/events/replay/{id}"), &[], "").await;
    assert_eq!(stop.body.pointer("/replays/0/state"), Some(&json!("cancelled")), "{}", stop.body);
    assert!(stop.body.pointer("/replays/0/sent").unwrap().as_u64() < Some(20), "{}", stop.body);

    // Whoever keeps account dies; the other goes on.
    let before = times(&webhook);
    let id = replay(&roles, json!({"from": 0, "kind": "statuses", "rate": 10})).await;
    let again = || {
        let now = times(&webhook);
        before.iter().filter(|(id, times)| now[*id] > **times).count()
    };
    until("some are sent again", async || (again() >= 3).then_some(())).await;
    let keeper = roles.keeper().await;
    roles.kill(&format!("core-{keeper}")).await;
    assert!(again() < EVENTS, "it was still at it");
    let other = 1 - keeper;
    until("the other has everything", async || {
        (roles.shards_of(other).await == SHARDS).then_some(())
    })
    .await;
    let all = timeout(PATIENCE, ended(&roles, &id)).await.unwrap();
    assert_eq!([&all["state"], &all["failed"]], [&json!("done"), &json!(0)], "{all}");
    assert_eq!(again(), EVENTS, "each once more at least");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_a_replay_sends_the_events_of_every_coreapp_and_survives_its_keeper() {
    replays_over_two_coreapps(Server::postgres("replays")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_mariadb_a_replay_sends_the_events_of_every_coreapp_and_survives_its_keeper() {
    replays_over_two_coreapps(Server::mariadb("replays")).await;
}
