//! What is changed at one node goes for all of them: settings, logins, users, the one contact sync that the
//! network allows; and messages whose recipient belongs to another node than was dialled.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use contract::{Number, Route};
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};
use support::{call, roles::Roles, server::Server};
use tokio::time::{sleep, timeout};

/// Who must not be let in is let in no longer than this.
const REVOKED: Duration = Duration::from_secs(1);

async fn three_coreapps_behind_two_webapps(name: &str) -> (Server, Roles) {
    let server = Server::postgres(name);
    let roles = Roles::start_on(Some(&server.url), 3, 3, 2, &[]).await;
    roles.shared_by(&[0, 1, 2]).await;
    (server, roles)
}

/// One ordinary phone in each shard.
fn phones() -> Vec<String> {
    let mut phones: Vec<Option<String>> = vec![None; 64];
    for n in 10.. {
        let phone = format!("4915100{n:05}");
        let shard = Route::of(&Number::from_digits(phone.as_bytes()).unwrap()).shard();
        phones[usize::try_from(shard.get()).unwrap()].get_or_insert(phone);
        if phones.iter().all(Option::is_some) {
            break;
        }
    }
    phones.into_iter().flatten().collect()
}

/// One message into every shard, by both webapps at once; gives how many were accepted.
async fn accepted(roles: &Roles, phones: &[String]) -> usize {
    let sends = phones.iter().enumerate().map(|(n, phone)| async move {
        let body = json!({"to": phone, "type": "text", "text": {"body": "hello"}}).to_string();
        let answer = roles.call(n % 2, "POST", "/v1/messages", &[], &body).await;
        match answer.status {
            StatusCode::CREATED => 1,
            StatusCode::TOO_MANY_REQUESTS => 0,
            status => panic!("{status}: {}", answer.body),
        }
    });
    join_all(sends).await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_is_in_force_at_every_coreapp_when_its_change_is_answered() {
    let (_server, roles) = three_coreapps_behind_two_webapps("in_force").await;
    let phones = phones();
    let quota = |per_second: u32| json!({"heliograph": {"quotas": {"messages_per_second": per_second, "burst": 1}}});
    for _ in 0..5 {
        roles.settings(quota(1)).await;
        let few = accepted(&roles, &phones).await;
        assert!(few < phones.len() / 2, "{few} of {} passed a quota of 1/s a node", phones.len());
        roles.settings(quota(0)).await;
        assert_eq!(accepted(&roles, &phones).await, phones.len());
        for webapp in 0..2 {
            let path = "/v1/settings/application";
            let answer = roles.call(webapp, "GET", path, &[], "").await;
            let shown =
                answer.body.pointer("/settings/application/heliograph/quotas/messages_per_second");
            assert_eq!(shown, Some(&json!(0)), "{}", answer.body);
        }
    }
}

async fn login(webapp: u16, name: &str, password: &str) -> String {
    let basic = format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
    let login = call(webapp, "POST", "/v1/users/login", &basic, "").await;
    let token = login.body.pointer("/users/0/token").and_then(Value::as_str);
    format!("Bearer {}", token.unwrap_or_else(|| panic!("{}", login.body)))
}

async fn let_in(webapp: u16, token: &str) -> StatusCode {
    let body = r#"{"contacts": ["4915112345678"]}"#;
    call(webapp, "POST", "/v1/contacts", token, body).await.status
}

/// From now on no webapp lets it in, after a second at most.
async fn refused_everywhere(roles: &Roles, token: &str) {
    for webapp in &roles.webapps {
        let refused = async {
            while let_in(*webapp, token).await != StatusCode::UNAUTHORIZED {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(REVOKED, refused).await.expect("a token that is void is let in");
        for _ in 0..5 {
            assert_eq!(let_in(*webapp, token).await, StatusCode::UNAUTHORIZED);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_logged_out_or_deleted_is_let_in_by_no_webapp_a_second_later() {
    let (_server, roles) = three_coreapps_behind_two_webapps("let_in").await;
    let clerk = json!({"username": "clerk_7", "password": "Clerk-of-the-7th"}).to_string();
    for (logs_out_at, is_deleted_at) in [(0, 1), (1, 0)] {
        let made = roles.call(0, "POST", "/v1/users", &[], &clerk).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        let first = login(roles.webapps[0], "clerk_7", "Clerk-of-the-7th").await;
        let second = login(roles.webapps[1], "clerk_7", "Clerk-of-the-7th").await;
        for webapp in &roles.webapps {
            for token in [&first, &second] {
                assert_eq!(let_in(*webapp, token).await, StatusCode::OK);
            }
        }
        let path = "/v1/users/logout";
        let logout = call(roles.webapps[logs_out_at], "POST", path, &first, "").await;
        assert_eq!(logout.status, StatusCode::OK, "{}", logout.body);
        refused_everywhere(&roles, &first).await;
        assert_eq!(let_in(roles.webapps[0], &second).await, StatusCode::OK);

        let deleted = roles.call(is_deleted_at, "DELETE", "/v1/users/clerk_7", &[], "").await;
        assert_eq!(deleted.status, StatusCode::OK, "{}", deleted.body);
        refused_everywhere(&roles, &second).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_is_asked_about_contacts_by_one_call_at_a_time_whoever_wants_to_know() {
    let (_server, roles) = three_coreapps_behind_two_webapps("one_sync").await;
    let roles = &roles;
    let checks = (0..20).map(|check: usize| async move {
        let numbers: Vec<_> =
            (0..20).map(|n| format!("4915200{:05}", 10 + 20 * check + n)).collect();
        let body = json!({"contacts": numbers, "blocking": "wait"}).to_string();
        let answer = roles.call(check % 2, "POST", "/v1/contacts", &[], &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    });
    // Each a stranger to its own coreapp.
    let strangers = phones();
    let (_, sent) = tokio::join!(join_all(checks), accepted(roles, &strangers));
    assert_eq!(sent, strangers.len());
    for stranger in &strangers {
        support::until("the message is at the stranger's phone", async || {
            (!roles.texts_at(stranger).await.is_empty()).then_some(())
        })
        .await;
    }
    let stats = roles.network("/stats").await;
    assert_eq!(stats["in_flight"]["contact_syncs_max"], 1, "{stats}");
    assert_eq!(stats["contact_sync"]["refused_concurrent"], 0, "{stats}");
    assert!(stats["contact_sync"]["count"].as_u64() > Some(1), "{stats}");
}

/// Ids and statuses that were told of them, each with the recipient as the network and as the sender names it.
async fn told(roles: &Roles, after: &str) -> Vec<[String; 4]> {
    let path = format!("/v1/events?after={after}&limit=1000");
    let answer = roles.call(0, "GET", &path, &[], "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let events = answer.body["events"].as_array().unwrap();
    let statuses = events.iter().filter_map(|event| event["payload"]["statuses"].get(0));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = statuses.map(|status| {
        let dialled = &status["message"]["recipient_id"];
        [&status["id"], &status["status"], &status["recipient_id"], dialled].map(text)
    });
    all.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_whom_the_network_knows_by_another_number_gets_everything_from_that_numbers_shard()
 {
    let (_server, roles) = three_coreapps_behind_two_webapps("known_as").await;
    let phones = phones();
    let (dialled, rest) = phones.split_at(16);
    let pairs: Vec<(&String, &String)> = dialled.iter().zip(&rest[16..]).collect();
    for (dialled, phone) in &pairs {
        let path = format!("/phones/{dialled}");
        let body = json!({ "known_as": phone }).to_string();
        let answer = call(roles.phones, "PUT", &path, "", &body).await;
        assert_eq!((answer.status, &answer.body["known_as"]), (StatusCode::OK, &json!(phone)));
    }
    let before = roles.call(0, "GET", "/v1/events", &[], "").await;
    let before = before.body["cursor"].as_str().unwrap();
    let texts = ["first", "second", "third"];
    let mut sent = Vec::new();
    for (n, text) in texts.into_iter().enumerate() {
        for (dialled, phone) in &pairs {
            let body = json!({"to": dialled, "type": "text", "text": {"body": text}}).to_string();
            let answer = roles.call(n % 2, "POST", "/v1/messages", &[], &body).await;
            assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
            let id = answer.body["messages"][0]["id"].as_str().unwrap().to_owned();
            sent.push((id, *dialled, *phone));
        }
    }
    for (_, phone) in &pairs {
        support::until("all messages are at the phone", async || {
            (roles.texts_at(phone).await.len() >= texts.len()).then_some(())
        })
        .await;
        assert_eq!(roles.texts_at(phone).await, texts, "in order");
        // The customer answers from the same number, in the same session.
        roles.write_from(phone, "thanks").await;
    }
    support::until("every message was told to be read", async || {
        let told = told(&roles, before).await;
        let read = |(id, dialled, phone): &(String, &String, &String)| {
            let words = [id.as_str(), "read", phone.as_str(), dialled.as_str()];
            told.iter().any(|told| told.each_ref().map(String::as_str) == words)
        };
        sent.iter().all(read).then_some(())
    })
    .await;
    let stats = roles.network("/stats").await;
    assert_eq!(stats["undecryptable"], json!({}), "{stats}");
    assert_eq!(stats["retries"]["requested"], 0, "{stats}");
    assert_eq!((&stats["delivered_twice"], &stats["key_reuse"]), (&json!(0), &json!(0)), "{stats}");
}
