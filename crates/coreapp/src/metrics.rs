//! The engine's own metrics, under the original's names where it had one.

use std::{sync::Arc, time::Duration};

use prometheus::{HistogramVec, IntCounter, IntCounterVec};
use telemetry::metrics::{self, BATCH, DURATION_MS, MetricError};
use upstream::Outgoing;

use crate::shard::effects::Counts;

/// Handles of the metrics that are counted as things happen; the gauges are set when asked for.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Inner>);

struct Inner {
    upstream_calls: HistogramVec,
    upstream_batch: HistogramVec,
    transmitted: IntCounterVec,
    bundles_refused: IntCounter,
    retries_followed: IntCounter,
    retries_refused: IntCounter,
    pending_messages: metrics::IntGauge,
    peak: metrics::IntGauge,
    window: metrics::IntGauge,
}

impl Metrics {
    pub(crate) fn new(registry: &metrics::Metrics) -> Result<Self, MetricError> {
        let retries = registry.counters(
            "retry_receipts",
            "Requests of devices to seal a message again, by whether that was done",
            &["result"],
        )?;
        Ok(Self(Arc::new(Inner {
            upstream_calls: registry.histograms(
                "internal_server_requests_duration_ms",
                "Calls to the network by operation and result",
                &["operation", "result"],
                DURATION_MS,
            )?,
            upstream_batch: registry.histograms(
                "internal_server_requests_batch",
                "Items of a call to the network",
                &["operation"],
                BATCH,
            )?,
            transmitted: registry.counters(
                "out_message_transmitted",
                "Messages handed to the network, repeats included",
                &["type"],
            )?,
            bundles_refused: registry.counter(
                "prekey_bundles_refused",
                "Pre-key bundles of recipients' devices that were not valid",
            )?,
            retries_followed: retries.with_label_values(&["followed"]),
            retries_refused: retries.with_label_values(&["refused"]),
            pending_messages: registry
                .gauge("pending_messages", "Messages accepted and not settled yet")?,
            peak: registry.gauge("pending_messages_peak", "Most there were since the start")?,
            window: registry.gauge(
                "unanswered_messages",
                "Messages sealed or on the link and not answered yet",
            )?,
        })))
    }

    /// A call to the network ended.
    pub(crate) fn upstream_call(&self, operation: &str, ok: bool, items: usize, took: Duration) {
        let result = if ok { "ok" } else { "error" };
        self.0
            .upstream_calls
            .with_label_values(&[operation, result])
            .observe(took.as_secs_f64() * 1_000.0);
        #[expect(clippy::cast_precision_loss, reason = "at most 2,000")]
        self.0.upstream_batch.with_label_values(&[operation]).observe(items as f64);
    }

    /// These were handed to the link.
    pub(crate) fn transmitted(&self, sends: &[Outgoing]) {
        for send in sends {
            if let Outgoing::Send(item) = send {
                self.0.transmitted.with_label_values(&[item.category]).inc();
            }
        }
    }

    /// Adds what happened in one turn.
    pub(crate) fn count(&self, counts: Counts) {
        self.0.bundles_refused.inc_by(counts.bundles_refused);
        self.0.retries_followed.inc_by(counts.retries_followed);
        self.0.retries_refused.inc_by(counts.retries_refused);
    }

    /// Sets the gauges, before they are read.
    pub(crate) fn levels(&self, jobs: u64, peak: usize, window: usize) {
        self.0.pending_messages.set(jobs.cast_signed());
        self.0.peak.set(i64::try_from(peak).unwrap_or(i64::MAX));
        self.0.window.set(i64::try_from(window).unwrap_or(i64::MAX));
    }
}
