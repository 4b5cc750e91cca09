//! What a run prints and writes: a table for people, one JSON object for programs, a page with
//! graphs.

use std::{collections::BTreeMap, fs, io, path::Path, time::Duration};

use serde_json::{Map, Value};

use super::{sampler::Sample, tally::Summary};

mod chart;
mod json;
mod page;
mod table;

/// Everything known after a run.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) summary: Summary,
    /// Of the contact checks beside the messages, if there were any.
    pub(crate) checks: Option<Summary>,
    pub(crate) phones: Option<AtPhones>,
    pub(crate) queue_peak: Option<f64>,
    /// Microseconds an accepted message, by process; warm-up and drain included.
    pub(crate) cpu: BTreeMap<&'static str, f64>,
    /// What was asked for.
    pub(crate) load: Value,
    /// Empty for a running gateway: it does not say.
    pub(crate) database: Map<String, Value>,
    pub(crate) warmup: Duration,
    pub(crate) samples: Vec<Sample>,
}

/// What the sandbox counted during the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AtPhones {
    pub(crate) delivered: u64,
    pub(crate) delivered_twice: u64,
}

/// The report cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}")]
pub(crate) struct WriteError {
    path: String,
    error: io::Error,
}

// === impl Report ===

impl Report {
    /// Accepted, yet never called back or never at a phone.
    pub(crate) fn lost(&self) -> u64 {
        self.summary.lost.max(self.never_at_phone().unwrap_or(0))
    }

    /// Accepted, not failed later, and not delivered, as the sandbox counts.
    fn never_at_phone(&self) -> Option<u64> {
        let due = self.summary.accepted_all - self.summary.failed_later;
        Some(due.saturating_sub(self.phones?.delivered))
    }

    pub(crate) fn print(&self, as_json: bool) {
        if as_json {
            println!("{}", self.to_json());
        } else {
            print!("{}", self.to_table());
        }
    }

    /// Writes `report.json` and `index.html`.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), WriteError> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |error| WriteError { path, error }
        };
        fs::create_dir_all(directory).map_err(failed(directory))?;
        let files = [("report.json", self.to_json_with_samples()), ("index.html", self.to_page())];
        for (name, content) in files {
            let path = directory.join(name);
            fs::write(&path, content).map_err(failed(&path))?;
        }
        Ok(())
    }
}

/// CPU time between two samples, a message.
pub(crate) fn cpu_per_message(
    before: &BTreeMap<&'static str, u64>,
    after: &BTreeMap<&'static str, u64>,
    messages: u64,
) -> BTreeMap<&'static str, f64> {
    let used = |name| Some(after.get(name)?.saturating_sub(*before.get(name)?));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let ratio = |total: u64| total as f64 / messages.max(1) as f64;
    before.keys().filter_map(|name| Some((*name, ratio(used(*name)?)))).collect()
}

fn per_second(count: u64, duration: Duration) -> f64 {
    if duration.is_zero() {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let rate = count as f64 / duration.as_secs_f64();
    rounded(rate)
}

fn seconds(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64())
}

/// To three places: more would pretend a precision that no run has.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}
