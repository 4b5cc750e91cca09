//! TLS to a database server, the same for every engine: which settings there are, and what they
//! become. Reading files is in `pem`, judging a server's certificate in `verify`, naming what went
//! wrong in `fault`.

mod fault;
mod pem;
mod url;
mod verify;

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use telemetry::config::{Secret, SslMode};

pub(crate) use fault::{fault_in, rustls_in};
pub(crate) use url::split;

use crate::fault::Fault;

const CA: &str = "database.ssl_ca";
const CERT: &str = "database.ssl_cert";
const KEY: &str = "database.ssl_key";
pub(crate) const MODE: &str = "database.ssl_mode";

/// As they are set; a file is given by its path or by its PEM text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    pub mode: Option<SslMode>,
    pub ca: Option<String>,
    pub cert: Option<String>,
    pub key: Option<Secret>,
}

/// Our certificate with its chain, and its key, as PEM.
pub(crate) struct Identity {
    pub(crate) certificates: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

/// What the settings amount to, read and checked.
pub(crate) struct Tls {
    pub(crate) mode: SslMode,
    /// Empty: the public authorities.
    ca: Vec<CertificateDer<'static>>,
    /// Our certificate with its chain, and its key.
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl TlsSettings {
    /// Its own values where it has any, else the others'.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            mode: self.mode.or(other.mode),
            ca: self.ca.or(other.ca),
            cert: self.cert.or(other.cert),
            key: self.key.or(other.key),
        }
    }

    /// Whether anything is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// An authority or a certificate without a mode means [`SslMode::VerifyFull`]; nothing at all
    /// means clear text, as ever.
    pub(crate) fn mode(&self) -> SslMode {
        let files = self.ca.is_some() || self.cert.is_some() || self.key.is_some();
        self.mode.unwrap_or(if files { SslMode::VerifyFull } else { SslMode::Disable })
    }

    /// Reads the files. `None`: clear text.
    ///
    /// # Errors
    /// [`Fault::Setting`].
    pub(crate) fn load(&self) -> Result<Option<Tls>, Fault> {
        let wrong = |setting, cause: &str| Fault::Setting { setting, cause: cause.to_owned() };
        let mode = self.mode();
        if mode == SslMode::Disable {
            return match self.ca.is_some() || self.cert.is_some() || self.key.is_some() {
                true => Err(wrong(MODE, "it is disable, and certificates are set all the same")),
                false => Ok(None),
            };
        }
        let ca = self.ca.as_ref().map_or(Ok(Vec::new()), |ca| pem::certificates(CA, ca))?;
        let identity = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some((pem::certificates(CERT, cert)?, pem::key(KEY, key)?)),
            (Some(_), None) => return Err(wrong(KEY, "it is missing beside database.ssl_cert")),
            (None, Some(_)) => return Err(wrong(CERT, "it is missing beside database.ssl_key")),
            (None, None) => None,
        };
        Ok(Some(Tls { mode, ca, identity }))
    }

    /// The PEM of our certificate and of its key, for a driver that reads them itself.
    ///
    /// # Errors
    /// [`Fault::Setting`].
    pub(crate) fn identity(&self) -> Result<Option<Identity>, Fault> {
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else { return Ok(None) };
        let certificates = pem::text(CERT, cert)?;
        Ok(Some(Identity { certificates, key: pem::text(KEY, key.expose())? }))
    }
}

impl Tls {
    /// For a driver that takes one. TLS 1.2 and 1.3, ring.
    ///
    /// # Errors
    /// [`Fault::Setting`] when an authority is none, or the key is not the certificate's.
    pub(crate) fn client_config(&self) -> Result<Arc<ClientConfig>, Fault> {
        let wrong = |setting, cause: String| Fault::Setting { setting, cause };
        let provider = Arc::new(default_provider());
        let verifier =
            verify::Verifier::new(&provider, self.trusted()?, self.ca.clone(), self.mode);
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(MODE, error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|error| match error {
                    rustls::Error::InconsistentKeys(_) => wrong(
                        KEY,
                        "it is not the key of the certificate in database.ssl_cert".into(),
                    ),
                    error => wrong(CERT, error.to_string()),
                })?,
        };
        Ok(Arc::new(config))
    }

    /// Whether we have a certificate of our own to show.
    pub(crate) fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    /// Those that are set.
    pub(crate) fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.ca
    }

    /// What is trusted, in words.
    pub(crate) fn authority(&self) -> &'static str {
        if self.ca.is_empty() { "a public authority" } else { "the authority that is set" }
    }

    /// `None`: anything.
    fn trusted(&self) -> Result<Option<RootCertStore>, Fault> {
        let mut roots = RootCertStore::empty();
        if self.ca.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            return Ok((self.mode != SslMode::Require).then_some(roots));
        }
        for certificate in &self.ca {
            roots.add(certificate.clone()).map_err(|error| Fault::Setting {
                setting: CA,
                cause: format!("it holds a certificate that is no authority: {error}"),
            })?;
        }
        Ok(Some(roots))
    }
}
