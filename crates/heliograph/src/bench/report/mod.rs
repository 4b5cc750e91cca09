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
    pub(crate) network: Option<AtNetwork>,
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
pub(crate) struct AtNetwork {
    pub(crate) delivered: u64,
    pub(crate) delivered_twice: u64,
    pub(crate) contact_syncs: Batches,
    pub(crate) pre_key_fetches: Batches,
}

/// Calls of one kind that ask for many at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batches {
    pub(crate) calls: u64,
    /// Asked for in all of them.
    pub(crate) items: u64,
    /// Most asked for in one, and most calls at the same time; since the sandbox started.
    pub(crate) largest: u64,
    pub(crate) in_flight_max: u64,
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
        Some(due.saturating_sub(self.network?.delivered))
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

// === impl AtNetwork ===

impl AtNetwork {
    pub(crate) fn since(self, before: &Self) -> Self {
        Self {
            delivered: self.delivered.saturating_sub(before.delivered),
            delivered_twice: self.delivered_twice.saturating_sub(before.delivered_twice),
            contact_syncs: self.contact_syncs.since(before.contact_syncs),
            pre_key_fetches: self.pre_key_fetches.since(before.pre_key_fetches),
        }
    }
}

// === impl Batches ===

impl Batches {
    fn since(self, before: Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(before.calls),
            items: self.items.saturating_sub(before.items),
            ..self
        }
    }

    /// Asked for in a call, on average.
    fn mean(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let mean = self.items as f64 / self.calls.max(1) as f64;
        mean
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
