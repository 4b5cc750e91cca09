//! What the dispatcher shows: metrics under the original's names, one log line per change.

use telemetry::metrics::{DURATION_MS, Histogram, IntCounter, IntGauge, MetricError, Metrics};

use super::{breaker::Change, schedule::Outcome};

/// Pairs of (kind, result) whose metrics are kept at hand; others are looked up each time.
const CACHED: usize = 64;

pub(super) struct Observed {
    queue_size: IntGauge,
    pending: IntGauge,
    up: IntGauge,
    dead: IntCounter,
    missing: IntCounter,
    parked: IntCounter,
    parked_now: IntGauge,
    events: IntCounter,
    capacity: Capacity,
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
            "Events settled without an answer of 200: dead letters, or their rows are gone.",
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
            dead: discarded.with_label_values(&["dead"]),
            missing: discarded.with_label_values(&["missing"]),
            parked: metrics
                .counter("callbacks_parked", "Events set aside to be tried from their own rows, after five refusals or behind such a one.")?,
            parked_now: metrics.gauge(
                "parked_callbacks",
                "Events that are only tried now and then, as far as they are in memory.",
            )?,
            events: metrics.counter("callbacks_delivered", "Events that the webhook has taken.")?,
            capacity: Capacity::new(metrics.gauge(
                "callback_capacity_per_second",
                "Events a second that the webhook could take: its latency and batches of late, at full concurrency.",
            )?),
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

    pub(super) fn concurrency(&mut self, concurrency: usize) {
        self.capacity.concurrency = concurrency;
    }

    pub(super) fn posted(&mut self, kind: &'static str, outcome: Outcome, ms: f64, events: usize) {
        if outcome == Outcome::Delivered {
            self.events.inc_by(events as u64);
            self.capacity.delivered(ms, events);
        }
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

    pub(super) fn given_up(&self, parked: u64, dead: u64, missing: u64) {
        self.parked.inc_by(parked);
        self.dead.inc_by(dead);
        self.missing.inc_by(missing);
        if missing > 0 {
            tracing::error!(events = missing, "events are gone from the log before their callback");
        }
    }

    pub(super) fn sizes(&self, backlog: u64, known: usize, parked: usize) {
        self.parked_now.set(i64::try_from(parked).unwrap_or(i64::MAX));
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

/// What the endpoint could take: concurrency over the time of a POST, times the events in one.
struct Capacity {
    gauge: IntGauge,
    concurrency: usize,
    /// Of one POST and its events, each a mean of late; 0: none yet.
    ms: f64,
    events: f64,
}

impl Capacity {
    /// Weight of the last POST in the means.
    const WEIGHT: f64 = 0.05;

    fn new(gauge: IntGauge) -> Self {
        Self { gauge, concurrency: 1, ms: 0.0, events: 0.0 }
    }

    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a gauge")]
    fn delivered(&mut self, ms: f64, events: usize) {
        let weight = if self.ms > 0.0 { Self::WEIGHT } else { 1.0 };
        self.ms += weight * (ms.max(0.001) - self.ms);
        self.events += weight * (events as f64 - self.events);
        let per_second = self.concurrency as f64 * self.events * 1e3 / self.ms;
        self.gauge.set(per_second.round() as i64);
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
