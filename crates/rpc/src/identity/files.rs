//! Certificates from files, read again when they change.

use std::{fs, path::PathBuf};

use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::{IdentityError, Material};

/// Largest file, bytes: a bundle of authorities and no more.
const FILE_MAX: u64 = 1 << 20;

/// PEM files; the setting of each is named in errors.
#[derive(Clone, Debug)]
pub struct Files {
    /// `internal.ca`: authorities that others' certificates may come from.
    pub ca: PathBuf,
    /// `internal.cert`: our chain.
    pub cert: PathBuf,
    /// `internal.key`.
    pub key: PathBuf,
}

/// What the files held.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Contents([Vec<u8>; 3]);

impl Files {
    pub(super) fn contents(&self) -> Result<Contents, IdentityError> {
        let [ca, cert, key] = self.named().map(|(setting, path)| {
            let failed =
                |error| IdentityError::File { setting, path: path.display().to_string(), error };
            let size = fs::metadata(path).map_err(failed)?.len();
            if size > FILE_MAX {
                return Err(failed(std::io::Error::other("it is larger than 1 MiB")));
            }
            fs::read(path).map_err(failed)
        });
        Ok(Contents([ca?, cert?, key?]))
    }

    pub(super) fn material(&self, contents: &Contents) -> Result<Material, IdentityError> {
        let Contents([ca, cert, key]) = contents;
        let [ca_name, cert_name, key_name] = self.named();
        let pem = |(setting, path): (&'static str, &PathBuf), what| IdentityError::Pem {
            setting,
            path: path.display().to_string(),
            what,
        };
        let certificates = |text: &[u8], name| {
            let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
            all.ok().filter(|all| !all.is_empty()).ok_or_else(|| pem(name, "certificate"))
        };
        Ok(Material {
            authorities: certificates(ca, ca_name)?,
            chain: certificates(cert, cert_name)?,
            key: PrivateKeyDer::from_pem_slice(key).map_err(|_| pem(key_name, "private key"))?,
            renew_ms: None,
        })
    }

    fn named(&self) -> [(&'static str, &PathBuf); 3] {
        [("internal.ca", &self.ca), ("internal.cert", &self.cert), ("internal.key", &self.key)]
    }
}
