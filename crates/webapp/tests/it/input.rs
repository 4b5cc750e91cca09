//! What clients get wrong: status, code, and a sentence that helps.

use bytes::Bytes;
use http::Method;

use crate::{
    client::{Edge, bearer, text},
    core::Core,
};

#[tokio::test]
async fn each_mistake_has_its_status_its_code_and_a_sentence() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let deep = format!("{{\"to\":{}1{}}}", "[".repeat(1_000), "]".repeat(1_000));
    let long =
        format!("{{\"to\":\"16315551004\",\"text\":{{\"body\":\"{}\"}}}}", "x".repeat(4_097));
    let large = " ".repeat(2 << 20);
    for (body, expected, says) in [
        ("", (400, 1025), "JSON"),
        ("{\"to\":", (400, 1025), "line 1"),
        ("not json", (400, 1025), "JSON"),
        ("[1]", (400, 1025), ""),
        (&*deep, (400, 1025), "32 levels"),
        (&*large, (413, 1025), "1048576 bytes"),
        ("{}", (400, 1008), "'to'"),
        (r#"{"to":"16315551004"}"#, (400, 1008), "Parameter 'body' is mandatory for type 'text'"),
        (r#"{"to":"16315551004","type":"tex","text":{"body":"x"}}"#, (400, 1009), "'type'"),
        (r#"{"to":"12x45","text":{"body":"x"}}"#, (400, 1009), "'to'"),
        (r#"{"to":16315551004,"text":{"body":"x"}}"#, (400, 1009), "'to'"),
        (r#"{"to":"16315551004","text":{"body":7}}"#, (400, 1009), "body"),
        (r#"{"to":"16315551004","text":{"body":"x"},"extra":1}"#, (400, 1010), "'extra'"),
        (
            r#"{"to":"16315551004","recipient_type":"group","text":{"body":"x"}}"#,
            (400, 1002),
            "'recipient_type'",
        ),
        (r#"{"to":"15550100100","text":{"body":"x"}}"#, (400, 1021), "own number"),
        (&*long, (400, 1001), "4097"),
    ] {
        let shown = &body[..body.len().min(60)];
        let answer =
            edge.post("/v1/messages", &bearer("clerk_7"), Bytes::from(body.to_owned())).await;
        let details = answer.json()["errors"][0]["details"].as_str().unwrap_or("").to_owned();
        assert_eq!(answer.refusal(), expected, "{shown}: {details}");
        assert!(details.contains(says), "{shown}: {details}");
        assert_eq!(answer.json()["meta"]["api_status"], "stable");
    }
    assert!(core.frames().is_empty(), "none of it reached the coreapp");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_typed_and_a_trailing_slash_changes_nothing() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    for (method, path, expected) in [
        (Method::GET, "/v1/nothing", (404, 1006)),
        (Method::GET, "/", (404, 1006)),
        (Method::GET, "/v1/messages", (405, 1025)),
        (Method::PUT, "/v1/settings/application", (405, 1025)),
        (Method::GET, "/v1/health/", (200, 0)),
    ] {
        let answer = edge.call(method.clone(), path, &bearer("clerk_7"), "").await;
        assert_eq!(answer.refusal(), expected, "{method} {path}");
        assert_eq!(answer.header("server"), "Server");
        assert_eq!(answer.header("cache-control"), "no-cache, private");
        assert_eq!(answer.header("content-type"), "application/json");
        let id = answer.header("x-request-id");
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    }
    let slash = edge.post("/v1/messages/", &bearer("clerk_7"), text("16315551004")).await;
    assert_eq!(slash.status, 201);
}
