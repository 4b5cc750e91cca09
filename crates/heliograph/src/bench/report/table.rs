//! The summary for people.

use std::{collections::BTreeMap, fmt::Display};

use super::{Batches, Report, per_second};
use crate::bench::tally::{Quantiles, Step};

impl Report {
    /// What both the table and the page show, as name and value.
    pub(super) fn rows(&self) -> Vec<(String, String)> {
        let summary = &self.summary;
        let mut rows = Vec::new();
        let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
        row("accepted", summary.accepted.to_string());
        row("failed", list(&summary.failed));
        row(
            "refused",
            match summary.retries {
                0 => list(&summary.refused),
                retries => format!("{}; repeated {retries}", list(&summary.refused)),
            },
        );
        if summary.not_started > 0 {
            row("not started", summary.not_started.to_string());
        }
        row("duration", format!("{:.2} s", summary.duration.as_secs_f64()));
        let rate = per_second(summary.accepted, summary.duration);
        row("accepted a second", format!("{rate:.1}"));
        let rate = per_second(summary.settled, summary.drained);
        row("delivered a second", format!("{rate:.1}"));
        for (step, quantiles) in &summary.latencies {
            row(label(*step), line(*quantiles));
        }
        row("callbacks", list(&summary.callbacks));
        row("repeated callbacks", summary.repeated.to_string());
        row("lost", self.lost().to_string());
        let duplicated = self.network.map(|network| network.delivered_twice.to_string());
        row("twice at a phone", duplicated.unwrap_or_else(|| "not known".to_owned()));
        if let Some(network) = &self.network {
            row("contact syncs", batches(network.contact_syncs));
            row("pre-key fetches", batches(network.pre_key_fetches));
        }
        if let Some(peak) = self.queue_peak {
            row("job queue, highest", format!("{peak:.0}"));
        }
        for (name, micros) in &self.cpu {
            row(&format!("CPU a message, {name}"), format!("{micros:.0} µs"));
        }
        if let Some(checks) = &self.checks {
            let numbers: u64 = checks.contacts.values().sum();
            let rate = per_second(numbers, checks.checking);
            row("checked beside", format!("{} ({rate:.1} a second)", list(&checks.contacts)));
            row("checks refused", list(&checks.refused));
            row("checks failed", list(&checks.failed));
            if checks.not_started > 0 {
                row("checks not started", checks.not_started.to_string());
            }
            for (_, quantiles) in &checks.latencies {
                row("checks until answered", line(*quantiles));
            }
        }
        rows
    }

    pub(super) fn to_table(&self) -> String {
        let rows = self.rows();
        rows.into_iter().map(|(name, value)| format!("{name:<26}{value}\n")).collect()
    }
}

fn label(step: Step) -> &'static str {
    match step {
        Step::Contacts => "until contacts answered",
        Step::Accept => "until 201",
        Step::Sent => "until `sent`",
        Step::Delivered => "until `delivered`",
        Step::Read => "until `read`",
        Step::Callback => "until the last callback",
    }
}

fn line(q: Quantiles) -> String {
    format!("p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, max {:.1} ms", q.p50, q.p95, q.p99, q.max)
}

fn batches(batches: Batches) -> String {
    let Batches { calls, items, largest, in_flight_max } = batches;
    let mean = batches.mean();
    format!("{calls} for {items}: {mean:.1} a call, largest {largest}, {in_flight_max} at a time")
}

fn list(counts: &BTreeMap<impl Display, u64>) -> String {
    if counts.is_empty() {
        return "0".to_owned();
    }
    counts.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ")
}
