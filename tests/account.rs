//! The account over REST, against the real program: users, registration, two-step verification,
//! profile, picture.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use http::StatusCode;
use serde_json::{Value, json};
use support::{Answer, Gateway, call, roles::Roles, until};

const NUMBER: &str = "15550100199";
const CUSTOMER: &str = "4915112345678";

fn refused(answer: &Answer) -> (u16, u64) {
    (answer.status.as_u16(), answer.code().unwrap_or(0))
}

async fn login(gateway: &Gateway, name: &str, password: &str) -> Answer {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let basic = format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
    call(gateway.http, "POST", "/v1/users/login", &basic, "").await
}

fn request(pin: Option<&str>) -> String {
    json!({
        "cc": "1", "phone_number": "5550100199", "method": "sms",
        "cert": "RXhhbXBsZSBMdGQ=", "pin": pin,
    })
    .to_string()
}

async fn code(gateway: &Gateway) -> String {
    let business = gateway.network("GET", &format!("/businesses/{NUMBER}"), &Value::Null).await;
    business["code"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_made_shown_changed_and_taken_away_with_its_tokens() {
    let gateway = Gateway::start().await;
    let clerk = json!({"username": "clerk_7", "password": "Passw0rd!x"}).to_string();
    let made = gateway.call("POST", "/v1/users", &clerk).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!(made.body["users"], json!([{"username": "clerk_7"}]));
    let twice = gateway.call("POST", "/v1/users", &clerk).await;
    assert_eq!(refused(&twice), (500, 1014));
    assert_eq!(twice.body["errors"][0]["details"], "Unable to create user. Already exist?");
    for (body, code) in [
        (r#"{"username":"clerk_8"}"#, 1008),
        (r#"{"username":"abc","password":"Passw0rd!x"}"#, 1009),
        (r#"{"username":"a:bc","password":"Passw0rd!x"}"#, 1009),
        (r#"{"username":"clerk_8","password":"password"}"#, 1009),
        (r#"{"username":"clerk_8","password":"Passw0rd!x","role":"ROLE_ADMIN"}"#, 1010),
    ] {
        assert_eq!(refused(&gateway.call("POST", "/v1/users", body).await), (400, code), "{body}");
    }
    let shown = gateway.call("GET", "/v1/users/clerk_7", "").await;
    assert_eq!(shown.body["users"], json!([{"username": "clerk_7", "ROLES": "ROLE_USER"}]));
    assert_eq!(refused(&gateway.call("GET", "/v1/users/nobody", "").await), (404, 1006));

    let token = login(&gateway, "clerk_7", "Passw0rd!x").await;
    assert_eq!(token.status, StatusCode::OK, "{}", token.body);
    let token = format!("Bearer {}", token.body["users"][0]["token"].as_str().unwrap());
    let as_clerk = async |method: &str, path: &str, body: &str| {
        call(gateway.http, method, path, &token, body).await
    };
    assert_eq!(as_clerk("GET", "/v1/users/clerk_7", "").await.status, StatusCode::OK);
    assert_eq!(refused(&as_clerk("GET", "/v1/users/admin", "").await), (403, 1005));
    assert_eq!(refused(&as_clerk("DELETE", "/v1/users/clerk_7", "").await), (403, 1005));
    let new = r#"{"password":"N3w-Passw0rd"}"#;
    assert_eq!(as_clerk("PUT", "/v1/users/clerk_7", new).await.status, StatusCode::OK);
    assert_eq!(as_clerk("GET", "/v1/health", "").await.status, StatusCode::OK, "still good");
    assert_eq!(login(&gateway, "clerk_7", "Passw0rd!x").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(login(&gateway, "clerk_7", "N3w-Passw0rd").await.status, StatusCode::OK);

    assert_eq!(refused(&gateway.call("DELETE", "/v1/users/admin", "").await), (403, 1005));
    let gone = gateway.call("DELETE", "/v1/users/clerk_7", "").await;
    assert_eq!(gone.body["users"], json!([{"username": "clerk_7"}]));
    assert_eq!(refused(&as_clerk("GET", "/v1/health", "").await), (401, 1005));
    assert_eq!(gateway.call("POST", "/v1/users", &clerk).await.status, StatusCode::CREATED);
    let old = as_clerk("GET", "/v1/health", "").await;
    assert_eq!(refused(&old), (401, 1005), "a token of the earlier user of this name");
    assert_eq!(login(&gateway, "clerk_7", "Passw0rd!x").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_number_is_registered_while_messages_go_on_with_new_sessions() {
    let gateway = Gateway::start().await;
    gateway.send(CUSTOMER, "before").await;
    until("the first message", async || {
        (gateway.texts_at(CUSTOMER).await == ["before"]).then_some(())
    })
    .await;

    let early = gateway.call("POST", "/v1/account/verify", r#"{"code":"123456"}"#).await;
    assert_eq!(refused(&early), (403, 1005));
    let asked = gateway.call("POST", "/v1/account", &request(None)).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.body);
    assert_eq!(asked.body["account"], json!([{"vname": "Example Ltd"}]));
    let sent = code(&gateway).await;
    let wrong = if sent == "000000" { "000001" } else { "000000" };
    let body = json!({ "code": wrong }).to_string();
    let refusal = gateway.call("POST", "/v1/account/verify", &body).await;
    assert_eq!(refused(&refusal), (403, 1005));
    let details = "Registration failed for reason 'mismatch'.";
    assert_eq!(refusal.body["errors"][0]["details"], details);
    let dashed = json!({ "code": format!("{}-{}", &sent[..3], &sent[3..]) }).to_string();
    let verified = gateway.call("POST", "/v1/account/verify", &dashed).await;
    assert_eq!(verified.status, StatusCode::CREATED, "{}", verified.body);

    let again = gateway.call("POST", "/v1/account", &request(None)).await;
    assert_eq!(again.status, StatusCode::CREATED, "nothing more to do: {}", again.body);
    let settings = gateway.call("GET", "/v1/settings/application", "").await;
    assert_eq!(settings.body["settings"]["application"]["wa_id"], NUMBER);
    let to_itself = json!({"to": NUMBER, "type": "text", "text": {"body": "x"}}).to_string();
    assert_eq!(refused(&gateway.call("POST", "/v1/messages", &to_itself).await), (400, 1021));
    gateway.send(CUSTOMER, "after").await;
    until("a message from the new number", async || {
        (gateway.texts_at(CUSTOMER).await == ["before", "after"]).then_some(())
    })
    .await;
    let received =
        gateway.network("GET", &format!("/phones/{CUSTOMER}/messages"), &Value::Null).await;
    assert_eq!(received["messages"][1]["from"], NUMBER);
    assert!(gateway.metric("account_generation", "").await > 1.0, "its sessions are new");

    let shards = gateway.call("GET", "/v1/account/shards", "").await;
    assert_eq!(shards.body["account"], json!({"shards": 1}));
    let shards_of = async |count: u32, more: Value| {
        let mut wish = json!({"cc": "1", "phone_number": "5550100199", "shards": count});
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        gateway.call("POST", "/v1/account/shards", &wish.to_string()).await
    };
    assert_eq!(refused(&shards_of(8, json!({})).await), (400, 1008), "no certificate");
    let another = shards_of(8, json!({"cert": "eA=="})).await;
    assert_eq!(refused(&another), (403, 1005), "another's certificate");
    let set = shards_of(8, json!({"cert": "RXhhbXBsZSBMdGQ="})).await;
    assert_eq!(set.status, StatusCode::CREATED, "{}", set.body);
    let shards = gateway.call("GET", "/v1/account/shards", "").await;
    assert_eq!(shards.body["account"], json!({"shards": 8}));
    let refusal = shards_of(3, json!({"cert": "RXhhbXBsZSBMdGQ="})).await;
    assert_eq!(refused(&refusal), (400, 1009));
    let two_step = gateway.call("POST", "/v1/settings/account/two-step", r#"{"pin":"123456"}"#);
    assert_eq!(two_step.await.status, 200);
    for (pin, refusal) in [(None, (400, 1008)), (Some("654321"), (403, 1005))] {
        let answer = shards_of(4, json!({"cert": "RXhhbXBsZSBMdGQ=", "pin": pin})).await;
        assert_eq!(refused(&answer), refusal, "{pin:?}");
    }
    let set = shards_of(8, json!({"cert": "RXhhbXBsZSBMdGQ=", "pin": "123456"})).await;
    assert_eq!(set.status, StatusCode::CREATED, "{}", set.body);

    // The registration outlives a restart, though another number is configured.
    let (status, directory) = gateway.stop().await;
    assert!(status.success(), "{status}");
    let mut gateway = Gateway::start_in(directory).await;
    assert_eq!(gateway.login(support::PASSWORD, &json!({})).await.status, StatusCode::OK);
    let settings = gateway.call("GET", "/v1/settings/application", "").await;
    assert_eq!(settings.body["settings"]["application"]["wa_id"], NUMBER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_taken_up_by_an_installation_without_a_number_and_by_no_other() {
    let old = Gateway::start().await;
    old.settings(json!({"heartbeat_interval": 7})).await;
    let profile = json!({"address": "Main Street 1"}).to_string();
    let business = "/v1/settings/business/profile";
    assert_eq!(old.call("POST", business, &profile).await.status, 200);
    let made = old.call("POST", "/v1/settings/backup", r#"{"password":"pass"}"#).await;
    let data = made.body["settings"]["data"].as_str().unwrap().to_owned();
    drop(old);

    let new = Roles::start_in(1, &[("HELIOGRAPH_ACCOUNT__NUMBER", "")]).await;
    let call =
        async |method: &str, path: &str, body: &str| new.call(0, method, path, &[], body).await;
    let health = call("GET", "/v1/health", "").await;
    assert_eq!(health.body["health"]["gateway_status"], "unregistered", "{}", health.body);
    let message = json!({"to": CUSTOMER, "text": {"body": "x"}}).to_string();
    let early = call("POST", "/v1/messages", &message).await;
    assert_eq!(refused(&early), (503, 1011), "{}", early.body);
    let restore = async |password: &str, data: &str| {
        let body = json!({"password": password, "data": data}).to_string();
        call("POST", "/v1/settings/restore", &body).await
    };
    for (password, data) in [("other", &*data), ("pass", &data[..data.len() / 2]), ("pass", "AAAA")]
    {
        let refusal = restore(password, data).await;
        assert_eq!(refused(&refusal), (400, 1009), "{}", refusal.body);
    }
    let restored = restore("pass", &data).await;
    assert_eq!(restored.status, StatusCode::OK, "{}", restored.body);
    let settings = call("GET", "/v1/settings/application", "").await;
    let settings = &settings.body["settings"]["application"];
    assert_eq!(
        (&settings["wa_id"], &settings["heartbeat_interval"]),
        (&json!("15550100100"), &json!(7))
    );
    let shown = call("GET", business, "").await;
    assert_eq!(shown.body["settings"]["business"]["profile"]["address"], "Main Street 1");
    assert_eq!(refused(&restore("pass", &data).await), (403, 1005), "there is one now");
    until("a message from the number", async || {
        let sent = call("POST", "/v1/messages", &message).await;
        (sent.status == StatusCode::CREATED).then_some(())
    })
    .await;
    until("it has come", async || (new.texts_at(CUSTOMER).await == ["x"]).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_needs_the_two_step_pin_and_whoever_asks_too_often_waits() {
    let gateway = Gateway::start().await;
    assert_eq!(gateway.call("POST", "/v1/account", &request(None)).await.status, 202);
    let body = json!({ "code": code(&gateway).await }).to_string();
    assert_eq!(gateway.call("POST", "/v1/account/verify", &body).await.status, 201);
    let two_step = "/v1/settings/account/two-step";
    for bad in [r#"{"pin":"12345"}"#, r#"{"pin":123456}"#, r#"{"pin":"12345x"}"#] {
        let refusal = gateway.call("POST", two_step, bad).await;
        assert_eq!(refused(&refusal), (400, 1009), "{bad}");
    }
    assert_eq!(gateway.call("POST", two_step, r#"{"pin":"123456"}"#).await.status, 200);

    // The configured number again, and back: the network wants the pin for what has one.
    let configured = request(None).replace("5550100199", "5550100100");
    assert_eq!(gateway.call("POST", "/v1/account", &configured).await.status, 202);
    let business = gateway.network("GET", "/businesses/15550100100", &Value::Null).await;
    let body = json!({ "code": business["code"] }).to_string();
    assert_eq!(gateway.call("POST", "/v1/account/verify", &body).await.status, 201);
    for pin in [None, Some("654321")] {
        let refusal = gateway.call("POST", "/v1/account", &request(pin)).await;
        assert_eq!(refused(&refusal), (403, 1005), "{pin:?}");
    }
    for _ in 0..2 {
        let asked = gateway.call("POST", "/v1/account", &request(Some("123456"))).await;
        assert_eq!(asked.status, 202, "{}", asked.body);
    }
    let late = gateway.call("POST", "/v1/account", &request(Some("123456"))).await;
    assert_eq!(refused(&late), (403, 1005));
    let details = late.body["errors"][0]["details"].as_str().unwrap();
    assert!(details.starts_with("Please wait 1 hour(s)") || details.contains("minute(s)"));
    assert!(late.headers.contains_key("retry-after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_learns_how_customers_see_the_business() {
    let gateway = Gateway::start().await;
    let (business, about) = ("/v1/settings/business/profile", "/v1/settings/profile/about");
    let empty = json!({
        "address": "", "description": "", "email": "", "vertical": "", "websites": [],
    });
    let shown = gateway.call("GET", business, "").await;
    assert_eq!(shown.body["settings"]["business"]["profile"], empty);
    let shown = gateway.call("GET", about, "").await;
    let hey = "Hey there! I am using WhatsApp.";
    assert_eq!(shown.body["settings"]["profile"]["about"]["text"], hey);

    let patch = json!({"vertical": "Education", "websites": ["https://example.org/a"]});
    assert_eq!(gateway.call("POST", business, &patch.to_string()).await.status, 200);
    let patch = json!({"email": "hello@example.org", "address": "Main Street 1"});
    assert_eq!(gateway.call("POST", business, &patch.to_string()).await.status, 200);
    assert_eq!(gateway.call("PATCH", about, r#"{"text":"Open"}"#).await.status, 200);
    let long = "x".repeat(257);
    for (path, method, body, code) in [
        (business, "POST", json!({}), 1008),
        (business, "POST", json!({"address": long}), 1009),
        (business, "POST", json!({"email": "nobody"}), 1009),
        (business, "POST", json!({"vertical": "EDU"}), 1009),
        (business, "POST", json!({"vertical": ""}), 1009),
        (business, "POST", json!({"websites": ["ftp://example.org"]}), 1009),
        (business, "POST", json!({"websites": ["http://a.b", "http://a.b", "http://a.b"]}), 1009),
        (business, "POST", json!({"surplus": 1}), 1010),
        (about, "PATCH", json!({"text": "x".repeat(140)}), 1009),
        (about, "PATCH", json!({}), 1008),
    ] {
        let refusal = gateway.call(method, path, &body.to_string()).await;
        assert_eq!(refused(&refusal), (400, code), "{body}: {}", refusal.body);
    }
    let known = gateway.network("GET", "/businesses/15550100100", &Value::Null).await;
    let expected = json!({
        "address": "Main Street 1", "description": "", "email": "hello@example.org",
        "vertical": "Education", "websites": ["https://example.org/a"], "about": "Open",
    });
    assert_eq!(known["profile"], expected);

    let photo = "/v1/settings/profile/photo";
    let none = gateway.call("GET", photo, "").await;
    assert_eq!(refused(&none), (404, 1006));
    assert_eq!(none.body["errors"][0]["details"], "No picture set.");
    assert_eq!(refused(&gateway.call("POST", photo, "GIF89a").await), (400, 1009));
    let set = gateway.post_bytes(photo, PICTURE).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.body);
    let got = gateway.call("GET", photo, "").await;
    assert_eq!(
        (got.status, &got.headers["content-type"]),
        (StatusCode::OK, &"image/jpeg".parse().unwrap())
    );
    let link = gateway.call("GET", &format!("{photo}?format=link"), "").await;
    let link = link.body["settings"]["profile"]["photo"]["link"].as_str().unwrap().to_owned();
    assert!(link.starts_with("https://") && link.ends_with(photo), "{link}");
    let known = gateway.network("GET", "/businesses/15550100100", &Value::Null).await;
    assert!(known["photo_bytes"].as_u64().unwrap() > 100);
    assert_eq!(gateway.call("DELETE", photo, "").await.status, 200);
    assert_eq!(refused(&gateway.call("GET", photo, "").await), (404, 1006));

    // As generated clients send it.
    let form = [
        &b"--XX\r\nContent-Disposition: form-data; name=\"File\"; filename=\"a.png\"\r\n\
           Content-Type: image/png\r\n\r\n"[..],
        PICTURE,
        b"\r\n--XX--\r\n",
    ]
    .concat();
    let request = http::Request::post(photo)
        .header("host", "gateway")
        .header("authorization", gateway.token())
        .header("content-type", "multipart/form-data; boundary=XX")
        .body(http_body_util::Full::new(bytes::Bytes::from(form)));
    let (status, _, body) = support::exchange(gateway.http, request.unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{body:?}");
    assert_eq!(gateway.call("GET", photo, "").await.status, StatusCode::OK);
    assert_eq!(gateway.call("DELETE", photo, "").await.status, 200);
    assert_eq!(refused(&gateway.call("GET", photo, "").await), (404, 1006));
}

/// A grey PNG of one pixel.
const PICTURE: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52,
    0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00, 0x00, 0x3a, 0x7e, 0x9b,
    0x55, 0x00, 0x00, 0x00, 0x0a, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0x68, 0x00, 0x00, 0x00,
    0x82, 0x00, 0x81, 0x77, 0xcd, 0x72, 0xb6, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae,
    0x42, 0x60, 0x82,
];
