//! Certificates: the server's and ours.

use std::time::Duration;

use store::{Settings, Store, TlsSettings};
use telemetry::config::{Secret, SslMode};

use super::{
    Case, Engine, Refused,
    certificates::{Authority, Pair, file, self_signed},
    check, of_each_engine,
    server::{CERTIFIED, TlsServer, USER},
    trusting, unique,
};
use crate::database::rng;

of_each_engine!(
    a_server_is_trusted_for_the_authority_that_is_set_and_for_its_name_only,
    a_certificate_that_is_out_of_date_is_refused,
    a_server_that_is_its_own_authority_is_trusted_when_it_is_the_one_that_is_set,
    tls_that_is_asked_for_is_never_given_up,
    certificates_and_keys_that_cannot_be_used_are_named_before_anything_is_sent,
);

/// What the MySQL driver cannot do is refused; see docs/decisions/007.
const NOT_BY_AUTHORITY: Refused = Some(("store_setting", &["database.ssl_mode", "verify-full"]));

fn showing(tls: TlsSettings, pair: &Pair) -> TlsSettings {
    let (cert, key) = (Some(pair.certificate.clone()), Some(Secret::new(&*pair.key)));
    TlsSettings { cert, key, ..tls }
}

fn mode(mode: SslMode, tls: TlsSettings) -> TlsSettings {
    TlsSettings { mode: Some(mode), ..tls }
}

async fn a_server_is_trusted_for_the_authority_that_is_set_and_for_its_name_only(engine: Engine) {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let (ca, of_other) = (trusting(&ours.certificate), trusting(&other.certificate));
    let none = TlsSettings::default();
    let server = TlsServer::start(engine, &ours.server("127.0.0.1"), &ours.certificate).await;
    // Each user has a database of that name.
    let case = |name, host, user, tls: &TlsSettings, refused: Refused| Case {
        name,
        settings: Settings { tls: tls.clone(), ..engine.at(host, server.port, user, user) },
        refused,
    };
    let by_ip = |name, tls, refused| case(name, "127.0.0.1", USER, tls, refused);
    let certified = |name, tls, refused| case(name, "127.0.0.1", CERTIFIED, tls, refused);
    let ca_names: &[&str] = &["database.ssl_ca (WA_DB_SSL_CA)"];
    let cert_names: &[&str] = &["database.ssl_cert (WA_DB_SSL_CERT)", "database.ssl_key"];
    // MariaDB answers as if the password were wrong.
    let no_rule = engine.pick("store_no_rule", "store_password");
    check(vec![
        by_ip("its authority is set", &ca, None),
        by_ip("encrypted, whoever it is", &mode(SslMode::Require, none.clone()), None),
        by_ip(
            "encrypted, from its authority",
            &mode(SslMode::Require, ca.clone()),
            engine.pick(None, NOT_BY_AUTHORITY),
        ),
        by_ip("another authority", &of_other, Some(("store_untrusted", ca_names))),
        by_ip(
            "public authorities",
            &mode(SslMode::VerifyFull, none.clone()),
            Some(("store_untrusted", &["a public authority", "database.ssl_ca"])),
        ),
        case(
            "another name",
            "localhost",
            USER,
            &ca,
            Some((
                "store_certificate_name",
                engine.pick(
                    &["127.0.0.1", "database.host (WA_DB_HOSTNAME)", "verify-ca"],
                    &["127.0.0.1", "database.host (WA_DB_HOSTNAME)", "require without"],
                ),
            )),
        ),
        case(
            "another name that does not matter",
            "localhost",
            USER,
            &mode(SslMode::VerifyCa, ca.clone()),
            engine.pick(None, NOT_BY_AUTHORITY),
        ),
        by_ip("clear text", &none, Some((no_rule, ca_names))),
        certified("no client certificate", &ca, Some((no_rule, cert_names))),
        certified(
            "a client certificate of another authority",
            &showing(ca.clone(), &other.client(CERTIFIED)),
            Some(("store_client_certificate_refused", &["database.ssl_cert (WA_DB_SSL_CERT)"])),
        ),
        certified(
            "another user's client certificate",
            &showing(ca.clone(), &ours.client("somebody")),
            Some(("store_password", &["database.ssl_cert (WA_DB_SSL_CERT) is for this user"])),
        ),
        certified("its client certificate", &showing(ca.clone(), &ours.client(CERTIFIED)), None),
    ])
    .await;

    let settings = Settings { tls: ca.clone(), ..engine.at("127.0.0.1", server.port, USER, USER) };
    let store = Store::open(settings, rng()).await.unwrap();
    let facts = store.facts().to_string();
    let place = format!("at 127.0.0.1:{}, TLS 1.3 (verify-full), 2 lanes", server.port);
    assert!(facts.contains(&place) && facts.contains("6 + 2 connections"), "{facts}");
}

async fn a_certificate_that_is_out_of_date_is_refused(engine: Engine) {
    let ours = Authority::new("ours");
    let ca = trusting(&ours.certificate);
    let server = TlsServer::start(engine, &ours.expired("127.0.0.1"), &ours.certificate).await;
    let case = |name, tls, refused| Case {
        name,
        settings: Settings { tls, ..engine.at("127.0.0.1", server.port, USER, USER) },
        refused,
    };
    let expired: Refused =
        Some(("store_certificate_time", &["renew", "clock", "database.ssl_mode"]));
    check(vec![
        case("expired", ca.clone(), expired),
        case(
            "expired, the name not looked at",
            mode(SslMode::VerifyCa, ca.clone()),
            engine.pick(expired, NOT_BY_AUTHORITY),
        ),
    ])
    .await;
}

async fn a_server_that_is_its_own_authority_is_trusted_when_it_is_the_one_that_is_set(
    engine: Engine,
) {
    let (own, twin) = (self_signed("127.0.0.1"), self_signed("127.0.0.1"));
    let server = TlsServer::start(engine, &own, &own.certificate).await;
    let case = |name, host, pair: &Pair, refused| Case {
        name,
        settings: Settings {
            tls: trusting(&pair.certificate),
            ..engine.at(host, server.port, USER, USER)
        },
        refused,
    };
    let untrusted: Refused = Some(("store_untrusted", &["WA_DB_SSL_CA"]));
    // The MySQL driver's verifier knows no such server; see docs/decisions/007.
    check(vec![
        case("the very one", "127.0.0.1", &own, engine.pick(None, untrusted)),
        case(
            "under another name",
            "localhost",
            &own,
            engine.pick(Some(("store_certificate_name", &[])), untrusted),
        ),
        case("one like it", "127.0.0.1", &twin, untrusted),
    ])
    .await;
}

async fn tls_that_is_asked_for_is_never_given_up(engine: Engine) {
    let database = engine.database().await;
    let ca = trusting(&Authority::new("ours").certificate);
    let settings = Settings { tls: ca, start_wait: Duration::ZERO, ..database.settings() };
    let refused = Some(("store_no_tls", &["offers no TLS", "database.ssl_mode"][..]));
    check(vec![Case { name: "a server without TLS", settings, refused }]).await;
    database.remove().await;
}

async fn certificates_and_keys_that_cannot_be_used_are_named_before_anything_is_sent(
    engine: Engine,
) {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new("ours");
    let (pair, other) = (ours.client("x"), ours.client("x"));
    let path = |name, text: &str| file(folder.path(), name, text).display().to_string();
    let ca = path("ca.pem", &ours.certificate);
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let set = |ca: &str, cert: Option<&str>, key: Option<&str>| TlsSettings {
        mode: None,
        ca: Some(ca.to_owned()),
        cert: cert.map(str::to_owned),
        key: key.map(Secret::new),
    };
    let case = |name, tls, words| Case {
        name,
        // Nobody listens there: it is not even asked.
        settings: Settings { tls, ..engine.at("127.0.0.1", 1, USER, &unique("nowhere")) },
        refused: Some(("store_setting", words)),
    };
    let (certificate, key) = (Some(&*pair.certificate), Some(&*pair.key));
    let disabled = TlsSettings { mode: Some(SslMode::Disable), ..set(&ca, None, None) };
    check(vec![
        case(
            "no such file",
            set("/nowhere/ca.pem", None, None),
            &["database.ssl_ca (WA_DB_SSL_CA)", "/nowhere/ca.pem", "No such file"],
        ),
        case(
            "no PEM",
            set(&path("text.pem", "hello\n"), None, None),
            &["database.ssl_ca", "text.pem", "holds no certificate"],
        ),
        case(
            "half a PEM",
            set("-----BEGIN CERTIFICATE-----\nMIIB\n", None, None),
            &["database.ssl_ca", "no well-formed PEM"],
        ),
        case(
            "no certificate within",
            set("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None, None),
            &["database.ssl_ca", "no authority"],
        ),
        case(
            "no key",
            set(&ca, certificate, None),
            &["database.ssl_key (WA_DB_SSL_KEY)", "missing"],
        ),
        case("no certificate", set(&ca, None, key), &["database.ssl_cert (WA_DB_SSL_CERT)"]),
        case(
            "another key",
            set(&ca, certificate, Some(&other.key)),
            &["database.ssl_key (WA_DB_SSL_KEY)", "not the key of the certificate"],
        ),
        case(
            "a certificate for a key",
            set(&ca, certificate, certificate),
            &["database.ssl_key (WA_DB_SSL_KEY)", "no private key"],
        ),
        case(
            "an encrypted key",
            set(&ca, certificate, Some(encrypted)),
            &["database.ssl_key (WA_DB_SSL_KEY)", "pass phrase"],
        ),
        case("TLS off and on", disabled, &["database.ssl_mode"]),
    ])
    .await;
}
