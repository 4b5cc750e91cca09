//! Contacts and settings: what passes through unchanged.

use http::Method;
use serde_json::json;

use crate::{
    client::{Edge, bearer},
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
async fn a_coreapp_that_cannot_be_reached_is_named_with_the_cause() {
    let mut core = Core::start();
    let edge = Edge::start(&core).await;
    core.kill();
    let body = json!({"contacts": ["16315551002"]}).to_string();
    let answer = edge.post("/v1/contacts", &bearer("clerk_7"), body).await;
    assert_eq!(answer.refusal(), (503, 1011));
    assert!(answer.details().contains(&core.address.to_string()), "{}", answer.details());
}
