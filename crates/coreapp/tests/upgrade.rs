//! The one-shot run that brings the schema up to date, as the original's deployments start it.

use std::process::Command;

#[test]
fn an_upgrade_makes_the_tables_says_what_it_found_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_coreapp"))
        .env_clear()
        .current_dir(folder.path())
        .env("WA_DB_ENGINE", "SQLITE")
        .env("WA_DB_PASSWORD", "s3cret")
        .env("WA_DB_UPGRADE", "1")
        .env("WA_DB_PERSISTENT", "1")
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{log}");
    assert!(folder.path().join("data/heliograph.db").exists(), "{log}");
    assert!(log.contains("WA_DB_PERSISTENT is set and has no effect"), "{log}");
    assert!(log.contains("the database is open: SQLite"), "{log}");
    assert!(log.contains("the schema is up to date"), "{log}");
    assert!(!log.contains("s3cret"), "{log}");
}
