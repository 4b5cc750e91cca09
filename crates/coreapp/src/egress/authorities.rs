//! A bundle of private authorities, as an administrator uploads it.

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::EgressError;

/// Bytes of a bundle.
const MAX_BYTES: usize = 256 << 10;
/// Certificates of a bundle.
const MAX_CERTIFICATES: usize = 64;

/// Reads concatenated PEM certificates; an empty text is an empty bundle.
///
/// # Errors
/// [`EgressError::Bundle`] says what is wrong with it.
pub fn authorities(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, EgressError> {
    if pem.len() > MAX_BYTES {
        return Err(EgressError::Bundle("it is larger than 256 KiB"));
    }
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|_| EgressError::Bundle("its PEM is malformed"))?;
    if certificates.is_empty() && !pem.is_empty() {
        return Err(EgressError::Bundle("it has no PEM certificate"));
    }
    if certificates.len() > MAX_CERTIFICATES {
        return Err(EgressError::Bundle("it has more than 64 certificates"));
    }
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        let added = store.add(certificate.clone());
        added.map_err(|_| EgressError::Bundle("one of its certificates cannot be an authority"))?;
    }
    Ok(certificates)
}
