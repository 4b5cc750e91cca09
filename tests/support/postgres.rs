//! A new database on the PostgreSQL that `HELIOGRAPH_TEST_POSTGRES` names, or on a server of its own.

use std::process::{Command, Stdio};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/pg");

pub struct Postgres {
    pub url: String,
    server: Option<tempfile::TempDir>,
}

impl Postgres {
    /// `name` must be new on the server.
    pub fn new(name: &str) -> Self {
        let (address, server) = match std::env::var("HELIOGRAPH_TEST_POSTGRES") {
            Ok(address) => (address, None),
            Err(_) => {
                let directory = tempfile::tempdir().unwrap();
                let started = Command::new(SCRIPT).arg("start").arg(directory.path()).output();
                let started = started.unwrap();
                let errors = String::from_utf8_lossy(&started.stderr);
                assert!(started.status.success(), "PostgreSQL does not start: {errors}");
                (String::from_utf8(started.stdout).unwrap(), Some(directory))
            }
        };
        let (server_url, _) = address.trim().rsplit_once('/').unwrap();
        Self { url: format!("{server_url}/{name}_{}", std::process::id()), server }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(directory) = &self.server {
            let stopped = Command::new(SCRIPT)
                .arg("stop")
                .arg(directory.path())
                .stdout(Stdio::null())
                .status();
            assert!(stopped.is_ok_and(|status| status.success()), "PostgreSQL does not stop");
        }
    }
}
