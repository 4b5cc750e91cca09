//! Requests that are repeated and messages that are taken back, while processes are killed.

mod support;

use std::sync::Arc;

use contract::{Clock, Key};
use futures_util::{StreamExt, stream};
use http::StatusCode;
use rpc::coreapp::{SendFrame, messages_client::MessagesClient, send_reply::Result as Answered};
use serde_json::{Value, json};
use support::{Answer, PATIENCE, roles::Roles, until};
use telemetry::{SystemClock, SystemRng};
use tokio::{sync::Semaphore, time::Instant};

const PHONE: &str = "4915112345678";
const RETRIES: usize = 1_000;
/// On connections of their own; a process may usually have 1,024 files open.
const AT_ONCE: usize = 700;

fn text(to: &str, text: &str) -> Value {
    json!({"to": to, "type": "text", "text": {"body": text}})
}

fn id(answer: &Answer) -> Option<String> {
    answer.body.pointer("/messages/0/id")?.as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_retries_through_several_webapps_and_a_killed_coreapp_are_one_message() {
    let roles = Arc::new(Roles::start(3).await);
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let retries: Vec<_> = (0..RETRIES)
        .map(|n| {
            let (roles, places) = (roles.clone(), places.clone());
            tokio::spawn(async move {
                let _place = places.acquire().await.unwrap();
                let body = text(PHONE, "once").to_string();
                // Like a client: what was not answered is asked again.
                let deadline = Instant::now() + PATIENCE;
                loop {
                    let header = ("idempotency-key", "order-7");
                    let answer = roles.call(n % 3, "POST", "/v1/messages", &[header], &body).await;
                    if let Some(id) = id(&answer) {
                        return (id, answer.headers.contains_key("idempotency-replayed"));
                    }
                    let unavailable = answer.status == StatusCode::SERVICE_UNAVAILABLE;
                    assert!(
                        unavailable && Instant::now() < deadline,
                        "{} {}",
                        answer.status,
                        answer.body
                    );
                }
            })
        })
        .collect();
    until("the first answer", async || {
        retries.iter().any(tokio::task::JoinHandle::is_finished).then_some(())
    })
    .await;
    roles.kill("coreapp").await;
    roles.start_coreapp();
    let mut answers = Vec::new();
    for retry in retries {
        answers.push(retry.await.unwrap());
    }
    let (first, _) = &answers[0];
    assert!(answers.iter().all(|(id, _)| id == first), "one id for all");
    assert!(answers.iter().filter(|(_, replayed)| !replayed).count() <= 1, "one made the message");

    let other = text(PHONE, "twice").to_string();
    let answer =
        roles.call(1, "POST", "/v1/messages", &[("idempotency-key", "order-7")], &other).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, Some(1009)));
    let last = text(PHONE, "last").to_string();
    let answer = roles.call(2, "POST", "/v1/messages", &[], &last).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    // In order per recipient: whatever else there was would have come before.
    let texts = until("the last message", async || {
        let texts = roles.texts_at(PHONE).await;
        texts.contains(&"last".to_owned()).then_some(texts)
    })
    .await;
    assert_eq!(texts, ["once", "last"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_message_stays_cancelled_over_a_kill_and_never_arrives() {
    let roles = Roles::start(1).await;
    // Nothing is sealed while the network is away.
    roles.kill("sandbox").await;
    let body = json!({"messages": [
        text(PHONE, "one"), text(PHONE, "two"), text(PHONE, "three"), {"to": "1"},
    ]});
    let answer = roles.call(0, "POST", "/v1/messages/batch", &[], &body.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let outcomes = answer.body["messages"].as_array().unwrap();
    assert!(outcomes[3]["errors"].is_array(), "{}", answer.body);
    let two = format!("/v1/messages/{}", outcomes[1]["id"].as_str().unwrap());
    let one = format!("/v1/messages/{}", outcomes[0]["id"].as_str().unwrap());
    let answer = roles.call(0, "DELETE", &two, &[], "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    roles.kill("coreapp").await;
    roles.start_coreapp();
    let again = until("an answer", async || {
        let answer = roles.call(0, "DELETE", &two, &[], "").await;
        (answer.status != StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    })
    .await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.body);
    roles.start_sandbox();
    let texts = until("the third message", async || {
        let texts = roles.texts_at(PHONE).await;
        texts.contains(&"three".to_owned()).then_some(texts)
    })
    .await;
    assert_eq!(texts, ["one", "three"]);
    let answer = roles.call(0, "DELETE", &one, &[], "").await;
    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, Some(1009)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_internal_service_sends_many_on_one_stream_each_answered_alone() {
    let roles = Roles::start(1).await;
    let (clock, rng) = (SystemClock, SystemRng::new());
    let frame = |seq: u64, to: String, text: &str| SendFrame {
        seq,
        key: Key::mint_at(clock.unix_s(), &rng).as_bytes().to_vec().into(),
        input: to.clone(),
        to,
        message: json!({"type": "text", "text": {"body": text}}).to_string().into(),
        attempt: 1,
        actor: "reports".to_owned(),
        idempotency_key: "report-1".to_owned(),
        ..SendFrame::default()
    };
    // Every tenth is refused; the second half repeats the first.
    let frames: Vec<SendFrame> = (0..800)
        .map(|seq| {
            let to = format!("491511{:07}", 2_000 + seq % 400);
            frame(seq, to, if seq % 10 == 0 { "" } else { "report" })
        })
        .collect();
    let url = format!("http://127.0.0.1:{}", roles.coreapp);
    let mut client = MessagesClient::new(rpc::http2::channel(&url, None).unwrap());
    let mut replies = client.send_many(stream::iter(frames)).await.unwrap().into_inner();
    let (mut ids, mut refused, mut replayed) = (std::collections::HashSet::new(), 0, 0);
    while let Some(reply) = replies.next().await {
        match reply.unwrap().result.unwrap() {
            Answered::Accepted(accepted) => {
                replayed += usize::from(accepted.replayed);
                ids.insert(accepted.id);
            }
            Answered::Error(error) => {
                assert_eq!(error.code, 1009, "{}", error.details);
                refused += 1;
            }
        }
    }
    assert_eq!((ids.len(), replayed, refused), (360, 360, 80));
}
