//! Contacts: checks, identities, blocking and complaining.

use serde_json::{Value, json};

use crate::{
    steps::{For, Walk},
    support::until,
};

const CONTACTS: &str = "/v1/contacts";
const IDENTITY: &str = "/v1/contacts/{wa_id}/identity";
const ADA: &str = "16315550111";

pub async fn walk(walk: &mut Walk) {
    for body in [
        json!({"contacts": ["+1 (631) 555-0111", "49 1511 2340000", "12", "0049 151 12345678"], "blocking": "wait"}),
        json!({"contacts": ["16315550111"], "blocking": "no_wait", "force_check": false}),
        json!({"contacts": []}),
        json!({}),
        json!({"contacts": "16315550111"}),
        json!({"contacts": [16_315_550_111_u64]}),
        json!({"contacts": ["16315550111"], "blocking": "maybe"}),
        json!({"contacts": ["16315550111"], "force_check": "yes"}),
        json!({"contacts": ["16315550111"], "colour": "red"}),
        json!(""),
    ] {
        walk.step(For::Users, "POST", CONTACTS, &body).await;
    }

    let path = format!("/v1/contacts/{ADA}/identity");
    let shown = until("a session with her", async || {
        let shown = walk.call("user", "GET", &path, "", b"").await;
        (shown.status == 200).then_some(shown)
    })
    .await;
    let hash = shown.text("/contacts/hash");
    for path in [&*path, "/v1/contacts/16315550999/identity", "/v1/contacts/nobody/identity"] {
        walk.at(For::Users, "GET", IDENTITY, path, &Value::Null).await;
    }
    for (path, body) in [
        (&*path, json!({"hash": hash})),
        (&*path, json!({"hash": "AAAAAAAAAAA="})),
        (&*path, json!({"hash": 7})),
        (&*path, json!({})),
        (&*path, json!({"hash": hash, "colour": "red"})),
        ("/v1/contacts/16315550999/identity", json!({"hash": hash})),
        ("/v1/contacts/nobody/identity", json!({"hash": hash})),
    ] {
        walk.masked(For::Users, "PUT", IDENTITY, path, &body, &hash).await;
    }

    // She wrote; the other never has.
    let never = "16315550777";
    for verb in ["block", "unblock", "report"] {
        let route = format!("/v1/contacts/{{number}}/{verb}");
        let bodies = match verb {
            "unblock" => vec![Value::Null],
            "block" => vec![
                json!({"reason": "spam"}),
                Value::Null,
                json!({"reason": "x".repeat(61)}),
                json!({"reason": 7}),
                json!({"colour": "red"}),
                json!("{"),
            ],
            _ => vec![
                json!({"reason": "spam", "block": false}),
                Value::Null,
                json!({"block": "yes"}),
                json!({"message_id": "unknown"}),
                json!({"reason": "x".repeat(61)}),
                json!({"colour": "red"}),
            ],
        };
        for body in bodies {
            walk.at(For::Users, "POST", &route, &format!("/v1/contacts/+{ADA}/{verb}"), &body)
                .await;
        }
        for number in [never, "nobody"] {
            let path = format!("/v1/contacts/{number}/{verb}");
            walk.at(For::Users, "POST", &route, &path, &Value::Null).await;
        }
    }
    walk.settle("contacts");
}
