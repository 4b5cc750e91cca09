//! Users, logging in and out.

use serde_json::{Value, json};

use crate::{
    steps::{For, Walk, basic},
    support::PASSWORD,
};

const LOGIN: &str = "/v1/users/login";
const USERS: &str = "/v1/users";
const USER: &str = "/v1/users/{username}";

pub async fn walk(walk: &mut Walk) {
    // The first one has to change the password.
    walk.step(For::Login, "POST", LOGIN, &Value::Null).await;
    let new = json!({"new_password": PASSWORD}).to_string();
    for (caller, password, body) in [
        ("wrong", "nonsense", ""),
        ("default", "secret", ""),
        ("default", "secret", r#"{"new_password":"short"}"#),
        ("default", "secret", r#"{"new_password":"alllowercase"}"#),
        ("default", "secret", r#"{"password":"x"}"#),
        ("default", "secret", "{"),
        ("default", "secret", &new),
        ("admin by name", PASSWORD, ""),
    ] {
        walk.callers.insert(caller, basic("admin", password));
        walk.told(caller, "POST", LOGIN, ("application/json", body.as_bytes())).await;
    }
    walk.log_in("admin", "admin").await;
    let clerk = json!({"username": "clerk_7", "password": PASSWORD});
    let made = walk.call("admin", "POST", USERS, "", clerk.to_string().as_bytes()).await;
    assert_eq!(made.status, 201);
    walk.log_in("user", "clerk_7").await;

    let good = json!({"username": "clerk_8", "password": PASSWORD});
    for body in [
        good.clone(),
        good,
        json!({"username": "clerk_9"}),
        json!({"password": PASSWORD}),
        json!({"username": "abc", "password": PASSWORD}),
        json!({"username": "x".repeat(33), "password": PASSWORD}),
        json!({"username": 7, "password": PASSWORD}),
        json!({"username": "clerk_9", "password": "password"}),
        json!({"username": "clerk_9", "password": PASSWORD, "role": "ROLE_ADMIN"}),
        json!("[]"),
        json!("{"),
    ] {
        walk.step(For::Admins, "POST", USERS, &body).await;
    }
    walk.at(For::Admins, "GET", USER, "/v1/users/clerk_8", &Value::Null).await;
    walk.at(For::Admins, "GET", USER, "/v1/users/admin", &Value::Null).await;
    walk.at(For::Admins, "GET", USER, "/v1/users/nobody", &Value::Null).await;
    walk.told("user", "GET", "/v1/users/clerk_7", ("", b"")).await;
    let other = json!({"password": "0ther-Passw0rd"});
    for (path, body) in [
        ("/v1/users/clerk_8", other.clone()),
        ("/v1/users/clerk_8", json!({})),
        ("/v1/users/clerk_8", json!({"password": "password"})),
        ("/v1/users/clerk_8", json!({"password": "0ther-Passw0rd", "username": "x"})),
        ("/v1/users/nobody", other),
    ] {
        walk.at(For::Admins, "PUT", USER, path, &body).await;
    }
    for path in ["/v1/users/clerk_8", "/v1/users/clerk_8", "/v1/users/admin"] {
        walk.at(For::Admins, "DELETE", USER, path, &Value::Null).await;
    }
    walk.settle("users");
}

/// Last: the token is void afterwards.
pub async fn leave(walk: &mut Walk) {
    walk.step(For::Users, "POST", "/v1/users/logout", &Value::Null).await;
    walk.told("user", "POST", "/v1/users/logout", ("", b"")).await;
    walk.told("user", "GET", "/v1/health", ("", b"")).await;
    walk.settle("logout");
}
