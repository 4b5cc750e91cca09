//! PEM, from a file or from the setting itself.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use telemetry::config::Secret;

use crate::fault::Fault;

/// A setting that holds this is the PEM itself; no path does.
const BEGIN: &str = "-----BEGIN ";
/// Largest file that is read: a bundle of all public authorities has a quarter of it.
const BYTES_MAX: u64 = 1 << 20;

/// At least one certificate.
pub(super) fn certificates(
    setting: &'static str,
    value: &str,
) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let text = text(setting, value)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let wrong = |cause| Fault::Setting { setting, cause };
    match certificates {
        Ok(none) if none.is_empty() => {
            Err(wrong(format!("{} holds no certificate (PEM is expected)", place(value))))
        }
        Ok(certificates) => Ok(certificates),
        Err(_) => Err(wrong(format!("{} is no well-formed PEM", place(value)))),
    }
}

/// A private key that is not encrypted.
pub(super) fn key(setting: &'static str, value: &Secret) -> Result<PrivateKeyDer<'static>, Fault> {
    let text = text(setting, value.expose())?;
    let place = place(value.expose());
    if text.windows(9).any(|window| window == b"ENCRYPTED") {
        let cause = format!(
            "the key in {place} is encrypted with a pass phrase; store it without one (openssl pkey), \
             readable by this process alone"
        );
        return Err(Fault::Setting { setting, cause });
    }
    // The parser's own words may repeat parts of the key.
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| Fault::Setting {
        setting,
        cause: format!("{place} holds no private key (PEM is expected)"),
    })
}

/// The file, or the setting itself.
pub(super) fn text(setting: &'static str, value: &str) -> Result<Vec<u8>, Fault> {
    if value.contains(BEGIN) {
        return Ok(value.as_bytes().to_vec());
    }
    let wrong =
        |why: &str| Fault::Setting { setting, cause: format!("failed to read {value}: {why}") };
    let size = std::fs::metadata(value).map_err(|error| wrong(&error.to_string()))?.len();
    if size > BYTES_MAX {
        return Err(wrong("it is larger than 1 MiB"));
    }
    std::fs::read(value).map_err(|error| wrong(&error.to_string()))
}

/// Where it was found, for people: never the text of a key.
fn place(value: &str) -> &str {
    if value.contains(BEGIN) { "its text" } else { value }
}
