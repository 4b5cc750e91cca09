//! The Events API: whoever was away reads on, and nothing of it is a matter of luck.

mod support;

use std::collections::{HashMap, HashSet};

use http::StatusCode;
use serde_json::{Value, json};
use support::{Answer, Gateway, call, roles::Roles, until};
use tokio::time::{Duration, Instant};

const CUSTOMERS: [&str; 3] = ["4915112345678", "4915112345679", "4915112345680"];
const STATUSES: [&str; 3] = ["sent", "delivered", "read"];
/// No token, the API key.
const STRANGERS: [&str; 3] = ["", "Apikey 123456789012", "Bearer abc"];

/// One event as a consumer keeps it.
struct Seen {
    id: String,
    message: String,
    status: String,
}

/// The events of an answer that are about messages, and its cursor.
fn seen(answer: &Answer) -> (Vec<Seen>, String) {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let events = answer.body["events"].as_array().unwrap().iter().map(|event| {
        assert_eq!(event["kind"], "statuses", "{event}");
        let status = &event["payload"]["statuses"][0];
        Seen {
            id: text(&event["id"]),
            message: text(&status["id"]),
            status: text(&status["status"]),
        }
    });
    (events.collect(), text(&answer.body["cursor"]))
}

async fn read(roles: &Roles, after: &str, limit: usize) -> (Vec<Seen>, String) {
    let path = format!("/v1/events?after={after}&limit={limit}&wait_ms=1000");
    until("an answer", async || {
        let answer = roles.call(0, "GET", &path, &[], "").await;
        // The coreapp is being started.
        (answer.status != StatusCode::SERVICE_UNAVAILABLE).then(|| seen(&answer))
    })
    .await
}

async fn send(roles: &Roles, to: &str, text: &str) -> String {
    let body = json!({"to": to, "type": "text", "text": {"body": text}}).to_string();
    until("a message is accepted", async || {
        let answer = roles.call(0, "POST", "/v1/messages", &[], &body).await;
        let id = answer.body.pointer("/messages/0/id")?.as_str()?.to_owned();
        (answer.status == StatusCode::CREATED).then_some(id)
    })
    .await
}

async fn cursor_now(gateway: &Gateway) -> String {
    let answer = gateway.call("GET", "/v1/events?limit=1000", "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body["cursor"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_was_away_reads_what_it_missed_in_order_and_once_across_a_kill() {
    let roles = Roles::start(1).await;
    roles.settings(json!({"webhooks": {"message": {"sent": true}}})).await;
    let begin = roles.call(0, "GET", "/v1/events", &[], "").await;
    let (events, mut cursor) = seen(&begin);
    assert!(events.is_empty(), "nothing has happened yet");

    // It is away: messages go out, the coreapp dies and comes back.
    let mut messages = Vec::new();
    for n in 0..8 {
        for customer in CUSTOMERS {
            messages.push((customer, send(&roles, customer, &format!("Message {n}")).await));
        }
        if n == 3 {
            roles.kill("coreapp").await;
            roles.start_coreapp();
        }
    }

    let mut all: Vec<Seen> = Vec::new();
    let deadline = Instant::now() + support::PATIENCE;
    while all.len() < messages.len() * STATUSES.len() && Instant::now() < deadline {
        let (events, next) = read(&roles, &cursor, 7).await;
        assert!(events.len() <= 7);
        if all.is_empty() && !events.is_empty() {
            roles.kill("coreapp").await;
            roles.start_coreapp();
        }
        all.extend(events);
        cursor = next;
    }
    let (events, next) = read(&roles, &cursor, 1_000).await;
    assert!(events.is_empty() && next == cursor, "that was all");

    let ids: HashSet<_> = all.iter().map(|event| &event.id).collect();
    assert_eq!(ids.len(), all.len(), "each once");
    let mut statuses: HashMap<&str, Vec<&str>> = HashMap::new();
    for event in &all {
        statuses.entry(&event.message).or_default().push(&event.status);
    }
    assert_eq!(statuses.len(), messages.len());
    for (_, id) in &messages {
        assert_eq!(statuses[id.as_str()], STATUSES, "{id}");
    }
    // In order within a conversation: its numbers only grow.
    for customer in CUSTOMERS {
        let of: HashSet<_> =
            messages.iter().filter(|it| it.0 == customer).map(|it| &it.1).collect();
        let events = all.iter().filter(|event| of.contains(&event.message));
        let number = |event: &Seen| event.id.rsplit('.').next().unwrap().parse::<u64>().unwrap();
        assert!(events.map(number).is_sorted(), "{customer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_answers_with_the_commit_of_an_event() {
    let gateway = Gateway::start().await;
    let cursor = cursor_now(&gateway).await;
    let path = format!("/v1/events?after={cursor}&wait_ms=30000");
    let poll = async {
        let began = Instant::now();
        (gateway.call("GET", &path, "").await, began.elapsed())
    };
    let write = async {
        until("somebody waits", async || {
            (gateway.metric("events_waiting", "").await > 0.0).then_some(())
        })
        .await;
        gateway.write_from(CUSTOMERS[0], "Hello").await;
    };
    let ((answer, took), ()) = tokio::join!(poll, write);
    let text = answer.body.pointer("/events/0/payload/messages/0/text/body");
    assert_eq!(text, Some(&json!("Hello")), "{}", answer.body);
    assert!(took < Duration::from_secs(25), "the commit woke it, not the end of its time");
    assert_eq!(gateway.metric("events_waiting", "").await, 0.0);

    // Nothing comes: an empty answer with the same cursor.
    let cursor = answer.body["cursor"].as_str().unwrap();
    let path = format!("/v1/events?after={cursor}&wait_ms=200");
    let answer = gateway.call("GET", &path, "").await;
    assert_eq!(answer.body["events"], json!([]));
    assert_eq!(answer.body["cursor"], cursor);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_from_before_the_oldest_event_is_told_the_oldest_valid_one() {
    let gateway = Gateway::start().await;
    let before = cursor_now(&gateway).await;
    gateway.settings(json!({"heliograph": {"events": {"retention_s": 1}}})).await;
    gateway.write_from(CUSTOMERS[0], "Hello").await;
    let path = format!("/v1/events?after={before}");
    let gone = until("the event is deleted", async || {
        let answer = gateway.call("GET", &path, "").await;
        (answer.status != StatusCode::OK).then_some(answer)
    })
    .await;
    assert_eq!((gone.status, gone.code()), (StatusCode::GONE, Some(1006)), "{}", gone.body);
    let details = gone.body["errors"][0]["details"].as_str().unwrap();
    assert!(details.contains("'after'"), "{details}");
    let oldest = details.rsplit(' ').next().unwrap();
    let answer = gateway.call("GET", &format!("/v1/events?after={oldest}"), "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    // Without a cursor it begins there, too.
    let answer = gateway.call("GET", "/v1/events", "").await;
    assert_eq!((answer.status, &answer.body["events"]), (StatusCode::OK, &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_parameters_are_named_and_only_admins_are_let_in() {
    let gateway = Gateway::start().await;
    for (path, code, name) in [
        ("/v1/events?limit=0", 1009, "'limit'"),
        ("/v1/events?limit=1001", 1009, "'limit'"),
        ("/v1/events?wait_ms=30001", 1009, "'wait_ms'"),
        ("/v1/events?after=abc", 1009, "'after'"),
        ("/v1/events?before=abc", 1010, "'before'"),
        ("/v1/events/dead?after=abc", 1009, "'after'"),
        ("/v1/events/dead?limit=x", 1009, "'limit'"),
        ("/v1/events/dead?wait_ms=1", 1010, "'wait_ms'"),
    ] {
        let answer = gateway.call("GET", path, "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {}", answer.body);
        assert_eq!(answer.code(), Some(code), "{path}: {}", answer.body);
        assert!(answer.body.to_string().contains(name), "{path}: {}", answer.body);
    }
    for path in ["/v1/events", "/v1/events/dead"] {
        for stranger in STRANGERS {
            let answer = call(gateway.http, "GET", path, stranger, "").await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}: {}", answer.body);
        }
    }
}
