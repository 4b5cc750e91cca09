//! A collector: takes OTLP over gRPC, keeps the spans, shows a trace as a tree.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

/// A span as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub trace: String,
    pub id: String,
    /// Empty: none.
    pub parent: String,
    pub name: String,
    pub service: String,
    pub began_ns: u64,
    pub ended_ns: u64,
    pub attributes: BTreeMap<String, String>,
    /// Traces of the spans it is linked to.
    pub links: Vec<String>,
    pub error: String,
}

pub struct Collector {
    pub port: u16,
    spans: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

struct Service(Arc<Mutex<Vec<Seen>>>);

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let spans = Arc::<Mutex<Vec<Seen>>>::default();
        let service = TraceServiceServer::new(Service(spans.clone()));
        let task = tokio::spawn(async move {
            let serving = tonic::transport::Server::builder().add_service(service);
            serving.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
        });
        Self { port, spans, task }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn all(&self) -> Vec<Seen> {
        self.spans.lock().unwrap().clone()
    }

    /// The spans of a trace, as they began.
    pub fn trace(&self, id: &str) -> Vec<Seen> {
        let mut spans: Vec<_> = self.all().into_iter().filter(|span| span.trace == id).collect();
        spans.sort_by_key(|span| span.began_ns);
        spans
    }

    /// For people: a line a span, below the span it belongs to.
    pub fn tree(&self, id: &str) -> String {
        let spans = self.trace(id);
        let first = spans.iter().map(|span| span.began_ns).min().unwrap_or(0);
        let mut text = format!("trace {id}\n");
        let known = |id: &str| spans.iter().any(|span| span.id == id);
        let roots = spans.iter().filter(|span| !known(&span.parent));
        roots.for_each(|root| show(&mut text, &spans, root, first, 1));
        text
    }
}

fn show(text: &mut String, spans: &[Seen], span: &Seen, first_ns: u64, depth: usize) {
    let ms = |ns: u64| std::time::Duration::from_nanos(ns).as_secs_f64() * 1_000.0;
    let (at, took) = (ms(span.began_ns - first_ns), ms(span.ended_ns - span.began_ns));
    let name = format!("{}{}", "  ".repeat(depth), span.name);
    write!(text, "{name:<44} {:<8} at {at:>8.1} ms, {took:>7.1} ms", span.service).unwrap();
    for name in ["http.response.status_code", "batch.items"] {
        if let Some(value) = span.attributes.get(name) {
            write!(text, "  {name}={value}").unwrap();
        }
    }
    if !span.links.is_empty() {
        write!(text, "  links={}", span.links.len()).unwrap();
    }
    if !span.error.is_empty() {
        write!(text, "  error={}", span.error).unwrap();
    }
    text.push('\n');
    for child in spans.iter().filter(|child| child.parent == span.id) {
        show(text, spans, child, first_ns, depth + 1);
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut seen = self.0.lock().unwrap();
        for resource in request.into_inner().resource_spans {
            let about = resource.resource.map(|it| attributes(&it.attributes)).unwrap_or_default();
            let service = about.get("service.name").cloned().unwrap_or_default();
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                seen.push(Seen {
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    name: span.name,
                    service: service.clone(),
                    began_ns: span.start_time_unix_nano,
                    ended_ns: span.end_time_unix_nano,
                    attributes: attributes(&span.attributes),
                    links: span.links.iter().map(|link| hex(&link.trace_id)).collect(),
                    error: span.status.map(|status| status.message).unwrap_or_default(),
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref().and_then(|it| it.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    pairs.iter().map(|pair| (pair.key.clone(), text(pair))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}
