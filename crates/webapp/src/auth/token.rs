//! The form of tokens: HS256 JWTs with the claims of the original, made and checked here because
//! that is a third of what a general library costs. Pure.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use contract::Rng;
use ring::hmac;
use serde::{Deserialize, Serialize};

/// Life of a token, seconds: 7 days.
pub(crate) const LIFETIME_S: i64 = 604_800;
/// Longest token read, bytes; ours with the longest name have less.
pub(super) const MAX_TOKEN: usize = 1_024;

/// base64url of `{"alg":"HS256","typ":"JWT"}`. Only tokens of ours come back, so it is compared,
/// never interpreted: no header can choose how its token is checked.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims<'a> {
    #[serde(borrow)]
    pub(crate) user: Cow<'a, str>,
    /// Issued at, Unix seconds.
    pub(crate) iat: i64,
    /// Void from then on, Unix seconds.
    pub(crate) exp: i64,
    /// Names the token when it is revoked: 32 hex digits.
    #[serde(rename = "wa:rand", borrow)]
    pub(crate) rand: Cow<'a, str>,
}

/// A fresh `wa:rand`.
pub(crate) fn rand(rng: &impl Rng) -> String {
    let mut bytes = [0; 16];
    rng.fill(&mut bytes);
    format!("{:032x}", u128::from_be_bytes(bytes))
}

impl Claims<'_> {
    /// The token. `None` only if the claims were no JSON, which they are.
    pub(crate) fn sign(&self, key: &hmac::Key) -> Option<String> {
        let claims = serde_json::to_vec(self).ok()?;
        let mut token = format!("{HEADER}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = hmac::sign(key, token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Some(token)
    }
}

/// Checks form and signature and gives the claims' JSON. Says nothing of expiry or revocation.
pub(super) fn verified(key: &hmac::Key, token: &str) -> Option<Vec<u8>> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    if header != HEADER {
        return None;
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    hmac::verify(key, signed.as_bytes(), &signature).ok()?;
    URL_SAFE_NO_PAD.decode(claims).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &[u8]) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, secret)
    }

    #[test]
    fn the_published_example_of_the_format_verifies() {
        // RFC 7519's algorithm on the example every JWT library is tested with.
        let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
                     eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.\
                     SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";
        let claims = verified(&key(b"your-256-bit-secret"), token).unwrap();
        assert_eq!(claims, br#"{"sub":"1234567890","name":"John Doe","iat":1516239022}"#);
        assert_eq!(verified(&key(b"another secret"), token), None);
    }

    #[test]
    fn a_token_changed_anywhere_does_not_verify() {
        let claims =
            Claims { user: "clerk_7".into(), iat: 1, exp: 2, rand: "00".repeat(16).into() };
        let token = claims.sign(&key(b"k")).unwrap();
        let json = verified(&key(b"k"), &token).unwrap();
        assert_eq!(serde_json::from_slice::<Claims<'_>>(&json).unwrap(), claims);
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(verified(&key(b"k"), std::str::from_utf8(&changed).unwrap()), None, "{at}");
        }
        let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
        assert_eq!(verified(&key(b"k"), &unsigned), None);
        assert_eq!(verified(&key(b"k"), ""), None);
    }
}
