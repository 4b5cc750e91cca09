//! The key for monitoring. Compared through a keyed hash, so that the time taken tells nothing.

use contract::Rng;
use ring::hmac;

/// The configured key, as a hash under a key of this process.
pub(crate) struct ApiKey {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl ApiKey {
    pub(crate) fn new(secret: &str, rng: &impl Rng) -> Self {
        let mut bytes = [0; 32];
        rng.fill(&mut bytes);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        let tag = hmac::sign(&key, secret.as_bytes());
        Self { key, tag }
    }

    pub(super) fn is(&self, given: &str) -> bool {
        hmac::verify(&self.key, given.as_bytes(), self.tag.as_ref()).is_ok()
    }
}
