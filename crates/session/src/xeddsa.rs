//! XEdDSA over Curve25519: signatures with a key-agreement key.
//!
//! We sign with sign bit 0, as the specification says. Peers of this network's older kind leave
//! the Edwards sign of their key in the top bit of `s`; verification takes both.

use std::fmt;

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::montgomery::MontgomeryPoint;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use ring::{digest, signature};
use subtle::{Choice, ConditionallySelectable};
use zeroize::Zeroizing;

use crate::Rng;
use crate::error::BundleError;
use crate::keys::{IdentityKey, Secret, role};

/// 64 bytes: the point `R` and the scalar `s`, whose top bit carries the key's sign.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Bytes of a signature.
    pub const LEN: usize = 64;

    /// Takes the bytes as they are; only verification judges them.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        Self(*bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(..)")
    }
}

/// The specification's `hash_1` prefix: 2^256 − 2, little-endian.
const HASH_1: [u8; 32] = {
    let mut prefix = [0xff; 32];
    prefix[0] = 0xfe;
    prefix
};

/// The bit of the last byte that carries an Edwards point's sign.
const SIGN: u8 = 0x80;

/// Signs `message`; takes 64 bytes from `rng`, which make the nonce unpredictable even if the
/// hash were not.
pub(crate) fn sign(secret: &Secret<role::Identity>, message: &[u8], rng: &dyn Rng) -> Signature {
    let clamped = Zeroizing::new(clamp_integer(*secret.as_bytes()));
    let scalar = Zeroizing::new(Scalar::from_bytes_mod_order(*clamped));
    let (public, sign) = without_sign(EdwardsPoint::mul_base(&scalar).compress().to_bytes());
    // The key whose point has sign 0: itself, or its negative.
    let signing = Zeroizing::new(Scalar::conditional_select(&scalar, &-*scalar, sign));

    let mut random = Zeroizing::new([0; 64]);
    rng.fill(random.as_mut());
    let signing_bytes = Zeroizing::new(signing.to_bytes());
    let nonce = Zeroizing::new(hash(&[&HASH_1, signing_bytes.as_ref(), message, random.as_ref()]));

    let commitment = EdwardsPoint::mul_base(&nonce).compress().to_bytes();
    let challenge = hash(&[&commitment, &public, message]);
    let response = (*nonce + challenge * *signing).to_bytes();

    let mut bytes = [0; 64];
    for (to, from) in bytes.iter_mut().zip(commitment.into_iter().chain(response)) {
        *to = from;
    }
    Signature(bytes)
}

/// Verifies a signature by mapping the key to its Edwards form and asking plain Ed25519.
///
/// # Errors
/// [`BundleError::Signature`].
pub(crate) fn verify(
    key: &IdentityKey,
    message: &[u8],
    signature: &Signature,
) -> Result<(), BundleError> {
    let mut plain = signature.0;
    let [.., last] = &mut plain;
    let sign = *last >> 7;
    *last &= !SIGN;
    let point =
        MontgomeryPoint(*key.as_bytes()).to_edwards(sign).ok_or(BundleError::Signature)?.compress();
    signature::UnparsedPublicKey::new(&signature::ED25519, point.as_bytes())
        .verify(message, &plain)
        .map_err(|_| BundleError::Signature)
}

/// Splits an Edwards point into its coordinate and its sign.
fn without_sign(mut point: [u8; 32]) -> ([u8; 32], Choice) {
    let [.., last] = &mut point;
    let sign = Choice::from(*last >> 7);
    *last &= !SIGN;
    (point, sign)
}

/// SHA-512 of the parts, as a scalar.
fn hash(parts: &[&[u8]]) -> Scalar {
    let mut context = digest::Context::new(&digest::SHA512);
    for part in parts {
        context.update(part);
    }
    let mut wide = Zeroizing::new([0; 64]);
    for (to, from) in wide.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    Scalar::from_bytes_mod_order_wide(&wide)
}

#[cfg(test)]
mod tests;
