//! The secrets that callbacks are signed with, in the form that standard-webhooks gives them:
//! `whsec_…` shared (HMAC-SHA256), `whsk_…` private (ed25519). Never shown.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::signature::Ed25519KeyPair;
use serde::{Deserialize, Serialize};

/// Secrets at the same time: two keys of each kind during a rotation.
pub const MAX_SECRETS: usize = 4;
/// Bytes of a shared secret, decoded.
const SHARED_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const SHARED: &str = "whsec_";
const PRIVATE: &str = "whsk_";

/// One secret, known to be usable.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SigningSecret(String);

/// What a secret holds.
pub enum SigningKey {
    /// Of HMAC-SHA256.
    Shared(Vec<u8>),
    /// Of ed25519.
    Private {
        seed: Vec<u8>,
        /// When the secret repeats it.
        public: Option<Vec<u8>>,
    },
}

/// A text is no secret. It is not repeated here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a signing secret is 'whsec_' and the base64 of 24 to 64 bytes, or 'whsk_' and that of an ed25519 key of 32 or 64 bytes"
)]
pub struct SecretError;

// === impl SigningSecret ===

impl SigningSecret {
    /// The key in it; always there, the text having been checked.
    #[must_use]
    pub fn key(&self) -> Option<SigningKey> {
        read(&self.0).ok()
    }
}

impl TryFrom<String> for SigningSecret {
    type Error = SecretError;

    fn try_from(text: String) -> Result<Self, SecretError> {
        read(&text).map(|_| Self(text))
    }
}

impl From<SigningSecret> for String {
    fn from(secret: SigningSecret) -> Self {
        secret.0
    }
}

impl fmt::Debug for SigningSecret {
    /// Nothing of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

fn read(text: &str) -> Result<SigningKey, SecretError> {
    let decode = |text: &str| STANDARD.decode(text).map_err(|_| SecretError);
    if let Some(shared) = text.strip_prefix(SHARED) {
        let bytes = decode(shared)?;
        return SHARED_BYTES
            .contains(&bytes.len())
            .then_some(SigningKey::Shared(bytes))
            .ok_or(SecretError);
    }
    let mut seed = decode(text.strip_prefix(PRIVATE).ok_or(SecretError)?)?;
    let public = match seed.len() {
        32 => None,
        64 => Some(seed.split_off(32)),
        _ => return Err(SecretError),
    };
    if let Some(public) = &public {
        Ed25519KeyPair::from_seed_and_public_key(&seed, public).map_err(|_| SecretError)?;
    }
    Ok(SigningKey::Private { seed, public })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Result<SigningSecret, SecretError> {
        text.to_owned().try_into()
    }

    #[test]
    fn both_kinds_are_read_and_neither_is_shown() {
        let shared = secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert!(matches!(shared.key(), Some(SigningKey::Shared(bytes)) if bytes.len() == 24));
        let seed = STANDARD.encode([7; 32]);
        let private = secret(&format!("whsk_{seed}")).unwrap();
        assert!(matches!(private.key(), Some(SigningKey::Private { public: None, .. })));
        for shown in [format!("{shared:?}"), format!("{private:?}")] {
            assert_eq!(shown, "SigningSecret(…)");
        }
    }

    #[test]
    fn what_cannot_sign_is_refused_without_being_repeated() {
        for text in [
            "",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_c2hvcnQ=",
            "whsec_!",
            "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            let error = secret(text).unwrap_err().to_string();
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
        // Halves that do not belong together.
        assert_eq!(secret(&format!("whsk_{}", STANDARD.encode([7; 64]))), Err(SecretError));
    }
}
