//! The only HTTP client for URLs that a user gave: what may be called, and the connection to it.
//!
//! A URL is parsed once into a [`Target`]; its literal address is judged then. A name is resolved
//! at connect time, every address is judged, and the connection goes to a judged address, so a
//! name cannot change its meaning between the check and the use. Redirects are not followed here.

mod address;
mod allow;
mod authorities;
#[cfg(test)]
mod corpus;
mod literal;
mod own_certificate;
mod policy;
mod proxy;
mod stream;
mod target;
#[cfg(test)]
mod tests;

use address::Class;
pub use allow::Allow;
pub use authorities::authorities;
pub use policy::Policy;
pub use stream::Stream;
pub use target::Target;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{
    client::WebPkiServerVerifier,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

/// Longest a connection may take: resolution, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses of a name that are tried, in the resolver's order; further ones are ignored.
const MAX_ADDRESSES: usize = 4;

/// Why a URL is not called. The messages are made for the person who configured it.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// Not a URL this client understands.
    #[error("the URL is not usable: {0}")]
    Url(&'static str),
    /// Plain HTTP.
    #[error("the URL is not https; add \"http\" to egress.allow to permit plain http")]
    PlainHttp,
    /// The address is of a kind that may not be called.
    #[error("{host} is {class}, which is not allowed; add {remedy} to egress.allow to permit it")]
    Denied { host: String, class: Class, remedy: String },
    /// An entry of `egress.allow`.
    #[error(
        "egress.allow has an unknown entry {0:?}; known are loopback, http, private, link-local and networks such as 10.1.0.0/16"
    )]
    Allow(String),
    /// A trusted certificate is unusable.
    #[error("a trusted certificate is not usable: {0}")]
    Certificate(rustls::Error),
    /// An uploaded bundle.
    #[error("the bundle of certificates is not usable: {0}")]
    Bundle(&'static str),
    /// The client certificate or its key: the setting, and what it holds.
    #[error("{0} holds {1}")]
    Identity(&'static str, &'static str),
    /// The proxy.
    #[error("egress.proxy: {0}")]
    Proxy(String),
    /// The name has no address.
    #[error("{0} has no address")]
    NoAddress(String),
    /// Took longer than five seconds.
    #[error("no connection within {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout,
    /// TCP, TLS or the resolver.
    #[error("no connection: {0}")]
    Io(#[from] io::Error),
}

/// Connects to targets. Cheap to share; made anew when the trusted certificates change.
pub struct Egress {
    policy: Policy,
    tls: TlsConnector,
}

impl Egress {
    /// A client that trusts the public authorities and `roots`; a receiver may also show one of `roots`
    /// itself.
    ///
    /// # Errors
    /// [`EgressError::Certificate`] when one of `roots` cannot be an authority,
    /// [`EgressError::Identity`] when the client certificate and its key do not belong together.
    pub fn new(policy: &Policy, roots: Vec<CertificateDer<'static>>) -> Result<Self, EgressError> {
        let mut store = rustls::RootCertStore::empty();
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        for root in &roots {
            store.add(root.clone()).map_err(EgressError::Certificate)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let usual = WebPkiServerVerifier::builder_with_provider(store.into(), provider.clone())
            .build()
            .map_err(|error| EgressError::Certificate(rustls::Error::General(error.to_string())))?;
        let verifier = own_certificate::Verifier { usual, uploaded: roots };
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(EgressError::Certificate)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &policy.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
                .map_err(|_| {
                    let why = "a key that is not the certificate's, or of an unknown kind";
                    EgressError::Identity("egress.client_key", why)
                })?,
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { policy: policy.clone(), tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Parses a URL and judges what can be judged without a resolver.
    ///
    /// # Errors
    /// [`EgressError::Url`], [`EgressError::PlainHttp`] and [`EgressError::Denied`].
    pub fn target(&self, url: &str) -> Result<Target, EgressError> {
        Target::parse(url, &self.policy.allow)
    }

    /// Opens a connection to a judged address of the target.
    ///
    /// # Errors
    /// Whatever is in the way, within five seconds.
    pub async fn connect(&self, target: &Target) -> Result<Stream, EgressError> {
        timeout(CONNECT_TIMEOUT, self.open(target)).await.map_err(|_| EgressError::Timeout)?
    }

    async fn open(&self, target: &Target) -> Result<Stream, EgressError> {
        let tcp = match &self.policy.proxy {
            Some(proxy) if !proxy.spares(target) => {
                // A name that means something forbidden here is not asked for there either; what
                // else it means to the proxy is the proxy's to judge.
                if target.literal().is_none()
                    && let Ok(found) = self.resolve(target).await
                    && !found.is_empty()
                {
                    self.policy.admit(target, &found)?;
                }
                proxy.tunnel(target).await?
            }
            _ => {
                let found = match target.literal() {
                    Some(address) => vec![SocketAddr::new(address, target.port())],
                    None => self.resolve(target).await?,
                };
                dial(&self.policy.admit(target, &found)?).await?
            }
        };
        tcp.set_nodelay(true)?;
        if !target.is_tls() {
            return Ok(Stream::Plain(tcp));
        }
        let name = match target.literal() {
            Some(address) => ServerName::IpAddress(address.into()),
            None => ServerName::try_from(target.host().trim_end_matches('.').to_owned())
                .map_err(|_| EgressError::Url("the host is not a DNS name"))?,
        };
        Ok(Stream::Tls(Box::new(self.tls.connect(name, tcp).await?)))
    }

    async fn resolve(&self, target: &Target) -> io::Result<Vec<SocketAddr>> {
        (self.policy.resolve)(target.host().to_owned(), target.port()).await
    }
}

/// Tries one address after the other; each gets its share of the time, so that a silent first one
/// does not hide the others.
async fn dial(addresses: &[SocketAddr]) -> Result<TcpStream, EgressError> {
    let share = CONNECT_TIMEOUT / u32::try_from(addresses.len().max(1)).unwrap_or(1);
    let mut last = EgressError::Timeout;
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error.into(),
            Err(_) => last = EgressError::Timeout,
        }
    }
    Err(last)
}
