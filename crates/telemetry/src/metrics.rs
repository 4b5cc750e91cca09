//! Metrics of a process: a registry that is passed along, never a global one, and its two outward
//! forms (Prometheus text, and plain data for the JSON of `/metrics` and `/v1/stats/app`).

use std::collections::BTreeMap;

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
    proto,
};

mod process;

pub use prometheus::{Histogram, IntCounter, IntGauge};

/// Bucket bounds of a duration from 0.5 ms to 30 s, in milliseconds.
pub const DURATION_MS: &[f64] = &[
    0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0,
    10_000.0, 30_000.0,
];
/// Bucket bounds of the size of a batch, 1 to 2,048 items.
pub const BATCH: &[f64] =
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 2_048.0];

/// Where a process registers its metrics. Clones are cheap and share everything.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    registry: Registry,
}

/// A metric could not be registered: its name or labels are malformed or taken.
#[derive(Debug, thiserror::Error)]
#[error("failed to register the metric {name}: {reason}")]
pub struct MetricError {
    name: String,
    reason: String,
}

/// All samples of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    pub help: String,
    pub samples: Vec<Sample>,
}

/// One value. Of a histogram there are two families, `…_sum` and `…_count`, as the original had.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Metrics {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A registry with CPU seconds, resident memory and open files of this process.
    ///
    /// # Errors
    /// Never in practice: the names are fixed.
    pub fn with_process() -> Result<Self, MetricError> {
        let metrics = Self::new();
        let collector = process::Process::new().map_err(|e| failed("process", &e))?;
        metrics.registry.register(Box::new(collector)).map_err(|e| failed("process", &e))?;
        Ok(metrics)
    }

    /// A counter with labels.
    ///
    /// # Errors
    /// [`MetricError`] when the name is taken or malformed.
    pub fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, MetricError> {
        self.add(name, IntCounterVec::new(Opts::new(name, help), labels))
    }

    /// A counter without labels.
    ///
    /// # Errors
    /// As [`Self::counters`].
    pub fn counter(&self, name: &str, help: &str) -> Result<IntCounter, MetricError> {
        self.add(name, IntCounter::new(name, help))
    }

    /// A gauge with labels.
    ///
    /// # Errors
    /// As [`Self::counters`].
    pub fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, MetricError> {
        self.add(name, IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// A gauge without labels.
    ///
    /// # Errors
    /// As [`Self::counters`].
    pub fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, MetricError> {
        self.add(name, IntGauge::new(name, help))
    }

    /// A histogram with labels; `buckets` are upper bounds, for example [`DURATION_MS`].
    ///
    /// # Errors
    /// As [`Self::counters`].
    pub fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, MetricError> {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.add(name, HistogramVec::new(opts, labels))
    }

    /// A histogram without labels.
    ///
    /// # Errors
    /// As [`Self::counters`].
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Result<Histogram, MetricError> {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.add(name, Histogram::with_opts(opts))
    }

    /// The registry, for collectors of one's own.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Text exposition format 0.0.4.
    #[must_use]
    pub fn render_prometheus(&self) -> String {
        let mut out = Vec::new();
        // Writing to a Vec fails only on a family without samples, which `gather` leaves out.
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            tracing::warn!(%error, "a metric could not be rendered");
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Everything as data, sorted by name.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Family> {
        let mut families = Vec::new();
        for family in self.registry.gather() {
            match family.get_field_type() {
                proto::MetricType::COUNTER => {
                    push(&mut families, &family, "counter", "", |m| m.get_counter().get_value());
                }
                proto::MetricType::GAUGE => {
                    push(&mut families, &family, "gauge", "", |m| m.get_gauge().get_value());
                }
                proto::MetricType::HISTOGRAM => {
                    push(&mut families, &family, "counter", "_sum", |m| {
                        m.get_histogram().get_sample_sum()
                    });
                    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 samples")]
                    push(&mut families, &family, "counter", "_count", |m| {
                        m.get_histogram().get_sample_count() as f64
                    });
                }
                _ => {}
            }
        }
        families
    }

    fn add<C>(&self, name: &str, made: prometheus::Result<C>) -> Result<C, MetricError>
    where
        C: prometheus::core::Collector + Clone + 'static,
    {
        let collector = made.map_err(|error| failed(name, &error))?;
        self.registry
            .register(Box::new(collector.clone()))
            .map_err(|error| failed(name, &error))?;
        Ok(collector)
    }
}

fn failed(name: &str, error: &prometheus::Error) -> MetricError {
    MetricError { name: name.to_owned(), reason: error.to_string() }
}

fn push(
    families: &mut Vec<Family>,
    family: &proto::MetricFamily,
    kind: &'static str,
    suffix: &str,
    value: impl Fn(&proto::Metric) -> f64,
) {
    let samples = family.get_metric().iter().map(|metric| Sample {
        labels: metric
            .get_label()
            .iter()
            .map(|pair| (pair.name().to_owned(), pair.value().to_owned()))
            .collect(),
        value: value(metric),
    });
    families.push(Family {
        name: format!("{}{suffix}", family.name()),
        kind,
        help: family.help().to_owned(),
        samples: samples.collect(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_show_what_was_counted() {
        let metrics = Metrics::new();
        let sent = metrics.counters("out_message_status", "Statuses.", &["status"]).unwrap();
        sent.with_label_values(&["sent"]).inc_by(3);
        let took = metrics.histogram("took_ms", "Time.", DURATION_MS).unwrap();
        took.observe(4.0);

        let text = metrics.render_prometheus();
        assert!(text.contains("out_message_status{status=\"sent\"} 3"), "{text}");
        assert!(text.contains("took_ms_bucket{le=\"5\"} 1"), "{text}");
        let seen: Vec<_> = metrics
            .snapshot()
            .into_iter()
            .map(|family| (family.name, family.kind, family.samples[0].value))
            .collect();
        assert_eq!(
            seen,
            [
                ("out_message_status".to_owned(), "counter", 3.0),
                ("took_ms_sum".to_owned(), "counter", 4.0),
                ("took_ms_count".to_owned(), "counter", 1.0),
            ]
        );
    }

    #[test]
    fn a_name_is_registered_once() {
        let metrics = Metrics::new();
        metrics.gauge("pending_messages", "Jobs.").unwrap();
        assert!(metrics.gauge("pending_messages", "Jobs.").is_err());
    }

    #[test]
    fn process_figures_are_those_of_this_process() {
        let families = Metrics::with_process().unwrap().snapshot();
        let rss = families.iter().find(|f| f.name == "process_resident_memory_bytes").unwrap();
        assert!(rss.samples[0].value > 1e6, "{rss:?}");
        assert!(families.iter().any(|f| f.name == "process_cpu_seconds_total"));
    }
}
