//! Several coreapps on one database, any of which may die, leave or join while messages come in.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use http::StatusCode;
use rpc::coreapp::{
    GetSettingsRequest, WatchRequest, admin_client::AdminClient, directory_client::DirectoryClient,
};
use serde_json::json;
use support::{
    PATIENCE, call,
    roles::{Roles, SHARDS},
    server::Server,
    until,
    webhook::Webhook,
};
use tokio::time::Instant;

/// Phones that are written to; they lie in nearly all shards.
const PHONES: usize = 300;
const CLIENTS: usize = 8;
/// Messages by which a load has gone on.
const GOES_ON: usize = 200;

fn phone(n: usize) -> String {
    format!("4915100{:05}", 10 + n % PHONES)
}

/// Clients that send one message after another, until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
    clients: Vec<tokio::task::JoinHandle<Sent>>,
}

/// What a client has sent.
#[derive(Default)]
struct Sent {
    /// Id, phone and text of what was answered 201.
    accepted: Vec<(String, String, String)>,
    /// Answers 503; each call was repeated under its name, as clients do.
    unavailable: Vec<String>,
}

impl Load {
    fn start(roles: &Arc<Roles>, name: &'static str) -> Self {
        let (stop, accepted) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let client = |client| {
            let (roles, stop, accepted) = (roles.clone(), stop.clone(), accepted.clone());
            tokio::spawn(async move {
                let mut sent = Sent::default();
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let (to, text) = (phone(n * CLIENTS + client), format!("{name} {client} {n}"));
                    let body =
                        json!({"to": to, "type": "text", "text": {"body": text}}).to_string();
                    let deadline = Instant::now() + PATIENCE;
                    let id = loop {
                        assert!(Instant::now() < deadline, "not accepted: {:?}", sent.unavailable);
                        let key = [("idempotency-key", &*text)];
                        let answer = roles.call(0, "POST", "/v1/messages", &key, &body).await;
                        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
                            sent.unavailable.push(answer.body.to_string());
                            continue;
                        }
                        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
                        let id = answer.body.pointer("/messages/0/id").unwrap().as_str();
                        break id.unwrap().to_owned();
                    };
                    sent.accepted.push((id, to, text));
                    accepted.fetch_add(1, Ordering::Relaxed);
                }
                sent
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { stop, accepted, clients }
    }

    /// Until so many more are accepted.
    async fn goes_on(&self) {
        let enough = self.accepted.load(Ordering::Relaxed) + GOES_ON;
        until("the load to go on", async || {
            (self.accepted.load(Ordering::Relaxed) >= enough).then_some(())
        })
        .await;
    }

    async fn end(self) -> Sent {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Sent::default();
        for client in self.clients {
            let sent = client.await.unwrap();
            all.accepted.extend(sent.accepted);
            all.unavailable.extend(sent.unavailable);
        }
        all
    }
}

async fn coreapps_come_and_go(server: Server) {
    let webhook = Webhook::start().await;
    let roles = Arc::new(Roles::start_on(Some(&server.url), 2, 3, 1, &[]).await);
    let settings = json!({"webhooks": {
        "url": webhook.url(),
        "message": {"sent": true, "delivered": true, "read": true},
    }});
    let path = "/v1/settings/application";
    let answer = roles.call(0, "PATCH", path, &[], &settings.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    roles.shared_by(&[0, 1]).await;
    let mut everything = Vec::new();

    // One dies.
    let load = Load::start(&roles, "kill");
    load.goes_on().await;
    roles.kill("core-1").await;
    until("the other has everything", async || (roles.shards_of(0).await == SHARDS).then_some(()))
        .await;
    load.goes_on().await;
    everything.extend(load.end().await.accepted);

    // One joins and gets its share, without a failed call.
    let load = Load::start(&roles, "join");
    roles.start_core(2);
    roles.shared_by(&[0, 2]).await;
    // The one that leaves hands everything over, without a failed call.
    let status = roles.terminate("core-0", PATIENCE).await;
    assert!(status.success(), "{status}");
    roles.shared_by(&[2]).await;
    load.goes_on().await;
    let sent = load.end().await;
    assert!(sent.unavailable.is_empty(), "{:?}", sent.unavailable);
    everything.extend(sent.accepted);

    // What belongs to the account is kept by whoever is left.
    let answer = roles.call(0, "PATCH", path, &[], r#"{"callback_backoff_delay_ms":4000}"#).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let answer = roles.call(0, "GET", path, &[], "").await;
    let shown = answer.body.pointer("/settings/application/callback_backoff_delay_ms");
    assert_eq!(shown.unwrap(), &json!(4000), "{}", answer.body);

    // Every 201 is at its phone once, and its callbacks came.
    let mut expected: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (_, to, text) in &everything {
        expected.entry(to).or_default().push(text);
    }
    for (phone, mut texts) in expected {
        texts.sort_unstable();
        until("everything is at the phone", async || {
            let mut there = roles.texts_at(phone).await;
            assert!(there.len() <= texts.len(), "more than once at {phone}: {there:?}");
            there.sort_unstable();
            (there == texts).then_some(())
        })
        .await;
    }
    for (id, ..) in &everything {
        until("all callbacks of a message", async || {
            let statuses = webhook.statuses_of(id);
            let came = |status: &str| statuses.iter().any(|came| came == status);
            (came("sent") && came("delivered") && came("read")).then_some(())
        })
        .await;
    }
}

/// The settings as each of these shows them.
async fn settings_at(roles: &Roles, cores: &[usize]) -> Vec<serde_json::Value> {
    let mut shown = Vec::new();
    for core in cores {
        let channel = roles.control_of(*core).await;
        let settings = AdminClient::new(channel).get_settings(GetSettingsRequest {}).await;
        shown.push(serde_json::from_slice(&settings.unwrap().into_inner().application).unwrap());
    }
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_the_account_is_one_for_all_coreapps() {
    let server = Server::postgres("account");
    let webhook = Webhook::start().await;
    let roles = Roles::start_on(Some(&server.url), 3, 3, 1, &[]).await;
    roles.shared_by(&[0, 1, 2]).await;

    // A change is in force everywhere when it is answered, and a token that was logged out is void.
    for delay in [4_000, 4_001, 4_002] {
        roles
            .settings(json!({
                "callback_backoff_delay_ms": delay,
                "webhooks": {"url": webhook.url()},
            }))
            .await;
        for shown in settings_at(&roles, &[0, 1, 2]).await {
            assert_eq!(shown["callback_backoff_delay_ms"], delay);
        }
    }
    let (revoked, login) = (roles.another_token().await, roles.another_token().await);
    let logout = call(roles.webapps[0], "POST", "/v1/users/logout", &revoked, "").await;
    assert_eq!(logout.status, StatusCode::OK, "{}", logout.body);
    for core in [0, 1, 2] {
        let channel = roles.control_of(core).await;
        let request = WatchRequest { webapp: "test".to_owned() };
        let mut watch = DirectoryClient::new(channel).watch(request).await.unwrap().into_inner();
        let snapshot = watch.message().await.unwrap().unwrap();
        assert_eq!(snapshot.revocations.unwrap().rands.len(), 1, "core-{core}");
        assert_eq!(snapshot.shards.unwrap().owners.iter().filter(|it| it.is_empty()).count(), 0);
    }
    let path = "/v1/contacts";
    for (token, status) in [(&revoked, StatusCode::UNAUTHORIZED), (&login, StatusCode::OK)] {
        let body = json!({"contacts": ["4915112345678"], "blocking": "wait"}).to_string();
        assert_eq!(call(roles.webapps[0], "POST", path, token, &body).await.status, status);
    }

    // Contact checks are answered by the shards of all coreapps; one call at a time asks the network.
    let numbers: Vec<String> = (0..400).map(|n| format!("4915200{:05}", 10 + n)).collect();
    let checks = numbers.chunks(50).map(|numbers| {
        let body = json!({"contacts": numbers, "blocking": "wait"}).to_string();
        let roles = &roles;
        async move { roles.call(0, "POST", path, &[], &body).await }
    });
    for answer in futures_util::future::join_all(checks).await {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let contacts = answer.body["contacts"].as_array().unwrap();
        assert!(contacts.len() == 50 && contacts.iter().all(|c| c["status"] == "valid"));
    }
    let stats = roles.network("/stats").await;
    assert_eq!(stats["in_flight"]["contact_syncs_max"], 1, "{stats}");
    assert_eq!(stats["contact_sync"]["refused_concurrent"], 0, "{stats}");

    // Customers who never wrote before use keys that one coreapp has made; all can read them.
    let customers: Vec<String> = (0..60).map(|n| format!("4915300{:05}", 10 + n)).collect();
    for customer in &customers {
        roles.write_from(customer, &format!("hello from {customer}")).await;
    }
    until("every customer is read", async || {
        let texts = webhook.texts();
        let read = |customer: &String| texts.contains(&format!("hello from {customer}"));
        customers.iter().all(read).then_some(())
    })
    .await;
    let stats = roles.network("/stats").await;
    assert_eq!(stats["retries"]["requested"], 0, "somebody could not read at once: {stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_coreapps_come_and_go_without_a_lost_message() {
    coreapps_come_and_go(Server::postgres("coreapps")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_mariadb_coreapps_come_and_go_without_a_lost_message() {
    coreapps_come_and_go(Server::mariadb("coreapps")).await;
}
