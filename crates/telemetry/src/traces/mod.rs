//! Traces: what happened to a message, from its request to the last callback, as spans that a
//! collector is sent (OTLP over gRPC).
//!
//! Off without a collector, and then free. With one, a share of the requests is recorded; what is not
//! has no [`TraceContext`] and costs one look at an empty field. A span is made when it has ended, by
//! whoever knows both its ends. No number, text, token or key of a session in any of them.

mod export;
mod sampler;
mod shared_calls;

use std::{borrow::Cow, sync::Arc, time::Duration};

use contract::{Clock, Number, TraceContext};
use prometheus::IntCounter;
use serde::Deserialize;
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{Metrics, metrics::MetricError};

use export::Export;
use sampler::Sampler;
use shared_calls::SharedCalls;

/// Spans that wait to be sent; further ones are dropped and counted.
const QUEUE: usize = 4_096;
/// How long the end of a process waits for the last spans to be sent.
const FLUSH_MAX: Duration = Duration::from_secs(3);

/// The `[telemetry]` section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// Where a collector takes OTLP over gRPC: `http://HOST:4317`. Without it nothing is traced.
    pub otlp_endpoint: Option<String>,
    /// Share of the requests that are recorded, 0 to 1, of those whose caller does not say.
    pub sample_ratio: f64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { otlp_endpoint: None, sample_ratio: 0.01 }
    }
}

/// Why there can be no traces.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// It is no address.
    #[error(
        "the setting telemetry.otlp_endpoint (OTEL_EXPORTER_OTLP_ENDPOINT) is not valid: {0}; give \
         http://HOST:PORT of a collector that takes OTLP over gRPC, usually 4317"
    )]
    Endpoint(String),
    /// It is no share.
    #[error("the setting telemetry.sample_ratio is not valid: {0} is not between 0 and 1")]
    Ratio(f64),
    /// A metric's name is taken.
    #[error(transparent)]
    Metric(#[from] MetricError),
}

/// Takes spans; clones are cheap. The default takes none.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Inner>>);

struct Inner {
    spans: mpsc::Sender<Span>,
    crowded_out: IntCounter,
    sampler: Sampler,
    calls: SharedCalls,
    stop: CancellationToken,
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

/// Something that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub context: TraceContext,
    /// The span above it.
    pub parent: Option<u64>,
    pub name: &'static str,
    pub kind: Kind,
    pub began: Instant,
    pub ended: Instant,
    pub attributes: Vec<(&'static str, Value)>,
    /// Spans of others that it has to do with.
    pub links: Vec<TraceContext>,
    /// Why it failed, if it did.
    pub error: Option<Cow<'static, str>>,
}

/// Who waits for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request that was served.
    Server,
    /// A call of somebody else.
    Client,
    Internal,
}

/// Of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(Cow<'static, str>),
    Number(i64),
}

/// A trace that is recorded from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampled {
    pub context: TraceContext,
    /// The caller's span.
    pub parent: Option<u64>,
}

impl Traces {
    /// Starts sending spans, if the configuration names a collector. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`TracesError`], naming the setting. Whether a collector is there shows only with the first
    /// spans.
    pub fn start(
        config: &Telemetry,
        service: &'static str,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Result<Self, TracesError> {
        let Some(endpoint) = config.otlp_endpoint.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(Self::default());
        };
        let sampler =
            Sampler::new(config.sample_ratio).ok_or(TracesError::Ratio(config.sample_ratio))?;
        let export = Export::new(endpoint, service, clock, metrics)?;
        let crowded_out = export.crowded_out();
        let (spans, queue) = mpsc::channel(QUEUE);
        let stop = CancellationToken::new();
        let task = tokio::spawn(export.run(queue, stop.clone()));
        Ok(Self(Some(Arc::new(Inner {
            spans,
            crowded_out,
            sampler,
            calls: SharedCalls::default(),
            stop,
            task: tokio::sync::Mutex::new(Some(task)),
        }))))
    }

    /// Whether anything can be traced at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether a request is recorded: as its caller does, if it says so in a `traceparent`, else by
    /// lot. `id` becomes the trace's, and is drawn in such a way that its last half decides.
    #[must_use]
    pub fn sample(&self, traceparent: Option<&str>, id: u128, now: Instant) -> Option<Sampled> {
        self.0.as_ref()?.sampler.sample(traceparent, id, now)
    }

    /// Takes a span; drops it when the collector is too slow.
    pub fn record(&self, span: Span) {
        if let Some(inner) = &self.0
            && inner.spans.try_send(span).is_err()
        {
            inner.crowded_out.inc();
        }
    }

    /// A traced message waits for what a call of the network, shared with others, says of a number.
    pub fn waits_for(&self, operation: &'static str, number: Number, context: TraceContext) {
        if let Some(inner) = &self.0 {
            inner.calls.waits(operation, number, context);
        }
    }

    /// A call about these numbers begins. Gives who waits for it, to be handed to
    /// [`Self::called`]; nothing, and at no cost, while nobody does.
    #[must_use]
    pub fn calls(&self, operation: &'static str, numbers: &[Number]) -> Vec<TraceContext> {
        self.0.as_ref().map(|inner| inner.calls.take(operation, numbers)).unwrap_or_default()
    }

    /// The call has ended: a span for each who waited, linked to the others.
    pub fn called(
        &self,
        operation: &'static str,
        waiting: &[TraceContext],
        numbers: usize,
        began: Instant,
        error: Option<&str>,
    ) {
        for span in shared_calls::spans(operation, waiting, numbers, began, error) {
            self.record(span);
        }
    }

    /// Sends what is left, for three seconds at most. What is recorded afterwards is dropped.
    pub async fn stop(&self) {
        let Some(inner) = &self.0 else { return };
        inner.stop.cancel();
        if let Some(mut task) = inner.task.lock().await.take()
            && tokio::time::timeout(FLUSH_MAX, &mut task).await.is_err()
        {
            task.abort();
            tracing::warn!("the last spans were not sent in time; they are dropped");
        }
    }
}

impl Span {
    /// One below `above` that ends now.
    #[must_use]
    pub fn below(above: TraceContext, name: &'static str, nth: u64, began: Instant) -> Self {
        Self {
            context: above.child(name, nth),
            parent: Some(above.span_id),
            name,
            kind: Kind::Internal,
            began,
            ended: Instant::now(),
            attributes: Vec::new(),
            links: Vec::new(),
            error: None,
        }
    }

    #[must_use]
    pub fn kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn failed(self, error: Option<impl Into<Cow<'static, str>>>) -> Self {
        Self { error: error.map(Into::into), ..self }
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}
