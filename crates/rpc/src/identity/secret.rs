//! Certificates from a secret: whoever knows it has the same authority.
//!
//! The authority's key is derived from the secret (HKDF-SHA256), so nothing has to be handed round
//! but the secret. Each process signs a certificate for itself, for a week, with a key that never
//! leaves its memory.

use std::fmt;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, string::Ia5String,
};
use ring::hkdf;
use time::OffsetDateTime;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{IdentityError, Material, Name};

/// Fewest characters of a secret.
pub const SECRET_MIN: usize = 32;
/// How long a certificate is good, and how long before now it begins, for clocks that differ.
const LIFE_MS: i64 = 7 * 86_400_000;
const EARLY_MS: i64 = 3_600_000;
const SALT: &[u8] = b"heliograph internal authority v1";
/// PKCS #8 of an Ed25519 key (RFC 8410), up to its 32 bytes.
const ED25519_PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// The secret in use, and earlier or coming ones whose certificates are accepted too.
#[derive(Clone)]
pub struct Secrets {
    used: String,
    accepted: Vec<String>,
}

impl Secrets {
    /// Each of at least [`SECRET_MIN`] characters: shorter ones can be guessed.
    #[must_use]
    pub fn new(used: &str, accepted: &[&str]) -> Self {
        let accepted = accepted.iter().map(|&secret| secret.to_owned()).collect();
        Self { used: used.to_owned(), accepted }
    }

    pub(super) fn material(&self, me: &Name, now_ms: i64) -> Result<Material, IdentityError> {
        let authority = Authority::new(&self.used, now_ms)?;
        let (chain, key) = authority.issue(me, now_ms, LIFE_MS)?;
        let mut authorities = vec![authority.certificate.der().clone()];
        for secret in &self.accepted {
            authorities.push(Authority::new(secret, now_ms)?.certificate.der().clone());
        }
        let renew_ms = Some(now_ms.saturating_add(LIFE_MS / 2));
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Ok(Material { chain: vec![chain.der().clone()], key, authorities, renew_ms })
    }

    /// A certificate for a program that does not make its own: PEM of the authorities, the
    /// certificate, its key.
    ///
    /// # Errors
    /// When `days` is out of reach.
    pub fn issue(&self, name: &Name, now_ms: i64, days: u16) -> Result<[String; 3], IdentityError> {
        let authority = Authority::new(&self.used, now_ms)?;
        let (certificate, key) = authority.issue(name, now_ms, i64::from(days) * 86_400_000)?;
        let mut authorities = authority.certificate.pem();
        for secret in &self.accepted {
            authorities.push_str(&Authority::new(secret, now_ms)?.certificate.pem());
        }
        Ok([authorities, certificate.pem(), key.serialize_pem()])
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets(… and {} accepted)", self.accepted.len())
    }
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

impl Authority {
    fn new(secret: &str, now_ms: i64) -> Result<Self, IdentityError> {
        let mut pkcs8 = ED25519_PKCS8.to_vec();
        pkcs8.extend(derive(secret, b"ed25519")?);
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pkcs8));
        let key = KeyPair::try_from(&key).map_err(unusable)?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        // Authorities are looked up by their names, so each secret's has its own.
        let id: String = derive(secret, b"name")?[..8].iter().map(|b| format!("{b:02x}")).collect();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("heliograph internal {id}"));
        (params.not_before, params.not_after) = validity(now_ms, 10 * 366 * 86_400_000)?;
        let certificate = params.self_signed(&key).map_err(unusable)?;
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    fn issue(
        &self,
        name: &Name,
        now_ms: i64,
        life_ms: i64,
    ) -> Result<(Certificate, KeyPair), IdentityError> {
        let key = KeyPair::generate().map_err(unusable)?;
        let text = Ia5String::try_from(name.to_string()).map_err(unusable)?;
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![match name {
            Name::Webapp | Name::Coreapp => SanType::DnsName(text),
            Name::Service(_) => SanType::URI(text),
        }];
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name.to_string());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = validity(now_ms, life_ms)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(unusable)?;
        Ok((certificate, key))
    }
}

fn derive(secret: &str, purpose: &[u8]) -> Result<[u8; 32], IdentityError> {
    let failed = |_| IdentityError::Unusable("the secret cannot be derived from".to_owned());
    let key = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(secret.as_bytes());
    let mut out = [0; 32];
    let purpose = [purpose];
    key.expand(&purpose, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut out)).map_err(failed)?;
    Ok(out)
}

fn validity(now_ms: i64, life_ms: i64) -> Result<(OffsetDateTime, OffsetDateTime), IdentityError> {
    let at = |ms: i64| {
        OffsetDateTime::from_unix_timestamp(ms.div_euclid(1_000))
            .map_err(|error| IdentityError::Unusable(error.to_string()))
    };
    Ok((at(now_ms.saturating_sub(EARLY_MS))?, at(now_ms.saturating_add(life_ms))?))
}

fn unusable(error: impl fmt::Display) -> IdentityError {
    IdentityError::Unusable(error.to_string())
}
