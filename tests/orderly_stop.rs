//! A coreapp that is told to stop while webapps hold on to it, as in every upgrade.

mod support;

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use support::{roles::Roles, until};

const CUSTOMER: &str = "4915112345678";
/// Less than what the orderly stop is cut off after.
const STOPPED: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_coreapp_ends_although_its_webapps_hold_their_streams_and_its_successor_goes_on() {
    let roles = Roles::start(2).await;
    send(&roles, 0, "before").await;

    let status = roles.terminate("coreapp", STOPPED).await;
    assert!(status.success(), "{status}");
    roles.start_coreapp();

    send(&roles, 0, "after").await;
    send(&roles, 1, "by the other webapp").await;
    let texts = until("all messages are at the phone", async || {
        let texts = roles.texts_at(CUSTOMER).await;
        (texts.len() >= 3).then_some(texts)
    })
    .await;
    assert_eq!(texts, ["before", "after", "by the other webapp"]);
}

/// Repeated until it is accepted, as clients do.
async fn send(roles: &Roles, webapp: usize, text: &str) {
    let body = json!({"to": CUSTOMER, "type": "text", "text": {"body": text}}).to_string();
    until("the message is accepted", async || {
        let headers = [("idempotency-key", text)];
        let answer = roles.call(webapp, "POST", "/v1/messages", &headers, &body).await;
        let retried = answer.status == StatusCode::SERVICE_UNAVAILABLE;
        assert!(retried || answer.status == StatusCode::CREATED, "{}", answer.body);
        (!retried).then_some(())
    })
    .await;
}
