//! A gateway as a process, a client and a webhook: what black-box tests speak with.

#![expect(dead_code, reason = "each test binary uses its part")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::{
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{Instant, timeout},
};

pub mod collector;
pub mod device;
pub mod network;
pub mod roles;
pub mod server;
pub mod webhook;

pub const PASSWORD: &str = "Bl4ck-box!";
/// Of every gateway.
pub const API_KEY: &str = "monitoring-key-of-12-to-128";
/// Longest wait for anything; a debug build on a busy machine is slow.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// `heliograph up` on free ports.
pub struct Gateway {
    child: Child,
    pub directory: Arc<tempfile::TempDir>,
    pub http: u16,
    pub sandbox: u16,
    pub output: Arc<Mutex<String>>,
    pub log: Arc<Mutex<String>>,
    token: String,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// Code of the first error.
    pub fn code(&self) -> Option<u64> {
        self.body.pointer("/errors/0/code")?.as_u64()
    }
}

impl Gateway {
    /// A new one on SQLite, logged in.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with more options.
    pub async fn start_with(options: &[&str]) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let mut gateway = Self::spawn(directory, options).await;
        let login = gateway.login("secret", &json!({ "new_password": PASSWORD })).await;
        assert_eq!(login.status, StatusCode::OK, "{}", login.body);
        gateway.settings(json!({"callback_backoff_delay_ms": 50})).await;
        gateway
    }

    /// One on the data of another.
    pub async fn start_in(directory: Arc<tempfile::TempDir>) -> Self {
        Self::spawn(directory, &[]).await
    }

    /// The same with more options.
    pub async fn start_in_with(directory: Arc<tempfile::TempDir>, options: &[&str]) -> Self {
        Self::spawn(directory, options).await
    }

    /// One on the data in a directory, old or new, and on a network of its own.
    pub async fn start_on(directory: Arc<tempfile::TempDir>, network: &network::Network) -> Self {
        let [https, http, receiver, _] = free_ports().await;
        let mut command = up_at(&directory, https, http, receiver);
        command.arg("--upstream").arg(network.url());
        Self::run(command, directory, http, network.http).await
    }

    async fn spawn(directory: Arc<tempfile::TempDir>, options: &[&str]) -> Self {
        let [https, http, sandbox, receiver] = free_ports().await;
        let mut command = if options.contains(&"--upstream") {
            up_at(&directory, https, http, receiver)
        } else {
            up(&directory, https, http, sandbox, receiver)
        };
        command.args(options);
        Self::run(command, directory, http, sandbox).await
    }

    async fn run(
        mut command: Command,
        directory: Arc<tempfile::TempDir>,
        http: u16,
        sandbox: u16,
    ) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::<Mutex<String>>::default();
        let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
        let shared = log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = errors.next_line().await {
                eprintln!("{line}");
                let mut log = shared.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let output = Arc::<Mutex<String>>::default();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let shared = output.clone();
        tokio::spawn(async move {
            let mut ready = Some(ready);
            while let Ok(Some(line)) = lines.next_line().await {
                let last = line.contains("Ctrl-C");
                let mut output = shared.lock().unwrap();
                output.push_str(&line);
                output.push('\n');
                if last && let Some(ready) = ready.take() {
                    ready.send(()).unwrap_or_default();
                }
            }
        });
        timeout(PATIENCE, is_ready).await.expect("not ready in time").expect("ended at start");
        Self { child, directory, http, sandbox, output, log, token: String::new() }
    }

    pub async fn login(&mut self, password: &str, body: &Value) -> Answer {
        let basic = STANDARD.encode(format!("admin:{password}"));
        let authorization = format!("Basic {basic}");
        let answer =
            call(self.http, "POST", "/v1/users/login", &authorization, &body.to_string()).await;
        if let Some(token) = answer.body.pointer("/users/0/token").and_then(Value::as_str) {
            self.token = format!("Bearer {token}");
        }
        answer
    }

    pub async fn settings(&self, patch: Value) {
        let answer = self.call("PATCH", "/v1/settings/application", &patch.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }

    /// For an `authorization` header.
    pub fn token(&self) -> &str {
        &self.token
    }

    pub async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        call(self.http, method, path, &self.token, body).await
    }

    /// POSTs bytes as they are.
    pub async fn post_bytes(&self, path: &str, body: &[u8]) -> Answer {
        let headers = [("authorization", &*self.token)];
        call_bytes(self.http, "POST", path, &headers, body).await
    }

    /// Sends a text; gives its id.
    pub async fn send(&self, to: &str, text: &str) -> String {
        let body = json!({"to": to, "type": "text", "text": {"body": text}}).to_string();
        let answer = self.call("POST", "/v1/messages", &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.body.pointer("/messages/0/id").unwrap().as_str().unwrap().to_owned()
    }

    /// A call to the sandbox's control API that is done.
    pub async fn network(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = call(self.sandbox, method, path, "", &body).await;
        assert!(answer.status.is_success(), "{method} {path}: {}", answer.body);
        answer.body
    }

    /// A metric of the coreapp, added up over those of its labels that have `label`.
    pub async fn metric(&self, name: &str, label: &str) -> f64 {
        let answer = self.call("GET", "/v1/stats/app", "").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let data = answer.body["stats"]["app"][name]["data"].as_array().cloned();
        let samples = data.unwrap_or_default();
        let with = |sample: &&Value| sample["labels"].to_string().contains(label);
        samples.iter().filter(with).filter_map(|sample| sample["value"].as_f64()).sum()
    }

    /// What a phone has got, as the texts of its messages.
    pub async fn texts_at(&self, phone: &str) -> Vec<String> {
        texts_at(self.sandbox, phone).await
    }

    /// The customer writes.
    pub async fn write_from(&self, phone: &str, text: &str) {
        let body = json!({"type": "text", "text": {"body": text}});
        self.network("POST", &format!("/phones/{phone}/messages"), &body).await;
    }

    /// SIGKILL.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM; gives the exit status.
    pub async fn stop(mut self) -> (std::process::ExitStatus, Arc<tempfile::TempDir>) {
        let pid = self.child.id().unwrap().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
        let status = timeout(PATIENCE, self.child.wait()).await.expect("did not stop").unwrap();
        (status, self.directory.clone())
    }
}

/// The command, not yet started.
pub fn up(
    directory: &tempfile::TempDir,
    https: u16,
    http: u16,
    sandbox: u16,
    receiver: u16,
) -> Command {
    let mut command = up_at(directory, https, http, receiver);
    command.arg("--sandbox").arg(format!("127.0.0.1:{sandbox}"));
    command
}

/// The same without a network.
fn up_at(directory: &tempfile::TempDir, https: u16, http: u16, receiver: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heliograph"));
    command.arg("up").arg("--data-dir").arg(directory.path());
    for (option, port) in [("--https", https), ("--http", http), ("--receiver", receiver)] {
        command.arg(option).arg(format!("127.0.0.1:{port}"));
    }
    command
        .env("WA_API_KEY", API_KEY)
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Below the range from which the system takes ports for outgoing connections, so that none is
/// taken meanwhile; each test process looks in its own corner.
pub async fn free_ports() -> [u16; 4] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let corner = 12_000 + u16::try_from(std::process::id() % 800).unwrap() * 10;
    let mut ports = Vec::new();
    while ports.len() < 4 {
        let port = corner + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            ports.push(port);
        }
    }
    ports.try_into().unwrap()
}

/// The same of a sandbox by its port; nothing while it is away.
pub async fn texts_at(sandbox: u16, phone: &str) -> Vec<String> {
    if TcpStream::connect(("127.0.0.1", sandbox)).await.is_err() {
        return Vec::new();
    }
    let path = format!("/phones/{phone}/messages");
    let answer = call(sandbox, "GET", &path, "", "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let messages = answer.body["messages"].as_array().unwrap().clone();
    let text = |message: &Value| message.pointer("/content/text/body")?.as_str().map(str::to_owned);
    messages.iter().filter_map(text).collect()
}

/// One call on a connection of its own.
pub async fn call(port: u16, method: &str, path: &str, authorization: &str, body: &str) -> Answer {
    let headers: &[_] =
        if authorization.is_empty() { &[] } else { &[("authorization", authorization)] };
    call_with(port, method, path, headers, body).await
}

/// The same with any headers.
pub async fn call_with(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    call_bytes(port, method, path, headers, body.as_bytes()).await
}

/// The same with any body.
pub async fn call_bytes(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "gateway")
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
    let (status, headers, body) = exchange(port, request).await;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Answer { status, headers, body }
}

/// One request on a connection of its own, and its answer as it came.
pub async fn exchange<B>(port: u16, request: Request<B>) -> (StatusCode, HeaderMap, Bytes)
where
    B: hyper::body::Body<Data: Send, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let response =
        timeout(PATIENCE, sender.send_request(request)).await.expect("no answer").unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = timeout(PATIENCE, response.into_body().collect()).await.expect("no whole answer");
    (status, headers, body.unwrap().to_bytes())
}

/// Waits until `condition` gives something.
pub async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
