//! Contacts and settings: what passes through unchanged.

use http::Method;
use rpc::coreapp::{Identity, ShardMap};
use serde_json::json;

use webapp::Config;

use crate::{
    client::{Edge, bearer, config, eventually},
    core::Core,
};

#[tokio::test]
async fn contacts_are_answered_one_by_one_in_their_order() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let body = json!({"contacts": ["+1 631 555 1001", "??", "16315551002"]}).to_string();
    let answer = edge.post("/v1/contacts", &bearer("clerk_7"), body).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    assert_eq!(
        answer.json()["contacts"],
        json!([
            {"input": "+1 631 555 1001", "status": "valid", "wa_id": "16315551001"},
            {"input": "??", "status": "invalid"},
            {"input": "16315551002", "status": "valid", "wa_id": "16315551002"},
        ])
    );
    assert_eq!(answer.header("x-internal-request-ids"), answer.header("x-request-id"));
    let none = edge.post("/v1/contacts", &bearer("clerk_7"), "{}").await;
    assert_eq!(none.refusal(), (400, 1008));
}

#[tokio::test]
async fn an_entry_that_is_too_long_is_invalid_in_its_place_and_the_others_are_answered() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    // A number, were it shorter.
    let long = format!("1631{}5551001", " ".repeat(60));
    let body = json!({"contacts": [long, "16315551002"]}).to_string();
    let answer = edge.post("/v1/contacts", &bearer("clerk_7"), body).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    assert_eq!(
        answer.json()["contacts"],
        json!([
            {"input": long, "status": "invalid"},
            {"input": "16315551002", "status": "valid", "wa_id": "16315551002"},
        ])
    );
}

#[tokio::test]
async fn an_identity_is_shown_and_acknowledged_by_its_latest_hash() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let identity = Identity {
        hash: "UKD6Y/5SqDU=".to_owned(),
        created_ms: 1_600_132_094_000,
        acknowledged: false,
    };
    core.shared.identities.lock().unwrap().insert("16315551004".to_owned(), identity);
    let (path, clerk) = ("/v1/contacts/+1%20(631)%20555-1004/identity", bearer("clerk_7"));
    let shown = async |acknowledged: bool| {
        let answer = edge.get(path, &clerk).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        assert_eq!(
            answer.json()["contacts"],
            json!({
                "hash": "UKD6Y/5SqDU=",
                "created_timestamp": 1_600_132_094_000_i64,
                "acknowledged": acknowledged,
            })
        );
        assert_eq!(answer.json()["meta"]["api_status"], "stable");
        assert_eq!(answer.header("x-internal-request-ids"), answer.header("x-request-id"));
    };
    let put = async |body: &str| edge.call(Method::PUT, path, &clerk, body.to_owned()).await;
    shown(false).await;
    let stale = put(r#"{"hash":"AAAAAAAAAAA="}"#).await;
    assert_eq!((stale.refusal(), stale.details().as_str()), ((400, 1009), "it is stale"));
    shown(false).await;
    let done = put(r#"{"hash":"UKD6Y/5SqDU="}"#).await;
    assert_eq!(done.status, 200, "{:?}", done.body);
    assert_eq!(done.json().as_object().unwrap().keys().collect::<Vec<_>>(), ["meta"]);
    shown(true).await;
    assert!(core.shared.actors.lock().unwrap().iter().all(|actor| actor == "clerk_7/user"));
}

#[tokio::test]
async fn what_is_wrong_with_a_question_for_an_identity_is_told() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let clerk = bearer("clerk_7");
    let long = format!(r#"{{"hash":"{}"}}"#, "x".repeat(65));
    let known = "/v1/contacts/16315551004/identity";
    for (method, path, body, expected) in [
        (Method::GET, known, "", (404, 1006)),
        (Method::PUT, known, r#"{"hash":"x"}"#, (404, 1006)),
        (Method::PUT, known, "", (400, 1025)),
        (Method::PUT, known, "{}", (400, 1008)),
        (Method::PUT, known, r#"{"hash":7}"#, (400, 1009)),
        (Method::PUT, known, &*long, (400, 1009)),
        (Method::GET, "/v1/contacts/customer/identity", "", (400, 1009)),
        (Method::GET, "/v1/contacts/%ff/identity", "", (400, 1009)),
        (Method::DELETE, known, "", (405, 1025)),
    ] {
        let answer = edge.call(method.clone(), path, &clerk, body.to_owned()).await;
        assert_eq!(answer.refusal(), expected, "{method} {path} {body}: {:?}", answer.body);
    }
    assert_eq!(edge.get(known, "").await.refusal(), (401, 1005));
}

#[tokio::test]
async fn an_identity_is_asked_of_the_coreapp_that_owns_the_contact() {
    let (seed, owner) = (Core::start(), Core::start());
    // Both are configured: a learned coreapp's ports are three in a row, the test's is one.
    let config = Config { coreapps: vec![seed.address(), owner.address()], ..config(&seed) };
    let edge = Edge::start_with(config).await.ready().await;
    let identity = Identity { hash: "UKD6Y/5SqDU=".to_owned(), ..Identity::default() };
    owner.shared.identities.lock().unwrap().insert("16315551004".to_owned(), identity);
    let get = async || edge.get("/v1/contacts/16315551004/identity", &bearer("clerk_7")).await;
    assert_eq!(get().await.refusal(), (404, 1006), "the seed owns all shards and does not know");
    let shards = owner.everything().shards;
    seed.shared.snapshot.send_modify(|snapshot| snapshot.shards.clone_from(&shards));
    eventually("the owner is asked", async || get().await.status == 200).await;
    // Whichever of them is followed by then.
    let both = [&seed, &owner];
    for core in both {
        core.shared.snapshot.send_modify(|snapshot| snapshot.shards = Some(ShardMap::default()));
    }
    // It is looked for again for 10 s; with the owner known again it is asked at once.
    let mut refused = None;
    eventually("nobody owns it", async || {
        let answer = get().await;
        let is_refused = answer.status == 503;
        refused = is_refused.then_some(answer);
        is_refused
    })
    .await;
    let refused = refused.unwrap();
    assert_eq!(refused.refusal(), (503, 1011));
    assert!(refused.details().contains("shard"), "{:?}", refused.body);
    let waits = get();
    for core in both {
        core.shared.snapshot.send_modify(|snapshot| snapshot.shards.clone_from(&shards));
    }
    assert_eq!(waits.await.status, 200);
}

#[tokio::test]
async fn a_customer_is_blocked_unblocked_and_reported_in_any_notation() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let clerk = bearer("clerk_7");
    let post = async |what: &str, body: &str| {
        let path = format!("/v1/contacts/+1%20(631)%20555-1004/{what}");
        edge.post(&path, &clerk, body.to_owned()).await
    };
    let done = r#"{"reason":"rude","block":true}"#;
    for (what, body) in
        [("block", ""), ("block", r#"{"reason":"rude"}"#), ("unblock", ""), ("report", done)]
    {
        let answer = post(what, body).await;
        assert_eq!(answer.status, 200, "{what} {body}: {:?}", answer.body);
        assert_eq!(answer.json().as_object().unwrap().keys().collect::<Vec<_>>(), ["meta"]);
        assert_eq!(answer.header("x-internal-request-ids"), answer.header("x-request-id"));
    }
    assert_eq!(
        *core.shared.standing.lock().unwrap(),
        [
            "16315551004 block",
            "16315551004 block",
            "16315551004 unblock",
            r#"16315551004 report "rude" true """#,
        ]
    );
    assert!(core.shared.actors.lock().unwrap().iter().all(|actor| actor == "clerk_7/user"));
}

#[tokio::test]
async fn what_is_wrong_with_a_block_or_report_is_told() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let clerk = bearer("clerk_7");
    let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(61));
    for (path, body, expected) in [
        ("/v1/contacts/16315551004/block", &*long, (400, 1009)),
        ("/v1/contacts/16315551004/report", &*long, (400, 1009)),
        ("/v1/contacts/16315551004/report", r#"{"message_id":"x"}"#, (400, 1009)),
        ("/v1/contacts/16315551004/unblock", r#"{"reason":"x"}"#, (400, 1010)),
        ("/v1/contacts/16315551004/block", "{", (400, 1025)),
        ("/v1/contacts/customer/block", "", (400, 1009)),
        ("/v1/contacts/%ff/report", "", (400, 1009)),
        ("/v1/contacts/16315550000/block", "", (400, 2048)),
        ("/v1/contacts/16315550000/report", "", (400, 2048)),
    ] {
        let answer = edge.post(path, &clerk, body.to_owned()).await;
        assert_eq!(answer.refusal(), expected, "{path} {body}: {:?}", answer.body);
    }
    assert_eq!(edge.get("/v1/contacts/16315551004/block", &clerk).await.refusal(), (405, 1025));
    assert_eq!(*core.shared.standing.lock().unwrap(), [""; 0]);
}

#[tokio::test]
async fn settings_are_the_coreapps_and_so_are_its_refusals() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let (path, admin) = ("/v1/settings/application", bearer("admin"));
    let shown = edge.get(path, &admin).await.json();
    assert_eq!(shown["settings"]["application"], json!({"sent_status": false}));
    let patch = r#"{"sent_status":true}"#;
    let patched = edge.call(Method::PATCH, path, &admin, patch).await;
    assert_eq!(patched.status, 200);
    assert_eq!(patched.json().as_object().unwrap().keys().collect::<Vec<_>>(), ["meta"]);
    assert_eq!(&core.shared.settings.lock().unwrap()[..], patch.as_bytes());
    assert_eq!(edge.call(Method::PATCH, path, &admin, "").await.refusal(), (400, 1008));
    assert_eq!(edge.call(Method::DELETE, path, &admin, "").await.status, 200);
    assert!(core.shared.actors.lock().unwrap().iter().all(|actor| actor == "admin/admin"));
}

#[tokio::test]
async fn the_authorities_of_webhooks_come_back_as_they_were_uploaded_until_they_are_taken_away() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let (path, admin) = ("/v1/certificates/webhooks/ca", bearer("admin"));
    let none = edge.get(path, &admin).await;
    assert_eq!(
        (none.refusal(), none.details()),
        ((404, 1006), "No webhook CA certificates found".to_owned())
    );
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(edge.call(Method::POST, path, &admin, pem).await.status, 200);
    let shown = edge.get(path, &admin).await;
    assert_eq!((shown.status.as_u16(), &shown.body[..]), (200, pem.as_bytes()));
    for (name, value) in [
        ("content-type", "text/plain;charset=UTF-8"),
        ("content-disposition", "attachment; filename=\"ca.pem\""),
        ("cache-control", "public"),
    ] {
        assert_eq!(shown.header(name), value);
    }
    assert_eq!(none.header("cache-control"), "no-cache, private");
    assert_eq!(edge.call(Method::POST, path, &admin, "").await.refusal(), (400, 1008));
    assert_eq!(edge.call(Method::DELETE, path, &admin, "").await.status, 200);
    assert_eq!(edge.get(path, &admin).await.status, 404);
    for method in [Method::GET, Method::POST, Method::DELETE] {
        let refused = edge.call(method, path, &bearer("clerk_7"), pem).await;
        assert_eq!(refused.refusal(), (403, 1005));
    }
}

#[tokio::test]
async fn a_refusal_says_whether_a_coreapp_was_asked() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let identity = "/v1/contacts/16315551004/identity";
    let settings = "/v1/settings/application";
    for (method, path, user, expected, asked) in [
        (Method::GET, identity, "clerk_7", (404, 1006), true),
        (Method::POST, "/v1/contacts/16315550000/block", "clerk_7", (400, 2048), true),
        (Method::PATCH, settings, "admin", (400, 1008), true),
        (Method::GET, "/v1/certificates/webhooks/ca", "admin", (404, 1006), true),
        (Method::GET, "/v1/contacts/customer/identity", "clerk_7", (400, 1009), false),
        (Method::PATCH, settings, "clerk_7", (403, 1005), false),
    ] {
        let answer = edge.call(method, path, &bearer(user), "").await;
        assert_eq!(answer.refusal(), expected, "{path} as {user}");
        let ids = if asked { answer.header("x-request-id") } else { "" };
        assert_eq!(answer.header("x-internal-request-ids"), ids, "{path} as {user}");
    }
}

#[tokio::test]
async fn a_coreapp_that_cannot_be_reached_is_named_with_the_cause() {
    let mut core = Core::start();
    let edge = Edge::start(&core).await;
    core.kill();
    let body = json!({"contacts": ["16315551002"]}).to_string();
    let answer = edge.post("/v1/contacts", &bearer("clerk_7"), body).await;
    assert_eq!(answer.refusal(), (503, 1011));
    assert!(answer.details().contains(&core.address.to_string()), "{}", answer.details());
}
