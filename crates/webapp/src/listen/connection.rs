//! One connection, from its first byte to its end.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use contract::{ApiError, Code, answer};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::patience::{IDLE, patient};
use crate::{
    edge::{Context, Proxies, RequestIds, without_trailing_slash},
    metrics::Web,
};

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
    pub(crate) proxies: Proxies,
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
    let peer = peer.ip();
    let service = service_fn(|mut request: Request<Incoming>| {
        if let Some(uri) = without_trailing_slash(request.uri()) {
            *request.uri_mut() = uri;
        }
        let source = server.proxies.source(peer, request.headers());
        let context = Context { id: server.ids.next(), source };
        request.extensions_mut().insert(context);
        server.router.clone().call(request.map(Body::new))
    });
    let (stream, timer) = patient(stream);
    let connection = http1::Builder::new()
        .timer(timer)
        .header_read_timeout(IDLE)
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

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use telemetry::{Metrics, SystemRng};
    use tokio::{
        io::{DuplexStream, duplex},
        time::{Instant, sleep},
    };

    use super::*;
    use crate::listen::patience::HEAD;

    /// One byte of a head every so often.
    const DRIP: Duration = Duration::from_secs(3);

    fn connect() -> DuplexStream {
        let server = Server {
            router: Router::new().route("/", get(|| async { "served" })),
            ids: RequestIds::new(&SystemRng::new()),
            proxies: Proxies::new(Vec::new()),
            metrics: Arc::new(Web::new(Metrics::new(), "web".to_owned()).unwrap()),
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
        };
        let (client, stream) = duplex(4_096);
        let peer = "192.0.2.1:4711".parse().unwrap();
        tokio::spawn(async move { http(&server, stream, peer).await });
        client
    }

    async fn call(client: &mut DuplexStream) {
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        answered(client).await;
    }

    async fn answered(client: &mut DuplexStream) {
        let mut answer = Vec::new();
        while !answer.ends_with(b"served") {
            assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0, "the connection is closed");
        }
    }

    /// Seconds until the connection is closed.
    async fn closed(client: &mut DuplexStream) -> u64 {
        let began = Instant::now();
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        began.elapsed().as_secs()
    }

    /// Sends a head byte by byte until the connection is closed; seconds until then.
    async fn dripped(client: &mut DuplexStream) -> u64 {
        let began = Instant::now();
        for byte in b"GET / HTTP/1.1\r\nHost: localhost".chunks(1) {
            if client.write_all(byte).await.is_err() {
                break;
            }
            if let Ok(read) = timeout(DRIP, client.read(&mut [0])).await {
                assert_eq!(read.unwrap(), 0);
                break;
            }
        }
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_on_which_nothing_was_ever_said_closes_soon() {
        assert_eq!(closed(&mut connect()).await, HEAD.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_served_is_kept_as_long_as_a_pool_keeps_it() {
        let mut client = connect();
        call(&mut client).await;
        for _ in 0..2 {
            sleep(IDLE - Duration::from_secs(1)).await;
            call(&mut client).await;
        }
        assert_eq!(closed(&mut client).await, IDLE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_only_drips_closes_the_connection_whenever_it_begins() {
        assert_eq!(dripped(&mut connect()).await, HEAD.as_secs());
        let mut late = connect();
        sleep(HEAD - Duration::from_secs(1)).await;
        assert_eq!(dripped(&mut late).await, HEAD.as_secs());
        let mut served = connect();
        call(&mut served).await;
        sleep(IDLE / 2).await;
        assert_eq!(dripped(&mut served).await, HEAD.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_in_pieces_is_served_and_the_next_wait_is_a_long_one() {
        let mut client = connect();
        for _ in 0..2 {
            client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
            sleep(HEAD - Duration::from_secs(1)).await;
            client.write_all(b"Host: localhost\r\n\r\n").await.unwrap();
            answered(&mut client).await;
            sleep(IDLE - Duration::from_secs(1)).await;
        }
    }
}
