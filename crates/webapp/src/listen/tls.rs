//! The certificate: from files, or self-signed as the original's was, kept if there is a place.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::generate_simple_self_signed;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        Error, ServerConfig, crypto,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        sign::CertifiedKey,
    },
};

use super::Certificates;
use crate::config::Config;

/// Names of the kept certificate and its key in the data directory.
const CERTIFICATE: &str = "webapp-certificate.pem";
const KEY: &str = "webapp-key.pem";

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("failed to access {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds no certificate or key.
    #[error("{path} holds no PEM {what}: {reason}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// Only one of the two files is named.
    #[error(
        "give both webapp.certificate_path and webapp.certificate_key_path, or neither for a \
         self-signed certificate"
    )]
    OneOfTwo,
    /// Certificate and key do not go together, or a name cannot stand in a certificate.
    #[error("the certificate cannot be used: {0}")]
    Unusable(String),
}

/// The certificate of this process: the configured one, or self-signed.
///
/// # Errors
/// [`TlsError`].
pub(crate) fn own_certificate(config: &Config) -> Result<CertifiedKey, TlsError> {
    let (chain, key) = match (&config.certificate_path, &config.certificate_key_path) {
        (Some(chain), Some(key)) => (read_chain(chain)?, read_key(key)?),
        (None, None) => self_signed(config)?,
        _ => return Err(TlsError::OneOfTwo),
    };
    CertifiedKey::from_der(chain, key, &crypto::ring::default_provider()).map_err(unusable)
}

/// TLS 1.2 and 1.3 with the certificate in force.
///
/// # Errors
/// [`TlsError`].
pub(crate) fn acceptor(certificates: Arc<Certificates>) -> Result<TlsAcceptor, TlsError> {
    let mut tls = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(tls)))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unusable(error: Error) -> TlsError {
    TlsError::Unusable(error.to_string())
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn self_signed(config: &Config) -> Result<Pair, TlsError> {
    let kept = config.data_dir.as_ref().map(|dir| (dir.join(CERTIFICATE), dir.join(KEY)));
    if let Some((chain, key)) = kept.as_ref().filter(|(chain, key)| chain.exists() && key.exists())
    {
        return Ok((read_chain(chain)?, read_key(key)?));
    }
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    names.extend(config.server_names.iter().cloned());
    let unusable = |error: rcgen::Error| TlsError::Unusable(error.to_string());
    let rcgen::CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(names).map_err(unusable)?;
    if let Some((chain, key)) = kept {
        // The key first: a certificate without its key would be taken for a kept pair's half.
        write(&key, &signing_key.serialize_pem(), 0o600)?;
        write(&chain, &cert.pem(), 0o644)?;
    }
    let key = PrivateKeyDer::try_from(signing_key.serialize_der())
        .map_err(|error| TlsError::Unusable(error.to_owned()))?;
    Ok((vec![cert.der().clone()], key))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = |reason: String| TlsError::Pem { path: path.to_owned(), what: "certificate", reason };
    let text = read(path)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| pem(error.to_string()))?;
    if chain.is_empty() { Err(pem("there is none in it".to_owned())) } else { Ok(chain) }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| TlsError::Pem {
        path: path.to_owned(),
        what: "private key",
        reason: error.to_string(),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::File { path: path.to_owned(), source })
}

/// Writes beside and renames, so that a crash leaves no half of a file.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let beside = path.with_extension("pem.new");
    let written = || {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let _stale = fs::remove_file(&beside);
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    written().map_err(|source| TlsError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_self_signed_certificate_is_kept_and_its_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { data_dir: Some(dir.path().to_owned()), ..Config::default() };
        let (first, _) = self_signed(&config).unwrap();
        let (second, _) = self_signed(&config).unwrap();
        assert_eq!(first, second);
        let mode = fs::metadata(dir.path().join(KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let chain = dir.path().join(CERTIFICATE);
        let files = Config {
            certificate_path: Some(chain.clone()),
            certificate_key_path: Some(dir.path().join(KEY)),
            ..Config::default()
        };
        assert!(own_certificate(&files).is_ok());
        let half = Config { certificate_path: Some(chain), ..Config::default() };
        assert!(matches!(own_certificate(&half), Err(TlsError::OneOfTwo)));
    }
}
