//! `Idempotency-Key`: what a client may call a request, and what the name is good for.
//!
//! A key belongs to a user and a recipient: the same key of somebody else, or for somebody else, is
//! another one. Within a day it stands for one message.

use ring::digest;

use crate::{
    error::{ApiError, Code},
    id::Key,
    number::Number,
};

/// Most characters of a key.
pub const MAX_KEY: usize = 255;
/// How long a key stands for its message, milliseconds.
pub const KEPT_MS: i64 = 24 * 60 * 60 * 1_000;
/// Bytes of what a key is stored as. Nobody gains by a collision: they are within one user's keys.
pub const HASH_LEN: usize = 16;

/// What kind of name is hashed, so that no two kinds meet.
const REQUEST: u8 = 1;
const CANCELLED: u8 = 2;

/// A key as the client gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Takes 1 to 255 printable ASCII characters; `name` is the header or field they came in.
    ///
    /// # Errors
    /// 1009 for anything else.
    pub fn parse(name: &str, given: &[u8]) -> Result<Self, ApiError> {
        let invalid = |was: String| {
            ApiError::new(
                Code::INVALID,
                format!(
                    "'{name}': {was}, allowed are 1 to {MAX_KEY} printable ASCII characters, \
                     for example a UUID"
                ),
            )
        };
        if given.is_empty() || given.len() > MAX_KEY {
            return Err(invalid(format!("given were {} characters", given.len())));
        }
        match std::str::from_utf8(given) {
            Ok(text) if given.iter().all(|byte| (b' '..=b'~').contains(byte)) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(invalid("a character is not printable".to_owned())),
        }
    }

    /// The characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the key is stored as, for a user and a recipient as dialled.
    #[must_use]
    pub fn hash(&self, user: &str, to: &Number) -> [u8; HASH_LEN] {
        hash(REQUEST, &[user.as_bytes(), self.0.as_bytes(), to.as_bytes()])
    }
}

/// What the cancellation of a message is stored as.
#[must_use]
pub fn cancelled(key: &Key) -> [u8; HASH_LEN] {
    hash(CANCELLED, &[key.as_bytes()])
}

/// 409/1009: the key stands for another message.
#[must_use]
pub fn reused() -> ApiError {
    ApiError::new(
        Code::INVALID,
        "'Idempotency-Key' was used with another message to this recipient within the last 24 \
         hours: repeat that message unchanged or choose a new key",
    )
    .with_status(409)
}

fn hash(kind: u8, parts: &[&[u8]]) -> [u8; HASH_LEN] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&[kind]);
    for part in parts {
        // With its length in front no part can pass for another.
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut out = [0; HASH_LEN];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> IdempotencyKey {
        IdempotencyKey::parse("Idempotency-Key", text.as_bytes()).unwrap()
    }

    #[test]
    fn a_key_is_one_to_255_printable_characters() {
        for good in ["a", "8e03978e-40d5-43e6-bc93-6894a57f9324", " ~", &"k".repeat(255)] {
            assert_eq!(key(good).as_str(), good);
        }
        for bad in ["".to_owned(), "k".repeat(256), "tab\t".to_owned(), "schlüssel".to_owned()] {
            let error = IdempotencyKey::parse("Idempotency-Key", bad.as_bytes()).unwrap_err();
            assert_eq!((error.status(), error.code), (400, Code::INVALID), "{bad}");
            assert!(error.details.contains("1 to 255 printable"), "{}", error.details);
        }
    }

    #[test]
    fn a_key_is_its_users_and_its_recipients_alone() {
        let to = Number::parse("4915112345678").unwrap();
        let other = Number::parse("4915112345679").unwrap();
        let of = key("order-7").hash("clerk_7", &to);
        assert_eq!(of, key("order-7").hash("clerk_7", &to));
        assert_ne!(of, key("order-7").hash("clerk_8", &to));
        assert_ne!(of, key("order-7").hash("clerk_7", &other));
        assert_ne!(of, key("order-8").hash("clerk_7", &to));
        assert_ne!(of, key("7order-7").hash("clerk_", &to), "no part passes for another");
    }
}
