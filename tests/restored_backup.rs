//! A database that is put back from a backup: nobody at the other end notices, but for new sessions.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Output,
    sync::Arc,
};

use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use serde_json::json;
use support::{Gateway, PASSWORD, network::Network, until, webhook::Webhook};
use tokio::process::Command;

const ANNA: &str = "4915112345678";
const BERT: &str = "4915112345679";
const NEW: &str = "4915112345680";

/// A business with its network and its webhook, and the copies of its database.
struct Business {
    directory: Arc<tempfile::TempDir>,
    network: Network,
    webhook: Webhook,
}

impl Business {
    async fn open() -> (Self, Gateway) {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let (network, webhook) = (Network::start().await, Webhook::start().await);
        let mut gateway = Gateway::start_on(directory.clone(), &network).await;
        gateway.login("secret", &json!({ "new_password": PASSWORD })).await;
        let webhooks = json!({"url": webhook.url(), "message": {"sent": false}});
        gateway.settings(json!({"callback_backoff_delay_ms": 50, "webhooks": webhooks})).await;
        (Self { directory, network, webhook }, gateway)
    }

    async fn start(&self) -> Gateway {
        let mut gateway = Gateway::start_on(self.directory.clone(), &self.network).await;
        let login = gateway.login(PASSWORD, &json!({})).await;
        assert!(login.status.is_success(), "{}", login.body);
        gateway
    }

    async fn stop(&self, gateway: Gateway) {
        let (status, _) = gateway.stop().await;
        assert!(status.success(), "{status}");
    }

    fn database(&self) -> PathBuf {
        self.directory.path().join("heliograph.db")
    }

    /// Copies the stopped database.
    fn back_up(&self) -> tempfile::TempDir {
        let backup = tempfile::tempdir().unwrap();
        copy_files(self.directory.path(), backup.path());
        backup
    }

    fn restore(&self, backup: &tempfile::TempDir) {
        for file in database_files(self.directory.path()) {
            std::fs::remove_file(file).unwrap();
        }
        copy_files(backup.path(), self.directory.path());
    }

    async fn migrate(&self, options: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_heliograph"))
            .arg("migrate")
            .arg("--database")
            .arg(format!("sqlite:{}", self.database().display()))
            .args(options)
            .output()
            .await
            .unwrap()
    }

    /// Sends and waits until the phone has read it and the webhook knows.
    async fn send(&self, gateway: &Gateway, to: &str, text: &str) {
        let id = gateway.send(to, text).await;
        until(text, async || {
            self.webhook.statuses_of(&id).contains(&"read".to_owned()).then_some(())
        })
        .await;
        assert!(gateway.texts_at(to).await.contains(&text.to_owned()));
    }

    /// The customer writes; waits until the webhook knows.
    async fn hear(&self, gateway: &Gateway, from: &str, text: &str) {
        gateway.write_from(from, text).await;
        until(text, async || self.webhook.texts().contains(&text.to_owned()).then_some(())).await;
    }

    /// What must hold whatever was put back.
    async fn check(&self) {
        let stats = self.network.stats().await;
        for counter in ["key_reuse", "different_bytes", "delivered_twice"] {
            assert_eq!(stats[counter], 0, "{counter}: {stats}");
        }
        assert_eq!(stats["undecryptable"], json!({}), "{stats}");
        let mut known = HashMap::new();
        for (id, body) in self.webhook.ids() {
            let before = known.insert(id.clone(), body.clone());
            assert!(before.is_none_or(|before| before == body), "two callbacks with the id {id}");
        }
        let texts = self.webhook.texts();
        let once = |text: &String| texts.iter().filter(|other| *other == text).count() == 1;
        assert!(texts.iter().all(once), "a customer's message came twice: {texts:?}");
    }

    /// The generation of the last callback.
    fn generation(&self) -> i64 {
        let ids = self.webhook.ids();
        ids.last().unwrap().0.split('.').next().unwrap().parse().unwrap()
    }
}

fn database_files(directory: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let is_one = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("heliograph.db") && !name.ends_with(".lock")
    };
    files.filter(is_one).collect()
}

fn copy_files(from: &Path, to: &Path) {
    for file in database_files(from) {
        std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_put_back_and_the_network_tells_that_it_is_old() {
    restored(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_put_back_and_its_operator_says_so() {
    restored(true).await;
}

async fn restored(by_hand: bool) {
    let (business, gateway) = Business::open().await;
    business.send(&gateway, ANNA, "one").await;
    business.hear(&gateway, ANNA, "answer one").await;
    business.send(&gateway, BERT, "one for Bert").await;
    business.stop(gateway).await;
    let backup = business.back_up();

    // What the backup does not know of, in both directions and with a stranger.
    let gateway = business.start().await;
    business.send(&gateway, ANNA, "two").await;
    business.hear(&gateway, ANNA, "answer two").await;
    business.send(&gateway, ANNA, "three").await;
    business.hear(&gateway, BERT, "answer of Bert").await;
    business.send(&gateway, NEW, "one for a stranger").await;
    business.hear(&gateway, NEW, "answer of a stranger").await;
    business.stop(gateway).await;
    let before = business.network.sessions_of(ANNA).await;
    assert_eq!(business.generation(), 1);

    business.restore(&backup);
    if by_hand {
        let output = business.migrate(&["--after-restore"]).await;
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(told.contains("nothing to migrate") && told.contains("generation"), "{told}");
    }
    let gateway = business.start().await;
    // Customers go on with the sessions they have.
    business.hear(&gateway, ANNA, "answer three").await;
    business.hear(&gateway, NEW, "another answer of a stranger").await;
    for customer in [ANNA, BERT, NEW, "4915112345681"] {
        business.send(&gateway, customer, "after the restore").await;
        business.hear(&gateway, customer, &format!("{customer} answers")).await;
        business.send(&gateway, customer, "and on").await;
    }
    assert_eq!(gateway.metric("generations_begun", "").await, 1.0);
    let generation = business.generation();
    assert!(generation > 1_700_000_000, "{generation}");
    assert_eq!(gateway.metric("account_generation", "").await, generation as f64);
    assert_eq!(gateway.log.lock().unwrap().matches("HG-GENERATION-1").count(), 1, "said once");
    let sessions = business.network.sessions_of(ANNA).await;
    assert!(!before.contains(sessions.last().unwrap()), "an old session was used again");
    business.check().await;

    // It stays so: nothing is begun again at the next start.
    business.stop(gateway).await;
    let gateway = business.start().await;
    business.send(&gateway, ANNA, "after another start").await;
    assert_eq!(gateway.metric("generations_begun", "").await, 0.0);
    assert_eq!(business.generation(), generation);
    business.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_network_cannot_notice_is_safe_once_the_operator_has_said_so() {
    let (business, gateway) = Business::open().await;
    business.send(&gateway, ANNA, "one").await;
    business.stop(gateway).await;
    let backup = business.back_up();

    // No receipt, so no event of ours: only the phone's side of the session moves on.
    let gateway = business.start().await;
    business.network.set_offline(ANNA, true).await;
    gateway.send(ANNA, "two").await;
    until("the network has it", async || {
        (business.network.stats().await["accepted"] == 2).then_some(())
    })
    .await;
    business.stop(gateway).await;

    business.restore(&backup);
    let output = business.migrate(&["--after-restore"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let gateway = business.start().await;
    gateway.send(ANNA, "three").await;
    until("the network has it", async || {
        (business.network.stats().await["accepted"] == 3).then_some(())
    })
    .await;
    assert_eq!(gateway.metric("generations_begun", "").await, 0.0);
    business.network.set_offline(ANNA, false).await;
    until("all of them", async || (gateway.texts_at(ANNA).await.len() == 3).then_some(())).await;
    let mut texts = gateway.texts_at(ANNA).await;
    texts.sort();
    assert_eq!(texts, ["one", "three", "two"]);
    business.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_is_not_begun_while_a_coreapp_lives() {
    let (business, gateway) = Business::open().await;
    let output = business.migrate(&["--after-restore"]).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(told.contains("another coreapp uses it") && told.contains("HG-GENERATION-2"), "{told}");
    business.send(&gateway, ANNA, "one").await;
    business.stop(gateway).await;

    // Again and again, each says what it does.
    for _ in 0..2 {
        let output = business.migrate(&[]).await;
        assert!(output.status.success());
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.contains("nothing to migrate: the SQLite database is at 2"), "{told}");
        assert!(!told.contains("generation"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_put_back_by_hand_is_seen_and_made_anew() {
    let (business, gateway) = Business::open().await;
    business.send(&gateway, ANNA, "one").await;
    business.hear(&gateway, ANNA, "answer one").await;
    business.stop(gateway).await;
    let backup = business.back_up();
    let gateway = business.start().await;
    business.send(&gateway, ANNA, "two").await;
    business.stop(gateway).await;
    let before = business.network.sessions_of(ANNA).await;

    let mut database = SqliteConnection::establish(business.database().to_str().unwrap()).unwrap();
    let old = backup.path().join("heliograph.db");
    let put_back = format!(
        "ATTACH '{}' AS old; REPLACE INTO main.session SELECT * FROM old.session;",
        old.display()
    );
    database.batch_execute(&put_back).unwrap();
    drop(database);

    let gateway = business.start().await;
    business.send(&gateway, ANNA, "three").await;
    business.hear(&gateway, ANNA, "answer three").await;
    assert_eq!(gateway.metric("sessions_refused", "").await, 1.0);
    assert_eq!(
        gateway.metric("generations_begun", "").await,
        0.0,
        "one row is no restored database"
    );
    assert!(gateway.log.lock().unwrap().contains("is not the one that was written last"));
    let sessions = business.network.sessions_of(ANNA).await;
    assert!(!before.contains(sessions.last().unwrap()), "the old session was used again");
    business.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn epochs_rise_above_those_the_network_has_seen() {
    let (business, gateway) = Business::open().await;
    business.send(&gateway, ANNA, "one").await;
    business.stop(gateway).await;
    let backup = business.back_up();
    // Two starts that the backup does not know of, without a message.
    for _ in 0..2 {
        let gateway = business.start().await;
        until("attached", async || {
            let stats = business.network.stats().await;
            (stats["numbers"]["15550100100"]["attached_shards"] == 65).then_some(())
        })
        .await;
        business.stop(gateway).await;
    }

    business.restore(&backup);
    let gateway = business.start().await;
    business.send(&gateway, ANNA, "two").await;
    business.hear(&gateway, ANNA, "answer two").await;
    assert_eq!(gateway.metric("shard_epochs_raised", "").await, 65.0);
    assert_eq!(
        gateway.metric("generations_begun", "").await,
        1.0,
        "such a database is old as well"
    );
    business.check().await;
}
