//! A webhook that answers as it is told and remembers what it got.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

#[derive(Default)]
struct Inner {
    /// Answers of the next POSTs; 200 when it is empty.
    answers: VecDeque<StatusCode>,
    /// Callbacks that were answered 200.
    taken: Vec<Value>,
    /// Their ids and bodies.
    ids: Vec<(String, Bytes)>,
    /// Their bodies and `traceparent`s, also of those that were refused.
    traced: Vec<(StatusCode, Bytes, Option<String>)>,
    refused: usize,
}

pub struct Webhook {
    pub port: u16,
    inner: Arc<Mutex<Inner>>,
    task: JoinHandle<()>,
}

impl Webhook {
    pub async fn start() -> Self {
        Self::start_on(0).await
    }

    pub async fn start_on(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let inner = Arc::<Mutex<Inner>>::default();
        let shared = inner.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inner = shared.clone();
                let service = service_fn(move |request| answer(inner.clone(), request));
                tokio::spawn(async move {
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
                });
            }
        });
        Self { port, inner, task }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/callback", self.port)
    }

    /// The next `times` POSTs get this answer.
    pub fn answer_next(&self, times: usize, status: StatusCode) {
        self.inner.lock().unwrap().answers.extend(std::iter::repeat_n(status, times));
    }

    /// From now on every POST is answered 200.
    pub fn recover(&self) {
        self.inner.lock().unwrap().answers.clear();
    }

    /// How many POSTs were not answered 200.
    pub fn refused(&self) -> usize {
        self.inner.lock().unwrap().refused
    }

    /// Statuses of a message in the order they came, repeats included.
    pub fn statuses_of(&self, id: &str) -> Vec<String> {
        let inner = self.inner.lock().unwrap();
        let statuses = inner.taken.iter().filter_map(|callback| callback["statuses"].as_array());
        let mine = statuses.flatten().filter(|status| status["id"] == id);
        mine.map(|status| status["status"].as_str().unwrap().to_owned()).collect()
    }

    /// The id of each callback that was answered 200, and its body; repeats included.
    pub fn ids(&self) -> Vec<(String, Bytes)> {
        self.inner.lock().unwrap().ids.clone()
    }

    /// What each POST was answered, its body, and its `traceparent`.
    pub fn traced(&self) -> Vec<(StatusCode, Bytes, Option<String>)> {
        self.inner.lock().unwrap().traced.clone()
    }

    /// Why a message failed, once that has been said.
    pub fn failure_of(&self, id: &str) -> Option<u64> {
        let inner = self.inner.lock().unwrap();
        let statuses = inner.taken.iter().filter_map(|callback| callback["statuses"].as_array());
        let failed =
            statuses.flatten().find(|it| it["id"] == id && it["status"] == "failed")?.clone();
        failed.pointer("/errors/0/code")?.as_u64()
    }

    /// Hashes of the identities that a customer has changed to, in the order they came.
    pub fn identities_of(&self, wa_id: &str) -> Vec<String> {
        let inner = self.inner.lock().unwrap();
        let messages = inner.taken.iter().filter_map(|callback| callback["messages"].as_array());
        let changes = messages.flatten().filter(|message| {
            message["system"]["type"] == "user_identity_changed"
                && message["system"]["user"] == wa_id
        });
        changes.map(|message| message["identity"]["hash"].as_str().unwrap().to_owned()).collect()
    }

    /// All callbacks that were answered 200, in the order they came.
    pub fn taken(&self) -> Vec<Value> {
        self.inner.lock().unwrap().taken.clone()
    }

    /// Texts that customers wrote, in the order they came.
    pub fn texts(&self) -> Vec<String> {
        let inner = self.inner.lock().unwrap();
        let messages = inner.taken.iter().filter_map(|callback| callback["messages"].as_array());
        let text = |message: &Value| message.pointer("/text/body")?.as_str().map(str::to_owned);
        messages.flatten().filter_map(text).collect()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    inner: Arc<Mutex<Inner>>,
    request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let id = request.headers().get("webhook-id").map(|id| id.to_str().unwrap().to_owned());
    let trace = request.headers().get("traceparent").map(|it| it.to_str().unwrap().to_owned());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut inner = inner.lock().unwrap();
    let status = inner.answers.pop_front().unwrap_or(StatusCode::OK);
    inner.traced.push((status, body.clone(), trace));
    if status == StatusCode::OK {
        inner.taken.push(serde_json::from_slice(&body).unwrap());
        inner.ids.extend(id.map(|id| (id, body)));
    } else {
        inner.refused += 1;
    }
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}
