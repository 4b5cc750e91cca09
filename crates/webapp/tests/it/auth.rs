//! Who gets in.

use std::time::Duration;

use argon2::{Argon2, Params, PasswordHasher as _};
use contract::Code;
use http::Method;
use rpc::coreapp::Limits;
use serde_json::json;

use crate::{
    client::{Edge, basic, bearer, config, eventually, pass, text, token},
    core::{Core, TOKEN_KEY},
};

const LOGIN: &str = "/v1/users/login";
const API_KEY: &str = "monitoring-key-of-12-to-128";

/// A coreapp that knows both users' passwords: `Adm1n-Secret`, `Cl3rk-Secret`.
fn core_with_passwords() -> Core {
    let core = Core::start();
    // Small parameters: what is stored decides what is computed.
    let params = Params::new(64, 1, 1, None).unwrap();
    for (name, password) in [("admin", "Adm1n-Secret"), ("clerk_7", "Cl3rk-Secret")] {
        let argon2 = Argon2::from(params.clone());
        let hash = argon2.hash_password_with_salt(password.as_bytes(), &[7; 16]).unwrap();
        core.shared.hashes.lock().unwrap().push((name.to_owned(), hash.to_string()));
    }
    core
}

#[tokio::test]
async fn each_credential_opens_what_it_should_and_nothing_else() {
    let core = core_with_passwords();
    let with_key = telemetry::config::Secret::new(API_KEY);
    let edge = Edge::start_with(webapp::Config { api_key: Some(with_key), ..config(&core) });
    let edge = edge.await.ready().await;
    let apikey = format!("Apikey {API_KEY}");
    let (settings, rand) = ("/v1/settings/application", "ab".repeat(16));
    let get = Method::GET;
    for (method, path, authorization, expected) in [
        (&get, "/v1/health", "", (401, 1005)),
        (&get, "/v1/health", &*bearer("clerk_7"), (200, 0)),
        (&get, "/v1/health", &*bearer("clerk_7").replace("Bearer", "bearer"), (200, 0)),
        (&get, "/v1/health", &*apikey, (200, 0)),
        (&get, "/v1/stats/app", &*apikey, (200, 0)),
        (&get, "/metrics", &*apikey, (200, 0)),
        (&get, "/v1/metrics", &*apikey, (200, 0)),
        (&get, "/v1/health", "Apikey monitoring-key-of-12-to-129", (401, 1005)),
        (&get, settings, &*apikey, (401, 1005)),
        (&Method::POST, "/v1/messages", &*apikey, (401, 1005)),
        (&get, settings, &*bearer("clerk_7"), (403, 1005)),
        (&Method::PATCH, settings, &*bearer("clerk_7"), (403, 1005)),
        (&Method::DELETE, settings, &*bearer("clerk_7"), (403, 1005)),
        (&get, settings, &*bearer("admin"), (200, 0)),
        (&get, settings, &*basic("admin", "Adm1n-Secret"), (401, 1005)),
        (&get, "/v1/health", "Bearer not.a.token", (401, 1005)),
        (&get, "/v1/health", "Bearer", (401, 1005)),
        (&get, "/v1/health", &*bearer("nobody"), (401, 1005)),
        (&get, "/v1/health", &*token(b"another key", "admin", &rand, 0), (401, 1005)),
        (&get, "/v1/health", &*token(TOKEN_KEY, "admin", &rand, 604_799), (200, 0)),
        (&get, "/v1/health", &*token(TOKEN_KEY, "admin", &rand, 604_801), (401, 1005)),
    ] {
        let answer = edge.call(method.clone(), path, authorization, "").await;
        assert_eq!(answer.refusal(), expected, "{method} {path} {authorization}");
        assert_eq!(answer.status == 401, answer.headers.contains_key("www-authenticate"));
    }
}

#[tokio::test]
async fn a_login_gives_a_token_that_works_until_logout() {
    let core = core_with_passwords();
    let edge = Edge::start(&core).await;
    let answer = edge.post(LOGIN, &basic("clerk_7", "Cl3rk-Secret"), "").await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let user = &answer.json()["users"][0];
    let expires = user["expires_after"].as_str().unwrap();
    assert!(expires.ends_with("+00:00") && expires.as_bytes()[10] == b' ', "{expires}");
    let bearer = format!("Bearer {}", user["token"].as_str().unwrap());
    for _ in 0..2 {
        assert_eq!(edge.post("/v1/messages", &bearer, text("16315551004")).await.status, 201);
    }
    let out = edge.post("/v1/users/logout", &bearer, "").await;
    assert_eq!((out.status.as_u16(), out.json().get("errors")), (200, None));
    assert_eq!(core.shared.actors.lock().unwrap().as_slice(), ["clerk_7/user"]);
    for path in ["/v1/messages", "/v1/users/logout"] {
        assert_eq!(edge.post(path, &bearer, text("16315551004")).await.refusal(), (401, 1005));
    }
}

#[tokio::test]
async fn a_token_revoked_elsewhere_or_issued_before_its_user_is_refused() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let (old, other) = (bearer("clerk_7"), token(TOKEN_KEY, "clerk_7", "other", 10));
    assert_eq!(edge.get("/v1/health", &old).await.status, 200);
    assert_eq!(edge.get("/v1/health", &other).await.status, 200);
    core.shared.snapshot.send_modify(|snapshot| {
        snapshot.revocations.as_mut().unwrap().rands.push("ab".repeat(16));
    });
    eventually("the revocation has come", async || {
        edge.get("/v1/health", &old).await.status == 401
    })
    .await;
    assert_eq!(edge.get("/v1/health", &other).await.status, 200, "the other one still works");
    core.shared.snapshot.send_modify(|snapshot| {
        for user in &mut snapshot.users.as_mut().unwrap().users {
            user.not_before = i64::MAX;
        }
    });
    eventually("the user was made anew", async || {
        edge.get("/v1/health", &other).await.status == 401
    })
    .await;
}

/// The most there are: a frame that is too large to be read would shut everybody out.
#[tokio::test]
async fn a_hundred_thousand_revoked_tokens_are_refused_and_the_others_still_let_in() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let (old, other) = (bearer("clerk_7"), token(TOKEN_KEY, "clerk_7", "other", 10));
    assert_eq!(edge.get("/v1/health", &old).await.status, 200);
    core.shared.snapshot.send_modify(|snapshot| {
        let rands = &mut snapshot.revocations.as_mut().unwrap().rands;
        rands.extend((0..100_000).map(|n| format!("{n:032x}")));
        rands.push("ab".repeat(16));
    });
    eventually("the revocations have come", async || {
        edge.get("/v1/health", &old).await.status == 401
    })
    .await;
    assert_eq!(edge.get("/v1/health", &other).await.status, 200);
}

#[tokio::test]
async fn the_initial_password_opens_nothing_but_its_own_change() {
    let core = core_with_passwords();
    core.shared.snapshot.send_modify(|snapshot| {
        snapshot.users.as_mut().unwrap().users[0].must_change = true;
    });
    let edge = Edge::start(&core).await;
    let (login, new) = (basic("admin", "Adm1n-Secret"), "N3w-Secret!");
    assert_eq!(edge.post(LOGIN, &login, "").await.refusal(), (403, 1024));
    assert_eq!(edge.get("/v1/health", &bearer("admin")).await.refusal(), (403, 1024));
    let weak = json!({"new_password": "short"}).to_string();
    let refused = edge.post(LOGIN, &login, weak).await;
    assert_eq!(refused.refusal(), (400, 1009));
    assert!(refused.details().contains("new_password"));
    let change = json!({"new_password": new}).to_string();
    let wrong = edge.post(LOGIN, &basic("admin", "secret"), change).await;
    assert_eq!(wrong.refusal(), (401, 1005));

    let answer = edge.post(LOGIN, &login, json!({"new_password": new}).to_string()).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let stored = core.shared.hashes.lock().unwrap().last().unwrap().1.clone();
    assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
    let token = answer.json()["users"][0]["token"].as_str().unwrap().to_owned();
    let settings = edge.get("/v1/settings/application", &format!("Bearer {token}")).await;
    assert_eq!(settings.status, 200, "the token works at once");
    assert_eq!(edge.post(LOGIN, &login, "").await.refusal(), (401, 1005));
    assert_eq!(edge.post(LOGIN, &basic("admin", new), "").await.status, 200);
}

#[tokio::test]
async fn five_failures_close_a_name_for_a_while_and_no_other() {
    let core = core_with_passwords();
    core.shared.snapshot.send_modify(|snapshot| {
        snapshot.limits = Some(Limits { login_failures_per_name: 5, ..Limits::default() });
    });
    let edge = Edge::start(&core).await;
    for name in ["clerk_7", "nobody"] {
        for _ in 0..5 {
            assert_eq!(edge.post(LOGIN, &basic(name, "wrong"), "").await.refusal(), (401, 1005));
        }
        let refused = edge.post(LOGIN, &basic(name, "Cl3rk-Secret"), "").await;
        assert_eq!(refused.refusal(), (429, 1015), "also with the right password");
        let after: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=12).contains(&after), "{after}");
    }
    assert_eq!(edge.post(LOGIN, &basic("admin", "Adm1n-Secret"), "").await.status, 200);
}

#[tokio::test]
async fn limits_are_hot_and_answered_with_429_and_retry_after() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    for limits in [
        Limits { per_user: 1, ..Limits::default() },
        Limits { per_address: 1, ..Limits::default() },
    ] {
        core.shared.snapshot.send_modify(|snapshot| snapshot.limits = Some(limits));
        eventually("the limit is in force", async || {
            let answer = edge.get("/v1/health", &bearer("clerk_7")).await;
            answer.status == 429
                && answer.refusal().1 == u64::from(Code::TOO_MANY_REQUESTS.get())
                && answer.header("retry-after") == "1"
                && !answer.header("x-request-id").is_empty()
        })
        .await;
    }
    core.shared.snapshot.send_modify(|snapshot| snapshot.limits = Some(Limits::default()));
    eventually("the limit is off", async || {
        let mut all = true;
        for _ in 0..5 {
            all &= edge.get("/v1/health", &bearer("clerk_7")).await.status == 200;
        }
        all
    })
    .await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_caller_has_a_limit_of_its_own() {
    let core = Core::start();
    let limits = Limits { per_address: 1, ..Limits::default() };
    core.shared.snapshot.send_modify(|snapshot| snapshot.limits = Some(limits));
    let trusting = webapp::Config {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()],
        ..config(&core)
    };
    let (trusting, wary) = (Edge::start_with(trusting).await, Edge::start(&core).await);
    eventually("a caller is limited", async || {
        trusting.live("203.0.113.9, 10.0.0.7").await.status == 429
    })
    .await;
    for n in 0..50 {
        let answer = trusting.live(&format!("203.0.113.9, 192.0.2.{n}, 10.0.0.7")).await;
        assert_eq!(answer.status, 200, "caller {n} has not called before");
    }
    let mut callers = 0..;
    eventually("without trust all of them are one", async || {
        wary.live(&format!("192.0.2.{}", callers.next().unwrap() % 256)).await.status == 429
    })
    .await;
}

#[tokio::test]
async fn without_a_fresh_directory_nobody_is_let_in_and_nobody_is_turned_away() {
    let mut core = core_with_passwords();
    let edge = Edge::start(&core).await;
    let clerk = bearer("clerk_7");
    assert_eq!(edge.get("/v1/health", &clerk).await.status, 200);
    core.kill();
    pass(Duration::from_secs(31)).await;
    for (method, path, authorization) in [
        (Method::GET, "/v1/health", &clerk),
        (Method::POST, "/v1/messages", &clerk),
        (Method::POST, LOGIN, &basic("clerk_7", "Cl3rk-Secret")),
        (Method::GET, "/readyz", &String::new()),
    ] {
        let answer = edge.call(method, path, authorization, "").await;
        assert_eq!(answer.refusal(), (503, 1011), "{path}");
    }
    assert_eq!(edge.get("/livez", "").await.status, 200);
    core.revive();
    eventually("the coreapp is followed again", async || {
        edge.get("/v1/health", &clerk).await.status == 200
    })
    .await;
}
