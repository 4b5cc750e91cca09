//! The keys of this side: identity, signed and one-time pre-keys, and their stored form.

use std::fmt;

use zeroize::Zeroizing;

use super::{IdentityKey, OneTimeKey, Pair, PreKeyId, SignedKey, role};
use crate::Rng;
use crate::bundle::{Bundle, OneTimePublic, SignedPublic};
use crate::codec::{Reader, Writer};
use crate::error::RecordError;
use crate::xeddsa::{self, Signature};

/// The version byte of the stored forms below.
const VERSION: u8 = 1;

/// Who this device is: its identity key pair and its registration id.
pub struct Identity {
    pair: Pair<role::Identity>,
    registration_id: u32,
}

impl Identity {
    /// Highest registration id drawn here: 14 bits, as peers expect. Any is accepted from them.
    pub const REGISTRATION_ID_MAX: u32 = 0x3fff;

    /// Draws an identity: 32 bytes for the key, 8 for the registration id (1 to 16,383).
    #[must_use]
    pub fn generate(rng: &dyn Rng) -> Self {
        let pair = Pair::generate(rng);
        let drawn = rng.next_u64() % u64::from(Self::REGISTRATION_ID_MAX);
        let registration_id = u32::try_from(drawn).unwrap_or(0).saturating_add(1);
        Self { pair, registration_id }
    }

    /// An identity from its secret key.
    #[must_use]
    pub fn from_secret_bytes(scalar: &[u8; 32], registration_id: u32) -> Self {
        Self { pair: Pair::from_secret_bytes(scalar), registration_id }
    }

    /// The public identity key.
    #[must_use]
    pub fn key(&self) -> &IdentityKey {
        self.pair.public()
    }

    /// The registration id.
    #[must_use]
    pub fn registration_id(&self) -> u32 {
        self.registration_id
    }

    pub(crate) fn pair(&self) -> &Pair<role::Identity> {
        &self.pair
    }

    /// Signs a message; takes 64 bytes from `rng`.
    #[must_use]
    pub fn sign(&self, message: &[u8], rng: &dyn Rng) -> Signature {
        xeddsa::sign(self.pair.secret(), message, rng)
    }

    /// What this device publishes for one stranger; the one-time key is to be given out once.
    #[must_use]
    pub fn bundle(&self, signed: &SignedPreKey, one_time: Option<&OneTimePreKey>) -> Bundle {
        Bundle {
            registration_id: self.registration_id,
            identity: *self.key(),
            signed: signed.public(),
            one_time: one_time.map(OneTimePreKey::public),
        }
    }

    /// The stored form, 69 bytes: version ‖ registration id ‖ secret ‖ public. To be sealed.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Writer::with_version(VERSION, 68);
        out.u32(self.registration_id);
        out.pair(&self.pair);
        out.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`RecordError`] if this is not what [`Identity::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::with_version(VERSION, bytes)?;
        let registration_id = from.u32()?;
        let pair = from.pair()?;
        from.end()?;
        Ok(Self { pair, registration_id })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("key", self.key()).finish_non_exhaustive()
    }
}

/// A signed pre-key of ours.
pub struct SignedPreKey {
    id: PreKeyId,
    pair: Pair<role::Signed>,
    signature: Signature,
}

impl SignedPreKey {
    /// Draws a key (32 bytes) and signs its wire form (64 bytes of nonce).
    #[must_use]
    pub fn generate(me: &Identity, id: PreKeyId, rng: &dyn Rng) -> Self {
        Self::sign(me, id, Pair::generate(rng), rng)
    }

    /// Signs a key that is there already.
    #[must_use]
    pub fn sign(me: &Identity, id: PreKeyId, pair: Pair<role::Signed>, rng: &dyn Rng) -> Self {
        let signature = me.sign(&pair.public().to_wire(), rng);
        Self { id, pair, signature }
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> PreKeyId {
        self.id
    }

    /// What is published of it.
    #[must_use]
    pub fn public(&self) -> SignedPublic {
        SignedPublic { id: self.id, key: *self.pair.public(), signature: self.signature }
    }

    /// The public key.
    #[must_use]
    pub fn key(&self) -> &SignedKey {
        self.pair.public()
    }

    pub(crate) fn pair(&self) -> &Pair<role::Signed> {
        &self.pair
    }

    /// The stored form, 133 bytes: version ‖ id ‖ secret ‖ public ‖ signature. To be sealed.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Writer::with_version(VERSION, 132);
        out.u32(self.id.get());
        out.pair(&self.pair);
        out.bytes(self.signature.as_bytes());
        out.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`RecordError`] if this is not what [`SignedPreKey::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::with_version(VERSION, bytes)?;
        let id = PreKeyId::new(from.u32()?)?;
        let pair = from.pair()?;
        let signature = Signature::from_bytes(from.array()?);
        from.end()?;
        Ok(Self { id, pair, signature })
    }
}

impl fmt::Debug for SignedPreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedPreKey").field("id", &self.id).field("key", self.key()).finish()
    }
}

/// A one-time pre-key of ours.
pub struct OneTimePreKey {
    id: PreKeyId,
    pair: Pair<role::OneTime>,
}

impl OneTimePreKey {
    /// Draws a key: 32 bytes.
    #[must_use]
    pub fn generate(id: PreKeyId, rng: &dyn Rng) -> Self {
        Self::new(id, Pair::generate(rng))
    }

    /// A key that is there already.
    #[must_use]
    pub fn new(id: PreKeyId, pair: Pair<role::OneTime>) -> Self {
        Self { id, pair }
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> PreKeyId {
        self.id
    }

    /// What is published of it.
    #[must_use]
    pub fn public(&self) -> OneTimePublic {
        OneTimePublic { id: self.id, key: *self.pair.public() }
    }

    /// The public key.
    #[must_use]
    pub fn key(&self) -> &OneTimeKey {
        self.pair.public()
    }

    pub(crate) fn pair(&self) -> &Pair<role::OneTime> {
        &self.pair
    }

    /// The stored form, 69 bytes: version ‖ id ‖ secret ‖ public. To be sealed.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Writer::with_version(VERSION, 68);
        out.u32(self.id.get());
        out.pair(&self.pair);
        out.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`RecordError`] if this is not what [`OneTimePreKey::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::with_version(VERSION, bytes)?;
        let id = PreKeyId::new(from.u32()?)?;
        let pair = from.pair()?;
        from.end()?;
        Ok(Self { id, pair })
    }
}

impl fmt::Debug for OneTimePreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneTimePreKey").field("id", &self.id).field("key", self.key()).finish()
    }
}

/// The pre-keys of ours that are still alive, retired signed ones included.
///
/// [`PreKeyMessage`](crate::PreKeyMessage) tells both ids before anything is computed, so the rows
/// can be read first and handed over as [`LoadedKeys`].
pub trait OwnKeys {
    /// The signed pre-key of that id, if it is not yet forgotten.
    fn signed(&self, id: PreKeyId) -> Option<&SignedPreKey>;
    /// The one-time pre-key of that id, if no session has used it up.
    fn one_time(&self, id: PreKeyId) -> Option<&OneTimePreKey>;
}

/// The keys read for one message.
#[derive(Debug, Default)]
pub struct LoadedKeys {
    /// The signed pre-key the message names.
    pub signed: Option<SignedPreKey>,
    /// The one-time pre-key the message names.
    pub one_time: Option<OneTimePreKey>,
}

impl OwnKeys for LoadedKeys {
    fn signed(&self, id: PreKeyId) -> Option<&SignedPreKey> {
        self.signed.as_ref().filter(|key| key.id == id)
    }

    fn one_time(&self, id: PreKeyId) -> Option<&OneTimePreKey> {
        self.one_time.as_ref().filter(|key| key.id == id)
    }
}

/// Which of our keys a new inbound session used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedKeys {
    /// To be deleted in the transaction that stores the session.
    pub one_time: Option<PreKeyId>,
    /// The signed pre-key it stands on, for the records; it stays.
    pub signed: PreKeyId,
}
