//! Who is who between the processes of a deployment: mutual TLS under names.
//!
//! Every process shows a certificate for its [`Name`] and asks the other side for one from the same
//! authority. Where that comes from is a [`Source`]: a secret that all of them share, or files. What
//! is shown is renewed or read again while the process runs; connections that are open stay.

use std::{
    io,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use contract::Clock;
use tokio::{io::AsyncRead, io::AsyncWrite, time::timeout};
use tokio_rustls::{
    TlsAcceptor, TlsConnector, client, rustls,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig, crypto,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName},
        server::WebPkiClientVerifier,
    },
    server,
};

mod files;
mod name;
mod secret;

pub use files::Files;
pub use name::Name;
pub use secret::{SECRET_MIN, Secrets};

/// Longest handshake.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// Between two looks whether there is something to renew or to read again.
const LOOK: Duration = Duration::from_secs(10);

/// Where certificates come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Made here, by an authority that all who know the secret have.
    Secrets(Secrets),
    /// Made elsewhere.
    Files(Files),
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("failed to read {path} ({setting}): {error}")]
    File {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path} ({setting}) holds no PEM {what}")]
    Pem {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: String,
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// The certificate is for somebody else.
    #[error("the certificate of internal.cert is for {has}; this process needs one for {needs}")]
    Name {
        /// Whom it is for.
        has: String,
        /// Whom it should be for.
        needs: String,
    },
    /// Certificate, key and authority do not go together.
    #[error("the certificates of the [internal] section cannot be used: {0}")]
    Unusable(String),
}

impl From<rustls::Error> for IdentityError {
    fn from(error: rustls::Error) -> Self {
        Self::Unusable(error.to_string())
    }
}

/// A certificate chain with its key, and the authorities others are judged by.
struct Material {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    authorities: Vec<CertificateDer<'static>>,
    /// Unix milliseconds from which on another one is to be made; `None`: it comes from files.
    renew_ms: Option<i64>,
}

/// What connections are made with at the moment.
struct Tls {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    renew_ms: Option<i64>,
    /// Of the files it was made of.
    contents: Option<files::Contents>,
}

/// This process towards the others.
pub struct Identity {
    me: Name,
    source: Source,
    clock: Arc<dyn Clock>,
    tls: RwLock<Arc<Tls>>,
}

// === impl Identity ===

impl Identity {
    /// # Errors
    /// [`IdentityError`], naming the setting.
    pub fn new(
        me: Name,
        source: Source,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, IdentityError> {
        let tls = Tls::new(&me, &source, clock.unix_ms())?;
        Ok(Arc::new(Self { me, source, clock, tls: RwLock::new(Arc::new(tls)) }))
    }

    /// Renews the certificate before it expires, or reads it again when its files have changed; for
    /// ever. What cannot be used is logged once and changes nothing.
    pub async fn keep(self: Arc<Self>) {
        let mut failing = String::new();
        loop {
            tokio::time::sleep(LOOK).await;
            match self.look() {
                Ok(false) => {}
                Ok(true) => {
                    failing.clear();
                    tracing::info!(name = %self.me, "a new certificate for other processes");
                }
                Err(error) => {
                    let text = error.to_string();
                    if text != failing {
                        tracing::error!(
                            error = text,
                            "the old certificate for other processes stays"
                        );
                        failing = text;
                    }
                }
            }
        }
    }

    /// True: there was something new.
    fn look(&self) -> Result<bool, IdentityError> {
        let (now, tls) = (self.clock.unix_ms(), self.tls());
        let due = match &self.source {
            Source::Secrets(_) => tls.renew_ms.is_some_and(|renew_ms| now >= renew_ms),
            Source::Files(files) => tls.contents.as_ref() != Some(&files.contents()?),
        };
        if due {
            let tls = Tls::new(&self.me, &self.source, now)?;
            *self.tls.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tls);
        }
        Ok(due)
    }

    fn tls(&self) -> Arc<Tls> {
        self.tls.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The server's side of a handshake; gives who the other one is.
    ///
    /// # Errors
    /// When the other side shows no certificate of ours, or takes longer than [`HANDSHAKE`].
    pub(crate) async fn accept<S>(&self, stream: S) -> io::Result<(server::TlsStream<S>, Name)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = TlsAcceptor::from(self.tls().server.clone());
        let stream = timeout(HANDSHAKE, acceptor.accept(stream)).await??;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let name = shown.and_then(|certificate| Name::of(certificate)).ok_or_else(|| {
            let text = "the certificate is for no webapp, coreapp or service";
            io::Error::new(io::ErrorKind::PermissionDenied, text)
        })?;
        Ok((stream, name))
    }

    /// The client's side, towards a coreapp.
    ///
    /// # Errors
    /// When the other side is no coreapp of ours, does not want us, or takes longer than
    /// [`HANDSHAKE`].
    pub(crate) async fn connect<S>(&self, stream: S) -> io::Result<client::TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let connector = TlsConnector::from(self.tls().client.clone());
        let coreapp = ServerName::try_from(name::COREAPP).map_err(io::Error::other)?;
        timeout(HANDSHAKE, connector.connect(coreapp, stream)).await?
    }
}

// === impl Tls ===

impl Tls {
    fn new(me: &Name, source: &Source, now_ms: i64) -> Result<Self, IdentityError> {
        let (material, contents) = match source {
            Source::Secrets(secrets) => (secrets.material(me, now_ms)?, None),
            Source::Files(files) => {
                let contents = files.contents()?;
                (files.material(&contents)?, Some(contents))
            }
        };
        let shown = material.chain.first().and_then(|certificate| Name::of(certificate));
        if shown.as_ref() != Some(me) {
            let has = shown.map_or_else(|| "nobody we know".to_owned(), |name| name.to_string());
            return Err(IdentityError::Name { has, needs: me.to_string() });
        }
        let mut roots = RootCertStore::empty();
        for authority in material.authorities {
            roots.add(authority)?;
        }
        let roots = Arc::new(roots);
        let provider = Arc::new(crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(|error| IdentityError::Unusable(error.to_string()))?;
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(material.chain.clone(), material.key.clone_key())?;
        server.alpn_protocols = vec![b"h2".to_vec()];
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(material.chain, material.key)?;
        client.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            server: Arc::new(server),
            client: Arc::new(client),
            renew_ms: material.renew_ms,
            contents,
        })
    }
}

#[cfg(test)]
mod tests;
