//! A message on its way to a coreapp that breaks, moves, refuses or falls silent.

use std::time::Duration;

use contract::{ApiError, Code, Direction, MessageId};

use crate::{
    client::{Edge, bearer, call, eventually, pass, text},
    core::{Core, Reaction},
};

const TO: &str = "+1 (631) 555-1004";

#[tokio::test]
async fn a_message_is_answered_with_the_id_that_was_minted_here() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let answer = edge.text(TO).await;
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    let frame = core.frames().remove(0);
    let id: MessageId = answer.json()["messages"][0]["id"].as_str().unwrap().parse().unwrap();
    assert_eq!((id.direction, id.number.as_str()), (Direction::Outbound, "16315551004"));
    assert_eq!(id.key.as_bytes(), &*frame.key);
    assert_eq!((frame.to.as_str(), frame.input.as_str()), ("16315551004", TO));
    assert_eq!((frame.attempt, frame.actor.as_str()), (1, "clerk_7"));
    assert_eq!(&frame.message[..], br#"{"type":"text","text":{"body":"hello"}}"#);
    assert_eq!(frame.request_id, answer.header("x-request-id"));
    assert_eq!(answer.header("x-internal-request-ids"), format!("{}|{}", frame.request_id, id.key));
}

#[tokio::test]
async fn a_message_whose_stream_breaks_is_sent_again_under_the_same_key() {
    let core = Core::start();
    core.script(|n, _| if n == 1 { Reaction::Break } else { Reaction::Accept });
    let edge = Edge::start(&core).await;
    let answer = edge.text(TO).await;
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    let frames = core.frames();
    assert_eq!(frames.iter().map(|frame| frame.attempt).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(frames[0].key, frames[1].key);
    assert!(frames[1].timeout_ms < frames[0].timeout_ms, "the budget is one for all tries");
}

#[tokio::test]
async fn everything_unanswered_survives_a_killed_coreapp_under_its_keys() {
    let mut core = Core::start();
    core.script(|_, _| Reaction::Hold);
    let edge = Edge::start(&core).await;
    let sends: Vec<_> = (0..20)
        .map(|n| {
            let (http, body) = (edge.http, text(&format!("163155510{n:02}")));
            tokio::spawn(async move {
                call(http, http::Method::POST, "/v1/messages", &bearer("clerk_7"), body.into())
                    .await
            })
        })
        .collect();
    eventually("all are on the stream", async || core.frames().len() == 20).await;
    core.kill();
    core.script(|_, _| Reaction::Accept);
    core.revive();
    for send in sends {
        assert_eq!(send.await.unwrap().status, 201);
    }
    let frames = core.frames();
    assert_eq!(frames.len(), 40);
    for second in &frames[20..] {
        let first = frames[..20].iter().find(|first| first.to == second.to).unwrap();
        assert_eq!(
            (first.attempt, second.attempt, &first.key),
            (1, 2, &second.key),
            "the same message keeps its key"
        );
    }
}

#[tokio::test]
async fn silence_ends_as_outcome_unknown_with_the_id_it_may_have() {
    let core = Core::start();
    core.script(|_, _| Reaction::Hold);
    let edge = Edge::start(&core).await;
    let http = edge.http;
    let send = tokio::spawn(async move {
        let path = "/v1/messages";
        call(http, http::Method::POST, path, &bearer("clerk_7"), text(TO).into()).await
    });
    eventually("the message is on the stream", async || core.frames().len() == 1).await;
    for tries in 2..=4 {
        pass(Duration::from_secs(3)).await;
        eventually("it is tried again", async || core.frames().len() == tries).await;
    }
    pass(Duration::from_secs(1)).await;
    let answer = send.await.unwrap();
    assert_eq!(answer.refusal(), (503, 1011));
    assert!(answer.details().starts_with("outcome unknown"), "{}", answer.details());
    assert!(!answer.header("retry-after").is_empty());
    let id: MessageId = answer.header("x-heliograph-message-id").parse().unwrap();
    let frames = core.frames();
    assert_eq!(frames.iter().map(|frame| frame.attempt).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(frames.iter().all(|frame| *frame.key == *id.key.as_bytes()));
}

#[tokio::test]
async fn a_coreapp_that_starts_or_lost_the_shard_is_asked_again_and_a_full_one_is_not() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    for code in
        [Code::NOT_READY, Code::NOT_PRIMARY_MASTER, Code::NOT_PRIMARY_COREAPP, Code::DATABASE]
    {
        let before = core.frames().len();
        core.script(move |n, _| {
            if n == before + 1 {
                Reaction::Refuse(ApiError::new(code, ""))
            } else {
                Reaction::Accept
            }
        });
        assert_eq!(edge.text(TO).await.status, 201, "{code:?}");
        let frames = core.frames();
        assert_eq!(frames.len(), before + 2);
        assert_eq!(frames[before].key, frames[before + 1].key);
    }
    for (code, status) in [(Code::OVERLOADED, 503), (Code::TOO_MANY_REQUESTS, 429)] {
        let before = core.frames().len();
        core.script(move |_, _| {
            Reaction::Refuse(ApiError::new(code, "busy").retry_after_ms(2_500))
        });
        let answer = edge.text(TO).await;
        assert_eq!(answer.refusal(), (status, code.get().into()));
        assert_eq!(answer.header("retry-after"), "3");
        assert_eq!(core.frames().len(), before + 1, "{code:?} is answered at once");
    }
}

#[tokio::test]
async fn a_change_of_identity_that_waits_for_its_acknowledgement_is_a_conflict() {
    let core = Core::start();
    core.script(|_, _| {
        Reaction::Refuse(ApiError::new(Code::ACKNOWLEDGEMENT_REQUIRED, "acknowledge it first"))
    });
    let edge = Edge::start(&core).await;
    let answer = edge.text(TO).await;
    assert_eq!(answer.refusal(), (409, 1028));
    assert_eq!(answer.details(), "acknowledge it first");
    assert_eq!(
        answer.json()["errors"][0]["title"],
        "A user_identity_changed system notification requires acknowledgement"
    );
    assert_eq!(answer.header("retry-after"), "");
    assert_eq!(core.frames().len(), 1, "repeating it would change nothing");
}

#[tokio::test]
async fn a_quota_refusal_after_a_break_says_nothing_of_the_first_try() {
    let core = Core::start();
    core.script(|n, _| match n {
        1 => Reaction::Break,
        2 => Reaction::Refuse(ApiError::new(Code::TOO_MANY_REQUESTS, "").retry_after_ms(20)),
        _ => Reaction::Accept,
    });
    let edge = Edge::start(&core).await;
    assert_eq!(edge.text(TO).await.status, 201);
    assert_eq!(core.frames().len(), 3);
}

#[tokio::test]
async fn a_message_follows_its_shard_to_another_coreapp() {
    let (old, new) = (Core::start(), Core::start());
    let edge = Edge::start(&old).await;
    let (shared, map) = (old.shared.clone(), new.everything().shards);
    old.script(move |_, _| {
        shared.snapshot.send_modify(|snapshot| snapshot.shards.clone_from(&map));
        Reaction::Refuse(ApiError::new(Code::NOT_PRIMARY_COREAPP, "moved"))
    });
    assert_eq!(edge.text(TO).await.status, 201);
    let (first, last) = (old.frames().remove(0), new.frames().remove(0));
    assert_eq!(first.key, last.key);
    assert!(last.attempt > 1);
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_place() {
    let core = Core::start();
    core.script(|_, _| Reaction::Hold);
    let edge = Edge::start(&core).await;
    let http = edge.http;
    let send = tokio::spawn(async move {
        let path = "/v1/messages";
        call(http, http::Method::POST, path, &bearer("clerk_7"), text(TO).into()).await
    });
    let unanswered = async || {
        let metrics = edge.get("/metrics", &bearer("clerk_7")).await.json();
        metrics["metrics"]["web_hop_unanswered"]["data"][0]["value"].as_i64().unwrap()
    };
    eventually("the message waits", async || core.frames().len() == 1 && unanswered().await == 1)
        .await;
    send.abort();
    // The client's connection task ends with the sender it belongs to.
    eventually("its place is free", async || unanswered().await == 0).await;
}
