//! A slow disk: a library that makes every fsync of the process that loads it wait first. Compiled
//! for each run, because it must fit the C library of the machine.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The library's source.
const SOURCE: &str = include_str!("slow_fsync.c");

/// Why commits cannot be delayed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShimError {
    #[error("failed to write {}: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
    #[error("failed to run the C compiler {compiler}: {error}; install one, or name it in $CC")]
    Compiler { compiler: String, error: io::Error },
    #[error("failed to compile the library that delays commits: {0}")]
    Compile(String),
}

/// Compiles it in `directory`; gives the environment of a process whose fsyncs take `delay_ms` more.
pub(crate) async fn build(
    directory: &Path,
    delay_ms: u32,
) -> Result<Vec<(String, String)>, ShimError> {
    let source = directory.join("slow_fsync.c");
    fs::write(&source, SOURCE).map_err(|error| ShimError::Write { path: source.clone(), error })?;
    let library = directory.join("slow_fsync.so");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let output = tokio::process::Command::new(&compiler)
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .output()
        .await
        .map_err(|error| ShimError::Compiler { compiler, error })?;
    if !output.status.success() {
        return Err(ShimError::Compile(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(vec![
        ("LD_PRELOAD".to_owned(), library.display().to_string()),
        ("HELIOGRAPH_FSYNC_DELAY_MS".to_owned(), delay_ms.to_string()),
    ])
}
