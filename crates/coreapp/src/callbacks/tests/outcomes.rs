//! What becomes of events that are refused again and again, or share a POST.

use super::*;
use crate::callbacks::ENDPOINT;

fn dead(node: &Node) -> Vec<(i64, DeadState, u32)> {
    let rows = node.log.dead.lock().unwrap();
    rows.values().map(|row| (row.seq, row.state, row.tries)).collect()
}

#[tokio::test]
async fn an_event_that_is_refused_seven_times_is_parked_meanwhile_and_gets_there() {
    let posts = std::sync::atomic::AtomicUsize::new(0);
    let stubborn = move |_, body: &str| {
        let tries = if body == "bad" { posts.fetch_add(1, Ordering::SeqCst) } else { 7 };
        Answer::Status(if tries < 7 { 500 } else { 200 })
    };
    let webhook = Webhook::new(stubborn).await;
    let node = Node::new(&webhook.url("/"), 20);
    node.commit(1, "bad");
    node.commit(1, "next");
    eventually("it to be parked", || dead(&node).first().is_some_and(|row| row.2 >= 5)).await;
    let row = node.log.dead.lock().unwrap().values().next().cloned();
    if let Some(row) = row {
        assert_eq!(
            (row.endpoint, row.state, &row.event.body[..]),
            (ENDPOINT, DeadState::Parked, &b"bad"[..])
        );
    }
    node.settled().await;
    eventually("it to be delivered", || dead(&node).is_empty()).await;
    let bodies: Vec<_> = webhook.received().into_iter().map(|post| post.body).collect();
    assert_eq!(bodies.iter().filter(|body| *body == "bad").count(), 8);
    assert_eq!(bodies.iter().filter(|body| *body == "next").count(), 1);
    let ids: Vec<_> = webhook.received();
    assert!(
        ids.iter()
            .filter(|post| post.body == "bad")
            .all(|post| post.header("webhook-id") == "3.7.1")
    );
    assert_eq!(node.metric("callbacks_parked", &[]), 3.0);
    assert_eq!(node.metric("parked_callbacks", &[]), 0.0);
}

#[tokio::test]
async fn a_parked_event_survives_a_change_of_owner() {
    let bad = |_, body: &str| Answer::Status(if body == "bad" { 500 } else { 200 });
    let webhook = Webhook::new(bad).await;
    let node = Node::new(&webhook.url("/"), 5);
    node.commit(1, "bad");
    eventually("it to be parked", || !dead(&node).is_empty()).await;
    assert!(node.callbacks.release(shard()).await);
    let log = node.log.clone();
    drop((node, webhook));

    let webhook = Webhook::new(|_, _| Answer::Status(200)).await;
    let next = Node::start(log, Vec::new());
    next.settings(&webhook.url("/"), 5, 6);
    eventually("its delivery", || dead(&next).is_empty()).await;
    assert_eq!(webhook.received().len(), 1);
}

#[tokio::test]
async fn what_is_too_old_is_a_dead_letter_and_integrators_are_told_once_a_minute() {
    struct Later;
    impl Clock for Later {
        fn unix_ms(&self) -> i64 {
            SystemClock.unix_ms() + 8 * 86_400_000
        }
    }
    let webhook = Webhook::new(|_, _| Answer::Status(200)).await;
    let log = Arc::<Memory>::default();
    let earlier = Node::start(log.clone(), Vec::new());
    (0..300).for_each(|n| earlier.commit(n, "{}"));
    drop(earlier);
    let node = Node::at(Arc::new(Later), log, Vec::new());
    node.settings(&webhook.url("/"), 5, 6);
    node.settled().await;
    assert!(webhook.received().is_empty());
    let rows = dead(&node);
    assert_eq!(rows.len(), 300);
    assert!(rows.iter().all(|(_, state, _)| *state == DeadState::Dead));
    assert_eq!(node.metric("callbacks_discarded", &[("reason", "dead")]), 300.0);
    let notices = node.log.notices.lock().unwrap();
    assert_eq!(notices.len(), 1);
    let body: serde_json::Value = serde_json::from_slice(&notices[0].body).unwrap();
    assert_eq!(body["errors"][0]["code"], 1014);
}

fn status(id: i64) -> String {
    format!("{{\"statuses\":[{{\"id\":\"{id}\"}}]}}")
}

fn ids(body: &str) -> Vec<i64> {
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let statuses = body["statuses"].as_array().unwrap().clone();
    statuses.iter().map(|status| status["id"].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn events_share_posts_and_one_that_is_refused_spoils_only_the_first() {
    let poison = |_, body: &str| Answer::Status(if ids(body).contains(&77) { 500 } else { 200 });
    let webhook = Webhook::new(poison).await;
    let node = Node::start(Arc::default(), Vec::new());
    for n in 0..200 {
        node.commit(n % 10, &status(n));
    }
    let mut application = Node::application(&webhook.url("/"), LONG_MS, 1);
    application.heliograph.webhooks.batch_max = 20;
    node.callbacks.settings(&application);
    let is_alone = |post: &webhook::Received| ids(&post.body) == [77];
    eventually("all but one conversation", || {
        node.callbacks.unsettled() == 13 && webhook.received().iter().any(is_alone)
    })
    .await;
    let received = webhook.received();
    let refused: Vec<_> = received.iter().filter(|post| ids(&post.body).contains(&77)).collect();
    assert!(refused.len() <= 2, "once among others, once alone: {}", refused.len());
    assert_eq!(ids(&refused[refused.len() - 1].body), [77]);
    assert!(received.len() < 60, "{} POSTs", received.len());
    let mut last = HashMap::new();
    for id in received.iter().filter(|p| !ids(&p.body).contains(&77)).flat_map(|p| ids(&p.body)) {
        let before = last.insert(id % 10, id);
        assert!(before.is_none_or(|before| before < id), "{before:?} then {id}");
    }
    for post in &received {
        assert!(ids(&post.body).len() <= 20);
        let seq = ids(&post.body)[0] + 1;
        assert_eq!(post.header("webhook-id"), format!("3.7.{seq}"), "that of its first");
    }
}

#[tokio::test]
async fn an_authority_that_is_added_is_trusted_at_once() {
    let (webhook, authority) = Webhook::tls(|_, _| Answer::Status(200)).await;
    let node = Node::new(&webhook.url("/"), LONG_MS);
    node.commit(1, "{}");
    let refused = || node.metric("callback_requests", &[("result", "unreachable")]) > 0.0;
    eventually("a refusal", refused).await;
    let allow = Allow::parse(&["http", "loopback"]).unwrap();
    let egress = Egress::new(&Policy::new(allow), vec![authority]).unwrap();
    node.callbacks.egress(Arc::new(egress));
    node.settled().await;
    assert_eq!(webhook.received().len(), 1);
}
