//! What the API says of itself, held against what it does.

use http::{Method, StatusCode};
use serde_json::Value;
use webapp::Config;

use crate::{
    client::{Edge, bearer, config, token},
    core::{Core, TOKEN_KEY},
};

const API_KEY: &str = "0123456789ab";

fn takes(operation: &Value, document: &Value, scheme: &str) -> Option<Vec<String>> {
    let security = operation.get("security").unwrap_or(&document["security"]);
    let schemes = security.as_array().unwrap().iter();
    let roles = schemes.filter_map(|one| one.get(scheme)).next()?.as_array().unwrap();
    Some(roles.iter().map(|role| role.as_str().unwrap().to_owned()).collect())
}

#[tokio::test]
async fn who_may_call_a_route_is_what_its_description_says() {
    let core = Core::start();
    let key = telemetry::config::Secret::new(API_KEY.to_owned());
    let edge = Edge::start_with(Config { api_key: Some(key), ..config(&core) }).await.ready().await;
    let document = edge.get("/v1/openapi.json", "").await.json();
    let mut calls = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let verb: Method = method.to_uppercase().parse().unwrap();
            let path = path.replace("{wa_id}", "16315551004").replace("{number}", "16315551004");
            let path = path.replace("{code}", "1008").replace("{username}", "clerk_7");
            calls += 1;
            let as_whom = async |authorization: &str| {
                let answer = edge.call(verb.clone(), &path, authorization, "").await;
                (answer.status, format!("{verb} {path}: {:?}", answer.body))
            };
            let open = operation.get("security") == Some(&serde_json::json!([{}]));
            let (status, shown) = as_whom("").await;
            assert_eq!(status == StatusCode::UNAUTHORIZED, !open, "as nobody: {shown}");
            if open || takes(operation, &document, "Basic").is_some() {
                continue;
            }
            let roles = takes(operation, &document, "Bearer").unwrap();
            // A token for each: one of the routes voids it.
            let clerk = token(TOKEN_KEY, "clerk_7", &format!("{calls:032x}"), 0);
            let (status, shown) = as_whom(&clerk).await;
            assert_ne!(status, StatusCode::UNAUTHORIZED, "as a user: {shown}");
            assert_eq!(status == StatusCode::FORBIDDEN, !roles.is_empty(), "as a user: {shown}");
            let (status, shown) = as_whom(&format!("Apikey {API_KEY}")).await;
            let keyed = takes(operation, &document, "Apikey").is_some();
            assert_eq!(status == StatusCode::UNAUTHORIZED, !keyed, "with the API key: {shown}");
        }
    }
    assert!(calls > 25, "{calls}");
}

#[tokio::test]
async fn the_page_runs_no_script_but_its_own() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let page = edge.get("/docs", "").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (StatusCode::OK, "text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy");
    assert!(policy.contains("script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(!page.contains("http://") && !page.contains("https://cdn"), "nothing from elsewhere");
    assert_eq!(edge.get("/docs", &bearer("clerk_7")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_href_of_an_error_leads_to_its_page() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let refused = edge.post("/v1/messages", &bearer("clerk_7"), "{}").await.json();
    let href = refused["errors"][0]["href"].as_str().unwrap().to_owned();
    let page = edge.get(&href, "").await;
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(page.status == StatusCode::OK && text.contains("1008 Required parameter"), "{text}");
    assert_eq!(edge.get("/docs/errors", "").await.status, StatusCode::OK);
    for unknown in ["/docs/errors/9", "/docs/errors/x", "/docs/errors/-1"] {
        assert_eq!(edge.get(unknown, "").await.refusal(), (404, 1006), "{unknown}");
    }
}
