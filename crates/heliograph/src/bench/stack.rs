//! A stack of separate child processes on free loopback ports, with a data directory that goes
//! away with it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::{Map, Value};
use tokio::{
    process::{Child, Command},
    time::Instant,
};

use super::{
    args::StackArgs,
    cpu::{self, Watched},
    ports,
    server::{Database, Server, ServerError},
    shim::{self, ShimError},
};
use crate::client::Client;

/// Longest wait until the stack serves.
const START: Duration = Duration::from_secs(30);
/// What is shown of the log of a role that did not start, bytes.
const LOG_TAIL: usize = 2_000;
/// Own number of the stack.
const NUMBER: &str = "15550100100";
pub(crate) const LOOPBACK: &str = "127.0.0.1";

/// Why there is no stack.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StackError {
    #[error("the data directory {}: {error}", path.display())]
    Directory { path: PathBuf, error: io::Error },
    #[error("no free port on {LOOPBACK}: {0}")]
    Ports(io::Error),
    #[error("the database: {0}")]
    Server(#[from] ServerError),
    #[error(transparent)]
    Shim(#[from] ShimError),
    #[error("--commit-delay-ms needs a database that the run starts itself, not one that runs")]
    NotOurs,
    #[error("the {role} cannot be run: {error}")]
    Spawn { role: &'static str, error: io::Error },
    #[error("the {role} ended ({status}):\n{log}")]
    Ended { role: &'static str, status: std::process::ExitStatus, log: String },
    #[error("it was not ready after {} s; the log of the coreapp ends:\n{log}", START.as_secs())]
    NotReady { log: String },
}

/// Separate processes. Dropping it kills them, ends the database and removes their directory.
#[derive(Debug)]
pub(crate) struct Stack {
    /// host:port of each webapp's plain HTTP.
    pub(crate) webapps: Vec<String>,
    /// host:port of the sandbox's control API.
    pub(crate) sandbox: String,
    children: Vec<Role>,
    server: Option<Server>,
    database: String,
    directory: Directory,
}

#[derive(Debug)]
struct Role {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

#[derive(Debug)]
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        // Left behind if it cannot be removed: it is in the system's temporary directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Starts database, sandbox, coreapp and webapps, and waits until messages are served.
pub(crate) async fn start(args: &StackArgs) -> Result<Stack, StackError> {
    let path = std::env::temp_dir().join(format!("heliograph-bench-{}", std::process::id()));
    fs::create_dir_all(&path)
        .map_err(|error| StackError::Directory { path: path.clone(), error })?;
    let directory = Directory(path);
    let slow = match args.commit_delay_ms {
        Some(delay) => shim::build(&directory.0, delay).await?,
        None => Vec::new(),
    };
    let server = match args.database {
        Database::Private(engine) => {
            Some(Server::start(engine, directory.0.join("database"), &slow).await?)
        }
        _ => None,
    };
    let database = match (&args.database, &server) {
        (Database::Url(url), _) if !slow.is_empty() && !is_sqlite(url) => {
            return Err(StackError::NotOurs);
        }
        (Database::Url(url), _) => url.clone(),
        (_, Some(server)) => server.url.clone(),
        (_, None) => format!("sqlite:{}", directory.0.join("heliograph.db").display()),
    };
    let core = ports::free(6 + 2 * args.webapps).await.map_err(StackError::Ports)?;
    let at = |port: u16| format!("{LOOPBACK}:{port}");
    let [upstream, phones] = [4, 5].map(|n| at(core + n));
    let web = |n: u16| [at(core + 6 + 2 * n), at(core + 7 + 2 * n)];
    let mut stack = Stack {
        webapps: (0..args.webapps).map(|n| web(n)[0].clone()).collect(),
        sandbox: phones.clone(),
        children: Vec::new(),
        database: database.clone(),
        directory,
        server,
    };

    let latency = format!("{}-{}", args.upstream_latency.min, args.upstream_latency.max);
    let options = ["--listen", &upstream, "--http", &phones, "--latency-ms", &latency];
    let options = [&options[..], &["--phones", args.phones.option()]].concat();
    stack.run("sandbox", "sandbox", &options, &[])?;

    let mut env = vec![
        ("HELIOGRAPH_LOG__LEVEL", "info"),
        ("HELIOGRAPH_EGRESS__ALLOW", "loopback,http"),
        ("HELIOGRAPH_ACCOUNT__NUMBER", NUMBER),
    ];
    let batch_max = args.batch_max.map(|max| max.to_string());
    env.extend(batch_max.as_deref().map(|max| ("HELIOGRAPH_DATABASE__BATCH_MAX", max)));
    // A file is flushed by the coreapp itself.
    if is_sqlite(&database) {
        env.extend(slow.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    }
    let port = core.to_string();
    let network = format!("http://{upstream}");
    let options = ["--database", &database, "--listen", LOOPBACK, "--port", &port];
    stack.run("coreapp", "coreapp", &[&options[..], &["--upstream", &network]].concat(), &env)?;

    for n in 0..args.webapps {
        let [http, https] = web(n);
        let options = ["--http", &http, "--https", &https, "--coreapps", &at(core)];
        stack.run("webapp", &format!("webapp-{n}"), &options, &[])?;
    }
    stack.ready().await?;
    Ok(stack)
}

impl Stack {
    fn run(
        &mut self,
        name: &'static str,
        log: &str,
        options: &[&str],
        env: &[(&str, &str)],
    ) -> Result<(), StackError> {
        let failed = |error| StackError::Spawn { role: name, error };
        let path = self.log(log);
        let log = File::create(&path).map_err(failed)?;
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
        self.children.push(Role { name, child, log: path });
        Ok(())
    }

    async fn ready(&mut self) -> Result<(), StackError> {
        let deadline = Instant::now() + START;
        for authority in self.webapps.clone() {
            let mut client = Client::new(authority);
            while !serves(&mut client).await {
                for role in &mut self.children {
                    if let Ok(Some(status)) = role.child.try_wait() {
                        let log = tail(&role.log);
                        return Err(StackError::Ended { role: role.name, status, log });
                    }
                }
                if Instant::now() > deadline {
                    return Err(StackError::NotReady { log: tail(&self.log("coreapp")) });
                }
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        }
        Ok(())
    }

    /// The processes whose CPU time counts.
    pub(crate) fn watched(&self) -> Vec<Watched> {
        let roles = self.children.iter().filter_map(|role| {
            Some(Watched { name: role.name, pid: role.child.id()?, children: false })
        });
        roles.chain(self.database_process()).collect()
    }

    /// The database server, if it is one and on this machine.
    fn database_process(&self) -> Option<Watched> {
        let uri: http::Uri = self.database.parse().ok()?;
        let here = matches!(uri.host()?, "127.0.0.1" | "localhost" | "[::1]");
        let pid = here.then(|| cpu::listener(uri.port_u16()?)).flatten()?;
        Some(Watched { name: "database", pid, children: true })
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
        // Before the directory in which its data may lie.
        drop(self.server.take());
    }

    fn log(&self, role: &str) -> PathBuf {
        self.directory.0.join(format!("{role}.log"))
    }
}

fn is_sqlite(url: &str) -> bool {
    url.starts_with("sqlite:")
}

async fn serves(client: &mut Client) -> bool {
    let answer = client.call("GET", "/readyz", "", "").await;
    answer.is_ok_and(|answer| answer.status.is_success())
}

fn tail(path: &Path) -> String {
    let log = fs::read(path).unwrap_or_default();
    let tail = log.get(log.len().saturating_sub(LOG_TAIL)..).unwrap_or_default();
    String::from_utf8_lossy(tail).into_owned()
}
