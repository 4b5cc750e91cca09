//! Sockets: TLS, clear text where it does not belong, stopping.

use std::{sync::Arc, time::Duration};

use telemetry::{Metrics, SystemClock, SystemRng};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, crypto,
        pki_types::{CertificateDer, pem::PemObject as _},
    },
};
use webapp::{Config, Env, StartError};

use crate::{
    client::{Edge, bearer, call, config, eventually, pass, text},
    core::{Core, Reaction},
};

fn https(core: &Core) -> Config {
    Config { https: Some("127.0.0.1:0".parse().unwrap()), ..config(core) }
}

#[tokio::test]
async fn https_is_served_with_the_kept_certificate() {
    let (core, dir) = (Core::start(), tempfile::tempdir().unwrap());
    let config = Config { data_dir: Some(dir.path().to_owned()), ..https(&core) };
    let edge = Edge::start_with(config).await.ready().await;
    let mut roots = RootCertStore::empty();
    let kept = dir.path().join("webapp-certificate.pem");
    roots.add(CertificateDer::from_pem_file(kept).unwrap()).unwrap();
    let tls = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(edge.running.https.unwrap()).await.unwrap();
    let connector = TlsConnector::from(Arc::new(tls));
    let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn clear_text_on_the_tls_port_is_told_what_is_wrong() {
    let core = Core::start();
    let edge = Edge::start_with(https(&core)).await;
    let https = edge.running.https.unwrap();
    let answer = call(https, http::Method::GET, "/v1/health", "", "".into()).await;
    assert_eq!(answer.refusal(), (400, 1025));
    assert!(answer.details().contains("https://"), "{}", answer.details());
}

#[tokio::test]
async fn clear_text_beyond_this_machine_is_refused_at_the_start() {
    let core = Core::start();
    let config = Config { http: Some("0.0.0.0:0".parse().unwrap()), ..config(&core) };
    let env = Env {
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng::new()),
        metrics: Metrics::new(),
        identity: None,
        traces: telemetry::Traces::default(),
    };
    assert!(matches!(webapp::start(config, env).await.err(), Some(StartError::HttpNotLoopback(_))));
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_the_option() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let config = Config { http: Some(edge.http), ..config(&core) };
    let env = Env {
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng::new()),
        metrics: Metrics::new(),
        identity: None,
        traces: telemetry::Traces::default(),
    };
    let error = webapp::start(config, env).await.err().unwrap().to_string();
    assert!(error.contains("--http") && error.contains(&edge.http.to_string()), "{error}");
}

#[tokio::test]
async fn stopping_answers_what_is_in_work_and_accepts_nothing_new() {
    let core = Core::start();
    core.script(|_, _| Reaction::Hold);
    let edge = Edge::start(&core).await;
    let http = edge.http;
    // An idle connection must not hold the stop up.
    let _idle = TcpStream::connect(http).await.unwrap();
    let send = tokio::spawn(async move {
        let path = "/v1/messages";
        call(http, http::Method::POST, path, &bearer("clerk_7"), text("16315551004").into()).await
    });
    eventually("the message is on the stream", async || core.frames().len() == 1).await;
    core.script(|_, _| Reaction::Accept);
    let stop = tokio::spawn(edge.running.stop());
    eventually("nothing new is accepted", async || TcpStream::connect(http).await.is_err()).await;
    // The second try is accepted.
    pass(Duration::from_secs(3)).await;
    assert_eq!(send.await.unwrap().status, 201);
    stop.await.unwrap();
}

#[tokio::test]
async fn a_picture_has_a_minute_to_arrive() {
    let core = Core::start();
    let edge = Edge::start(&core).await;
    let admin = bearer("admin");
    let mut stream = TcpStream::connect(edge.http).await.unwrap();
    let begun = format!(
        "POST /v1/settings/profile/photo HTTP/1.1\r\nHost: localhost\r\nAuthorization: {admin}\r\n\
         Content-Length: 10\r\nConnection: close\r\n\r\nno pic"
    );
    stream.write_all(begun.as_bytes()).await.unwrap();
    eventually("its body is being read", async || {
        let figures = edge.get("/metrics", &admin).await.json();
        let requests = figures["metrics"]["web_requests"]["data"].as_array().unwrap();
        requests.iter().any(|one| one["labels"]["state"] == "read" && one["value"] == 1)
    })
    .await;
    pass(Duration::from_secs(50)).await;
    stream.write_all(b"ture").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(r#""code":1009"#), "{answer}");
}
