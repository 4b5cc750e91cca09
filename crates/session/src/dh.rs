//! The one place where X25519 is called, so that a faster backend is a feature and not a rewrite.
//!
//! Secrets come and go as 32 bytes. An all-zero result is refused here, in constant time, whatever
//! the backend: the libraries hand it out as if it were a secret.

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::Primitive;

/// The outcome of one key agreement, wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Shared([u8; 32]);

impl Shared {
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Multiplies `public` by `secret` (clamped inside).
pub(crate) fn agree(secret: &[u8; 32], public: &[u8; 32]) -> Result<Shared, Primitive> {
    #[cfg(all(feature = "graviola", any(target_arch = "x86_64", target_arch = "aarch64")))]
    if fast::usable() {
        return refuse_zero(fast::agree(secret, public)?);
    }
    refuse_zero(dalek::agree(secret, public))
}

/// The public key of `secret`.
pub(crate) fn public(secret: &[u8; 32]) -> [u8; 32] {
    #[cfg(all(feature = "graviola", any(target_arch = "x86_64", target_arch = "aarch64")))]
    if fast::usable() {
        return fast::public(secret);
    }
    dalek::public(secret)
}

/// The library that runs on this machine: `graviola` if the feature is on and the CPU has what it
/// needs, else `dalek`. For `bench` and the start-up log.
#[must_use]
pub fn backend() -> &'static str {
    #[cfg(all(feature = "graviola", any(target_arch = "x86_64", target_arch = "aarch64")))]
    if fast::usable() {
        return "graviola";
    }
    "dalek"
}

fn refuse_zero(shared: Shared) -> Result<Shared, Primitive> {
    if bool::from(shared.0.ct_eq(&[0; 32])) { Err(Primitive) } else { Ok(shared) }
}

mod dalek {
    use x25519_dalek::{PublicKey, StaticSecret};

    use super::Shared;

    pub(super) fn agree(secret: &[u8; 32], public: &[u8; 32]) -> Shared {
        let shared = StaticSecret::from(*secret).diffie_hellman(&PublicKey::from(*public));
        Shared(shared.to_bytes())
    }

    pub(super) fn public(secret: &[u8; 32]) -> [u8; 32] {
        PublicKey::from(&StaticSecret::from(*secret)).to_bytes()
    }
}

#[cfg(all(feature = "graviola", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod fast {
    use graviola::key_agreement::x25519::{PublicKey, StaticPrivateKey};

    use zeroize::Zeroizing;

    use super::{Primitive, Shared};

    /// graviola stops the process on a CPU it was not written for, so it is asked first. The
    /// answer is cached by the standard library's feature detection.
    pub(super) fn usable() -> bool {
        graviola::util::is_cpu_supported()
    }

    pub(super) fn agree(secret: &[u8; 32], public: &[u8; 32]) -> Result<Shared, Primitive> {
        let shared = StaticPrivateKey::from_array(secret)
            .diffie_hellman(&PublicKey::from_array(public))
            .map_err(|_| Primitive)?;
        let bytes = Zeroizing::new(shared.as_bytes());
        Ok(Shared(*bytes))
    }

    pub(super) fn public(secret: &[u8; 32]) -> [u8; 32] {
        StaticPrivateKey::from_array(secret).public_key().as_bytes()
    }
}

#[cfg(test)]
mod tests;
