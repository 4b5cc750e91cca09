//! What a gateway says of itself: support information, counts of the database, health in all its states.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use http::StatusCode;
use serde_json::{Value, json};
use support::{Gateway, call, free_ports, roles::Roles, until};
use tokio::{net::TcpStream, process::Command};

const PHONE: &str = "4915112345678";
const NOBODY: &str = "4915112340000";
const KEY: &str = "an-api-key-of-monitoring";

/// What rest-api documentation and the clients written by it know.
const FIELDS: [&str; 22] = [
    "context",
    "db_engine",
    "db_info",
    "debug_info",
    "description",
    "device_iso8601",
    "e2e",
    "env",
    "expire_timestamp",
    "free_space_data",
    "free_space_logs",
    "free_space_media_incoming",
    "free_space_media_outgoing",
    "lc",
    "lg",
    "multi_connect",
    "os_name",
    "os_version",
    "role",
    "schema",
    "shards",
    "socket_conn",
];

#[tokio::test(flavor = "multi_thread")]
async fn support_information_has_every_documented_field_and_no_secret() {
    let secrets = [
        ("WA_SECRET", "a secret of the whole deployment, long enough"),
        ("HELIOGRAPH_COREAPP__MASTER_KEY", &"5e".repeat(32)),
        ("WA_API_KEY", KEY),
    ];
    let environment = [&secrets[..], &[("WA_RUNNING_ENV", "a-test")]].concat();
    let roles = Roles::start_in(1, &environment).await;
    let support = until("the network is connected", async || {
        let answer = roles.call(0, "GET", "/v1/support", &[], "").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let support = answer.body["support"].clone();
        (support["socket_conn"] == "UP").then_some(support)
    })
    .await;
    for field in FIELDS {
        assert!(support.get(field).is_some(), "{field} of {support}");
    }
    assert_eq!(support["context"], "healthcheck");
    assert_eq!(support["db_engine"], "SQLITE");
    assert_eq!(support["debug_info"], "15550100100");
    assert_eq!(support["role"], "primary_master");
    assert_eq!(support["shards"], json!([[-1, -1], [0, 63]]));
    assert_eq!(support["multi_connect"], false);
    assert!(support["schema"]["axolotl"].as_u64().unwrap() > 20, "{support}");
    assert!(support["e2e"]["registration_id"].as_u64().unwrap() > 0, "{support}");
    assert!(support["e2e"]["identity_timestamp"].as_u64().unwrap() > 1_700_000_000, "{support}");
    assert!(support["free_space_data"].as_u64().unwrap() > 0, "{support}");
    assert!(support["free_space_media_incoming"].as_u64().unwrap() > 0, "{support}");
    let variables = support["env"].as_array().unwrap();
    assert!(variables.contains(&json!("WA_RUNNING_ENV=a-test")), "{support}");
    assert!(variables.contains(&json!("WA_SECRET")), "{support}");
    let shown = support.to_string();
    for (name, secret) in secrets {
        assert!(!shown.contains(secret), "{name} in {shown}");
    }

    let with_key = call(roles.webapps[0], "GET", "/v1/support", &format!("Apikey {KEY}"), "").await;
    assert_eq!(with_key.status, StatusCode::UNAUTHORIZED, "the API key is for figures alone");
}

fn value(stats: &Value, name: &str, kind: &str) -> u64 {
    let data = stats["stats"]["db"][name]["data"].as_array().unwrap();
    let of = |one: &&Value| kind.is_empty() || one["labels"]["type"] == kind;
    data.iter().find(of).unwrap()["value"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_holds_is_counted_when_somebody_asks() {
    let gateway = Gateway::start().await;
    for text in ["one", "two"] {
        gateway.send(PHONE, text).await;
    }
    let check = json!({"contacts": [NOBODY, PHONE], "blocking": "wait"}).to_string();
    assert_eq!(gateway.call("POST", "/v1/contacts", &check).await.status, StatusCode::OK);
    let hello = json!({"type": "text", "text": {"body": "hello"}});
    gateway.network("POST", &format!("/phones/{PHONE}/messages"), &hello).await;
    // Two sent, two delivered, two read, one customer's message.
    until("all events are there", async || {
        let events = gateway.call("GET", "/v1/events", "").await;
        (events.body["events"].as_array().unwrap().len() == 7).then_some(())
    })
    .await;
    assert_eq!(gateway.metric("in_message_persisted", "").await, 1.0);
    for status in ["sent", "delivered", "read"] {
        assert_eq!(gateway.metric("out_message_status", status).await, 2.0, "{status}");
    }
    let stats = gateway.call("GET", "/v1/stats/db", "").await;
    assert_eq!(stats.status, StatusCode::OK, "{}", stats.body);
    assert_eq!(value(&stats.body, "db_contacts", "whatsapp_user"), 1, "{}", stats.body);
    assert_eq!(value(&stats.body, "db_contacts", "non_whatsapp_user"), 1, "{}", stats.body);
    assert_eq!(value(&stats.body, "db_messages", "outgoing"), 2, "{}", stats.body);
    assert_eq!(value(&stats.body, "db_messages", "incoming"), 1, "{}", stats.body);
    assert_eq!(value(&stats.body, "db_message_receipts", ""), 6, "{}", stats.body);
    for path in ["/v1/stats/db/internal", "/v1/stats/app/internal"] {
        assert_eq!(gateway.call("GET", path, "").await.status, StatusCode::OK, "{path}");
    }
    let internal = gateway.call("GET", "/v1/stats/db/internal", "").await;
    assert_eq!(internal.body["stats"], stats.body["stats"]);
}

/// `gateway_status` with the API key, which needs no coreapp; nothing while nobody listens.
async fn status(http: u16) -> Option<String> {
    TcpStream::connect(("127.0.0.1", http)).await.ok()?;
    let answer = call(http, "GET", "/v1/health", &format!("Apikey {KEY}"), "").await;
    answer.body["health"]["gateway_status"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_a_network_that_is_away_and_a_callback_does_once() {
    let roles = Roles::start_in(1, &[("WA_API_KEY", KEY)]).await;
    for (is, wanted) in
        [("up", "connected"), ("lost just now", "connecting"), ("away", "disconnected")]
    {
        if is == "lost just now" {
            roles.kill("sandbox").await;
        }
        until(&format!("the network is {is}"), async || {
            (status(roles.webapps[0]).await.as_deref() == Some(wanted)).then_some(())
        })
        .await;
    }
    roles.start_sandbox();
    until("the network is back", async || {
        (status(roles.webapps[0]).await.as_deref() == Some("connected")).then_some(())
    })
    .await;
    let told = until("it is told", async || {
        let events = roles.call(0, "GET", "/v1/events", &[], "").await;
        let events = events.body["events"].as_array()?.clone();
        (!events.is_empty()).then_some(events)
    })
    .await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["kind"], "errors", "{told:?}");
    assert_eq!(told[0]["payload"]["errors"][0]["code"], 1014, "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coreapp_that_waits_for_its_database_says_that_it_is_not_initialized() {
    let directory = tempfile::tempdir().unwrap();
    let [http, closed, core, _] = free_ports().await;
    let _running: Vec<_> = [
        vec!["coreapp", "--listen", "127.0.0.1", "--port", &core.to_string()],
        vec![
            "webapp",
            "--http",
            &format!("127.0.0.1:{http}"),
            "--coreapps",
            &format!("127.0.0.1:{core}"),
        ],
    ]
    .into_iter()
    .map(|arguments| {
        Command::new(env!("CARGO_BIN_EXE_heliograph"))
            .args(arguments)
            .env("HELIOGRAPH_DATABASE__URL", format!("postgres://u:p@127.0.0.1:{closed}/none"))
            .env("WA_API_KEY", KEY)
            .current_dir(directory.path())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    })
    .collect();
    until("it says so", async || {
        (status(http).await.as_deref() == Some("uninitialized")).then_some(())
    })
    .await;
}
