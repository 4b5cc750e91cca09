//! MariaDB: what differs from the cases of the other engine. Its driver verifies certificates itself,
//! and a user who needs a certificate is refused as one with a wrong password.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use store::{DatabaseUrl, Settings, Store, TlsSettings};
use telemetry::config::{Secret, SslMode};
use tokio::net::TcpListener;

use super::{
    Case,
    certificates::{Authority, Pair, file, self_signed},
    check,
    server::{CERTIFIED, PASSWORD, USER},
    trusting, unique,
};
use crate::database::{Database, Server, rng};

/// Somewhere on this machine, with [`PASSWORD`].
fn at(host: &str, port: u16, user: &str, name: &str) -> Settings {
    let url = DatabaseUrl::mysql(host, port, user, PASSWORD, name);
    let connect_timeout = Duration::from_secs(30);
    Settings { connect_timeout, start_wait: Duration::ZERO, ..Settings::new(url) }
}

fn create_user(user: &str, rights: &str) -> String {
    let password = PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");
    format!("CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY '{password}' {rights}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_told_from_one_of_another_kind() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let other = Database::postgres().await;
    let hasty = Duration::from_secs(1);
    let case = |name, port, code, words| Case {
        name,
        settings: Settings { connect_timeout: hasty, ..at("127.0.0.1", port, USER, "x") },
        refused: Some((code, words)),
    };
    let port = other.address().port();
    check(vec![
        case("nobody listens", closed, "store_refused", &["database.port (WA_DB_PORT)"]),
        case(
            "PostgreSQL",
            port,
            "store_wrong_engine",
            &["PostgreSQL, not MySQL", "database.engine (WA_DB_ENGINE)"],
        ),
    ])
    .await;
    other.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_is_told_what_an_administrator_has_to_do() {
    let database = Database::mariadb().await;
    drop(database.open().await);
    let mut admin = database.mysql_admin().await;
    let (poor, full, empty) = (unique("poor"), unique("full"), unique("empty"));
    let (port, name) = (database.address().port(), database.name());
    for statement in [
        create_user(&poor, ""),
        create_user(&full, "WITH MAX_USER_CONNECTIONS 1"),
        format!("CREATE DATABASE `{empty}`"),
        format!("GRANT SELECT, INSERT ON `{name}`.* TO '{poor}'@'127.0.0.1'"),
        format!("GRANT SELECT ON `{empty}`.* TO '{poor}'@'127.0.0.1'"),
        format!("GRANT ALL ON `{name}`.* TO '{full}'@'127.0.0.1'"),
    ] {
        admin.query_drop(statement).await.unwrap();
    }
    let Settings { url: DatabaseUrl::Mysql(opts), .. } = at("127.0.0.1", port, &full, name) else {
        panic!("MySQL")
    };
    let held = mysql_async::Conn::new(*opts).await.unwrap();
    let case = |name, user: &str, database: &str, code, words| Case {
        name,
        settings: at("127.0.0.1", port, user, database),
        refused: Some((code, words)),
    };
    let wrong = DatabaseUrl::mysql("127.0.0.1", port, &poor, "hunter2", name);
    check(vec![
        Case {
            name: "a wrong password",
            settings: Settings { url: wrong, ..at("127.0.0.1", port, &poor, name) },
            refused: Some((
                "store_password",
                &["database.username (WA_DB_USERNAME)", "database.password (WA_DB_PASSWORD)"],
            )),
        },
        case("an unknown user", "nobody-we-know", name, "store_password", &["nobody-we-know"]),
        case(
            "no database and no right to create it",
            &poor,
            &unique("missing"),
            "store_privilege",
            &["if there is one", "GRANT ALL"],
        ),
        case(
            "tables that may only be added to",
            &poor,
            name,
            "store_privilege",
            &["DELETE", "GRANT SELECT, INSERT, UPDATE, DELETE"],
        ),
        case(
            "no right to create tables",
            &poor,
            &empty,
            "store_privilege",
            &["create tables", "GRANT ALL"],
        ),
        case("no connection left", &full, name, "store_full", &["database.lanes"]),
    ])
    .await;
    held.disconnect().await.unwrap();

    // What may be used is used; any characters of a password work.
    let grant = format!("GRANT UPDATE, DELETE ON `{name}`.* TO '{poor}'@'127.0.0.1'");
    admin.query_drop(grant).await.unwrap();
    let store = Store::open(at("127.0.0.1", port, &poor, name), rng()).await.unwrap();
    assert_eq!(store.cluster().shards().await.unwrap().len(), 65);
    drop(store);
    for statement in [
        format!("DROP DATABASE `{empty}`"),
        format!("DROP USER '{poor}'@'127.0.0.1', '{full}'@'127.0.0.1'"),
    ] {
        admin.query_drop(statement).await.unwrap();
    }
    database.remove().await;
}

struct TlsServer {
    port: u16,
    _server: Server,
}

impl TlsServer {
    async fn start(shows: &Pair, clients_from: &str) -> Self {
        let with = tempfile::tempdir().unwrap();
        file(with.path(), "server.crt", &shows.certificate);
        file(with.path(), "server.key", &shows.key);
        file(with.path(), "clients.crt", clients_from);
        file(
            with.path(),
            "my.cnf",
            "ssl_ca = clients.crt\nssl_cert = server.crt\nssl_key = server.key\n",
        );
        let server = Server::start("mariadb", Some(with.path())).await;
        let opts = mysql_async::Opts::from_url(&server.url).unwrap();
        let port = opts.tcp_port();
        let mut admin = mysql_async::Conn::new(opts).await.unwrap();
        for (user, rule) in [(USER, "REQUIRE SSL"), (CERTIFIED, "REQUIRE X509")] {
            admin.query_drop(create_user(user, rule)).await.unwrap();
            let grant = format!("GRANT ALL ON `{user}`.* TO '{user}'@'127.0.0.1'");
            admin.query_drop(grant).await.unwrap();
        }
        Self { port, _server: server }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_trusted_for_the_authority_that_is_set_and_for_its_name_only() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let (ca, of_other) = (trusting(&ours.certificate), trusting(&other.certificate));
    let mode = |mode, tls: &TlsSettings| TlsSettings { mode: Some(mode), ..tls.clone() };
    let none = TlsSettings::default();
    let showing = |pair: &Pair| TlsSettings {
        cert: Some(pair.certificate.clone()),
        key: Some(Secret::new(&*pair.key)),
        ..ca.clone()
    };
    let server = TlsServer::start(&ours.server("127.0.0.1"), &ours.certificate).await;
    let case = |name, host, user, tls: &TlsSettings, refused| Case {
        name,
        settings: Settings { tls: tls.clone(), ..at(host, server.port, user, user) },
        refused,
    };
    let by_ip = |name, tls, refused| case(name, "127.0.0.1", USER, tls, refused);
    let certified = |name, tls, refused| case(name, "127.0.0.1", CERTIFIED, tls, refused);
    let of_client = "store_client_certificate_refused";
    check(vec![
        by_ip("its authority is set", &ca, None),
        by_ip("encrypted, whoever it is", &mode(SslMode::Require, &none), None),
        by_ip(
            "another authority",
            &of_other,
            Some(("store_untrusted", &["database.ssl_ca (WA_DB_SSL_CA)"])),
        ),
        by_ip(
            "public authorities",
            &mode(SslMode::VerifyFull, &none),
            Some(("store_untrusted", &["a public authority"])),
        ),
        case("another name", "localhost", USER, &ca, Some(("store_certificate_name", &[]))),
        by_ip(
            "what the driver cannot do",
            &mode(SslMode::VerifyCa, &ca),
            Some(("store_setting", &["verify-ca", "verify-full"])),
        ),
        by_ip("clear text", &none, Some(("store_password", &[]))),
        certified("no client certificate", &ca, Some(("store_password", &[]))),
        certified(
            "a client certificate of another authority",
            &showing(&other.client(CERTIFIED)),
            Some((of_client, &["database.ssl_cert (WA_DB_SSL_CERT)"])),
        ),
        certified("its client certificate", &showing(&ours.client(CERTIFIED)), None),
    ])
    .await;

    let settings = Settings { tls: ca, ..at("127.0.0.1", server.port, USER, USER) };
    let facts = Store::open(settings, rng()).await.unwrap().facts().to_string();
    let place = format!("at 127.0.0.1:{}, TLS 1.3 (verify-full)", server.port);
    assert!(facts.contains(&place), "{facts}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_proves_nothing_is_refused_and_tls_is_never_given_up() {
    let ours = Authority::new("ours");
    let ca = trusting(&ours.certificate);
    let (expired, own) = (ours.expired("127.0.0.1"), self_signed("127.0.0.1"));
    for (name, shows, tls, code) in [
        ("expired", &expired, &ca, "store_certificate_time"),
        ("its own authority", &own, &trusting(&own.certificate), "store_untrusted"),
    ] {
        let server = TlsServer::start(shows, &ours.certificate).await;
        let settings = Settings { tls: tls.clone(), ..at("127.0.0.1", server.port, USER, USER) };
        check(vec![Case { name, settings, refused: Some((code, &[])) }]).await;
    }
    let database = Database::mariadb().await;
    let settings = Settings { tls: ca, start_wait: Duration::ZERO, ..database.settings() };
    let refused = Some(("store_no_tls", &["offers no TLS", "database.ssl_mode"][..]));
    check(vec![Case { name: "a server without TLS", settings, refused }]).await;
}
