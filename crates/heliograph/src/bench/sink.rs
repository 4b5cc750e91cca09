//! The webhook of a run: answers 200 at once and counts.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{net::TcpListener, task::JoinHandle};

use super::tally::Tally;

/// Largest callback read, bytes.
const MAX_BODY: usize = 1 << 20;

#[derive(Deserialize)]
struct Callback<'a> {
    #[serde(borrow, default)]
    statuses: Vec<Status<'a>>,
}

#[derive(Deserialize)]
struct Status<'a> {
    id: &'a str,
    status: &'a str,
}

/// A webhook that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) url: String,
    task: JoinHandle<()>,
}

impl Sink {
    pub(crate) async fn start(tally: Arc<Tally>) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}/callback", listener.local_addr()?);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let tally = tally.clone();
                let service = service_fn(move |request| answer(tally.clone(), request));
                tokio::spawn(async move {
                    // A connection that breaks is the gateway's to make again.
                    let connection = http1::Builder::new();
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { url, task })
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    tally: Arc<Tally>,
    request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let mut response = Response::new(Empty::new());
    match Limited::new(request.into_body(), MAX_BODY).collect().await {
        Ok(body) => {
            let body = body.to_bytes();
            if let Ok(callback) = serde_json::from_slice::<Callback<'_>>(&body) {
                for status in callback.statuses {
                    tally.callback(status.id, status.status);
                }
            }
        }
        Err(_) => *response.status_mut() = http::StatusCode::BAD_REQUEST,
    }
    Ok(response)
}
