//! What is wrong with a request is said at once, with the status and code of the contract, and
//! nothing of it reaches a phone.

mod support;

use http::StatusCode;
use serde_json::json;
use support::{Gateway, call};

#[tokio::test(flavor = "multi_thread")]
async fn bad_messages_are_refused_with_their_code() {
    let gateway = Gateway::start().await;
    let long = format!(r#"{{"to":"4915112345678","text":{{"body":"{}"}}}}"#, "x".repeat(4_097));
    let deep = format!("{}1{}", r#"{"to":"#.repeat(40), "}".repeat(40));
    let table: &[(&str, u16, u64)] = &[
        ("", 400, 1025),
        ("{", 400, 1025),
        ("[]", 400, 1025),
        (&deep, 400, 1025),
        ("{}", 400, 1008),
        (r#"{"text":{"body":"x"}}"#, 400, 1008),
        (r#"{"to":"4915112345678"}"#, 400, 1008),
        (r#"{"to":"4915112345678","text":{}}"#, 400, 1008),
        (r#"{"to":"4915112345678","type":"image"}"#, 400, 1008),
        (r#"{"to":"nobody","text":{"body":"x"}}"#, 400, 1009),
        (r#"{"to":4915112345678,"text":{"body":"x"}}"#, 400, 1009),
        (r#"{"to":"1234","text":{"body":"x"}}"#, 400, 1009),
        (r#"{"to":"4915112345678","type":"smoke","text":{"body":"x"}}"#, 400, 1009),
        (r#"{"to":"4915112345678","text":{"body":"x"},"colour":"red"}"#, 400, 1010),
        (r#"{"to":"4915112345678","recipient_type":"crowd","text":{"body":"x"}}"#, 400, 1002),
        (&long, 400, 1001),
        (r#"{"to":"15550100100","text":{"body":"to myself"}}"#, 400, 1021),
    ];
    for (body, status, code) in table {
        let answer = gateway.call("POST", "/v1/messages", body).await;
        let shown: String = body.chars().take(80).collect();
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (*status, Some(*code)),
            "{shown} is answered {}",
            answer.body
        );
    }
    assert!(gateway.texts_at("4915112345678").await.is_empty());
    // The gateway is none the worse for it.
    gateway.send("4915112345678", "good").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_so_and_who_asks_wrongly_too() {
    let gateway = Gateway::start().await;
    let forged = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VyIjoiYWRtaW4ifQ.AAAA";
    let message = r#"{"to":"4915112345678","text":{"body":"x"}}"#;
    for authorization in ["", "Bearer nonsense", forged, "Basic YWRtaW46c2VjcmV0"] {
        let answer = call(gateway.http, "POST", "/v1/messages", authorization, message).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{authorization}: {}", answer.body);
    }
    let answer = gateway.call("GET", "/v1/nowhere", "").await;
    assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, Some(1006)));
    let answer = gateway.call("GET", "/v1/messages", "").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{}", answer.body);
    for header in ["x-request-id", "content-type"] {
        assert!(answer.headers.contains_key(header), "{header}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_setting_changes_nothing() {
    let gateway = Gateway::start().await;
    let before = gateway.call("GET", "/v1/settings/application", "").await.body;
    for (patch, code) in [
        (json!({}), 1008),
        (json!({"webhooks": {"max_concurrent_requests": 0}}), 1009),
        (json!({"callback_backoff_delay_ms": 7, "no_such_setting": 1}), 1010),
        (json!({"heliograph": {"quotas": {"messages_per_second": -1}}}), 1009),
    ] {
        let answer = gateway.call("PATCH", "/v1/settings/application", &patch.to_string()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{patch}: {}", answer.body);
        assert_eq!(answer.code(), Some(code), "{patch}: {}", answer.body);
    }
    let after = gateway.call("GET", "/v1/settings/application", "").await.body;
    assert_eq!(before["settings"], after["settings"]);
}
