//! From the queue of spans to the collector: in batches, one call at a time.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use contract::{Clock, TraceContext};
use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks},
};
use prometheus::{IntCounter, IntCounterVec};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Kind, Span, TracesError, Value};
use crate::Metrics;

/// Spans of one call.
const BATCH: usize = 512;
/// How long the first span of a call waits for more.
const LINGER: Duration = Duration::from_millis(500);
/// Of one call; then its spans are dropped and counted.
const CALL_MAX: Duration = Duration::from_secs(5);
/// A collector that fails is told of once in so long.
const TELL: Duration = Duration::from_secs(60);
/// Difference between our two clocks after which they are compared anew.
const DRIFT_NS: i128 = 5_000_000;

pub(super) struct Export {
    exporter: SpanExporter,
    scope: InstrumentationScope,
    clock: Arc<dyn Clock>,
    /// A moment, and its Unix nanoseconds.
    anchor: (Instant, i128),
    exported: IntCounter,
    dropped: IntCounterVec,
    told: Option<Instant>,
}

impl Export {
    pub(super) fn new(
        endpoint: &str,
        service: &'static str,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Result<Self, TracesError> {
        if !endpoint.starts_with("http://") {
            return Err(TracesError::Endpoint(format!("\"{endpoint}\" is no http:// address")));
        }
        let builder = SpanExporter::builder().with_tonic();
        let built = builder.with_endpoint(endpoint).with_timeout(CALL_MAX).build();
        let mut exporter = built.map_err(|error| TracesError::Endpoint(error.to_string()))?;
        let version = env!("CARGO_PKG_VERSION");
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", service),
                KeyValue::new("service.version", version),
            ])
            .build();
        exporter.set_resource(&resource);
        let anchor = (Instant::now(), unix_ns(&*clock));
        Ok(Self {
            exporter,
            scope: InstrumentationScope::builder("heliograph").with_version(version).build(),
            clock,
            anchor,
            exported: metrics
                .counter("trace_spans_exported", "Spans that the collector has taken.")?,
            dropped: metrics.counters(
                "trace_spans_dropped",
                "Spans that were not sent: the queue was full, or the collector failed.",
                &["reason"],
            )?,
            told: None,
        })
    }

    /// Counts what finds no place in the queue.
    pub(super) fn crowded_out(&self) -> IntCounter {
        self.dropped.with_label_values(&["queue_full"])
    }

    /// Until it is stopped and the queue is empty.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Span>, stop: CancellationToken) {
        let mut spans = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                _ = queue.recv_many(&mut spans, BATCH) => {}
                () = stop.cancelled() => {
                    queue.close();
                    if queue.recv_many(&mut spans, BATCH).await == 0 {
                        return;
                    }
                }
            }
            if spans.is_empty() {
                return;
            }
            if spans.len() < BATCH && !stop.is_cancelled() {
                tokio::select! {
                    () = sleep(LINGER) => {}
                    () = stop.cancelled() => {}
                }
                while spans.len() < BATCH
                    && let Ok(span) = queue.try_recv()
                {
                    spans.push(span);
                }
            }
            self.send(&mut spans).await;
        }
    }

    async fn send(&mut self, spans: &mut Vec<Span>) {
        self.compare_clocks();
        let count = spans.len() as u64;
        let data = spans.drain(..).map(|span| self.data(span)).collect();
        let error = match timeout(CALL_MAX, self.exporter.export(data)).await {
            Ok(Ok(())) => {
                self.exported.inc_by(count);
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it took too long".to_owned(),
        };
        self.dropped.with_label_values(&["collector"]).inc_by(count);
        let now = Instant::now();
        if self.told.is_none_or(|told| now - told >= TELL) {
            self.told = Some(now);
            tracing::warn!(
                error,
                spans = count,
                "the collector (telemetry.otlp_endpoint) does not take spans; they are dropped"
            );
        }
    }

    /// Spans are timed by the clock that never jumps, and told by the other.
    fn compare_clocks(&mut self) {
        let (now, unix) = (Instant::now(), unix_ns(&*self.clock));
        if (self.unix_of(now) - unix).abs() > DRIFT_NS {
            self.anchor = (now, unix);
        }
    }

    fn unix_of(&self, moment: Instant) -> i128 {
        let (anchor, unix) = self.anchor;
        let ns = |duration: Duration| i128::try_from(duration.as_nanos()).unwrap_or(0);
        match moment.checked_duration_since(anchor) {
            Some(after) => unix + ns(after),
            None => unix - ns(anchor.saturating_duration_since(moment)),
        }
    }

    fn time_of(&self, moment: Instant) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(u64::try_from(self.unix_of(moment)).unwrap_or(0))
    }

    fn data(&self, span: Span) -> SpanData {
        let Span { context, parent, name, kind, began, ended, attributes, links, error } = span;
        let attributes = attributes.into_iter().map(|(name, value)| match value {
            Value::Text(text) => KeyValue::new(name, text),
            Value::Number(number) => KeyValue::new(name, number),
        });
        let mut linked = SpanLinks::default();
        linked.links.extend(links.iter().map(|link| Link::with_context(span_context(link))));
        SpanData {
            span_context: span_context(&context),
            parent_span_id: parent
                .map_or(SpanId::INVALID, |id| SpanId::from_bytes(id.to_be_bytes())),
            parent_span_is_remote: kind == Kind::Server && parent.is_some(),
            span_kind: match kind {
                Kind::Server => SpanKind::Server,
                Kind::Client => SpanKind::Client,
                Kind::Internal => SpanKind::Internal,
            },
            name: name.into(),
            start_time: self.time_of(began),
            end_time: self.time_of(ended),
            attributes: attributes.collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: linked,
            status: error.map_or(Status::Unset, Status::error),
            instrumentation_scope: self.scope.clone(),
        }
    }
}

fn span_context(context: &TraceContext) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(context.trace_id.to_be_bytes()),
        SpanId::from_bytes(context.span_id.to_be_bytes()),
        TraceFlags::SAMPLED,
        false,
        TraceState::NONE,
    )
}

fn unix_ns(clock: &dyn Clock) -> i128 {
    i128::from(clock.unix_ms()) * 1_000_000
}
