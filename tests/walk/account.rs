//! The account: registration, two-step verification, shards, backup and restore.

use serde_json::{Value, json};

use crate::steps::{For, Walk};

const ACCOUNT: &str = "/v1/account";
const VERIFY: &str = "/v1/account/verify";
const SHARDS: &str = "/v1/account/shards";
const TWO_STEP: &str = "/v1/settings/account/two-step";

pub async fn walk(walk: &mut Walk) {
    let with = |more: Value| {
        let mut body = json!({"cc": "1", "phone_number": "5550100199", "method": "sms", "cert": "RXhhbXBsZSBMdGQ="});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let early = json!({"code": "123456"});
    walk.step(For::Admins, "POST", VERIFY, &early).await;
    for body in [
        with(json!({"cc": null})),
        with(json!({"phone_number": null})),
        with(json!({"method": null})),
        with(json!({"cert": null})),
        with(json!({"method": "letter"})),
        with(json!({"cert": "&"})),
        with(json!({"phone_number": "x"})),
        with(json!({"pin": "1"})),
        with(json!({"colour": "red"})),
        json!("{"),
        with(json!({})),
    ] {
        walk.step(For::Admins, "POST", ACCOUNT, &body).await;
    }
    let business = walk.gateway.network("GET", "/businesses/15550100199", &Value::Null).await;
    let code = business["code"].as_str().unwrap().to_owned();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for body in [
        json!({"code": wrong}),
        json!({}),
        json!({"code": 7}),
        json!({"code": wrong, "colour": "red"}),
    ] {
        walk.step(For::Admins, "POST", VERIFY, &body).await;
    }
    walk.masked(For::Admins, "POST", VERIFY, VERIFY, &json!({"code": code}), &code).await;
    walk.step(For::Admins, "POST", ACCOUNT, &with(json!({}))).await;

    walk.step(For::Admins, "GET", SHARDS, &Value::Null).await;
    let shards = |shards: Value| json!({"cc": "1", "phone_number": "5550100199", "shards": shards, "cert": "RXhhbXBsZSBMdGQ="});
    for body in [
        shards(json!(8)),
        shards(json!(3)),
        shards(json!("x")),
        shards(Value::Null),
        json!({"shards": 8}),
        json!({"cc": "1", "phone_number": "5550100199", "shards": 8, "cert": "eA=="}),
        json!("{"),
    ] {
        walk.step(For::Admins, "POST", SHARDS, &body).await;
    }
    walk.step(For::Admins, "GET", SHARDS, &Value::Null).await;

    for body in [
        json!({"pin": "123456"}),
        json!({"pin": "12345"}),
        json!({"pin": 123_456}),
        json!({}),
        json!({"pin": "123456", "colour": "red"}),
    ] {
        walk.step(For::Admins, "POST", TWO_STEP, &body).await;
    }
    walk.step(For::Admins, "DELETE", TWO_STEP, &Value::Null).await;
    walk.step(For::Admins, "DELETE", TWO_STEP, &Value::Null).await;

    let backup = "/v1/settings/backup";
    for body in [
        json!({}),
        json!({"password": 7}),
        json!({"password": ""}),
        json!({"password": "x", "colour": "red"}),
        json!("{"),
    ] {
        walk.step(For::Admins, "POST", backup, &body).await;
    }
    let made = walk.step(For::Admins, "POST", backup, &json!({"password": "x"})).await;
    let data = made.text("/settings/data");
    let restore = "/v1/settings/restore";
    for body in [
        json!({}),
        json!({"password": "x"}),
        json!({"password": "x", "data": "nonsense"}),
        json!({"password": "x", "data": 7}),
    ] {
        walk.step(For::Admins, "POST", restore, &body).await;
    }
    // A number is registered here.
    let body = json!({"password": "x", "data": data});
    walk.masked(For::Admins, "POST", restore, restore, &body, &data).await;
    walk.settle("account");
}
