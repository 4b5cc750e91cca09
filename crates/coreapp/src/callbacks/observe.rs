//! What the dispatcher shows: metrics under the original's names, one log line per change.

use telemetry::metrics::{DURATION_MS, Histogram, IntCounter, IntGauge, MetricError, Metrics};

use super::{breaker::Change, schedule::Outcome};

/// Pairs of (kind, result) whose metrics are kept at hand; others are looked up each time.
const CACHED: usize = 64;

pub(super) struct Observed {
    queue_size: IntGauge,
    pending: IntGauge,
    up: IntGauge,
    expired: IntCounter,
    missing: IntCounter,
    requests: prometheus::IntCounterVec,
    durations: prometheus::HistogramVec,
    cached: Vec<((&'static str, Outcome), IntCounter, Histogram)>,
}

// === impl Observed ===

impl Observed {
    pub(super) fn new(metrics: &Metrics) -> Result<Self, MetricError> {
        let labels = &["type", "result"];
        let discarded = metrics.counters(
            "callbacks_discarded",
            "Events settled without an answer of 200: too old, or their rows are gone.",
            &["reason"],
        )?;
        let up = metrics.gauge("callback_endpoint_up", "0 while the webhook is only probed.")?;
        up.set(1);
        Ok(Self {
            queue_size: metrics
                .gauge("callback_queue_size", "Events that the webhook has not taken yet.")?,
            pending: metrics
                .gauge("pending_callbacks", "Events being POSTed, or waiting for it in memory.")?,
            up,
            expired: discarded.with_label_values(&["expired"]),
            missing: discarded.with_label_values(&["missing"]),
            requests: metrics.counters("callback_requests", "POSTs to the webhook.", labels)?,
            durations: metrics.histograms(
                "callback_requests_duration_ms",
                "Time of a POST to the webhook, connection included.",
                labels,
                DURATION_MS,
            )?,
            cached: Vec::new(),
        })
    }

    pub(super) fn posted(&mut self, kind: &'static str, outcome: Outcome, ms: f64) {
        // What a webhook asks for is no label.
        let outcome = match outcome {
            Outcome::Refused { status, .. } => Outcome::Refused { status, retry_after_ms: None },
            other => other,
        };
        let known = self.cached.iter().find(|((k, o), ..)| *k == kind && *o == outcome);
        if let Some((_, requests, duration)) = known {
            requests.inc();
            duration.observe(ms);
            return;
        }
        let result = result(outcome);
        let requests = self.requests.with_label_values(&[kind, result.as_str()]);
        let duration = self.durations.with_label_values(&[kind, result.as_str()]);
        requests.inc();
        duration.observe(ms);
        if self.cached.len() < CACHED {
            self.cached.push(((kind, outcome), requests, duration));
        }
    }

    pub(super) fn discarded(&self, expired: u64, missing: u64) {
        self.expired.inc_by(expired);
        self.missing.inc_by(missing);
        if missing > 0 {
            tracing::error!(events = missing, "events are gone from the log before their callback");
        }
    }

    pub(super) fn sizes(&self, backlog: u64, known: usize) {
        self.queue_size.set(i64::try_from(backlog).unwrap_or(i64::MAX));
        self.pending.set(i64::try_from(known).unwrap_or(i64::MAX));
    }

    pub(super) fn changed(&self, change: Change, last: Option<Outcome>, backlog: u64) {
        match change {
            Change::Down => {
                self.up.set(0);
                let result = last.map(result).unwrap_or_default();
                tracing::warn!(
                    callback.result = result,
                    callback.backlog = backlog,
                    "the webhook is down; it is only probed until it answers 200"
                );
            }
            Change::Up { down_ms } => {
                self.up.set(1);
                tracing::info!(
                    callback.down_ms = down_ms,
                    callback.backlog = backlog,
                    "the webhook is back; callbacks resume"
                );
            }
        }
    }
}

fn result(outcome: Outcome) -> String {
    match outcome {
        Outcome::Delivered => "success".to_owned(),
        Outcome::Refused { status, .. } => status.to_string(),
        Outcome::Unreachable => "unreachable".to_owned(),
        Outcome::TimedOut => "timeout".to_owned(),
        Outcome::Closed => "closed".to_owned(),
    }
}
