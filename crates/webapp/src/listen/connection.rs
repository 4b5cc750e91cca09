//! One connection, from its first byte to its end.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use contract::{ApiError, Code, answer};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use crate::{
    edge::{Context, RequestIds, source, without_trailing_slash},
    metrics::Web,
};

/// For the headers of a request to arrive. hyper counts it from the end of the last answer, so it
/// is the longest an idle connection is kept, too.
const HEADERS: Duration = Duration::from_secs(10);
/// For a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Most bytes of a request's headers.
const MAX_HEADERS: usize = 64 << 10;
/// First byte of a TLS record with a handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// For a client that spoke clear text to read its answer.
const LINGER: Duration = Duration::from_secs(1);

/// What all connections share.
pub(crate) struct Server {
    pub(crate) router: Router,
    pub(crate) ids: RequestIds,
    pub(crate) metrics: Arc<Web>,
    /// No new requests.
    pub(crate) stop: CancellationToken,
    /// And no more waiting for those in work.
    pub(crate) kill: CancellationToken,
}

/// Serves a connection until it ends.
pub(super) async fn connection(
    server: Arc<Server>,
    mut stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
) {
    let _open = Web::held(&server.metrics.connections);
    let Some(tls) = tls else { return http(&server, stream, peer).await };
    let handshake = async {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1) if first == [TLS_HANDSHAKE] => tls.accept(stream).await.ok(),
            Ok(1) => {
                clear_text(&mut stream).await;
                None
            }
            Ok(_) | Err(_) => None,
        }
    };
    // A failed handshake is the client's affair: scanners would fill the log with it.
    if let Ok(Some(stream)) = timeout(HANDSHAKE, handshake).await {
        http(&server, stream, peer).await;
    }
}

async fn http(server: &Server, stream: impl AsyncRead + AsyncWrite + Unpin, peer: SocketAddr) {
    let source = source(peer.ip());
    let service = service_fn(|mut request: Request<Incoming>| {
        if let Some(uri) = without_trailing_slash(request.uri()) {
            *request.uri_mut() = uri;
        }
        let context = Context { id: server.ids.next(), source };
        request.extensions_mut().insert(context);
        server.router.clone().call(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(MAX_HEADERS)
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // A child of its own: all connections asking one token would contend for its lock.
    let stop = server.stop.child_token();
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// Answers a request in clear text on the TLS port, so that its author sees what is wrong.
async fn clear_text(stream: &mut TcpStream) {
    let error = ApiError::new(
        Code::INVALID_REQUEST,
        "This port speaks HTTPS: write https:// in the address, not http://",
    );
    let body = answer::errors(&[error]);
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nServer: Server\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let answered = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
        stream.shutdown().await?;
        // Unread bytes would turn the close into a reset and lose the answer.
        let mut unread = [0; 4_096];
        while stream.read(&mut unread).await? > 0 {}
        Ok::<(), std::io::Error>(())
    };
    let _gave_up = timeout(LINGER, answered).await;
}
