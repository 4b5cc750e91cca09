//! A keep-alive HTTP/1.1 connection with as little between the load and the socket as hyper allows.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Longest wait for an answer. The webapp itself gives up after 10 s.
const ANSWER: Duration = Duration::from_secs(20);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("{0} cannot be reached: {1}")]
    Connect(String, std::io::Error),
    #[error("the connection broke: {0}")]
    Http(#[from] hyper::Error),
    #[error("no answer within {} s", ANSWER.as_secs())]
    Timeout,
    #[error("the request could not be made: {0}")]
    Request(#[from] http::Error),
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// `Retry-After`, if it is a number of seconds.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
}

/// One connection, made on first use and again after it broke.
pub(crate) struct Client {
    /// host:port.
    authority: String,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(crate) fn new(authority: impl Into<String>) -> Self {
        Self { authority: authority.into(), sender: None }
    }

    pub(crate) async fn call(
        &mut self,
        method: &str,
        path: &str,
        authorization: &str,
        body: impl Into<Bytes>,
    ) -> Result<Answer, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &*self.authority)
            .header(header::AUTHORIZATION, authorization)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body.into()))?;
        let result = tokio::time::timeout(ANSWER, self.exchange(request)).await;
        let result = result.unwrap_or(Err(ClientError::Timeout));
        if result.is_err() {
            self.sender = None;
        }
        result
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
        let mut sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => self.connect().await?,
        };
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let body = response.into_body().collect().await?.to_bytes();
        self.sender = Some(sender);
        Ok(Answer { status, retry_after, body })
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let failed = |error| ClientError::Connect(self.authority.clone(), error);
        let stream = TcpStream::connect(&*self.authority).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the connection; its error also reaches whoever waits for an answer.
        tokio::spawn(connection);
        Ok(sender)
    }
}
