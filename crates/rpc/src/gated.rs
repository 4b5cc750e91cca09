//! Connections that carry no message while their owner may not speak.
//!
//! Whether it may is asked before every write to the socket, the last moment at which this process can
//! know: what waits in the buffers above it when the process is stopped waits there still when it goes
//! on, and is asked about then. Frames by which HTTP/2 keeps a connection alive pass, so that a silence
//! of a minute costs no connection.

use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};
use tower::Service;

/// Most bytes of a write that pass whenever: pings, their answers, window updates. Every message is
/// longer with its frame.
const KEEP_ALIVE_MAX: usize = 64;
/// Whoever may not speak is asked again after this.
const AGAIN: Duration = Duration::from_millis(50);

/// Whether the owner of a connection may speak now.
#[derive(Clone)]
pub struct Permit(Arc<dyn Fn() -> bool + Send + Sync>);

impl Permit {
    /// As `may` says, each time it is asked.
    pub fn new(may: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(may))
    }

    /// Whoever has nothing to lose.
    #[must_use]
    pub fn always() -> Self {
        Self::new(|| true)
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

/// Opens such connections, in clear text.
#[derive(Clone)]
pub(crate) struct Connector(pub(crate) Permit);

impl Service<Uri> for Connector {
    type Response = TokioIo<Gated<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let permit = self.0.clone();
        Box::pin(async move {
            let address = uri.authority().map(ToString::to_string).unwrap_or_default();
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(Gated { stream, permit, again: None }))
        })
    }
}

/// See the module.
pub(crate) struct Gated<S> {
    stream: S,
    permit: Permit,
    /// Set while a write waits.
    again: Option<Pin<Box<Sleep>>>,
}

impl<S> Gated<S> {
    fn poll_permit(&mut self, len: usize, cx: &mut Context<'_>) -> Poll<()> {
        while len > KEEP_ALIVE_MAX && !(self.permit.0)() {
            let again = self.again.get_or_insert_with(|| Box::pin(sleep(AGAIN)));
            ready!(again.as_mut().poll(cx));
            self.again = None;
        }
        self.again = None;
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gated<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gated<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_permit(buf.len(), cx));
        Pin::new(&mut this.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_permit(bufs.iter().map(|buf| buf.len()).sum(), cx));
        Pin::new(&mut this.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_message_leaves_while_its_sender_may_not_speak_and_the_connection_stays_alive() {
        let may = Arc::new(AtomicBool::new(false));
        let permit = Permit::new({
            let may = may.clone();
            move || may.load(Ordering::Relaxed)
        });
        let (ours, mut theirs) = duplex(4_096);
        let mut gated = Gated { stream: ours, permit, again: None };
        let (ping, message) = ([1; 17], [2; 300]);
        gated.write_all(&ping).await.unwrap();
        let writing = tokio::spawn(async move {
            gated.write_all(&message).await.unwrap();
            gated
        });
        tokio::time::sleep(Duration::from_secs(60)).await;
        let mut came = [0; 317];
        let n = theirs.read(&mut came).await.unwrap();
        assert_eq!(n, ping.len());
        assert!(!writing.is_finished());
        may.store(true, Ordering::Relaxed);
        writing.await.unwrap();
        theirs.read_exact(&mut came[..300]).await.unwrap();
        assert_eq!(came[..300], message);
    }
}
