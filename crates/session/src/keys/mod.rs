//! Keys, one type per role, so that a key in the wrong place does not compile.
//!
//! All roles are X25519 keys and share [`Public`], [`Secret`] and [`Pair`]; the role is a type
//! parameter. Secrets are wiped when dropped and do not print.

mod id;
mod own;

use std::fmt;
use std::marker::PhantomData;

use zeroize::{Zeroize, Zeroizing};

use crate::dh::{self, Shared};
use crate::error::{BundleError, KeyError, Primitive};
use crate::xeddsa::{self, Signature};
use crate::{Rng, limits};

pub use id::PreKeyId;
pub use own::{Identity, LoadedKeys, OneTimePreKey, OwnKeys, SignedPreKey, UsedKeys};

/// Bytes of a public key on the wire: the type byte and the coordinate.
pub const WIRE_LEN: usize = 33;

/// The type byte of an X25519 key on the wire.
const TYPE: u8 = 0x05;

/// The roles a key can have.
pub mod role {
    /// A role, by name.
    pub trait Role: Copy + Eq + 'static {
        /// How a key of this role is called in debug output.
        const NAME: &'static str;
    }

    macro_rules! roles {
        ($($(#[$doc:meta])+ $name:ident;)+) => {$(
            $(#[$doc])+
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
            pub enum $name {}

            impl Role for $name {
                const NAME: &'static str = stringify!($name);
            }
        )+};
    }

    roles! {
        /// Names a device for good.
        Identity;
        /// Published, signed by the identity, kept for weeks.
        Signed;
        /// Published, used by one session, then deleted.
        OneTime;
        /// The initiator's ephemeral key; it names the session.
        Base;
        /// The moving key of the Double Ratchet.
        Ratchet;
    }
}

use role::Role;

/// The public identity of a device.
pub type IdentityKey = Public<role::Identity>;
/// The public half of a signed pre-key.
pub type SignedKey = Public<role::Signed>;
/// The public half of a one-time pre-key.
pub type OneTimeKey = Public<role::OneTime>;
/// The public half of an initiator's ephemeral key.
pub type BaseKey = Public<role::Base>;
/// The public half of a ratchet key.
pub type RatchetKey = Public<role::Ratchet>;

/// A public key of one role: canonical and not of low order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Public<R> {
    coordinate: [u8; 32],
    role: PhantomData<R>,
}

impl<R: Role> Public<R> {
    /// Reads the wire form, `0x05 ‖ 32 bytes`.
    ///
    /// # Errors
    /// [`KeyError`] for another length or type, a coordinate not below 2^255 − 19, and the points
    /// of low order.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, KeyError> {
        match bytes.split_first() {
            Some((_, rest)) if rest.len() != 32 => Err(KeyError::Length),
            Some((&TYPE, rest)) => Self::from_stored(rest),
            Some(_) => Err(KeyError::Type),
            None => Err(KeyError::Length),
        }
    }

    /// Reads the 32 bytes of the coordinate, under the same conditions.
    pub(crate) fn from_stored(bytes: &[u8]) -> Result<Self, KeyError> {
        let coordinate = <[u8; 32]>::try_from(bytes).map_err(|_| KeyError::Length)?;
        if !is_canonical(&coordinate) {
            return Err(KeyError::NonCanonical);
        }
        if LOW_ORDER.contains(&coordinate) {
            return Err(KeyError::LowOrder);
        }
        Ok(Self { coordinate, role: PhantomData })
    }

    /// The wire form.
    #[must_use]
    pub fn to_wire(&self) -> [u8; WIRE_LEN] {
        let mut wire = [TYPE; WIRE_LEN];
        for (to, from) in wire.iter_mut().skip(1).zip(self.coordinate) {
            *to = from;
        }
        wire
    }

    /// The coordinate alone.
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.coordinate
    }
}

impl<R: Role> fmt::Debug for Public<R> {
    /// The role and the first four bytes: enough to compare two lines of a test's output.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.coordinate;
        write!(f, "{}({a:02x}{b:02x}{c:02x}{d:02x}…)", R::NAME)
    }
}

/// A secret key of one role, wiped when dropped.
pub struct Secret<R> {
    scalar: [u8; 32],
    role: PhantomData<R>,
}

impl<R: Role> Secret<R> {
    /// Takes 32 bytes as they are; clamping happens at each use.
    pub(crate) fn from_bytes(scalar: [u8; 32]) -> Self {
        Self { scalar, role: PhantomData }
    }

    /// Multiplies a public key of any role by this secret.
    pub(crate) fn agree<P: Role>(&self, public: &Public<P>) -> Result<Shared, Primitive> {
        dh::agree(&self.scalar, &public.coordinate)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.scalar
    }
}

impl<R> Drop for Secret<R> {
    fn drop(&mut self) {
        self.scalar.zeroize();
    }
}

impl<R: Role> fmt::Debug for Secret<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}Secret(..)", R::NAME)
    }
}

/// A secret key and its public half.
pub struct Pair<R> {
    secret: Secret<R>,
    public: Public<R>,
}

impl<R: Role> Pair<R> {
    /// Draws a pair: 32 bytes from `rng`.
    #[must_use]
    pub fn generate(rng: &dyn Rng) -> Self {
        let mut scalar = Zeroizing::new([0; 32]);
        rng.fill(scalar.as_mut());
        Self::from_secret(Secret::from_bytes(*scalar))
    }

    /// Takes a secret key of 32 bytes, in whatever form it was drawn; clamping happens at use.
    #[must_use]
    pub fn from_secret_bytes(scalar: &[u8; 32]) -> Self {
        Self::from_secret(Secret::from_bytes(*scalar))
    }

    fn from_secret(secret: Secret<R>) -> Self {
        // A clamped scalar times the base point is canonical and never of low order.
        let coordinate = dh::public(&secret.scalar);
        Self { secret, public: Public { coordinate, role: PhantomData } }
    }

    /// Puts back together what was stored together.
    pub(crate) fn from_stored(secret: Secret<R>, public: Public<R>) -> Self {
        Self { secret, public }
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &Public<R> {
        &self.public
    }

    pub(crate) fn secret(&self) -> &Secret<R> {
        &self.secret
    }
}

impl Pair<role::Signed> {
    /// The responder's first ratchet key is its signed pre-key: the one change of role there is.
    pub(crate) fn as_ratchet(&self) -> Pair<role::Ratchet> {
        Pair {
            secret: Secret::from_bytes(self.secret.scalar),
            public: Public { coordinate: self.public.coordinate, role: PhantomData },
        }
    }
}

impl Public<role::Identity> {
    /// Verifies an XEdDSA signature by this identity.
    ///
    /// # Errors
    /// [`BundleError::Signature`].
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), BundleError> {
        xeddsa::verify(self, message, signature)
    }
}

impl Public<role::Signed> {
    /// The peer's signed pre-key, in its second role as the ratchet key it starts with.
    pub(crate) fn as_ratchet(&self) -> RatchetKey {
        Public { coordinate: self.coordinate, role: PhantomData }
    }
}

impl<R: Role> fmt::Debug for Pair<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("secret", &self.secret).field("public", &self.public).finish()
    }
}

/// Below 2^255 − 19, little-endian: the top bit is clear and it is not one of the last 19 values.
fn is_canonical(coordinate: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = coordinate;
    let top = *last == 0x7f && middle.iter().all(|byte| *byte == 0xff) && *first >= 0xed;
    *last < 0x80 && !top
}

/// The canonical coordinates whose product with any clamped scalar is zero: 0, 1, −1 and the two
/// of order eight, on the curve and its twist.
pub(crate) const LOW_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    {
        let mut minus_one = [0xff; 32];
        minus_one[0] = 0xec;
        minus_one[31] = 0x7f;
        minus_one
    },
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
        0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
        0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef,
        0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f,
        0x11, 0x57,
    ],
];

const _: () = assert!(limits::PRE_KEY_ID_BITS < 32);

#[cfg(test)]
mod tests;
