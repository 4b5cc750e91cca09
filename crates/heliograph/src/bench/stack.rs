//! A stack of separate child processes on free loopback ports, with a data directory that goes
//! away with it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use contract::Rng;
use serde_json::{Map, Value};
use telemetry::SystemRng;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    time::Instant,
};

use super::cpu::Watched;
use crate::client::Client;

/// Longest wait until the stack serves.
const START: Duration = Duration::from_secs(30);
/// What is shown of the log of a role that did not start, bytes.
const LOG_TAIL: usize = 2_000;
/// Own number of the stack.
const NUMBER: &str = "15550100100";
const LOOPBACK: &str = "127.0.0.1";

/// Why there is no stack.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StackError {
    #[error("the data directory {}: {error}", path.display())]
    Directory { path: PathBuf, error: io::Error },
    #[error("no free port on {LOOPBACK}: {0}")]
    Ports(io::Error),
    #[error("the {role} cannot be run: {error}")]
    Spawn { role: &'static str, error: io::Error },
    #[error("the {role} ended ({status}):\n{log}")]
    Ended { role: &'static str, status: std::process::ExitStatus, log: String },
    #[error("it was not ready after {} s; the log of the coreapp ends:\n{log}", START.as_secs())]
    NotReady { log: String },
}

/// Three processes. Dropping it kills them and removes their directory.
#[derive(Debug)]
pub(crate) struct Stack {
    /// host:port of the webapp's plain HTTP.
    pub(crate) authority: String,
    children: Vec<Role>,
    directory: Directory,
}

#[derive(Debug)]
struct Role {
    name: &'static str,
    child: Child,
}

#[derive(Debug)]
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        // Left behind if it cannot be removed: it is in the system's temporary directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Starts sandbox, coreapp and webapp, and waits until messages are served. The sandbox's phones
/// answer receipts and keep nothing.
pub(crate) async fn start(
    database: Option<&str>,
    batch_max: Option<u32>,
) -> Result<Stack, StackError> {
    let path = std::env::temp_dir().join(format!("heliograph-bench-{}", std::process::id()));
    fs::create_dir_all(&path)
        .map_err(|error| StackError::Directory { path: path.clone(), error })?;
    let directory = Directory(path);
    let own = format!("sqlite:{}", directory.0.join("heliograph.db").display());
    let database = database.unwrap_or(&own);
    let core = free_ports().await.map_err(StackError::Ports)?;
    let [upstream, phones, http, https] = [4, 5, 6, 7].map(|n| core + n);

    let at = |port: u16| format!("{LOOPBACK}:{port}");
    let batch_max = batch_max.map(|max| max.to_string());
    let mut stack = Stack { authority: at(http), children: Vec::new(), directory };
    let options = ["--listen", &at(upstream), "--http", &at(phones), "--phones", "count"];
    stack.run("sandbox", &options, &[])?;
    let network = format!("http://{}", at(upstream));
    let mut env = vec![
        ("HELIOGRAPH_LOG__LEVEL", "info"),
        ("HELIOGRAPH_EGRESS__ALLOW", "loopback,http"),
        ("HELIOGRAPH_ACCOUNT__NUMBER", NUMBER),
    ];
    env.extend(batch_max.as_deref().map(|max| ("HELIOGRAPH_DATABASE__BATCH_MAX", max)));
    let port = core.to_string();
    let options =
        ["--database", database, "--listen", LOOPBACK, "--port", &port, "--upstream", &network];
    stack.run("coreapp", &options, &env)?;
    let options = ["--http", &at(http), "--https", &at(https), "--coreapps", &at(core)];
    stack.run("webapp", &options, &[])?;
    stack.ready().await?;
    Ok(stack)
}

impl Stack {
    fn run(
        &mut self,
        name: &'static str,
        options: &[&str],
        env: &[(&str, &str)],
    ) -> Result<(), StackError> {
        let failed = |error| StackError::Spawn { role: name, error };
        let log = File::create(self.log(name)).map_err(failed)?;
        let child = Command::new(std::env::current_exe().map_err(failed)?)
            .arg(name)
            .args(options)
            .envs(env.iter().copied())
            .current_dir(&self.directory.0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        self.children.push(Role { name, child });
        Ok(())
    }

    async fn ready(&mut self) -> Result<(), StackError> {
        let deadline = Instant::now() + START;
        let mut client = Client::new(self.authority.clone());
        loop {
            if let Ok(answer) = client.call("GET", "/readyz", "", "").await
                && answer.status.is_success()
            {
                return Ok(());
            }
            for role in &mut self.children {
                if let Ok(Some(status)) = role.child.try_wait() {
                    let name = role.name;
                    return Err(StackError::Ended { role: name, status, log: self.tail(name) });
                }
            }
            if Instant::now() > deadline {
                return Err(StackError::NotReady { log: self.tail("coreapp") });
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// The processes whose CPU time counts.
    pub(crate) fn watched(&self) -> Vec<Watched> {
        let watched =
            |role: &Role| Some(Watched { name: role.name, pid: role.child.id()?, children: false });
        self.children.iter().filter_map(watched).collect()
    }

    /// What the coreapp found out about its database, from its log: version, lanes, commit time.
    pub(crate) fn database_facts(&self) -> Map<String, Value> {
        let log = fs::read_to_string(self.log("coreapp")).unwrap_or_default();
        let line = log.lines().find(|line| line.contains(r#""database.engine""#));
        let fields = line.and_then(|line| serde_json::from_str::<Map<_, _>>(line).ok());
        fields
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(name, value)| Some((name.strip_prefix("database.")?.to_owned(), value)))
            .collect()
    }

    /// Ends the processes.
    pub(crate) async fn stop(mut self) {
        for role in &mut self.children {
            // Nothing of it is needed any more; an error means that it has ended already.
            let _ = role.child.kill().await;
        }
    }

    fn log(&self, role: &str) -> PathBuf {
        self.directory.0.join(format!("{role}.log"))
    }

    fn tail(&self, role: &str) -> String {
        tail(&self.log(role))
    }
}

fn tail(path: &Path) -> String {
    let log = fs::read(path).unwrap_or_default();
    let tail = log.get(log.len().saturating_sub(LOG_TAIL)..).unwrap_or_default();
    String::from_utf8_lossy(tail).into_owned()
}

/// The first of eight free ports in a row: the first four are the coreapp's. Below the range from which the
/// system takes ports for outgoing connections, so that none is taken meanwhile.
async fn free_ports() -> io::Result<u16> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    let random = SystemRng::new().next_u64();
    for attempt in 0..50 {
        let slot = u16::try_from(random.wrapping_add(attempt) % 1_500).unwrap_or(0);
        let base = 20_000 + 8 * slot;
        let mut held = Vec::new();
        for port in base..base + 8 {
            match TcpListener::bind((LOOPBACK, port)).await {
                Ok(listener) => held.push(listener),
                Err(error) => last = error,
            }
        }
        if held.len() == 8 {
            return Ok(base);
        }
    }
    Err(last)
}
