//! The database of a run: a new SQLite file, a private server that `scripts/db` starts, or one that
//! runs.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    str::FromStr,
};

/// Name of the database on a private server.
const NAME: &str = "heliograph";

/// What `--database` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    /// A new file.
    Sqlite,
    /// A private server.
    Private(Engine),
    /// Taken as it is.
    Url(String),
}

/// Servers that can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Postgres,
    Mariadb,
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error(
        "{} is found neither above the working directory nor above this program; run it in the \
         source tree or give the URL of an empty database", script.display()
    )]
    NoScript { script: PathBuf },
    #[error("{} cannot be run: {error}", script.display())]
    Run { script: PathBuf, error: std::io::Error },
    #[error("{} failed ({status}): {error}", script.display())]
    Failed { script: PathBuf, status: std::process::ExitStatus, error: String },
}

/// A private server. Dropping it ends it and removes its data.
#[derive(Debug)]
pub(crate) struct Server {
    /// Of a database that does not exist yet.
    pub(crate) url: String,
    script: Script,
    directory: PathBuf,
}

/// What starts and stops servers of one engine.
#[derive(Clone, Debug)]
struct Script {
    path: PathBuf,
    engine: &'static str,
}

// === impl Database ===

impl FromStr for Database {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "sqlite" => Self::Sqlite,
            "postgres" => Self::Private(Engine::Postgres),
            "mariadb" | "mysql" => Self::Private(Engine::Mariadb),
            url if url.contains(':') => Self::Url(url.to_owned()),
            _ => return Err("give sqlite, postgres, mariadb, mysql, or a URL".to_owned()),
        })
    }
}

// === impl Server ===

impl Server {
    /// Starts one with its data in `directory`; `env` is given to it.
    pub(crate) async fn start(
        engine: Engine,
        directory: PathBuf,
        env: &[(String, String)],
    ) -> Result<Self, ServerError> {
        // Before it is started, so that an interrupted start is stopped too.
        let mut server = Self { url: String::new(), script: Script::find(engine)?, directory };
        let path = &server.script.path;
        let command = server.script.command("start", &server.directory);
        let output = tokio::process::Command::from(command)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| ServerError::Run { script: path.clone(), error })?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let script = path.clone();
            return Err(ServerError::Failed { script, status: output.status, error });
        }
        let printed = String::from_utf8_lossy(&output.stdout);
        let address = printed.trim();
        let (address, _) = address.rsplit_once('/').unwrap_or((address, ""));
        server.url = format!("{address}/{NAME}");
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Also on the way out of an interrupted run; a server that does not stop says so itself.
        let _ = self.script.command("stop", &self.directory).stdout(Stdio::null()).status();
    }
}

// === impl Script ===

impl Script {
    /// In the source tree around the working directory or this program.
    fn find(engine: Engine) -> Result<Self, ServerError> {
        let engine = match engine {
            Engine::Postgres => "postgres",
            Engine::Mariadb => "mariadb",
        };
        let relative = Path::new("scripts").join("db");
        let places = [std::env::current_dir(), std::env::current_exe()];
        let above = places.iter().flatten().flat_map(|place| place.ancestors());
        let path = above.map(|place| place.join(&relative)).find(|script| script.is_file());
        let path = path.ok_or(ServerError::NoScript { script: relative })?;
        Ok(Self { path, engine })
    }

    fn command(&self, action: &str, directory: &Path) -> Command {
        let mut command = Command::new(&self.path);
        command.args([self.engine, action]).arg(directory).stdin(Stdio::null());
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_names_an_engine_and_a_url_a_database() {
        assert_eq!("sqlite".parse(), Ok(Database::Sqlite));
        assert_eq!("mysql".parse(), Ok(Database::Private(Engine::Mariadb)));
        assert_eq!("postgres".parse(), Ok(Database::Private(Engine::Postgres)));
        assert_eq!("sqlite:a.db".parse(), Ok(Database::Url("sqlite:a.db".to_owned())));
        assert!("oracle".parse::<Database>().unwrap_err().contains("postgres"));
    }
}
