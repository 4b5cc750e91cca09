//! `heliograph certificate`: a certificate with which another program may call the coreapp.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use contract::Clock;
use rpc::identity::{IdentityError, Name, Source};
use serde::Deserialize;
use telemetry::{
    SystemClock,
    config::{ConfigError, Internal, Sources, load},
    system,
};

/// Options of `heliograph certificate`.
///
/// Needs internal.secret (WA_SECRET), the same as the coreapps'. Whoever has the files may send
/// messages and change settings.
#[derive(Args, Debug)]
pub(crate) struct CertificateArgs {
    /// For whom: service:NAME, coreapp or webapp
    name: Name,
    /// Configuration file [default: heliograph.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How long it is good
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
    /// Where ca.pem, cert.pem and key.pem are written; files that exist are replaced
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("failed to write {path}: {error}")]
    Write { path: String, error: io::Error },
}

#[derive(Deserialize)]
struct Sections {
    #[serde(default)]
    internal: Internal,
}

/// Runs the command.
pub(crate) fn run(args: &CertificateArgs) -> Result<(), CertificateError> {
    let sources = Sources::new(args.config.clone(), system::environment());
    let Sections { internal } = load(&sources, &["internal"])?;
    let Some(Source::Secrets(secrets)) = internal.source()? else {
        return Err(ConfigError::missing("internal.secret").into());
    };
    let [ca, cert, key] = secrets.issue(&args.name, SystemClock.unix_ms(), args.days)?;
    let files = [("ca.pem", ca, 0o644), ("cert.pem", cert, 0o644), ("key.pem", key, 0o600)];
    for (name, text, mode) in files {
        let path = args.out.join(name);
        write(&path, &text, mode)
            .map_err(|error| CertificateError::Write { path: path.display().to_string(), error })?;
    }
    eprintln!("wrote ca.pem, cert.pem and key.pem for {}, good for {} days", args.name, args.days);
    Ok(())
}

/// A new file beside, then renamed: whoever reads meanwhile gets the old or the new one.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let beside = path.with_extension("new");
    let _stale = fs::remove_file(&beside);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}
