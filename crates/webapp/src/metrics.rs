//! The webapp's own metrics, under the names monitoring already looks for, and how they are shown.

use std::sync::{Arc, RwLock};

use prometheus::{Encoder, HistogramVec, TextEncoder, proto::LabelPair};
use serde_json::{Map, Value, json};
use telemetry::metrics::{DURATION_MS, Histogram, IntCounter, IntGauge, MetricError, Metrics};
use tokio::time::Instant;

/// Everything the edge counts.
pub(crate) struct Web {
    registry: Metrics,
    node: String,
    began: Instant,
    uptime: IntGauge,
    pub(crate) connections: IntGauge,
    pub(crate) max_connections: IntGauge,
    pub(crate) reading: IntGauge,
    pub(crate) handling: IntGauge,
    pub(crate) hop_repeats: IntCounter,
    pub(crate) hop_unanswered: IntGauge,
    pub(crate) limited: IntCounter,
    durations: HistogramVec,
}

impl Web {
    /// # Errors
    /// When the registry knows one of the names already.
    pub(crate) fn new(registry: Metrics, node: String) -> Result<Self, MetricError> {
        let requests =
            registry.gauges("web_requests", "Requests in work, by what is done.", &["state"])?;
        Ok(Self {
            uptime: registry.gauge("web_uptime", "Seconds since the start.")?,
            connections: registry.gauge("web_connections", "Open connections.")?,
            max_connections: registry
                .gauge("web_max_connections", "Most connections open at once, as configured.")?,
            reading: requests.with_label_values(&["read"]),
            handling: requests.with_label_values(&["handle-request"]),
            hop_repeats: registry.counter(
                "web_hop_repeats",
                "Tries to hand a message to a coreapp that had to be repeated.",
            )?,
            hop_unanswered: registry
                .gauge("web_hop_unanswered", "Messages that wait for a coreapp's answer.")?,
            limited: registry
                .counter("web_requests_limited", "Requests refused by a request limit.")?,
            durations: registry.histograms(
                "api_requests_duration_ms",
                "Time to the answer, milliseconds, by method with path and by HTTP status.",
                &["method", "result"],
                DURATION_MS,
            )?,
            registry,
            node,
            began: Instant::now(),
        })
    }

    /// Counts a gauge up until the value returned is dropped.
    pub(crate) fn held(gauge: &IntGauge) -> Held {
        gauge.inc();
        Held(gauge.clone())
    }

    /// Text exposition format, with the label `node` on every sample.
    pub(crate) fn text(&self) -> String {
        self.refresh();
        let mut families = self.registry.registry().gather();
        for metric in families.iter_mut().flat_map(|family| family.mut_metric().iter_mut()) {
            let mut pair = LabelPair::default();
            pair.set_name("node".to_owned());
            pair.set_value(self.node.clone());
            let mut labels = metric.take_label();
            labels.push(pair);
            metric.set_label(labels);
        }
        let mut out = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&families, &mut out) {
            tracing::warn!(%error, "a metric could not be rendered");
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    /// `{"<metric>":{"type","help","data":[{"labels","value"}]}}`.
    pub(crate) fn json(&self) -> Value {
        self.refresh();
        let mut out = Map::new();
        for family in self.registry.snapshot() {
            let data = family.samples.into_iter().map(|sample| {
                let mut labels = sample.labels;
                labels.insert("node".to_owned(), self.node.clone());
                json!({"labels": labels, "value": number(sample.value)})
            });
            let data: Vec<_> = data.collect();
            out.insert(
                family.name,
                json!({"type": family.kind, "help": family.help, "data": data}),
            );
        }
        Value::Object(out)
    }

    fn refresh(&self) {
        self.uptime.set(i64::try_from(self.began.elapsed().as_secs()).unwrap_or(i64::MAX));
    }
}

/// A value as JSON: whole numbers without a fraction, as monitoring saw them.
pub(crate) fn number(value: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and below 2^53")]
    if value.fract() == 0.0 && value.abs() < 9.0e15 {
        Value::from(value as i64)
    } else {
        Value::from(value)
    }
}

/// See [`Web::held`].
pub(crate) struct Held(IntGauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Duration histograms of one route, looked up once per HTTP status.
pub(crate) struct RouteMetrics {
    /// `POST_v1_messages`.
    pub(crate) label: &'static str,
    web: Arc<Web>,
    by_status: RwLock<Vec<(u16, Histogram)>>,
}

impl RouteMetrics {
    pub(crate) fn new(web: Arc<Web>, label: &'static str) -> Self {
        Self { label, web, by_status: RwLock::new(Vec::new()) }
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, status: u16, ms: f64) {
        if let Ok(known) = self.by_status.read()
            && let Some((_, histogram)) = known.iter().find(|(known, _)| *known == status)
        {
            histogram.observe(ms);
            return;
        }
        let histogram =
            self.web.durations.with_label_values(&[self.label, status.to_string().as_str()]);
        histogram.observe(ms);
        if let Ok(mut known) = self.by_status.write()
            && known.iter().all(|(known, _)| *known != status)
        {
            known.push((status, histogram));
        }
    }
}
