//! Pre-key sessions: X3DH, the Double Ratchet and XEdDSA in wire version 3, and their sealing at
//! rest.
//!
//! Pure by construction: no I/O, no async, no clock; randomness is a parameter ([`Rng`]). All
//! mathematics stays in libraries; this crate decides what is multiplied with what, in which
//! order, and what is refused.
//!
//! | module | holds |
//! |---|---|
//! | [`keys`] | one type per key role, own keys, pre-key ids |
//! | [`dh`] | the one place where X25519 is called |
//! | [`bundle`] | what a stranger publishes, and its verification |
//! | [`wire`] | the two messages as bytes |
//! | [`session`] | the ratchet of one session |
//! | [`record`] | the sessions with one device, as a row stores them |
//! | [`sealing`] | rows encrypted at rest |
//! | [`limits`] | every bound, by name |
//!
//! A wrong key does not compile:
//!
//! ```compile_fail,E0308
//! fn wants_identity(_: session::IdentityKey) {}
//! fn has_ratchet(key: session::RatchetKey) {
//!     wants_identity(key);
//! }
//! ```
//!
//! An advanced session cannot be used again, so no message key is used twice:
//!
//! ```compile_fail,E0382
//! fn twice(session: session::Session) {
//!     let _ = session.encrypt(b"one");
//!     let _ = session.encrypt(b"two");
//! }
//! ```

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unreachable))]

pub mod bundle;
mod cipher;
mod codec;
#[cfg(test)]
mod debug_tests;
pub mod dh;
pub mod error;
mod kdf;
pub mod keys;
pub mod limits;
pub mod record;
pub mod sealing;
pub mod session;
#[cfg(test)]
mod testing;
pub mod wire;
mod x3dh;
mod xeddsa;

pub use contract::Rng;

pub use bundle::{Bundle, OneTimePublic, SignedPublic};
pub use error::{BundleError, DecryptError, EncryptError, KeyError, Reason, RecordError};
pub use keys::{
    BaseKey, Identity, IdentityKey, LoadedKeys, OneTimeKey, OneTimePreKey, OwnKeys, PreKeyId,
    RatchetKey, SignedKey, SignedPreKey, UsedKeys,
};
pub use record::{Accepted, Record};
pub use session::{Plaintext, Session};
pub use wire::{Kind, Message, PreKeyMessage, Sealed};
pub use xeddsa::Signature;
