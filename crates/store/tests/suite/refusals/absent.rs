//! Servers that are not there, not yet there, or not what they should be.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use store::{Settings, Store};
use tokio::{io::AsyncWriteExt, net::TcpListener, time::Instant};

use super::{
    Case, Engine, certificates::Authority, check, of_each_engine, server::USER, trusting, unique,
};
use crate::{
    database::{client, rng},
    proxy::Proxy,
};

of_each_engine!(
    a_server_that_is_not_there_is_told_from_one_of_another_kind,
    a_server_that_comes_up_late_is_waited_for,
    a_server_that_is_going_down_is_asked_again_until_patience_ends,
);

/// Says the same to everybody who comes, and no more.
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

async fn a_server_that_is_not_there_is_told_from_one_of_another_kind(engine: Engine) {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let (mute, web) = (speaker(b"").await, speaker(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
    let other = engine.other().database().await;
    let others = other.address().port();
    let name = &unique("nowhere");
    let tls = trusting(&Authority::new("ours").certificate);
    let place: &[&str] = &["database.host (WA_DB_HOSTNAME)", "database.port (WA_DB_PORT)"];
    let wrong = engine.pick(
        &["database.engine (WA_DB_ENGINE)", "is MySQL or MariaDB, not PostgreSQL"],
        &["database.engine (WA_DB_ENGINE)", "is PostgreSQL, not MySQL or MariaDB"],
    );
    let brief = Duration::from_millis(300);
    let hasty = |settings| Settings { connect_timeout: brief, ..settings };
    let here = |port| engine.at("127.0.0.1", port, USER, name);
    let with_tls = |settings| Settings { tls: tls.clone(), ..settings };
    let case = |name, settings, code, words| Case { name, settings, refused: Some((code, words)) };
    check(vec![
        case("nobody listens", here(closed), "store_refused", place),
        case(
            "an unknown name",
            engine.at("database.invalid", 5432, USER, name),
            "store_unresolved",
            &["database.invalid", "database.host (WA_DB_HOSTNAME)"],
        ),
        case("no answer", hasty(here(mute)), "store_silent", &["0.3 s", "connect_timeout_ms"]),
        case("no answer to TLS", with_tls(hasty(here(mute))), "store_silent", place),
        case("the other kind", hasty(here(others)), "store_wrong_engine", wrong),
        case(
            "the other kind, with TLS",
            with_tls(hasty(here(others))),
            "store_wrong_engine",
            wrong,
        ),
        case("a web server", hasty(here(web)), "store_wrong_engine", &["no database server"]),
    ])
    .await;
    other.remove().await;
}

async fn a_server_that_comes_up_late_is_waited_for(engine: Engine) {
    let database = engine.database().await;
    let proxy = Proxy::late(database.address(), b"no such words".to_vec(), 5).await;
    let settings = Settings { lanes: Some(2), ..Settings::new(database.url_at(proxy.port)) };
    let store = Store::open(settings, rng()).await.unwrap();
    assert_eq!(proxy.drops(), 0, "it was there at once");
    assert_eq!(store.cluster().shards().await.unwrap().len(), 65);
    database.remove().await;
}

/// PostgreSQL waits for its last client and lets no other in meanwhile; MariaDB throws all out.
async fn a_server_that_is_going_down_is_asked_again_until_patience_ends(engine: Engine) {
    let server = engine.server(None).await;
    let settings = Settings::parse(&server.url).unwrap();
    let last = engine.hold(&settings).await;
    match engine {
        Engine::Postgres => {
            let admin = client(&server.url).await;
            let row = admin.query_one("SELECT pg_read_file('postmaster.pid')", &[]).await.unwrap();
            let pid = row.get::<_, &str>(0).lines().next().unwrap().to_owned();
            let kill = std::process::Command::new("kill").args(["-TERM", &pid]).status();
            assert!(kill.unwrap().success());
        }
        Engine::Mariadb => {
            let mut admin = mysql_async::Conn::from_url(&server.url).await.unwrap();
            admin.query_drop("SHUTDOWN").await.unwrap();
        }
    }
    let refuses = async || match engine {
        Engine::Postgres => {
            let error = tokio_postgres::connect(&server.url, tokio_postgres::NoTls).await.err();
            error.is_some_and(|error| error.code().is_some())
        }
        Engine::Mariadb => mysql_async::Conn::from_url(&server.url).await.is_err(),
    };
    let until = Instant::now() + Duration::from_secs(30);
    while !refuses().await {
        assert!(Instant::now() < until, "it does not go down");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let patience = Duration::from_millis(700);
    let settings = Settings { start_wait: patience, ..settings };
    let start = Instant::now();
    let error = Store::open(settings, rng()).await.err().unwrap();
    assert!(start.elapsed() >= patience, "given up after {:?}", start.elapsed());
    assert_eq!(error.code(), engine.pick("store_not_serving", "store_refused"));
    assert!(error.to_string().contains("database.start_wait_ms"), "{error}");
    drop(last);
}
