//! Servers that are not there, not yet there, or not what they should be.

use std::time::Duration;

use store::{Settings, Store};
use tokio::{io::AsyncWriteExt, net::TcpListener, time::Instant};

use super::{Case, at, certificates::Authority, check, server::USER, trusting, unique};
use crate::{
    database::{Database, Server, client, rng},
    proxy::Proxy,
};

/// Greets like MySQL 8 (protocol version 10), and says no more.
const MYSQL: &[u8] = b"J\0\0\0\x0a8.0.36\0\x08\0\0\0";

async fn speaker(words: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(words).await.unwrap_or_default();
            open.push(stream);
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_told_from_one_of_another_kind() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let (mute, mysql) = (speaker(b"").await, speaker(MYSQL).await);
    let web = speaker(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let name = &unique("nowhere");
    let tls = trusting(&Authority::new("ours").certificate);
    let place: &[&str] = &["database.host (WA_DB_HOSTNAME)", "database.port (WA_DB_PORT)"];
    let other: &[&str] = &["database.engine (WA_DB_ENGINE)", "MySQL", "not PostgreSQL"];
    let brief = Duration::from_millis(300);
    let hasty = |settings| Settings { connect_timeout: brief, ..settings };
    let here = |port| at("127.0.0.1", port, USER, name);
    let case = |name, settings, code, words| Case { name, settings, refused: Some((code, words)) };
    check(vec![
        case("nobody listens", here(closed), "store_refused", place),
        case(
            "an unknown name",
            at("database.invalid", 5432, USER, name),
            "store_unresolved",
            &["database.invalid", "database.host (WA_DB_HOSTNAME)"],
        ),
        case("no answer", hasty(here(mute)), "store_silent", &["0.3 s", "connect_timeout_ms"]),
        case(
            "no answer to TLS",
            Settings { tls: tls.clone(), ..hasty(here(mute)) },
            "store_silent",
            place,
        ),
        case("MySQL", hasty(here(mysql)), "store_wrong_engine", other),
        case("MySQL, with TLS", Settings { tls, ..here(mysql) }, "store_wrong_engine", other),
        case("a web server", hasty(here(web)), "store_wrong_engine", &["no database server"]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_up_late_is_waited_for() {
    let database = Database::postgres().await;
    let proxy = Proxy::late(database.address(), b"no such words".to_vec(), 5).await;
    let settings = Settings { lanes: Some(2), ..Settings::new(database.url_at(proxy.port)) };
    let store = Store::open(settings, rng()).await.unwrap();
    assert_eq!(proxy.drops(), 0, "it was there at once");
    assert_eq!(store.cluster().shards().await.unwrap().len(), 65);
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_going_down_is_asked_again_until_patience_ends() {
    let server = Server::start("postgres", None).await;
    let admin = client(&server.url).await;
    let row = admin.query_one("SELECT pg_read_file('postmaster.pid')", &[]).await.unwrap();
    let pid = row.get::<_, &str>(0).lines().next().unwrap().to_owned();
    // It waits for its last client, and lets no other in meanwhile.
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let refuses = async || {
        let error = tokio_postgres::connect(&server.url, tokio_postgres::NoTls).await.err();
        error.is_some_and(|error| error.code().is_some())
    };
    let until = Instant::now() + Duration::from_secs(30);
    while !refuses().await {
        assert!(Instant::now() < until, "it does not go down");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let patience = Duration::from_millis(700);
    let settings = Settings { start_wait: patience, ..Settings::parse(&server.url).unwrap() };
    let start = Instant::now();
    let error = Store::open(settings, rng()).await.err().unwrap();
    assert!(start.elapsed() >= patience, "given up after {:?}", start.elapsed());
    assert_eq!(error.code(), "store_not_serving");
    assert!(error.to_string().contains("database.start_wait_ms"), "{error}");
    drop(admin);
}
