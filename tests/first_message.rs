//! What a newcomer does first, against the real program.

mod support;

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;
use support::{Gateway, PASSWORD, free_ports, server::Server, until, up, webhook::Webhook};
use tokio::net::TcpListener;

const CUSTOMER: &str = "4915112345678";

#[tokio::test(flavor = "multi_thread")]
async fn a_message_reaches_its_phone_and_every_step_is_called_back() {
    there_and_back(&Gateway::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_takes_the_same_way_on_postgresql() {
    let database = tokio::task::spawn_blocking(|| Server::postgres("first_message")).await.unwrap();
    there_and_back(&Gateway::start_with(&["--database", &database.url]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_takes_the_same_way_on_mariadb() {
    let database = tokio::task::spawn_blocking(|| Server::mariadb("first_message")).await.unwrap();
    there_and_back(&Gateway::start_with(&["--database", &database.url]).await).await;
}

async fn there_and_back(gateway: &Gateway) {
    let webhook = Webhook::start().await;
    gateway.settings(json!({"webhooks": {"url": webhook.url(), "message": {"sent": true}}})).await;

    let id = gateway.send("+49 151 12345678", "Hello").await;
    let statuses = until("three callbacks", async || {
        let statuses = webhook.statuses_of(&id);
        (statuses.len() >= 3).then_some(statuses)
    })
    .await;
    assert_eq!(statuses, ["sent", "delivered", "read"]);
    assert_eq!(gateway.texts_at(CUSTOMER).await, ["Hello"]);

    gateway.write_from(CUSTOMER, "Hello back").await;
    let texts = until("the customer's answer", async || {
        Some(webhook.texts()).filter(|texts| !texts.is_empty())
    })
    .await;
    assert_eq!(texts, ["Hello back"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_are_printed_when_no_webhook_is_set() {
    let gateway = Gateway::start().await;
    let id = gateway.send(CUSTOMER, "Hello").await;
    for status in ["sent", "delivered", "read"] {
        until(status, async || {
            let output = gateway.output.lock().unwrap().clone();
            let line = output.lines().find(|line| {
                line.starts_with("callback ") && line.contains(&id) && line.contains(status)
            });
            line.map(str::to_owned)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_to_one_recipient_arrive_in_the_order_they_were_accepted() {
    let gateway = Gateway::start().await;
    let mut sent = Vec::new();
    for n in 0..20 {
        let text = format!("Message {n}");
        gateway.send(CUSTOMER, &text).await;
        sent.push(text);
    }
    let arrived = until("all messages", async || {
        let texts = gateway.texts_at(CUSTOMER).await;
        (texts.len() >= sent.len()).then_some(texts)
    })
    .await;
    assert_eq!(arrived, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_password_and_delivers_what_was_accepted() {
    let gateway = Gateway::start().await;
    let webhook = Webhook::start().await;
    gateway.settings(json!({"webhooks": {"url": webhook.url()}})).await;
    let id = gateway.send(CUSTOMER, "Before the restart").await;
    let (status, directory) = gateway.stop().await;
    assert!(status.success(), "{status}");

    let mut gateway = Gateway::start_in(directory).await;
    assert!(gateway.output.lock().unwrap().contains("$HELIOGRAPH_PASSWORD"));
    assert_eq!(gateway.login("secret", &json!({})).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(gateway.login(PASSWORD, &json!({})).await.status, StatusCode::OK);
    until("the message's callback", async || {
        webhook.statuses_of(&id).contains(&"delivered".to_owned()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_refused_with_the_option_to_change() {
    for n in 0..4 {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut ports = free_ports().await;
        ports[n] = taken.local_addr().unwrap().port();
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let [https, http, sandbox, receiver] = ports;
        let output = up(&directory, https, http, sandbox, receiver)
            .stderr(std::process::Stdio::piped())
            .output()
            .await
            .unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        let option = ["--https", "--http", "--sandbox", "--receiver"][n];
        assert!(!output.status.success());
        assert!(message.contains(option), "{option} is not in: {message}");
        assert!(message.contains(&ports[n].to_string()), "{message}");
    }
}
