//! Signatures of callbacks as <https://www.standardwebhooks.com> describes them: what lets a
//! receiver tell our POSTs from everybody else's.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use contract::settings::{SigningKey, SigningSecret};
use ring::{hmac, signature::Ed25519KeyPair};

/// Signs with every key there is, so that a receiver may know any one of them.
pub(super) struct Signer {
    keys: Vec<Key>,
}

enum Key {
    Shared(hmac::Key),
    Private(Ed25519KeyPair),
}

// === impl Signer ===

impl Signer {
    /// `None` without secrets. A private key that does not fit its public half is left out and
    /// named in the log; the settings refuse such a one before it gets here.
    pub(super) fn new(secrets: &[SigningSecret]) -> Option<Self> {
        let keys: Vec<_> = secrets.iter().filter_map(key).collect();
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// Appends the value of `webhook-signature`.
    pub(super) fn sign(&self, id: &str, timestamp_s: i64, body: &[u8], out: &mut String) {
        let head = format!("{id}.{timestamp_s}.");
        for (n, key) in self.keys.iter().enumerate() {
            if n > 0 {
                out.push(' ');
            }
            match key {
                Key::Shared(key) => {
                    let mut signing = hmac::Context::with_key(key);
                    signing.update(head.as_bytes());
                    signing.update(body);
                    out.push_str("v1,");
                    STANDARD.encode_string(signing.sign(), out);
                }
                Key::Private(key) => {
                    let signature = key.sign(&[head.as_bytes(), body].concat());
                    out.push_str("v1a,");
                    STANDARD.encode_string(signature, out);
                }
            }
        }
    }
}

impl fmt::Debug for Signer {
    /// No key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({} keys)", self.keys.len())
    }
}

fn key(secret: &SigningSecret) -> Option<Key> {
    match secret.key()? {
        SigningKey::Shared(bytes) => Some(Key::Shared(hmac::Key::new(hmac::HMAC_SHA256, &bytes))),
        SigningKey::Private { seed, public } => {
            let pair = match public {
                Some(public) => Ed25519KeyPair::from_seed_and_public_key(&seed, &public),
                None => Ed25519KeyPair::from_seed_unchecked(&seed),
            };
            match pair {
                Ok(pair) => Some(Key::Private(pair)),
                Err(error) => {
                    tracing::error!(%error, "a secret of webhooks.secrets is no ed25519 key");
                    None
                }
            }
        }
    }
}
