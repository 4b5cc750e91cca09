//! Names in certificates.

use std::{fmt, str::FromStr};

use tokio_rustls::rustls::pki_types::CertificateDer;

/// DNS names of the two.
pub(super) const COREAPP: &str = "coreapp";
pub(super) const WEBAPP: &str = "webapp";
/// Scheme of the URI that names a service.
const SERVICE: &str = "service:";
/// Longest name of a service.
const SERVICE_MAX: usize = 64;

/// A process of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// Subject alternative name `DNS:webapp`.
    Webapp,
    /// `DNS:coreapp`.
    Coreapp,
    /// Another program of the operator's: `URI:service:NAME`.
    Service(String),
}

/// A text names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "give webapp, coreapp or service:NAME, NAME of 1 to 64 letters, digits, dots, dashes and \
     underscores"
)]
pub struct NameError;

impl Name {
    /// For whom a certificate is. If it has several names, the first that is one of ours.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
        let dns = certificate.valid_dns_names().find_map(|name| match name {
            COREAPP => Some(Self::Coreapp),
            WEBAPP => Some(Self::Webapp),
            _ => None,
        });
        dns.or_else(|| certificate.valid_uri_names().find_map(|name| name.parse().ok()))
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            COREAPP => return Ok(Self::Coreapp),
            WEBAPP => return Ok(Self::Webapp),
            _ => {}
        }
        let name = text.strip_prefix(SERVICE).ok_or(NameError)?;
        let fits = (1..=SERVICE_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        if fits { Ok(Self::Service(name.to_owned())) } else { Err(NameError) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webapp => f.write_str(WEBAPP),
            Self::Coreapp => f.write_str(COREAPP),
            Self::Service(name) => write!(f, "{SERVICE}{name}"),
        }
    }
}
