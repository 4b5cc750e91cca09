//! The one layer around every route.

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc, task::Poll, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use contract::{ApiError, Code};
use futures_util::future::Either;
use governor::middleware::NoOpMiddleware;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use telemetry::{
    Traces,
    traces::{Kind, Sampled, Span},
};
use tokio::time::{Instant, timeout};
use tower::{Layer, Service};
use tower_governor::{
    GovernorError,
    governor::{Governor, GovernorConfig, GovernorConfigBuilder},
};
use tracing::Instrument as _;

use super::{
    answer::{Consulted, Refusal, Refused},
    limits::{SourceAddress, too_many},
    request::Context,
};
use crate::{
    app::App,
    auth::TRACEPARENT,
    metrics::{RouteMetrics, Web},
};

const SERVER: HeaderValue = HeaderValue::from_static("Server");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache, private");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const INTERNAL_IDS: HeaderName = HeaderName::from_static("x-internal-request-ids");

/// Wraps a route; `label` names it in metrics and logs.
#[derive(Clone)]
pub(crate) struct EdgeLayer {
    app: Arc<App>,
    route: Arc<RouteMetrics>,
    logs_failures: bool,
    limit: Duration,
}

impl EdgeLayer {
    pub(crate) fn new(app: Arc<App>, label: &'static str) -> Self {
        let route = Arc::new(RouteMetrics::new(Arc::clone(&app.metrics), label));
        let limit = app.request_timeout;
        Self { app, route, logs_failures: true, limit }
    }

    /// For a route whose 503 is an ordinary answer.
    pub(crate) fn quiet(self) -> Self {
        Self { logs_failures: false, ..self }
    }

    /// For a route whose request may take long to arrive; it has its own watch on that.
    pub(crate) fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }
}

impl<S> Layer<S> for EdgeLayer {
    type Service = Edge<S>;

    fn layer(&self, inner: S) -> Edge<S> {
        let governed = Governor::new(inner, &self.app.governor).error_handler(refused);
        Edge {
            app: Arc::clone(&self.app),
            route: Arc::clone(&self.route),
            logs_failures: self.logs_failures,
            limit: self.limit,
            governed,
        }
    }
}

/// See [`EdgeLayer`].
pub(crate) struct Edge<S> {
    app: Arc<App>,
    route: Arc<RouteMetrics>,
    logs_failures: bool,
    limit: Duration,
    governed: Governor<SourceAddress, NoOpMiddleware, S, Body>,
}

impl<S: Clone> Clone for Edge<S> {
    fn clone(&self) -> Self {
        Self {
            app: Arc::clone(&self.app),
            route: Arc::clone(&self.route),
            logs_failures: self.logs_failures,
            limit: self.limit,
            governed: self.governed.clone(),
        }
    }
}

impl<S> Service<Request> for Edge<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
        self.governed.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let began = Instant::now();
        let context = request.extensions().get::<Context>().copied();
        let traced = context.and_then(|context| traced(&self.app.traces, context, &mut request));
        let trace_id = traced.as_ref().map(|(sampled, _)| sampled.context.id());
        let answer = match self.app.limits.address() {
            Some(limiter) => {
                self.governed.limiter = limiter;
                Either::Left(self.governed.call(request))
            }
            None => Either::Right(self.governed.inner.call(request)),
        };
        let (app, route) = (Arc::clone(&self.app), Arc::clone(&self.route));
        let (logs_failures, limit) = (self.logs_failures, self.limit);
        let work = async move {
            let _handling = Web::held(&app.metrics.handling);
            let mut response = match timeout(limit, answer).await {
                Ok(Ok(response)) => response,
                Err(_) => too_slow(limit).into_response(),
            };
            if let Some(context) = context {
                let ms = began.elapsed().as_secs_f64() * 1_000.0;
                count(&app, &route, ms, &response);
                if logs_failures && response.status().is_server_error() {
                    log(&app, &route, ms, context, &response, traced.as_ref());
                }
                if let Some(traced) = traced {
                    record(&app.traces, traced, route.label, began, response.status());
                }
                finish(context, &mut response);
            }
            Ok(response)
        };
        // Below the usual level: at work nobody pays for it.
        let span = match context {
            Some(Context { id, .. }) => {
                let route = self.route.label;
                tracing::debug_span!("request", request.id = %id, http.route = route, trace_id)
            }
            None => tracing::Span::none(),
        };
        Box::pin(work.instrument(span))
    }
}

fn count(app: &App, route: &RouteMetrics, ms: f64, out: &Response) {
    let status = out.status().as_u16();
    route.answered(status, ms);
    if status == 429 {
        app.metrics.limited.inc();
    }
}

fn log(
    app: &App,
    route: &RouteMetrics,
    ms: f64,
    context: Context,
    out: &Response,
    traced: Option<&(Sampled, Method)>,
) {
    let code = out.extensions().get::<Refused>().map(|refused| refused.0);
    let trace_id = traced.map(|(sampled, _)| sampled.context.id());
    let (id, status) = (context.id, out.status().as_u16());
    app.failures.failed(id, route.label, status, code, ms, trace_id.as_deref());
}

/// Whether the request is traced. What it asks of the coreapp is then below it, and is not traced
/// otherwise, whatever its caller says.
fn traced(traces: &Traces, context: Context, request: &mut Request) -> Option<(Sampled, Method)> {
    if !traces.is_on() {
        return None;
    }
    let caller = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
    let sampled = traces.sample(caller, context.id.number(), Instant::now());
    let own = sampled.and_then(|sampled| HeaderValue::try_from(sampled.context.header()).ok());
    match own {
        Some(own) => request.headers_mut().insert(TRACEPARENT, own),
        None => request.headers_mut().remove(TRACEPARENT),
    };
    Some((sampled?, request.method().clone()))
}

fn record(
    traces: &Traces,
    (Sampled { context, parent }, method): (Sampled, Method),
    route: &'static str,
    began: Instant,
    status: StatusCode,
) {
    let error = status.is_server_error().then_some("answered 5xx");
    let span = Span { context, parent, ..Span::below(context, route, 0, began) }
        .kind(Kind::Server)
        .with("http.request.method", method.as_str().to_owned())
        .with("http.route", route)
        .with("http.response.status_code", i64::from(status.as_u16()))
        .failed(error);
    traces.record(span);
}

/// The headers of every answer. Some say themselves who may keep them.
fn finish(context: Context, out: &mut Response) {
    let id = context.id.to_string();
    let consulted = out.extensions().get::<Consulted>().map(|consulted| match consulted.0 {
        Some(key) => format!("{id}|{key}"),
        None => id.clone(),
    });
    let headers = out.headers_mut();
    headers.insert(header::SERVER, SERVER);
    headers.entry(header::CACHE_CONTROL).or_insert(NO_CACHE);
    if let Some(value) = consulted.and_then(|ids| HeaderValue::try_from(ids).ok()) {
        headers.insert(INTERNAL_IDS, value);
    }
    if let Ok(value) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, value);
    }
}

/// tower_governor wants a quota to begin with; the limiter in force is put in with each call.
/// `None` never happens: one a second is a quota.
pub(crate) fn governor() -> Option<GovernorConfig<SourceAddress, NoOpMiddleware>> {
    GovernorConfigBuilder::default()
        .per_second(1)
        .burst_size(1)
        .key_extractor(SourceAddress)
        .finish()
}

#[expect(clippy::needless_pass_by_value, reason = "the signature tower_governor asks for")]
fn refused(error: GovernorError) -> Response {
    let wait = match error {
        GovernorError::TooManyRequests { wait_time, .. } => Duration::from_secs(wait_time),
        GovernorError::UnableToExtractKey | GovernorError::Other { .. } => Duration::from_secs(1),
    };
    Refusal::from(too_many(wait)).into_response()
}

fn too_slow(limit: Duration) -> Refusal {
    let details = format!("There was no answer within {} s", limit.as_secs());
    ApiError::new(Code::NOT_READY, details).into()
}
