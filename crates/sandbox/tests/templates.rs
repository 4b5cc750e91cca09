//! The message templates: over the control API in, over the upstream protocol out.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::{sync::Arc, time::Duration};

use contract::catalogue::Catalogue;
use sandbox::Config;
use serde_json::{Value, json};
use tokio::time::timeout;
use upstream::Upstream;

use support::{Counting, Fixed, OWN, call, client, config, start};

const HELLO: &str = r#"{"components":[{"type":"BODY","text":"Hello {{1}}"}]}"#;

#[tokio::test]
async fn a_business_is_told_as_soon_as_there_is_another_catalogue() {
    let running = start().await;
    let business = client(&running);
    let empty = business.templates(String::new()).await.unwrap().unwrap();
    let asked = tokio::spawn({
        let (business, version) = (business.clone(), Catalogue::version(&empty));
        async move { business.templates(version).await }
    });
    let (status, put) = call(&running, "PUT", "/templates/shop/hello/en_US", HELLO).await;
    assert_eq!((status, &put["status"]), (200, &json!("approved")), "{put}");
    let answer = timeout(support::DEADLINE, asked).await.unwrap().unwrap().unwrap().unwrap();
    let told = Catalogue::from_json(&answer).unwrap().to_json();
    assert_eq!(told["templates"], json!([put]));
    // The next question says what the business has.
    let version = Catalogue::version(&answer);
    let held = tokio::spawn({
        let (business, version) = (business.clone(), version.clone());
        async move { business.templates(version).await }
    });
    let shown = async {
        loop {
            let (_, shown) = call(&running, "GET", "/templates", "").await;
            if shown["businesses"][OWN] == *version {
                return shown;
            }
        }
    };
    let shown = timeout(support::DEADLINE, shown).await.unwrap();
    assert_eq!((&shown["version"], &shown["policy"]), (&json!(version), &json!("open")));
    // What is held holds up no stop.
    timeout(Duration::from_secs(4), running.stop()).await.unwrap();
    timeout(support::DEADLINE, held).await.unwrap().unwrap().ok();
}

#[tokio::test]
async fn the_catalogue_is_read_changed_and_emptied() {
    let running = start().await;
    let path = "/templates/shop/hello/en_US";
    let call = |method, path, body| call(&running, method, path, body);
    assert_eq!(call("GET", path, "").await.0, 404);
    assert_eq!(call("PUT", path, HELLO).await.0, 200);
    assert_eq!(call("GET", path, "").await.1["components"][0]["text"], "Hello {{1}}");
    let paused = HELLO.replacen('{', r#"{"status":"paused","#, 1);
    assert_eq!(call("PUT", path, &paused).await.1["status"], "paused");
    let (_, shown) = call("PUT", "/templates", r#"{"policy":"strict"}"#).await;
    assert_eq!(
        (&shown["policy"], shown["templates"].as_array().unwrap().len()),
        (&json!("strict"), 1)
    );
    assert_eq!(call("DELETE", path, "").await.0, 200);
    assert_eq!(call("DELETE", path, "").await.0, 404);
    let (_, shown) = call("DELETE", "/templates", "").await;
    assert_eq!((&shown["policy"], &shown["templates"]), (&json!("open"), &json!([])));
    for (path, body, words) in [
        (path, "{}", "'components' is mandatory"),
        (path, "", "JSON"),
        ("/templates/shop/Hello/en_US", HELLO, "'name'"),
        ("/templates/shop/hello/english", HELLO, "'language'"),
        ("/templates", r#"{"policy":"closed"}"#, "'policy'"),
    ] {
        let (status, refused) = call("PUT", path, body).await;
        assert_eq!(status, 400, "{refused}");
        assert!(refused["error"].as_str().unwrap().contains(words), "{refused}");
    }
}

#[tokio::test]
async fn the_catalogue_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut shown = Value::Null;
    for start in 0..3 {
        let config = Config { data_dir: Some(dir.path().to_owned()), ..config() };
        let running = sandbox::start(config, Arc::new(Fixed), Counting::from(1)).await.unwrap();
        if start == 0 {
            call(&running, "PUT", "/templates", r#"{"policy":"strict"}"#).await;
            call(&running, "PUT", "/templates/shop/hello/en_US", HELLO).await;
            shown = call(&running, "GET", "/templates", "").await.1;
        }
        assert_eq!(call(&running, "GET", "/templates", "").await.1, shown);
        running.stop().await;
    }
}
