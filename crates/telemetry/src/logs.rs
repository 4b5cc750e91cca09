//! Log lines on stderr: for people on a terminal, one JSON object a line otherwise.

use std::{io::IsTerminal, sync::OnceLock};

use serde::Deserialize;
use tracing_subscriber::{
    EnvFilter, Registry, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

/// Crates of ours, which say more when more is asked for: what others then say is too much.
const OURS: [&str; 8] =
    ["contract", "coreapp", "heliograph", "rpc", "sandbox", "store", "upstream", "webapp"];

/// The filter in force, and the level it was configured with.
static FILTER: OnceLock<(reload::Handle<EnvFilter, Registry>, String)> = OnceLock::new();

/// The `[log]` section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives as in
    /// `info,coreapp::callbacks=debug`.
    pub level: String,
    /// What a line looks like.
    pub format: Format,
}

/// See [`Log::format`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `human` when stderr is a terminal, else `json`.
    #[default]
    Auto,
    /// One line of text; coloured on a terminal.
    Human,
    /// One JSON object.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `log.level` makes no sense.
    #[error(
        "the setting log.level (HELIOGRAPH_LOG__LEVEL) is not valid: {0}; \
         use error, warn, info, debug or directives like info,coreapp=debug"
    )]
    Level(String),
    /// A subscriber stands already.
    #[error("logging is set up already")]
    Twice,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::Auto }
    }
}

/// Sends every event and span of this process to stderr.
///
/// # Errors
/// [`LogError`], before anything is changed.
pub fn init(log: &Log) -> Result<(), LogError> {
    let filter = filter(&log.level)?;
    let terminal = std::io::stderr().is_terminal();
    let json = match log.format {
        Format::Auto => !terminal,
        Format::Human => false,
        Format::Json => true,
    };
    let (filter, handle) = reload::Layer::new(filter);
    let registry = tracing_subscriber::registry().with(filter);
    if json {
        let layer = fmt::layer().json().flatten_event(true).with_writer(std::io::stderr);
        registry.with(layer).try_init()
    } else {
        let layer = fmt::layer().with_ansi(terminal).with_writer(std::io::stderr);
        registry.with(layer).try_init()
    }
    .map_err(|_| LogError::Twice)?;
    // Only the first subscriber of a process comes so far.
    let _first = FILTER.set((handle, log.level.clone()));
    Ok(())
}

/// Says more or less from now on: `error`, `warn`, `info`, `debug` or `trace`, the last two for the
/// crates of this project alone; `None`: what the process is configured with. Without a log it does
/// nothing.
///
/// # Errors
/// [`LogError::Level`]; the log stays as it was.
pub fn set_level(level: Option<&str>) -> Result<(), LogError> {
    let Some((handle, configured)) = FILTER.get() else { return Ok(()) };
    let wanted = match level {
        Some(level) => adjusted(level),
        None => configured.clone(),
    };
    let wanted = filter(&wanted)?;
    let now = handle.with_current(ToString::to_string).unwrap_or_default();
    if now != wanted.to_string() {
        handle.reload(wanted).map_err(|error| LogError::Level(error.to_string()))?;
        tracing::info!(level = level.unwrap_or(configured), "the log level has changed");
    }
    Ok(())
}

fn adjusted(level: &str) -> String {
    let level = level.to_ascii_lowercase();
    if !matches!(&*level, "debug" | "trace") {
        return level;
    }
    let ours = OURS.map(|name| format!(",{name}={level}"));
    format!("info{}", ours.concat())
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    // A misspelt level would otherwise be taken for the name of a crate and silence everything.
    let word = level.trim();
    if word.chars().all(char::is_alphanumeric)
        && word.parse::<tracing_subscriber::filter::LevelFilter>().is_err()
    {
        return Err(LogError::Level(format!("\"{word}\" is no level")));
    }
    EnvFilter::try_new(word).map_err(|error| LogError::Level(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_said_by_our_own_crates_and_less_by_all() {
        assert_eq!(adjusted("WARN"), "warn");
        let more = adjusted("debug");
        assert!(more.starts_with("info,") && more.contains(",coreapp=debug,"), "{more}");
        for level in ["error", "warn", "info", "debug", "trace"] {
            assert!(filter(&adjusted(level)).is_ok(), "{level}");
        }
        assert!(filter(&adjusted("loud")).is_err());
    }

    #[test]
    fn a_misspelt_level_is_refused_and_directives_are_taken() {
        for good in ["info", "WARN", "off", "info,coreapp::callbacks=debug", "coreapp=trace"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["inf", "verbose", "coreapp=loud"] {
            let error = filter(bad).unwrap_err().to_string();
            assert!(error.contains("log.level"), "{error}");
        }
    }
}
