//! The Events API: whoever was away reads on, and nothing of it is a matter of luck.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed; the lint's exemption reaches only test functions"
)]

mod support;

use std::collections::{HashMap, HashSet};

use http::StatusCode;
use rpc::coreapp::{ListEventsResponse, SubscribeEventsRequest, events_client::EventsClient};
use serde_json::{Value, json};
use support::{Answer, Gateway, call, roles::Roles, until, webhook::Webhook};
use tokio::time::{Duration, Instant};

const CUSTOMERS: [&str; 3] = ["4915112345678", "4915112345679", "4915112345680"];
const STATUSES: [&str; 3] = ["sent", "delivered", "read"];
/// Nobody, the API key, a token that is none.
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
async fn an_internal_service_subscribes_to_one_kind_and_resumes_after_a_kill() {
    let roles = Roles::start(1).await;
    let mut cursor = String::new();
    for text in ["First", "Second"] {
        // Statuses, which are not wanted.
        send(&roles, CUSTOMERS[0], "Hello").await;
        let mut pages = subscribe(&roles, &cursor).await;
        roles.write_from(CUSTOMERS[1], text).await;
        let page = tokio::time::timeout(support::PATIENCE, pages.message()).await;
        let page = page.expect("a page in time").unwrap().expect("no end");
        assert_eq!(page.events.len(), 1, "one is there: {page:?}");
        let event = &page.events[0];
        let payload: Value = serde_json::from_slice(&event.payload).unwrap();
        assert_eq!(payload.pointer("/messages/0/text/body"), Some(&json!(text)));
        assert_eq!(event.kind, "messages");
        cursor.clone_from(&event.cursor);
        roles.kill("coreapp").await;
        assert!(pages.message().await.is_err(), "the stream breaks");
        roles.start_coreapp();
    }
}

async fn subscribe(roles: &Roles, after: &str) -> tonic::Streaming<ListEventsResponse> {
    let url = format!("http://127.0.0.1:{}", roles.coreapp + 2);
    until("a subscription", async || {
        let channel = rpc::http2::channel(&url, None).unwrap();
        let kinds = vec!["messages".to_owned()];
        let request = SubscribeEventsRequest { after: after.to_owned(), kinds };
        Some(EventsClient::new(channel).subscribe(request).await.ok()?.into_inner())
    })
    .await
}

/// The statuses among the dead and parked ones.
async fn dead(gateway: &Gateway) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = match cursor.as_str() {
            "" => "/v1/events/dead?limit=1".to_owned(),
            cursor => format!("/v1/events/dead?limit=1&after={cursor}"),
        };
        let answer = gateway.call("GET", &path, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let events = answer.body["events"].as_array().unwrap().clone();
        if events.is_empty() {
            // The dispatcher's own word about dead letters may be among them.
            all.retain(|event: &Value| event["kind"] == "statuses");
            return all;
        }
        all.extend(events);
        cursor = answer.body["cursor"].as_str().unwrap().to_owned();
    }
}

async fn replay(gateway: &Gateway, body: &Value) -> String {
    let answer = gateway.call("POST", "/v1/events/replay", &body.to_string()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    answer.body.pointer("/replays/0/id").unwrap().as_str().unwrap().to_owned()
}

async fn progress(gateway: &Gateway, id: &str) -> Value {
    let answer = gateway.call("GET", &format!("/v1/events/replay/{id}"), "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body["replays"][0].clone()
}

async fn ended(gateway: &Gateway, id: &str) -> Value {
    until("the replay has ended", async || {
        let progress = progress(gateway, id).await;
        (progress["state"] != "running" && progress["state"] != "queued").then_some(progress)
    })
    .await
}

/// How often the webhook has taken each id.
fn times(webhook: &Webhook) -> HashMap<String, usize> {
    let mut times = HashMap::new();
    for (id, _) in webhook.ids() {
        *times.entry(id).or_default() += 1;
    }
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_a_webhook_that_refused_are_listed_and_replayed_to_the_repaired_one() {
    let gateway = Gateway::start().await;
    let webhook = Webhook::start().await;
    webhook.answer_next(1_000_000, StatusCode::BAD_REQUEST);
    gateway
        .settings(json!({
            "webhooks": {"url": webhook.url()},
            "max_callback_backoff_delay_ms": 200,
            "heliograph": {"callbacks": {"max_age_s": 3}},
        }))
        .await;
    let id = gateway.send(CUSTOMERS[0], "Hello").await;
    let letters = until("all three callbacks are dead", async || {
        let letters = dead(&gateway).await;
        letters
            .iter()
            .all(|letter| letter["state"] == "dead")
            .then_some(letters)
            .filter(|letters| letters.len() == 3)
    })
    .await;
    for letter in &letters {
        assert_eq!(letter["payload"]["statuses"][0]["id"], *id, "{letter}");
        assert!(letter["tries"].as_u64().unwrap() >= 1, "{letter}");
        assert_eq!([&letter["error"], &letter["status"]], [&json!("status"), &json!(400)]);
        assert!(letter["first_try"].as_i64() < letter["last_try"].as_i64(), "{letter}");
        assert!(letter["due"].as_i64() > letter["created"].as_i64(), "{letter}");
    }

    webhook.recover();
    let replay = replay(&gateway, &json!({"dead": true, "kind": "statuses"})).await;
    let progress = ended(&gateway, &replay).await;
    assert_eq!([&progress["state"], &progress["sent"]], [&json!("done"), &json!(3)], "{progress}");
    for letter in &letters {
        let id = letter["id"].as_str().unwrap();
        assert_eq!(times(&webhook).get(id), Some(&1), "{letter}");
    }
    assert_eq!(dead(&gateway).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_log_is_sent_again_under_the_same_ids_and_can_be_stopped() {
    let gateway = Gateway::start().await;
    let webhook = Webhook::start().await;
    gateway.settings(json!({"webhooks": {"url": webhook.url()}})).await;
    gateway.send(CUSTOMERS[0], "Before").await;
    until("its callbacks", async || (times(&webhook).len() == 3).then_some(())).await;
    let cursor = cursor_now(&gateway).await;
    for customer in CUSTOMERS {
        gateway.send(customer, "Hello").await;
    }
    until("all callbacks", async || (times(&webhook).len() == 12).then_some(())).await;
    let before: HashSet<_> = times(&webhook).into_keys().collect();

    let id = replay(&gateway, &json!({"after": cursor, "rate": 200})).await;
    let all = ended(&gateway, &id).await;
    assert_eq!(
        [&all["state"], &all["sent"], &all["estimate"]],
        [&json!("done"), &json!(9), &json!(9)]
    );
    let after = times(&webhook);
    assert_eq!(after.keys().cloned().collect::<HashSet<_>>(), before, "no new ids");
    assert_eq!(after.values().filter(|times| **times == 2).count(), 9, "those behind the cursor");

    let one = json!({"after": cursor, "number": CUSTOMERS[1], "kind": "statuses", "rate": 200});
    let one = ended(&gateway, &replay(&gateway, &one).await).await;
    assert_eq!(one["sent"], 3, "of one conversation: {one}");

    // One a second: stopped long before its end.
    let id = replay(&gateway, &json!({"from": 0, "rate": 1})).await;
    let stop = gateway.call("DELETE", &format!("/v1/events/replay/{id}"), "").await;
    assert_eq!(stop.body.pointer("/replays/0/state"), Some(&json!("cancelled")), "{}", stop.body);
    let stopped = progress(&gateway, &id).await;
    assert!(stopped["sent"].as_u64().unwrap() < 12, "{stopped}");

    // No more than a few at once.
    let path = "/v1/events/replay";
    let slow = json!({"from": 0, "rate": 1}).to_string();
    let mut refused = None;
    for _ in 0..9 {
        let answer = gateway.call("POST", path, &slow).await;
        if answer.status != StatusCode::ACCEPTED {
            refused = Some(answer);
        }
    }
    let refused = refused.expect("one too many");
    assert_eq!((refused.status, refused.code()), (StatusCode::TOO_MANY_REQUESTS, Some(1015)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_goes_on_after_the_coreapp_was_killed() {
    let roles = Roles::start(1).await;
    let webhook = Webhook::start().await;
    roles.settings(json!({"webhooks": {"url": webhook.url()}})).await;
    for n in 0..4 {
        for customer in CUSTOMERS {
            send(&roles, customer, &format!("Message {n}")).await;
        }
    }
    until("all callbacks", async || (times(&webhook).len() == 24).then_some(())).await;
    let body = json!({"from": 0, "rate": 10}).to_string();
    let answer = roles.call(0, "POST", "/v1/events/replay", &[], &body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let id = answer.body.pointer("/replays/0/id").unwrap().as_str().unwrap().to_owned();
    let again = |webhook: &Webhook| times(webhook).values().filter(|times| **times > 1).count();
    until("some are sent again", async || (again(&webhook) >= 3).then_some(())).await;
    roles.kill("coreapp").await;
    assert!(again(&webhook) < 24, "it was still at it");
    roles.start_coreapp();
    until("the replay is done", async || {
        let path = format!("/v1/events/replay/{id}");
        let answer = roles.call(0, "GET", &path, &[], "").await;
        (answer.body.pointer("/replays/0/state") == Some(&json!("done"))).then_some(())
    })
    .await;
    assert_eq!(again(&webhook), 24, "each once more at least");
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
    let replay = "/v1/events/replay";
    for (body, status, code, name) in [
        ("{}", 400, 1008, "'after'"),
        (r#"{"after":"abc"}"#, 400, 1009, "'after'"),
        (r#"{"dead":true,"rate":201}"#, 400, 1009, "'rate'"),
        (r#"{"dead":true,"kind":"status"}"#, 400, 1009, "'kind'"),
        (r#"{"dead":true,"number":"1"}"#, 400, 1009, "'number'"),
        (r#"{"dead":true,"since":1}"#, 400, 1010, "'since'"),
    ] {
        let answer = gateway.call("POST", replay, body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, Some(code)), "{body}");
        assert!(answer.body.to_string().contains(name), "{body}: {}", answer.body);
    }
    gateway.settings(json!({"webhooks": {"url": ""}})).await;
    let answer = gateway.call("POST", replay, r#"{"dead":true}"#).await;
    assert_eq!(answer.code(), Some(1022), "nowhere to send to: {}", answer.body);
    let one = "/v1/events/replay/0123";
    for method in ["GET", "DELETE"] {
        let answer = gateway.call(method, one, "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method}: {}", answer.body);
    }
    for (method, path) in [
        ("GET", "/v1/events"),
        ("GET", "/v1/events/dead"),
        ("POST", replay),
        ("GET", one),
        ("DELETE", one),
    ] {
        for stranger in STRANGERS {
            let answer = call(gateway.http, method, path, stranger, "").await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}: {}", answer.body);
        }
    }
}
