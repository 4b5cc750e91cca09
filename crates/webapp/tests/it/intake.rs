//! Idempotency keys, batches, cancellations and what is left of the quota.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use contract::{ApiError, Code, Direction, Key, MessageId, batch, idempotency};
use futures_util::future::join_all;
use http::Method;
use rpc::coreapp::Quota;
use serde_json::{Value, json};

use crate::{
    client::{Answer, Edge, bearer},
    core::{Core, Reaction},
};

const TO: &str = "16315551004";

fn id(n: u8) -> MessageId {
    let key = Key::from_bytes(&[n; 9]).unwrap();
    MessageId { direction: Direction::Outbound, number: TO.parse().unwrap(), key }
}

fn message(to: &str) -> Value {
    json!({"to": to, "type": "text", "text": {"body": "hello"}})
}

async fn batch(edge: &Edge, messages: &Value) -> Answer {
    let body = json!({"messages": messages}).to_string();
    edge.post("/v1/messages/batch", &bearer("clerk_7"), body).await
}

#[tokio::test]
async fn a_repeated_request_is_answered_with_the_first_ones_id_and_says_so() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let first = edge.text_named(TO, &["order-7"]).await;
    assert_eq!((first.status.as_u16(), first.header("idempotency-replayed")), (201, ""));
    let frame = core.frames().remove(0);
    assert_eq!((frame.idempotency_key.as_str(), frame.actor.as_str()), ("order-7", "clerk_7"));

    core.script(|_, _| Reaction::Replay(id(1)));
    let again = edge.text_named(TO, &["order-7"]).await;
    assert_eq!((again.status.as_u16(), again.header("idempotency-replayed")), (201, "true"));
    assert_eq!(again.json()["messages"], json!([{"id": id(1).to_string()}]));
    let consulted = again.header("x-internal-request-ids").to_owned();
    assert!(consulted.ends_with(&format!("|{}", id(1).key)), "{consulted}");

    core.script(|_, _| Reaction::Refuse(idempotency::reused()));
    let other = edge.text_named(TO, &["order-7"]).await;
    assert_eq!(other.refusal(), (409, 1009));
    assert!(other.details().contains("another message"), "{}", other.details());
}

#[tokio::test]
async fn a_key_that_is_none_reaches_no_coreapp() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    for names in [&["schl\u{fc}ssel"][..], &[""], &[&"k".repeat(256)], &["one", "two"]] {
        let answer = edge.text_named(TO, names).await;
        assert_eq!(answer.refusal(), (400, 1009), "{names:?}");
        assert!(answer.details().contains("Idempotency-Key"), "{}", answer.details());
    }
    assert!(core.frames().is_empty());
}

/// As the coreapp's shard does it: the first of a name is accepted, the others are the same.
fn remembers(core: &Core) -> Arc<Mutex<HashMap<String, MessageId>>> {
    let known = Arc::<Mutex<HashMap<String, MessageId>>>::default();
    let shared = known.clone();
    core.script(move |_, frame| {
        let id = MessageId { key: Key::from_bytes(&frame.key).unwrap(), ..id(0) };
        let mut known = shared.lock().unwrap();
        match known.insert(frame.idempotency_key.clone(), id) {
            None => Reaction::Accept,
            Some(first) => {
                known.insert(frame.idempotency_key.clone(), first);
                Reaction::Replay(first)
            }
        }
    });
    known
}

#[tokio::test]
async fn retries_through_several_edges_carry_the_name_and_give_one_id() {
    let core = Core::start();
    let known = remembers(&core);
    let edges = [Edge::start(&core).await, Edge::start(&core).await];
    let sends = (0..40).map(|n| edges[n % 2].text_named(TO, &["order-7"]));
    let ids: Vec<Value> = join_all(sends)
        .await
        .iter()
        .map(|answer| answer.json()["messages"][0]["id"].clone())
        .collect();
    let first = known.lock().unwrap()["order-7"].to_string();
    assert!(ids.iter().all(|id| *id == first), "{ids:?}");
}

#[tokio::test]
async fn a_batch_is_answered_item_by_item_in_its_order() {
    let core = Core::start();
    core.script(|_, frame| match frame.to.as_str() {
        "16315551001" => Reaction::Refuse(ApiError::new(Code::USER_NOT_VALID, "no account")),
        "16315551002" => Reaction::Replay(id(2)),
        _ => Reaction::Accept,
    });
    let edge = Edge::start(&core).await;
    let mut named = message("16315551002");
    named["idempotency_key"] = json!("order-7");
    let messages = json!([
        message("16315551000"),
        message("16315551001"),
        {"to": "16315551003", "type": "text"},
        named,
        17,
        message("15550100100"),
        {"to": "16315551005", "type": "text", "text": {"body": "x"}, "idempotency_key": ""},
    ]);
    let answer = batch(&edge, &messages).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let body = answer.json();
    let outcomes = body["messages"].as_array().unwrap();
    let codes: Vec<Value> =
        outcomes.iter().map(|outcome| outcome["errors"][0]["code"].clone()).collect();
    let null = Value::Null;
    assert_eq!(
        codes,
        [&null, &json!(1013), &json!(1008), &null, &json!(1009), &json!(1021), &json!(1009)]
            .map(Clone::clone)
    );
    assert!(outcomes[0]["id"].as_str().unwrap().parse::<MessageId>().is_ok());
    assert_eq!(outcomes[3], json!({"id": id(2).to_string(), "replayed": true}));
    assert_eq!(
        outcomes[4]["errors"][0]["details"],
        "Parameter 'messages[4]': given was 17, allowed is an object"
    );
    assert!(outcomes[1].get("id").is_none(), "either an id or errors");
    let frames = core.frames();
    let sent: Vec<_> = frames.iter().map(|frame| (&*frame.to, &*frame.idempotency_key)).collect();
    assert_eq!(sent, [("16315551000", ""), ("16315551001", ""), ("16315551002", "order-7")]);
}

#[tokio::test]
async fn a_thousand_ordinary_messages_fit_and_travel_together() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let to = |n: usize| format!("1631555{n:04}");
    let mut messages: Vec<Value> = (0..batch::MAX_ITEMS).map(|n| message(&to(n))).collect();
    for message in &mut messages {
        message["text"]["body"] = json!("x".repeat(1_900));
    }
    let answer = batch(&edge, &json!(messages)).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let body = answer.json();
    let ids = body["messages"].as_array().unwrap();
    for (n, outcome) in ids.iter().enumerate() {
        let id: MessageId = outcome["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(id.number.as_str(), to(n));
    }
    let frames = core.frames();
    assert!(frames.iter().map(|frame| frame.to.clone()).eq((0..frames.len()).map(to)), "in order");
    assert_eq!(core.shared.together.lock().unwrap()[0], 64, "not one by one");

    messages.push(message(TO));
    assert_eq!(batch(&edge, &json!(messages)).await.refusal(), (400, 1009));
    assert_eq!(batch(&edge, &json!([])).await.refusal(), (400, 1009));
    let long = batch(&edge, &json!([message(&"1".repeat(batch::MAX_BODY))])).await;
    assert_eq!(long.refusal(), (413, 1025));
    for (body, refusal) in [("{}", (400, 1008)), ("[]", (400, 1025)), ("{", (400, 1025))] {
        let answer = edge.post("/v1/messages/batch", &bearer("clerk_7"), body).await;
        assert_eq!(answer.refusal(), refusal, "{body}");
    }
    assert_eq!(core.frames().len(), frames.len(), "nothing of a refused batch is sent");
}

#[tokio::test]
async fn an_item_whose_outcome_is_unknown_names_the_id_it_may_have() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    core.script(|_, frame| match frame.to.as_str() {
        TO => Reaction::Refuse(
            ApiError::new(Code::NOT_PRIMARY_COREAPP, "lost").retry_after_ms(60_000),
        ),
        _ => Reaction::Accept,
    });
    let body = batch(&edge, &json!([message(TO), message("16315551005")])).await.json();
    let unknown = &body["messages"][0];
    assert_eq!(unknown["errors"][0]["code"], 1011);
    let id: MessageId = unknown["possible_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(*id.key.as_bytes(), *core.frames()[0].key);
    assert!(unknown.get("id").is_none() && body["messages"][1]["id"].is_string());
}

#[tokio::test]
async fn what_is_left_of_the_quota_stands_in_the_answer() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let left = |answer: &Answer| {
        (answer.header("ratelimit-policy").to_owned(), answer.header("ratelimit").to_owned())
    };
    assert_eq!(left(&edge.text(TO).await), (String::new(), String::new()), "there is none");
    let quota = |remaining, reset_s| Some(Quota { per_second: 80, remaining, reset_s });
    *core.shared.quota.lock().unwrap() = quota(39, 1);
    let policy = r#""messages";q=80;w=1"#.to_owned();
    let accepted = edge.text(TO).await;
    assert_eq!(left(&accepted), (policy.clone(), r#""messages";r=39;t=1"#.to_owned()));
    let many = batch(&edge, &json!([message(TO)])).await;
    assert_eq!(left(&many).1, r#""messages";r=39;t=1"#);
    *core.shared.quota.lock().unwrap() = quota(0, 1);
    core.script(|_, _| {
        Reaction::Refuse(ApiError::new(Code::TOO_MANY_REQUESTS, "slower").retry_after_ms(12))
    });
    let refused = edge.text(TO).await;
    assert_eq!(refused.refusal(), (429, 1015));
    assert_eq!(left(&refused), (policy, r#""messages";r=0;t=1"#.to_owned()));
    assert_eq!(refused.header("retry-after"), "1");
}

#[tokio::test]
async fn a_message_is_cancelled_by_the_owner_of_its_shard() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let cancel = async |id: &str| {
        edge.call(Method::DELETE, &format!("/v1/messages/{id}"), &bearer("clerk_7"), "").await
    };
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let heard = asked.clone();
    *core.shared.cancel.lock().unwrap() = Box::new(move |id| {
        heard.lock().unwrap().push(id.to_owned());
        Ok(())
    });
    let answer = cancel(&id(1).to_string()).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    assert_eq!(answer.json()["messages"], json!([{"id": id(1).to_string()}]));
    assert_eq!(*asked.lock().unwrap(), [id(1).to_string()]);
    assert_eq!(core.shared.actors.lock().unwrap().last().unwrap(), "clerk_7/user");

    for (error, refusal) in [
        (ApiError::new(Code::INVALID, "too late").with_status(409), (409, 1009)),
        (ApiError::new(Code::NOT_FOUND, "none"), (404, 1006)),
    ] {
        *core.shared.cancel.lock().unwrap() = Box::new(move |_| Err(error.clone()));
        assert_eq!(cancel(&id(1).to_string()).await.refusal(), refusal);
    }
    let inbound = MessageId { direction: Direction::Inbound, ..id(1) };
    for unknown in ["x", &inbound.to_string()] {
        assert_eq!(cancel(unknown).await.refusal(), (404, 1006));
    }
}

#[tokio::test]
async fn a_cancellation_that_meets_a_shard_on_the_move_is_asked_again() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    *core.shared.cancel.lock().unwrap() =
        Box::new(move |_| match counted.fetch_add(1, Ordering::Relaxed) {
            0 => Err(ApiError::new(Code::NOT_PRIMARY_COREAPP, "moved")),
            1 => Err(ApiError::new(Code::DATABASE, "busy")),
            _ => Ok(()),
        });
    let path = format!("/v1/messages/{}", id(1));
    let answer = edge.call(Method::DELETE, &path, &bearer("clerk_7"), "").await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    assert_eq!(tries.load(Ordering::Relaxed), 3);
}
