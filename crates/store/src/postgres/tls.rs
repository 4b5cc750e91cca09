//! rustls under the driver.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use rustls::{ClientConfig, ProtocolVersion, pki_types::ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

/// Makes TLS of sockets, and remembers which version was agreed on.
#[derive(Clone)]
pub(super) struct Rustls {
    /// `None`: never asked, as the driver is told to speak in clear.
    config: Option<Arc<ClientConfig>>,
    agreed: Arc<OnceLock<&'static str>>,
}

impl Rustls {
    pub(super) fn new(config: Option<Arc<ClientConfig>>) -> Self {
        Self { config, agreed: Arc::default() }
    }

    /// Of the first handshake; `None` before it and without TLS.
    pub(super) fn agreed(&self) -> Option<&'static str> {
        self.agreed.get().copied()
    }
}

impl<S> MakeTlsConnect<S> for Rustls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Handshake> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what);
        let config = self.config.clone().ok_or_else(|| wrong("TLS is not set up"));
        // Also made when no TLS is wanted; then it is not used.
        let name = ServerName::try_from(domain.to_owned());
        let name = name.map_err(|_| wrong("the host is neither a name nor an IP address"));
        Ok(Handshake { target: config.and_then(|config| Ok((config, name?))), made: self.clone() })
    }
}

/// One connection's.
pub(super) struct Handshake {
    target: io::Result<(Arc<ClientConfig>, ServerName<'static>)>,
    made: Rustls,
}

impl<S> TlsConnect<S> for Handshake
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let (config, name) = self.target?;
            let stream = TlsConnector::from(config).connect(name, stream).await?;
            let version = match stream.get_ref().1.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
                Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
                _ => "TLS",
            };
            self.made.agreed.get_or_init(|| version);
            Ok(Stream(stream))
        })
    }
}

/// The driver's trait for another crate's stream.
pub(super) struct Stream<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Stream<S> {
    /// None: it would take reading the certificate's signature algorithm, and adds nothing where the
    /// certificate is verified.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
