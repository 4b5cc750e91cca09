//! A new database on a server that a variable names, or on one of its own.

use std::process::{Command, Stdio};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/db");

pub struct Server {
    pub url: String,
    engine: &'static str,
    own: Option<tempfile::TempDir>,
}

impl Server {
    /// PostgreSQL; `name` must be new on the server.
    pub fn postgres(name: &str) -> Self {
        Self::new("postgres", "HELIOGRAPH_TEST_POSTGRES", name)
    }

    /// MariaDB; `name` must be new on the server.
    pub fn mariadb(name: &str) -> Self {
        Self::new("mariadb", "HELIOGRAPH_TEST_MYSQL", name)
    }

    fn new(engine: &'static str, variable: &str, name: &str) -> Self {
        let (address, own) = match std::env::var(variable) {
            Ok(address) => (address, None),
            Err(_) => {
                let directory = tempfile::tempdir().unwrap();
                let started =
                    Command::new(SCRIPT).args([engine, "start"]).arg(directory.path()).output();
                let started = started.unwrap();
                let errors = String::from_utf8_lossy(&started.stderr);
                assert!(started.status.success(), "{engine} does not start: {errors}");
                (String::from_utf8(started.stdout).unwrap(), Some(directory))
            }
        };
        let (server_url, _) = address.trim().rsplit_once('/').unwrap();
        Self { url: format!("{server_url}/{name}_{}", std::process::id()), engine, own }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(directory) = &self.own {
            let stopped = Command::new(SCRIPT)
                .args([self.engine, "stop"])
                .arg(directory.path())
                .stdout(Stdio::null())
                .status();
            assert!(stopped.is_ok_and(|status| status.success()), "{} does not stop", self.engine);
        }
    }
}
