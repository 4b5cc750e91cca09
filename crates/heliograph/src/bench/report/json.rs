//! The summary as one JSON object, and with the samples of each second.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Batches, Report, per_second, rounded, seconds};
use crate::bench::{
    machine,
    sampler::Sample,
    tally::{Interval, Quantiles, Step, Summary},
};

impl Report {
    pub(super) fn to_json(&self) -> Value {
        let summary = &self.summary;
        json!({
            "accepted": summary.accepted,
            "failed": summary.failed.values().sum::<u64>(),
            "failed_by_reason": summary.failed,
            "refused": summary.refused,
            "retries": summary.retries,
            "not_started": summary.not_started,
            "duration_s": seconds(summary.duration),
            "messages_per_second": per_second(summary.accepted, summary.duration),
            "delivered_per_second": per_second(summary.settled, summary.drained),
            "latency_ms": latencies(&summary.latencies),
            "callbacks": summary.callbacks,
            "callbacks_repeated": summary.repeated,
            "lost": self.lost(),
            "lost_by": {
                "never_called_back": summary.lost,
                "never_at_phone": self.never_at_phone(),
            },
            "duplicated": self.network.map(|network| network.delivered_twice),
            "batches": self.network.map(|network| json!({
                "contact_syncs": batches(network.contact_syncs),
                "pre_key_fetches": batches(network.pre_key_fetches),
            })),
            "job_queue_peak": self.queue_peak,
            "cpu_us_per_message": self.cpu.iter().map(|(k, v)| (*k, rounded(*v)))
                .collect::<BTreeMap<_, _>>(),
            "contact_checks": self.checks.as_ref().map(checks),
            "load": self.load,
            "database": self.database,
            "machine": machine::facts(),
            "version": env!("CARGO_PKG_VERSION"),
        })
    }

    pub(super) fn to_json_with_samples(&self) -> String {
        let samples: Vec<_> = self.samples.iter().map(sample).collect();
        let report = json!({ "summary": self.to_json(), "samples": samples });
        format!("{report:#}\n")
    }
}

fn checks(summary: &Summary) -> Value {
    let numbers: u64 = summary.contacts.values().sum();
    json!({
        "numbers": numbers,
        "by_status": summary.contacts,
        "failed": summary.failed.values().sum::<u64>(),
        "failed_by_reason": summary.failed,
        "refused": summary.refused,
        "retries": summary.retries,
        "not_started": summary.not_started,
        "duration_s": seconds(summary.checking),
        "numbers_per_second": per_second(numbers, summary.checking),
        "latency_ms": latencies(&summary.latencies),
    })
}

fn batches(batches: Batches) -> Value {
    json!({
        "calls": batches.calls,
        "items": batches.items,
        "mean": rounded(batches.mean()),
        "largest": batches.largest,
        "in_flight_max": batches.in_flight_max,
    })
}

fn latencies(latencies: &[(Step, Quantiles)]) -> Map<String, Value> {
    let one = |(step, q): &(Step, Quantiles)| {
        let [p50, p95, p99, max] = [q.p50, q.p95, q.p99, q.max].map(rounded);
        (step.name().to_owned(), json!({"p50": p50, "p95": p95, "p99": p99, "max": max}))
    };
    latencies.iter().map(one).collect()
}

fn sample(sample: &Sample) -> Value {
    let Sample { at, levels, counters: c, .. } = sample;
    let calls = |calls: crate::bench::sampler::Calls| json!({"count": calls.count, "ms": rounded(calls.ms)});
    json!({
        "at_s": rounded(*at),
        "messages": interval(&sample.interval),
        "contact_checks": interval(&sample.checks),
        "pending_messages": levels.pending,
        "pending_messages_peak": levels.pending_peak,
        "callback_queue_size": levels.callback_queue,
        "totals": {
            "SendMessage": calls(c.send_message),
            "SendGetPreKeyBatchResult": calls(c.pre_keys),
            "SendGetPreKeyBatchResult_users": c.pre_key_users,
            "UnifiedSyncResult": calls(c.contact_sync),
            "UnifiedSyncResult_numbers": c.contact_sync_numbers,
            "callback_requests": calls(c.callbacks),
            "POST_v1_messages": c.api_messages,
            "POST_v1_contacts": c.api_contacts,
            "delivered_at_phones": c.delivered,
        },
    })
}

fn interval(interval: &Interval) -> Value {
    json!({
        "accepted": interval.accepted,
        "refused": interval.refused,
        "contacts": interval.contacts,
        "callbacks": interval.callbacks,
        "delivered": interval.settled,
        "latency_ms": latencies(&interval.latencies),
    })
}
