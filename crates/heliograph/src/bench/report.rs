//! What a run prints: a table for people, one JSON object for programs.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value, json};

use super::{
    machine,
    tally::{Quantiles, Summary},
};

/// Everything known after a run.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) summary: Summary,
    /// First send to last answer.
    pub(crate) duration: Duration,
    /// First send to last callback.
    pub(crate) drained: Duration,
    pub(crate) queue_peak: Option<u64>,
    /// Microseconds an accepted message, by process.
    pub(crate) cpu: BTreeMap<&'static str, f64>,
    pub(crate) loop_kind: &'static str,
    pub(crate) rate: Option<f64>,
    pub(crate) clients: usize,
    pub(crate) known: bool,
    pub(crate) limits: bool,
    /// What the sandbox's phones do with contents.
    pub(crate) phones: &'static str,
    pub(crate) callback_connections: u32,
    /// `None`: the coreapp's default.
    pub(crate) batch_max: Option<u32>,
    /// Empty for a running stack: it does not say.
    pub(crate) database: Map<String, Value>,
}

pub(crate) fn cpu_per_message(
    before: &BTreeMap<&'static str, u64>,
    after: &BTreeMap<&'static str, u64>,
    messages: u64,
) -> BTreeMap<&'static str, f64> {
    let used = |name| Some(after.get(name)?.saturating_sub(*before.get(name)?));
    before.keys().filter_map(|name| Some((*name, ratio(used(*name)?, messages)))).collect()
}

pub(crate) fn print(report: &Report, as_json: bool) {
    if as_json {
        println!("{}", to_json(report));
    } else {
        print!("{}", to_table(report));
    }
}

fn to_json(report: &Report) -> Value {
    let summary = &report.summary;
    json!({
        "accepted": summary.accepted,
        "failed": summary.failed.values().sum::<u64>(),
        "failed_by_reason": summary.failed,
        "duration_s": seconds(report.duration),
        "messages_per_second": per_second(summary.accepted, report.duration),
        "delivered_per_second": per_second(settled(summary), report.drained),
        "latency_ms": {
            "accept": quantiles(summary.accept),
            "end_to_end": quantiles(summary.end_to_end),
        },
        "callbacks": summary.callbacks,
        "lost": summary.lost,
        "duplicated": summary.duplicated,
        "job_queue_peak": report.queue_peak,
        "cpu_us_per_message": report.cpu.iter().map(|(k, v)| (*k, rounded(*v)))
            .collect::<BTreeMap<_, _>>(),
        "load": {
            "loop": report.loop_kind,
            "rate": report.rate,
            "clients": report.clients,
            "recipients": if report.known { "known" } else { "strangers" },
            "limits": report.limits,
            "phones": report.phones,
            "callback_connections": report.callback_connections,
            "batch_max": report.batch_max,
        },
        "database": report.database,
        "machine": machine::facts(),
        "version": env!("CARGO_PKG_VERSION"),
    })
}

fn to_table(report: &Report) -> String {
    let summary = &report.summary;
    let mut rows = vec![
        ("accepted", summary.accepted.to_string()),
        ("refused or failed", list(&summary.failed)),
        ("duration", format!("{:.2} s", report.duration.as_secs_f64())),
        ("accepted a second", format!("{:.0}", per_second(summary.accepted, report.duration))),
        ("delivered a second", format!("{:.0}", per_second(settled(summary), report.drained))),
        ("until 201", line(summary.accept)),
        ("until `delivered`", line(summary.end_to_end)),
        ("callbacks", list(&summary.callbacks)),
        ("lost", summary.lost.to_string()),
        ("duplicate callbacks", summary.duplicated.to_string()),
    ];
    if let Some(peak) = report.queue_peak {
        rows.push(("job queue, highest seen", peak.to_string()));
    }
    for (name, micros) in &report.cpu {
        rows.push(("CPU a message", format!("{micros:.1} µs {name}")));
    }
    rows.into_iter().map(|(name, value)| format!("{name:<26}{value}\n")).collect()
}

/// Messages with an end: delivered, read or failed.
fn settled(summary: &Summary) -> u64 {
    summary.accepted - summary.lost
}

fn quantiles(q: Quantiles) -> Value {
    json!({
        "p50": rounded(q.p50), "p95": rounded(q.p95), "p99": rounded(q.p99), "max": rounded(q.max),
    })
}

fn line(q: Quantiles) -> String {
    format!("p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, max {:.1} ms", q.p50, q.p95, q.p99, q.max)
}

fn list(counts: &BTreeMap<String, u64>) -> String {
    if counts.is_empty() {
        return "0".to_owned();
    }
    counts.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ")
}

fn per_second(count: u64, duration: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let rate = count as f64 / duration.as_secs_f64().max(1e-9);
    rounded(rate)
}

fn ratio(total: u64, count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let ratio = total as f64 / count.max(1) as f64;
    ratio
}

fn seconds(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64())
}

/// To three places: more would pretend a precision that no run has.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}
