//! Which certificate new connections are served with: the uploaded one while there is one, else the
//! configured or self-signed one.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use tokio_rustls::rustls::{
    pki_types::CertificateDer,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::external;

/// See the module.
#[derive(Debug)]
pub(crate) struct Certificates {
    own: Arc<CertifiedKey>,
    uploaded: RwLock<Option<Uploaded>>,
}

#[derive(Debug)]
struct Uploaded {
    pem: Bytes,
    key: Arc<CertifiedKey>,
}

impl Certificates {
    pub(crate) fn new(own: CertifiedKey) -> Self {
        Self { own: Arc::new(own), uploaded: RwLock::new(None) }
    }

    /// What the directory holds; empty: nothing was uploaded. What cannot be read changes nothing.
    pub(crate) fn upload(&self, pem: &Bytes) {
        let mut uploaded = self.uploaded.write().unwrap_or_else(PoisonError::into_inner);
        if uploaded.as_ref().map_or(pem.is_empty(), |known| known.pem == *pem) {
            return;
        }
        if pem.is_empty() {
            *uploaded = None;
            tracing::info!("the uploaded certificate is gone; the process's own is served");
            return;
        }
        match external::read(pem) {
            Ok(key) => {
                *uploaded = Some(Uploaded { pem: pem.clone(), key });
                tracing::info!("new connections get the uploaded certificate");
            }
            // Another version has taken it.
            Err(error) => tracing::error!(
                cause = %error.details,
                "the uploaded certificate cannot be used; the one before stays"
            ),
        }
    }

    fn current(&self) -> Arc<CertifiedKey> {
        let uploaded = self.uploaded.read().unwrap_or_else(PoisonError::into_inner);
        uploaded.as_ref().map_or_else(|| Arc::clone(&self.own), |known| Arc::clone(&known.key))
    }

    /// The authorities behind the certificate in force, as PEM; itself when it has none.
    pub(crate) fn authorities(&self) -> String {
        let key = self.current();
        let (own, issuers) = match &key.cert[..] {
            [own, issuers @ ..] => (Some(own), issuers),
            [] => (None, &[][..]),
        };
        let shown =
            if issuers.is_empty() { own.as_slice() } else { &issuers.iter().collect::<Vec<_>>() };
        shown.iter().map(|certificate| pem(certificate)).collect()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

/// RFC 7468.
fn pem(certificate: &CertificateDer<'_>) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    const LINE: usize = 64;
    let text = STANDARD.encode(certificate);
    let lines = text.as_bytes().chunks(LINE).filter_map(|line| std::str::from_utf8(line).ok());
    let body: Vec<_> = lines.collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", body.join("\n"))
}
