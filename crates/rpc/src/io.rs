//! Connections of the gRPC hops: clear text, or TLS under an [`Identity`].

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
};
use tokio_rustls::{client, server};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tower::Service;

use crate::identity::{Identity, Name};

/// Handshakes of a listener at a time; further connections wait in the kernel's queue.
const HANDSHAKES: usize = 128;
/// Connections that have shaken hands and are not served yet.
const READY: usize = 16;
/// After the kernel refused to hand out a connection, for example because too many files are open.
const AGAIN: Duration = Duration::from_millis(50);

/// A connection.
pub enum Io {
    /// Clear text.
    Clear(TcpStream),
    /// TLS, seen from the server, and who is at the other end.
    Server(Box<server::TlsStream<TcpStream>>, Name),
    /// TLS, seen from the client.
    Client(Box<client::TlsStream<TcpStream>>),
}

/// Who is at the other end, as an extension of each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// `None` in clear text.
    pub name: Option<Name>,
    /// `None` when the connection is gone already.
    pub address: Option<SocketAddr>,
}

impl Connected for Io {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        let (name, stream) = match self {
            Self::Clear(stream) => (None, stream),
            Self::Server(stream, name) => (Some(name.clone()), stream.get_ref().0),
            Self::Client(stream) => (None, stream.get_ref().0),
        };
        Peer { name, address: stream.peer_addr().ok() }
    }
}

/// Accepts until the stream is dropped. Whoever fails the handshake is logged and forgotten.
pub fn incoming(
    listener: TcpListener,
    identity: Option<Arc<Identity>>,
) -> ReceiverStream<io::Result<Io>> {
    let (ready, connections) = mpsc::channel(READY);
    tokio::spawn(async move {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
        loop {
            // Never closed.
            let Ok(permit) = handshakes.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = ready.closed() => return,
            };
            let (stream, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            // Without it answers are late, not wrong.
            let _late = stream.set_nodelay(true);
            let (ready, identity) = (ready.clone(), identity.clone());
            tokio::spawn(async move {
                let io = match identity {
                    None => Ok(Io::Clear(stream)),
                    Some(identity) => identity
                        .accept(stream)
                        .await
                        .map(|(stream, name)| Io::Server(Box::new(stream), name)),
                };
                drop(permit);
                match io {
                    Ok(io) => {
                        // Nobody serves any more.
                        let _ended = ready.send(Ok(io)).await;
                    }
                    Err(error) => {
                        tracing::warn!(%from, %error, "refused a process that is none of ours");
                    }
                }
            });
        }
    });
    ReceiverStream::new(connections)
}

/// Connects to coreapps.
#[derive(Clone)]
pub(crate) struct Connector(pub(crate) Arc<Identity>);

impl Service<Uri> for Connector {
    type Response = TokioIo<Io>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Io>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let identity = self.0.clone();
        Box::pin(async move {
            let address = uri.authority().map(ToString::to_string).unwrap_or_default();
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(Io::Client(Box::new(identity.connect(stream).await?))))
        })
    }
}

/// Each kind of connection is its stream.
macro_rules! stream {
    ($self:ident, $call:ident($($argument:expr),*)) => {
        match $self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).$call($($argument),*),
            Self::Server(stream, _) => Pin::new(stream).$call($($argument),*),
            Self::Client(stream) => Pin::new(stream).$call($($argument),*),
        }
    };
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        stream!(self, poll_read(cx, buf))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        stream!(self, poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        stream!(self, poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Clear(stream) => stream.is_write_vectored(),
            Self::Server(stream, _) => stream.is_write_vectored(),
            Self::Client(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        stream!(self, poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        stream!(self, poll_shutdown(cx))
    }
}
