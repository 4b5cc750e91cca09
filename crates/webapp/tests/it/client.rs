//! A running edge, and an HTTP client for it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header, request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use ring::hmac;
use serde_json::{Value, json};
use telemetry::{Metrics, SystemClock, SystemRng};
use tokio::{net::TcpStream, time::Instant};
use webapp::{Config, Env, Running};

use crate::core::{Core, TOKEN_KEY};

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Edge {
    pub(crate) running: Running,
    pub(crate) http: SocketAddr,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{:?}", self.body))
    }

    /// HTTP status and code of the first error.
    pub(crate) fn refusal(&self) -> (u16, u64) {
        (self.status.as_u16(), self.json()["errors"][0]["code"].as_u64().unwrap_or(0))
    }

    pub(crate) fn details(&self) -> String {
        self.json()["errors"][0]["details"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) fn config(core: &Core) -> Config {
    Config {
        https: None,
        http: Some("127.0.0.1:0".parse().unwrap()),
        coreapps: vec![core.address()],
        ..Config::default()
    }
}

impl Edge {
    /// An edge that is ready.
    pub(crate) async fn start(core: &Core) -> Self {
        Self::start_with(config(core)).await.ready().await
    }

    pub(crate) async fn start_with(config: Config) -> Self {
        let env = Env {
            clock: Arc::new(SystemClock),
            rng: Arc::new(SystemRng::new()),
            metrics: Metrics::new(),
            identity: None,
            traces: telemetry::Traces::default(),
        };
        let running = webapp::start(config, env).await.unwrap();
        let http = running.http.unwrap_or_else(|| "127.0.0.1:0".parse().unwrap());
        Self { running, http }
    }

    pub(crate) async fn ready(self) -> Self {
        eventually("the edge is ready", async || self.get("/readyz", "").await.status == 200).await;
        self
    }

    pub(crate) async fn get(&self, path: &str, authorization: &str) -> Answer {
        self.call(Method::GET, path, authorization, "").await
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        authorization: &str,
        body: impl Into<Bytes>,
    ) -> Answer {
        self.call(Method::POST, path, authorization, body).await
    }

    /// Asks for `/livez` as a proxy does for somebody else.
    pub(crate) async fn live(&self, forwarded_for: &str) -> Answer {
        let request = Request::get("/livez").header("x-forwarded-for", forwarded_for);
        send(self.http, request, Bytes::new()).await
    }

    /// Sends a text as `clerk_7`.
    pub(crate) async fn text(&self, to: &str) -> Answer {
        self.post("/v1/messages", &bearer("clerk_7"), text(to)).await
    }

    /// Sends a text as `clerk_7` under idempotency keys; one is usual.
    pub(crate) async fn text_named(&self, to: &str, names: &[&str]) -> Answer {
        let mut request =
            Request::post("/v1/messages").header(header::AUTHORIZATION, bearer("clerk_7"));
        for name in names {
            request = request.header("idempotency-key", name.as_bytes());
        }
        send(self.http, request, text(to).into()).await
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        authorization: &str,
        body: impl Into<Bytes>,
    ) -> Answer {
        call(self.http, method, path, authorization, body.into()).await
    }
}

pub(crate) async fn call(
    address: SocketAddr,
    method: Method,
    path: &str,
    authorization: &str,
    body: Bytes,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if !authorization.is_empty() {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    send(address, request, body).await
}

async fn send(address: SocketAddr, request: request::Builder, body: Bytes) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    // Ends with the sender; what goes wrong shows in the answer.
    tokio::spawn(connection);
    let request = request.header(header::HOST, "localhost");
    let response = sender.send_request(request.body(Full::new(body)).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

pub(crate) fn text(to: &str) -> String {
    json!({"to": to, "type": "text", "text": {"body": "hello"}}).to_string()
}

pub(crate) fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// A good token of `user` as another edge with the same key would give it.
pub(crate) fn bearer(user: &str) -> String {
    token(TOKEN_KEY, user, "ab".repeat(16).as_str(), 0)
}

/// Issued `age_s` ago.
pub(crate) fn token(key: &[u8], user: &str, rand: &str, age_s: i64) -> String {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
    let iat = contract::Clock::unix_s(&SystemClock) - age_s;
    let claims = json!({"user": user, "iat": iat, "exp": iat + 604_800, "wa:rand": rand});
    let signed = format!(
        "{}.{}",
        B64.encode(r#"{"alg":"HS256","typ":"JWT"}"#),
        B64.encode(claims.to_string())
    );
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), signed.as_bytes());
    format!("Bearer {signed}.{}", B64.encode(signature))
}

/// Polls until it holds.
pub(crate) async fn eventually(promise: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {promise}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Lets time pass for the edge; the coreapp has its own clock.
pub(crate) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}
