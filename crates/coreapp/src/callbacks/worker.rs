//! One worker, one keep-alive HTTP/1.1 connection, one POST at a time.
//!
//! The connection is driven by the worker's own task, beside the request: a spawned one would cost
//! two more wake-ups a POST.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use contract::{Clock, TraceContext};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Body, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use telemetry::{
    Traces,
    traces::{Kind, Span},
};
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep, sleep},
};

use super::{retry_after, schedule::Outcome, shared::Spot, sign::Signer};
use crate::egress::{Egress, Stream, Target};

/// Longest a POST may take, connection and answer included.
pub(super) const POST_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an answer that are read to keep its connection; a longer one loses it.
pub(super) const ANSWER_BYTES: usize = 20_000;
/// Idle connections are kept so long, being dear under TLS, and closed before the middle boxes
/// that forget them silently do.
pub(super) const IDLE: Duration = Duration::from_secs(90);

/// Headers of a request at most, so that their map is allocated once.
const HEADERS: usize = 11;
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Name of the span of a POST.
const SPAN: &str = "POST callback";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("heliograph/", env!("CARGO_PKG_VERSION")));

/// Where POSTs go, as long as the settings stay the same.
pub(super) struct Endpoint {
    pub(super) egress: Arc<Egress>,
    pub(super) target: Target,
    /// `None`: POSTs are not signed.
    pub(super) signer: Option<Signer>,
}

/// What all workers share.
pub(super) struct Sender {
    /// First part of request ids; random, so that those of different processes differ.
    pub(super) prefix: u64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) traces: Traces,
}

/// One POST.
pub(super) struct Job {
    pub(super) spot: Spot,
    /// Further events in the body.
    pub(super) more: Vec<Spot>,
    pub(super) generation: i64,
    pub(super) kind: i16,
    pub(super) attempt: u32,
    pub(super) body: Bytes,
    /// The spans of its events, of those that are traced.
    pub(super) traces: Vec<TraceContext>,
    pub(super) endpoint: Arc<Endpoint>,
}

/// What became of it. `alive`: the worker takes another.
pub(super) struct Done {
    pub(super) worker: usize,
    pub(super) alive: bool,
    pub(super) spot: Spot,
    pub(super) more: Vec<Spot>,
    pub(super) kind: i16,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
}

pub(super) struct Worker {
    id: usize,
    sender: Arc<Sender>,
    done: mpsc::Sender<Done>,
    link: Option<Link>,
    deadline: Pin<Box<Sleep>>,
    idle: Pin<Box<Sleep>>,
    text: String,
}

/// A connection and what drives it.
struct Link {
    endpoint: Arc<Endpoint>,
    requests: http1::SendRequest<Full<Bytes>>,
    connection: Pin<Box<http1::Connection<TokioIo<Stream>, Full<Bytes>>>>,
    open: bool,
}

/// How an attempt over one connection ended without an answer.
enum Broken {
    /// Before the first byte of an answer.
    Early,
    /// What came was no HTTP.
    Garbled,
}

/// Answers for a job even if its worker is torn down in the middle of it.
struct Pledge<'a> {
    done: &'a mpsc::Sender<Done>,
    result: Option<Done>,
}

// === impl Worker ===

impl Worker {
    pub(super) fn new(id: usize, sender: Arc<Sender>, done: mpsc::Sender<Done>) -> Self {
        let (deadline, idle) = (Box::pin(sleep(POST_TIMEOUT)), Box::pin(sleep(IDLE)));
        Self { id, sender, done, link: None, deadline, idle, text: String::new() }
    }

    /// Works until there are no more jobs to come.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(mut job) = self.next(&mut jobs).await {
            let started = Instant::now();
            let done = self.done.clone();
            let (worker, spot, kind) = (self.id, job.spot, job.kind);
            let (outcome, took, alive) = (Outcome::Closed, Duration::ZERO, false);
            let more = std::mem::take(&mut job.more);
            let lost = Done { worker, alive, spot, more, kind, outcome, took };
            let mut pledge = Pledge { done: &done, result: Some(lost) };
            self.deadline.as_mut().reset(started + POST_TIMEOUT);
            let outcome = self.post(&job).await;
            self.sender.traced(&job, outcome, started);
            if let Some(done) = &mut pledge.result {
                (done.alive, done.outcome, done.took) = (true, outcome, started.elapsed());
            }
        }
    }

    /// Waits for a job, and meanwhile notices that the connection ends.
    async fn next(&mut self, jobs: &mut mpsc::Receiver<Job>) -> Option<Job> {
        self.idle.as_mut().reset(Instant::now() + IDLE);
        loop {
            let Some(link) = &mut self.link else { return jobs.recv().await };
            tokio::select! {
                biased;
                job = jobs.recv() => return job,
                () = poll_fn(|cx| link.drive(cx)) => self.link = None,
                () = self.idle.as_mut() => self.link = None,
            }
        }
    }

    async fn post(&mut self, job: &Job) -> Outcome {
        // The first connection may be an idle one that the other side has just closed.
        for _ in 0..2 {
            let mut link = match self.connect(&job.endpoint).await {
                Ok(link) => link,
                Err(outcome) => return outcome,
            };
            let Some(request) = self.request(job) else { return Outcome::Unreachable };
            let sent = tokio::select! {
                biased;
                sent = link.send(request) => sent,
                () = self.deadline.as_mut() => return Outcome::TimedOut,
            };
            match sent {
                Ok(response) => {
                    let outcome = outcome(&response, &*self.sender.clock);
                    let whole = tokio::select! {
                        biased;
                        whole = link.drain(response.into_body()) => whole,
                        () = self.deadline.as_mut() => false,
                    };
                    if whole && link.open {
                        self.link = Some(link);
                    }
                    return outcome;
                }
                Err(Broken::Garbled) => return Outcome::Closed,
                Err(Broken::Early) => {}
            }
        }
        Outcome::Closed
    }

    /// The connection there is, if it leads to the endpoint; else a new one.
    async fn connect(&mut self, endpoint: &Arc<Endpoint>) -> Result<Link, Outcome> {
        if let Some(link) = self.link.take()
            && link.open
            && Arc::ptr_eq(&link.endpoint, endpoint)
        {
            return Ok(link);
        }
        let opened = tokio::select! {
            biased;
            opened = Link::open(endpoint) => opened,
            () = self.deadline.as_mut() => return Err(Outcome::TimedOut),
        };
        opened.map_err(|()| Outcome::Unreachable)
    }

    fn request(&mut self, job: &Job) -> Option<Request<Full<Bytes>>> {
        use std::fmt::Write;

        let target = &job.endpoint.target;
        let mut request = Request::new(Full::new(job.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.path().clone();
        *request.headers_mut() = HeaderMap::with_capacity(HEADERS);
        let headers = request.headers_mut();
        headers.insert(header::HOST, target.host_header().clone());
        headers.insert(header::CONTENT_TYPE, JSON);
        headers.insert(header::USER_AGENT, USER_AGENT);
        if let Some(authorization) = target.authorization() {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        let Spot { shard, lease, seq } = job.spot;
        self.text.clear();
        write!(self.text, "{}.{shard}.{seq}", job.generation).ok()?;
        headers.insert(WEBHOOK_ID, HeaderValue::from_str(&self.text).ok()?);
        if let Some(signer) = &job.endpoint.signer {
            let timestamp_s = self.sender.clock.unix_s();
            let mut signature = String::new();
            signer.sign(&self.text, timestamp_s, &job.body, &mut signature);
            headers.insert(WEBHOOK_TIMESTAMP, timestamp_s.into());
            headers.insert(WEBHOOK_SIGNATURE, HeaderValue::try_from(signature).ok()?);
        }
        self.text.clear();
        let (prefix, attempt) = (self.sender.prefix, job.attempt);
        write!(self.text, "{prefix:016x}-{lease:x}-{shard}-{seq:x}-{attempt:x}").ok()?;
        headers.insert(REQUEST_ID, HeaderValue::from_str(&self.text).ok()?);
        if let Some(trace) = job.traces.first().filter(|_| self.sender.traces.is_on()) {
            let own = trace.child(SPAN, self.sender.nth(job));
            headers.insert(TRACEPARENT, HeaderValue::try_from(own.header()).ok()?);
        }
        Some(request)
    }
}

// === impl Sender ===

impl Sender {
    /// Tells the tries of an event apart, those of different processes too.
    fn nth(&self, job: &Job) -> u64 {
        self.prefix ^ u64::from(job.attempt)
    }

    /// A span for each traced event of a POST that has ended.
    fn traced(&self, job: &Job, outcome: Outcome, began: Instant) {
        if !self.traces.is_on() {
            return;
        }
        for trace in &job.traces {
            let (status, error) = match outcome {
                Outcome::Delivered => (200, None),
                Outcome::Refused { status, .. } => (status, Some("not taken")),
                Outcome::TimedOut => (0, Some("timed out")),
                Outcome::Unreachable => (0, Some("unreachable")),
                Outcome::Closed => (0, Some("closed")),
            };
            let mut span = Span::below(*trace, SPAN, self.nth(job), began)
                .kind(Kind::Client)
                .with("http.request.method", "POST")
                .with("http.request.resend_count", i64::from(job.attempt) - 1)
                .failed(error);
            if status > 0 {
                span = span.with("http.response.status_code", i64::from(status));
            }
            self.traces.record(span);
        }
    }
}

impl Drop for Pledge<'_> {
    fn drop(&mut self) {
        if let Some(result) = self.result.take() {
            // A full or closed channel means that nobody waits for results any more.
            let _ = self.done.try_send(result);
        }
    }
}

// === impl Link ===

impl Link {
    async fn open(endpoint: &Arc<Endpoint>) -> Result<Self, ()> {
        let refused = |error: crate::egress::EgressError| {
            tracing::debug!(%error, "no connection to the webhook");
        };
        let stream = endpoint.egress.connect(&endpoint.target).await.map_err(refused)?;
        let (requests, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| {
                tracing::debug!(%error, "no connection to the webhook");
            })?;
        let connection = Box::pin(connection);
        Ok(Self { endpoint: endpoint.clone(), requests, connection, open: true })
    }

    /// Drives the connection; ready when it has ended.
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.open && self.connection.as_mut().poll(cx).is_ready() {
            self.open = false;
        }
        if self.open { Poll::Pending } else { Poll::Ready(()) }
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Broken> {
        let ready = poll_fn(|cx| {
            let _ = self.drive(cx);
            self.requests.poll_ready(cx)
        });
        ready.await.map_err(|_| Broken::Early)?;
        let mut response = std::pin::pin!(self.requests.send_request(request));
        let (connection, open) = (&mut self.connection, &mut self.open);
        let answer = poll_fn(|cx| {
            if *open && connection.as_mut().poll(cx).is_ready() {
                *open = false;
            }
            response.as_mut().poll(cx)
        });
        answer.await.map_err(|error| {
            let garbled = error.is_parse() || error.is_parse_too_large() || error.is_user();
            if garbled { Broken::Garbled } else { Broken::Early }
        })
    }

    /// Reads the rest of an answer. False if it is too long or breaks off.
    async fn drain(&mut self, mut body: Incoming) -> bool {
        let mut left = ANSWER_BYTES;
        while !body.is_end_stream() {
            let mut frame = body.frame();
            let next = poll_fn(|cx| {
                let _ = self.drive(cx);
                Pin::new(&mut frame).poll(cx)
            });
            match next.await {
                None => break,
                Some(Err(_)) => return false,
                Some(Ok(frame)) => {
                    let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len))
                    else {
                        return false;
                    };
                    left = rest;
                }
            }
        }
        true
    }
}

fn outcome(response: &Response<Incoming>, clock: &dyn Clock) -> Outcome {
    match response.status().as_u16() {
        200 => Outcome::Delivered,
        status => {
            let retry_after = response.headers().get(header::RETRY_AFTER);
            let text = retry_after.and_then(|value| value.to_str().ok());
            let retry_after_ms = text.and_then(|text| retry_after::parse(text, clock.unix_ms()));
            Outcome::Refused { status, retry_after_ms }
        }
    }
}
