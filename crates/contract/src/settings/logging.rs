//! `log_level` and `verbose_logging`: what they ask of the log.

use super::Application;

/// How much a process writes into its log, beyond or below what it is configured for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Errors alone.
    Error,
    /// And warnings.
    Warn,
    /// And what helps to find out why.
    Debug,
    /// And every step.
    Trace,
}

impl LogLevel {
    /// Its name in the document and on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// By its name; `None` for every other word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Error, Self::Warn, Self::Debug, Self::Trace]
            .into_iter()
            .find(|level| level.name().eq_ignore_ascii_case(name))
    }
}

impl Application {
    /// What the document asks of every process' log; `None`: what each is configured for, as with the
    /// default `info` and with words only the original knew.
    #[must_use]
    pub fn logging(&self) -> Option<LogLevel> {
        match LogLevel::from_name(self.log_level.trim()) {
            Some(LogLevel::Trace) => Some(LogLevel::Trace),
            _ if self.verbose_logging => Some(LogLevel::Debug),
            level => level,
        }
    }
}
