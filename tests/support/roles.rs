//! Sandbox, coreapps and webapps as processes of their own, to be killed one by one.

use std::{
    collections::HashMap,
    process::{ExitStatus, Stdio},
    sync::Mutex,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use rpc::coreapp::{WatchRequest, directory_client::DirectoryClient};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::timeout,
};

use super::{Answer, PASSWORD, call, call_with, until};

/// Messages, contacts, control, health.
const CORE_PORTS: usize = 4;
/// Ports a test process may take; another corner than that of `free_ports`.
const CORNER: u16 = 40;

/// Shards there are, the account's included.
pub const SHARDS: usize = 65;

const OWN_NUMBER: &str = "15550100100";

pub struct Roles {
    pub directory: tempfile::TempDir,
    children: Mutex<HashMap<String, Child>>,
    /// The first one's messages port.
    pub coreapp: u16,
    /// Of all that may be started.
    cores: Vec<u16>,
    database: String,
    upstream: u16,
    /// The control API of the network.
    pub phones: u16,
    /// Their HTTP ports.
    pub webapps: Vec<u16>,
    pub token: String,
    environment: Vec<(String, String)>,
}

impl Roles {
    /// A coreapp on SQLite behind so many webapps, ready and logged in, without limits.
    pub async fn start(webapps: usize) -> Self {
        Self::start_in(webapps, &[]).await
    }

    /// The same with more environment for each of them; what is empty is not set.
    pub async fn start_in(webapps: usize, environment: &[(&str, &str)]) -> Self {
        Self::start_on(None, 1, 1, webapps, environment).await
    }

    /// The same with several coreapps on one database, and room for more; they are called `core-0`
    /// and so on.
    pub async fn start_on(
        database: Option<&str>,
        cores: usize,
        cores_max: usize,
        webapps: usize,
        environment: &[(&str, &str)],
    ) -> Self {
        let ports = ports(CORE_PORTS * cores_max + 2 + 2 * webapps).await;
        let coreapp = ports.start;
        let mut ports = ports.skip(CORE_PORTS * cores_max);
        let mut next = || ports.next().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = format!("sqlite:{}", directory.path().join("heliograph.db").display());
        let mut roles = Self {
            directory,
            children: Mutex::default(),
            coreapp,
            cores: (coreapp..).step_by(CORE_PORTS).take(cores_max).collect(),
            database: database.map_or(file, str::to_owned),
            upstream: next(),
            phones: next(),
            webapps: Vec::new(),
            token: String::new(),
            environment: environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        roles.start_sandbox();
        if database.is_none() {
            roles.start_coreapp();
        } else {
            (0..cores).for_each(|n| roles.start_core(n));
        }
        for n in 0..webapps {
            roles.start_webapp(n, next(), next());
        }
        roles.log_in_first().await;
        let settings = json!({"heliograph": {
            "quotas": {"messages_per_second": 0, "contacts_per_second": 0},
            "web": {"per_user": 0, "per_address": 0},
        }});
        until("the limits are off", async || {
            let path = "/v1/settings/application";
            let answer = roles.call(0, "PATCH", path, &[], &settings.to_string()).await;
            (answer.status == StatusCode::OK).then_some(())
        })
        .await;
        roles
    }

    /// Waits until the webapps are ready on a new database, and logs in as its admin.
    pub async fn log_in_first(&mut self) {
        for http in &self.webapps {
            until("a webapp is ready", async || {
                let connected = TcpStream::connect(("127.0.0.1", *http)).await.is_ok();
                (connected && call(*http, "GET", "/readyz", "", "").await.status == StatusCode::OK)
                    .then_some(())
            })
            .await;
        }
        let basic = format!("Basic {}", STANDARD.encode("admin:secret"));
        let body = json!({ "new_password": PASSWORD }).to_string();
        let login = call(self.webapps[0], "POST", "/v1/users/login", &basic, &body).await;
        let token = login.body.pointer("/users/0/token").and_then(Value::as_str).unwrap();
        self.token = format!("Bearer {token}");
    }

    pub fn start_sandbox(&self) {
        let (listen, http) = (at(self.upstream), at(self.phones));
        self.spawn("sandbox", "sandbox", &["--listen", &listen, "--http", &http]);
    }

    pub fn start_coreapp(&self) {
        self.start_node("coreapp", "core", self.coreapp);
    }

    /// One of several.
    pub fn start_core(&self, n: usize) {
        let name = format!("core-{n}");
        self.start_node(&name, &name, self.cores[n]);
    }

    fn start_node(&self, name: &str, node: &str, port: u16) {
        let (port, upstream) = (port.to_string(), format!("http://{}", at(self.upstream)));
        let options = ["--database", &self.database, "--listen", "127.0.0.1", "--port", &port];
        let options = [&options[..], &["--node", node, "--upstream", &upstream]].concat();
        self.spawn(name, "coreapp", &options);
    }

    /// Shards that one of several coreapps works with; 0 while it does not answer.
    pub async fn shards_of(&self, n: usize) -> usize {
        let health = self.cores[n] + 3;
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", health)).await else { return 0 };
        let request = "GET /metrics HTTP/1.1\r\nhost: core\r\nconnection: close\r\n\r\n";
        let mut answer = String::new();
        if stream.write_all(request.as_bytes()).await.is_err()
            || stream.read_to_string(&mut answer).await.is_err()
        {
            return 0;
        }
        let value = answer.lines().find_map(|line| line.strip_prefix("shards_owned "));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    }

    /// Waits until all of these own a share, and together everything.
    pub async fn shared_by(&self, cores: &[usize]) {
        until("every coreapp has its share", async || {
            let mut shares = Vec::new();
            for core in cores {
                shares.push(self.shards_of(*core).await);
            }
            (shares.iter().all(|share| *share > 0) && shares.iter().sum::<usize>() == SHARDS)
                .then_some(())
        })
        .await;
    }

    /// Which coreapp owns the account.
    pub async fn keeper(&self) -> usize {
        let channel = self.control_of(0).await;
        let request = WatchRequest { webapp: "test".to_owned() };
        let mut watch = DirectoryClient::new(channel).watch(request).await.unwrap().into_inner();
        let owner = watch.message().await.unwrap().unwrap().shards.unwrap().control;
        self.cores.iter().position(|port| owner == at(*port)).unwrap()
    }

    /// To the control listener of one of several coreapps.
    pub async fn control_of(&self, n: usize) -> tonic::transport::Channel {
        rpc::http2::channel(&format!("http://{}", at(self.cores[n] + 2)), None).unwrap()
    }

    /// Of one more login.
    pub async fn another_token(&self) -> String {
        let basic = format!("Basic {}", STANDARD.encode(format!("admin:{PASSWORD}")));
        let login = call(self.webapps[0], "POST", "/v1/users/login", &basic, "").await;
        let token = login.body.pointer("/users/0/token").and_then(Value::as_str);
        format!("Bearer {}", token.unwrap())
    }

    /// What the sandbox's control API shows.
    pub async fn network(&self, path: &str) -> Value {
        call(self.phones, "GET", path, "", "").await.body
    }

    pub async fn set_offline(&self, phone: &str, offline: bool) {
        let body = json!({ "offline": offline }).to_string();
        let answer = call(self.phones, "PUT", &format!("/phones/{phone}"), "", &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }

    /// A webapp that was killed, where it was.
    pub async fn start_webapp_again(&mut self, n: usize) {
        let http = self.webapps.remove(n);
        self.start_webapp(n, http, http + 1);
        let last = self.webapps.pop().unwrap();
        self.webapps.insert(n, last);
        until("the webapp is ready again", async || {
            let connected = TcpStream::connect(("127.0.0.1", http)).await.is_ok();
            (connected && call(http, "GET", "/readyz", "", "").await.status == StatusCode::OK)
                .then_some(())
        })
        .await;
    }

    fn start_webapp(&mut self, n: usize, http: u16, https: u16) {
        let data = self.directory.path().join(format!("webapp-{n}")).display().to_string();
        let (http_at, https_at) = (at(http), at(https));
        let cores: Vec<String> = self.cores.iter().map(|core| at(*core)).collect();
        let cores = cores.join(",");
        let options = ["--http", &http_at, "--https", &https_at, "--coreapps", &cores];
        let options = [&options[..], &["--data-dir", &data]].concat();
        self.spawn(&format!("webapp-{n}"), "webapp", &options);
        self.webapps.push(http);
    }

    fn spawn(&self, name: &str, role: &str, options: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_heliograph"));
        command
            .arg(role)
            .args(options)
            .env("HELIOGRAPH_ACCOUNT__NUMBER", OWN_NUMBER)
            .env("HELIOGRAPH_EGRESS__ALLOW", "loopback,http");
        for (name, value) in &self.environment {
            match value.as_str() {
                // Not even what every test has.
                "" => command.env_remove(name),
                value => command.env(name, value),
            };
        }
        let child = command
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        self.children.lock().unwrap().insert(name.to_owned(), child.unwrap());
    }

    /// Where a webapp speaks TLS.
    pub fn https(&self, webapp: usize) -> u16 {
        self.webapps[webapp] + 1
    }

    /// kill -9.
    pub async fn kill(&self, name: &str) {
        let child = self.children.lock().unwrap().remove(name);
        child.unwrap().kill().await.unwrap();
    }

    /// SIGTERM; gives the exit status, which must come within `limit`.
    pub async fn terminate(&self, name: &str, limit: Duration) -> ExitStatus {
        let mut child = self.children.lock().unwrap().remove(name).unwrap();
        let pid = child.id().unwrap().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
        timeout(limit, child.wait()).await.expect("did not stop in time").unwrap()
    }

    /// A call to one of the webapps.
    pub async fn call(
        &self,
        webapp: usize,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let headers = [headers, &[("authorization", &*self.token)]].concat();
        call_with(self.webapps[webapp], method, path, &headers, body).await
    }

    /// Changes settings.
    pub async fn settings(&self, patch: Value) {
        let answer =
            self.call(0, "PATCH", "/v1/settings/application", &[], &patch.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }

    /// The customer writes.
    pub async fn write_from(&self, phone: &str, text: &str) {
        let path = format!("/phones/{phone}/messages");
        let body = json!({"type": "text", "text": {"body": text}}).to_string();
        let answer = call(self.phones, "POST", &path, "", &body).await;
        assert!(answer.status.is_success(), "{}", answer.body);
    }

    /// Texts that reached a phone.
    pub async fn texts_at(&self, phone: &str) -> Vec<String> {
        super::texts_at(self.phones, phone).await
    }
}

/// So many free ones in a row.
async fn ports(count: usize) -> std::ops::Range<u16> {
    let count = u16::try_from(count).unwrap();
    let corner = 20_000 + u16::try_from(std::process::id() % 300).unwrap() * CORNER;
    for first in corner..=corner + CORNER - count {
        let mut held = Vec::new();
        for port in first..first + count {
            held.extend(TcpListener::bind(("127.0.0.1", port)).await);
        }
        if held.len() == usize::from(count) {
            return first..first + count;
        }
    }
    panic!("no {count} ports in a row are free from {corner} on");
}

fn at(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
