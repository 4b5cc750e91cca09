//! The only HTTP client for URLs that a user gave: what may be called, and the connection to it.
//!
//! A URL is parsed once into a [`Target`]; its literal address is judged then. A name is resolved
//! at connect time, every address is judged, and the connection goes to a judged address, so a
//! name cannot change its meaning between the check and the use. Redirects are not followed here.

mod address;
mod allow;
mod literal;
mod stream;
mod target;

use address::Class;
pub use allow::Allow;
pub use stream::Stream;
pub use target::Target;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::pki_types::{CertificateDer, ServerName};
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
    /// The name has no address.
    #[error("{0} has no address")]
    NoAddress(String),
    /// Took longer than [`CONNECT_TIMEOUT`].
    #[error("no connection within {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout,
    /// TCP, TLS or the resolver.
    #[error("no connection: {0}")]
    Io(#[from] io::Error),
}

/// Connects to targets. Cheap to share; made anew when the trusted certificates change.
pub struct Egress {
    allow: Allow,
    tls: TlsConnector,
}

impl Egress {
    /// A client that trusts the public authorities and `roots`.
    ///
    /// # Errors
    /// [`EgressError::Certificate`] when one of `roots` cannot be an authority.
    pub fn new(allow: Allow, roots: Vec<CertificateDer<'static>>) -> Result<Self, EgressError> {
        let mut store = rustls::RootCertStore::empty();
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        for root in roots {
            store.add(root).map_err(EgressError::Certificate)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(EgressError::Certificate)?
            .with_root_certificates(store)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { allow, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Parses a URL and judges what can be judged without a resolver.
    ///
    /// # Errors
    /// [`EgressError::Url`], [`EgressError::PlainHttp`] and [`EgressError::Denied`].
    pub fn target(&self, url: &str) -> Result<Target, EgressError> {
        Target::parse(url, &self.allow)
    }

    /// Opens a connection to a judged address of the target.
    ///
    /// # Errors
    /// Whatever is in the way, within [`CONNECT_TIMEOUT`].
    pub async fn connect(&self, target: &Target) -> Result<Stream, EgressError> {
        timeout(CONNECT_TIMEOUT, self.open(target)).await.map_err(|_| EgressError::Timeout)?
    }

    async fn open(&self, target: &Target) -> Result<Stream, EgressError> {
        let found: Vec<SocketAddr> = match target.literal() {
            Some(address) => vec![SocketAddr::new(address, target.port())],
            None => tokio::net::lookup_host((target.host(), target.port())).await?.collect(),
        };
        let judged = self.admit(target, &found)?;
        let tcp = dial(&judged).await?;
        tcp.set_nodelay(true)?;
        if !target.is_tls() {
            return Ok(Stream::Plain(tcp));
        }
        let name = match target.literal() {
            Some(address) => ServerName::IpAddress(address.into()),
            None => ServerName::try_from(target.host().to_owned())
                .map_err(|_| EgressError::Url("the host is not a DNS name"))?,
        };
        Ok(Stream::Tls(Box::new(self.tls.connect(name, tcp).await?)))
    }

    /// The addresses that may be called. A name with none such is refused with the first reason.
    fn admit(&self, target: &Target, found: &[SocketAddr]) -> Result<Vec<SocketAddr>, EgressError> {
        let mut refusal = None;
        let mut judged = Vec::new();
        for address in found {
            match self.allow.judge(address.ip()) {
                Ok(()) => judged.push(*address),
                Err(class) => {
                    refusal
                        .get_or_insert_with(|| Allow::denied(target.host(), address.ip(), class));
                }
            }
        }
        judged.truncate(MAX_ADDRESSES);
        match refusal {
            Some(error) if judged.is_empty() => Err(error),
            None if judged.is_empty() => Err(EgressError::NoAddress(target.host().to_owned())),
            _ => Ok(judged),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(allow: &[&str]) -> Egress {
        Egress::new(Allow::parse(allow).unwrap(), Vec::new()).unwrap()
    }

    #[test]
    fn a_name_is_pinned_to_its_permitted_addresses() {
        let egress = egress(&[]);
        let target = egress.target("https://hooks.example/in").unwrap();
        let of = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 443);
        let judged = egress.admit(&target, &[of("127.0.0.1"), of("1.1.1.1")]).unwrap();
        assert_eq!(judged, [of("1.1.1.1")]);

        let refused = egress.admit(&target, &[of("169.254.169.254")]).unwrap_err();
        assert!(refused.to_string().contains("egress.allow"), "{refused}");
        let none = egress.admit(&target, &[]).unwrap_err();
        assert!(matches!(none, EgressError::NoAddress(_)), "{none}");
    }

    #[tokio::test]
    async fn a_permitted_address_is_connected_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://127.0.0.1:{}/", listener.local_addr().unwrap().port());
        let egress = egress(&["http", "loopback"]);
        let target = egress.target(&url).unwrap();
        assert!(matches!(egress.connect(&target).await, Ok(Stream::Plain(_))));
    }
}
