//! The receiver of `up`: answers every callback with 200 and prints it.

use std::{
    convert::Infallible,
    io::{self, Write},
    net::SocketAddr,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinHandle};

/// Largest callback that is read, bytes.
const MAX_BODY: usize = 1 << 20;

/// Runs until it is dropped.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) url: String,
    task: JoinHandle<()>,
}

impl Receiver {
    /// # Errors
    /// When the address cannot be bound.
    pub(super) async fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let url = format!("http://{}/callback", listener.local_addr()?);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    // A connection that breaks is the gateway's to make again.
                    let server = http1::Builder::new();
                    let _ = server.serve_connection(TokioIo::new(stream), service_fn(print)).await;
                });
            }
        });
        Ok(Self { url, task })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn print(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let mut response = Response::new(Empty::new());
    match Limited::new(request.into_body(), MAX_BODY).collect().await {
        Ok(body) => {
            let line = format!("callback {}\n", String::from_utf8_lossy(&body.to_bytes()));
            // Nobody reads any more: that is no reason to refuse a callback.
            let _ = io::stdout().write_all(line.as_bytes());
        }
        Err(_) => *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE,
    }
    Ok(response)
}
