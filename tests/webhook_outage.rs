//! A webhook that is down or in trouble costs nothing but time.

mod support;

use http::StatusCode;
use serde_json::json;
use support::{Gateway, until, webhook::Webhook};

const CUSTOMERS: [&str; 3] = ["4915112345678", "4915112345679", "4915112345680"];

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_dead_for_a_while_gets_everything_afterwards_in_order() {
    let gateway = Gateway::start().await;
    let webhook = Webhook::start().await;
    let port = webhook.port;
    gateway
        .settings(json!({
            "webhooks": {"url": webhook.url(), "message": {"sent": true}},
            "max_callback_backoff_delay_ms": 500,
        }))
        .await;
    drop(webhook);

    // Nobody listens: messages are accepted and delivered all the same.
    let mut ids = Vec::new();
    for n in 0..5 {
        for customer in CUSTOMERS {
            ids.push(gateway.send(customer, &format!("Message {n}")).await);
        }
    }
    for customer in CUSTOMERS {
        until("messages at the phones", async || {
            (gateway.texts_at(customer).await.len() == 5).then_some(())
        })
        .await;
    }

    let webhook = Webhook::start_on(port).await;
    for id in &ids {
        let statuses = until("all callbacks", async || {
            let statuses = webhook.statuses_of(id);
            (statuses.len() >= 3).then_some(statuses)
        })
        .await;
        assert_eq!(statuses, ["sent", "delivered", "read"], "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_200_settles_a_callback() {
    let gateway = Gateway::start().await;
    let webhook = Webhook::start().await;
    gateway
        .settings(json!({
            "webhooks": {"url": webhook.url()},
            "max_callback_backoff_delay_ms": 200,
        }))
        .await;
    for status in [500, 201, 204, 301, 404] {
        webhook.answer_next(1, StatusCode::from_u16(status).unwrap());
    }
    let id = gateway.send(CUSTOMERS[0], "Hello").await;
    let statuses = until("both callbacks", async || {
        let statuses = webhook.statuses_of(&id);
        (statuses.len() >= 2).then_some(statuses)
    })
    .await;
    assert_eq!(webhook.refused(), 5);
    assert!(statuses.contains(&"delivered".to_owned()), "{statuses:?}");
    assert!(statuses.contains(&"read".to_owned()), "{statuses:?}");
}
