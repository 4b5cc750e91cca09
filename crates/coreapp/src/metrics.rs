//! The engine's own metrics, under the original's names where it had one.

use std::{sync::Arc, time::Duration};

use contract::{callback::StatusKind, settings::MediaType};
use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGaugeVec};
use telemetry::metrics::{self, BATCH, DURATION_MS, MetricError};
use upstream::Outgoing;

use crate::{delivery::Flights, intake::Standing, shard::effects::Counts};

/// Labels of the metrics of queues: `jobs`, `callbacks`.
const QUEUE: &[&str] = &["queue"];

/// Labels of the metrics of files: `ok` or `error`; what they are sent as.
const MEDIA: &[&str] = &["result", "type"];

/// Handles of the metrics that are counted as things happen; the gauges are set when asked for.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Inner>);

struct Inner {
    upstream_calls: HistogramVec,
    upstream_batch: HistogramVec,
    transmitted: IntCounterVec,
    statuses: IntCounterVec,
    inbound: IntCounter,
    bundles_refused: IntCounter,
    handed_on: IntCounter,
    retries_followed: IntCounter,
    retries_refused: IntCounter,
    pending_messages: metrics::IntGauge,
    peak: metrics::IntGauge,
    window: metrics::IntGauge,
    generation: metrics::IntGauge,
    generations_begun: metrics::IntCounter,
    epochs_raised: metrics::IntCounter,
    sessions_refused: IntCounterVec,
    shards_owned: metrics::IntGauge,
    contacts_waiting: metrics::IntGauge,
    contacts_asked: metrics::IntGauge,
    queue_size: IntGaugeVec,
    queue_limit: IntGaugeVec,
    queue_closed: IntGaugeVec,
    queue_refusals: IntCounterVec,
    media_downloads: IntCounterVec,
    media_uploads: IntCounterVec,
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
            statuses: registry.counters(
                "out_message_status",
                "What became of messages, whether or not it is reported to the webhook",
                &["status"],
            )?,
            inbound: registry.counter(
                "in_message_persisted",
                "Customers' messages that were stored, and notices of their identity and number",
            )?,
            bundles_refused: registry.counter(
                "prekey_bundles_refused",
                "Pre-key bundles of recipients' devices that were not valid",
            )?,
            handed_on: registry.counter(
                "messages_handed_on",
                "Messages to recipients whom the network knows by a number of another shard",
            )?,
            retries_followed: retries.with_label_values(&["followed"]),
            retries_refused: retries.with_label_values(&["refused"]),
            pending_messages: registry
                .gauge("pending_messages", "Messages accepted and not settled yet")?,
            peak: registry
                .gauge("pending_messages_peak", "Most there were since this was last read")?,
            window: registry.gauge(
                "unanswered_messages",
                "Messages sealed or on the link and not answered yet",
            )?,
            generation: registry
                .gauge("account_generation", "Generation of the account; grows with a restore")?,
            generations_begun: registry.counter(
                "generations_begun",
                "Times the network had seen more than the database holds",
            )?,
            epochs_raised: registry
                .counter("shard_epochs_raised", "Shards raised above an epoch the network saw")?,
            sessions_refused: registry.counters(
                "sessions_refused",
                "Stored sessions that were not used and are made anew",
                &["reason"],
            )?,
            shards_owned: registry
                .gauge("shards_owned", "Shards this coreapp works with, of 65")?,
            contacts_waiting: registry
                .gauge("contacts_waiting", "Numbers that wait for a contact sync")?,
            contacts_asked: registry.gauge(
                "contacts_asked",
                "Numbers that callers of the contacts listener wait for",
            )?,
            queue_size: registry.gauges(
                "gate_queue_size",
                "Length of a queue that can refuse messages",
                QUEUE,
            )?,
            queue_limit: registry.gauges(
                "gate_queue_limit",
                "Length at which it refuses until half is left; 0: never",
                QUEUE,
            )?,
            queue_closed: registry.gauges(
                "gate_closed",
                "1 while new messages are refused for the queue",
                QUEUE,
            )?,
            queue_refusals: registry.counters(
                "gate_refusals",
                "Messages refused (503/1016) for the queue",
                QUEUE,
            )?,
            media_downloads: registry.counters(
                "media_downloads",
                "Files of customers fetched from the network",
                MEDIA,
            )?,
            media_uploads: registry.counters(
                "media_uploads",
                "Files handed to the network",
                MEDIA,
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

    /// A file of a customer was fetched, or was not.
    pub(crate) fn downloaded(&self, kind: MediaType, ok: bool) {
        let result = if ok { "ok" } else { "error" };
        self.0.media_downloads.with_label_values(&[result, kind.as_str()]).inc();
    }

    /// A file was handed to the network, or was not.
    pub(crate) fn uploaded(&self, kind: MediaType, ok: bool) {
        let result = if ok { "ok" } else { "error" };
        self.0.media_uploads.with_label_values(&[result, kind.as_str()]).inc();
    }

    /// For the messages of one driver.
    pub(crate) fn flights(&self) -> Flights {
        let answered = |result| self.0.upstream_calls.with_label_values(&["SendMessage", result]);
        Flights::new(answered("ok"), answered("error"))
    }

    /// These were handed to the link.
    pub(crate) fn transmitted(&self, sends: &[Outgoing]) {
        for send in sends {
            if let Outgoing::Send(item) = send {
                self.0.transmitted.with_label_values(&[item.category]).inc();
            }
        }
    }

    /// The account is in this generation.
    pub(crate) fn generation(&self, generation: i64) {
        self.0.generation.set(generation);
    }

    /// A generation was begun because the network had seen more than our rows hold.
    pub(crate) fn renewed(&self, generation: i64, epochs: usize) {
        self.generation(generation);
        self.0.generations_begun.inc();
        self.0.epochs_raised.inc_by(u64::try_from(epochs).unwrap_or(u64::MAX));
    }

    /// Stored sessions were not used.
    pub(crate) fn sessions_refused(&self, reasons: &[&str]) {
        for reason in reasons {
            self.0.sessions_refused.with_label_values(&[*reason]).inc();
        }
    }

    /// The same for the shards.
    pub(crate) fn shards(&self, owned: usize) {
        self.0.shards_owned.set(i64::try_from(owned).unwrap_or(i64::MAX));
    }

    /// The same for the contacts listener: numbers that wait for the network, and for an answer.
    pub(crate) fn contacts(&self, waiting: usize, asked: usize) {
        self.0.contacts_waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.0.contacts_asked.set(i64::try_from(asked).unwrap_or(i64::MAX));
    }

    /// The same for a queue that can refuse messages; `refused` since the last time.
    pub(crate) fn gate(&self, standing: Standing, refused: u64) {
        let queue = &[standing.name];
        self.0.queue_size.with_label_values(queue).set(standing.size.cast_signed());
        self.0.queue_limit.with_label_values(queue).set(standing.limit.cast_signed());
        self.0.queue_closed.with_label_values(queue).set(standing.closed.into());
        self.0.queue_refusals.with_label_values(queue).inc_by(refused);
    }

    /// Adds what happened in one turn.
    pub(crate) fn count(&self, counts: Counts) {
        self.0.bundles_refused.inc_by(counts.bundles_refused);
        self.0.handed_on.inc_by(counts.handed_on);
        self.0.retries_followed.inc_by(counts.retries_followed);
        self.0.retries_refused.inc_by(counts.retries_refused);
        for (kind, count) in StatusKind::ALL.into_iter().zip(counts.statuses) {
            if count > 0 {
                self.0.statuses.with_label_values(&[kind.as_str()]).inc_by(count);
            }
        }
    }

    /// Customers' messages were stored since the last time.
    pub(crate) fn inbound(&self, stored: u64) {
        self.0.inbound.inc_by(stored);
    }

    /// Sets the gauges, before they are read.
    pub(crate) fn levels(&self, jobs: u64, peak: usize, window: usize) {
        self.0.pending_messages.set(jobs.cast_signed());
        self.0.peak.set(i64::try_from(peak).unwrap_or(i64::MAX));
        self.0.window.set(i64::try_from(window).unwrap_or(i64::MAX));
    }
}
