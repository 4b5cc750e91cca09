//! What a device publishes so that a stranger can write to it.

use crate::error::{BundleError, KeyError};
use crate::keys::{IdentityKey, OneTimeKey, PreKeyId, SignedKey};
use crate::xeddsa::Signature;

/// A device's identity, its signed pre-key and, while there are any, one of its one-time keys.
///
/// A bundle is for one set-up: its one-time key is single-use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The device's registration id: another one means it was set up anew.
    pub registration_id: u32,
    /// The device's identity.
    pub identity: IdentityKey,
    /// Its signed pre-key.
    pub signed: SignedPublic,
    /// A one-time pre-key; absent when the device has none left.
    pub one_time: Option<OneTimePublic>,
}

/// A signed pre-key as published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedPublic {
    /// Its id.
    pub id: PreKeyId,
    /// The key.
    pub key: SignedKey,
    /// The identity's signature of the key's 33-byte wire form.
    pub signature: Signature,
}

/// A one-time pre-key as published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OneTimePublic {
    /// Its id.
    pub id: PreKeyId,
    /// The key.
    pub key: OneTimeKey,
}

impl SignedPublic {
    /// Reads the wire forms: a 33-byte key and a 64-byte signature, not verified here.
    ///
    /// # Errors
    /// [`KeyError`] for a refused key, an id beyond 24 bits, a signature of another length.
    pub fn from_wire(id: u32, key: &[u8], signature: &[u8]) -> Result<Self, KeyError> {
        let signature = signature.try_into().map_err(|_| KeyError::Length)?;
        Ok(Self {
            id: PreKeyId::new(id)?,
            key: SignedKey::from_wire(key)?,
            signature: Signature::from_bytes(signature),
        })
    }
}

impl OneTimePublic {
    /// Reads the wire form: a 33-byte key.
    ///
    /// # Errors
    /// [`KeyError`] for a refused key or an id beyond 24 bits.
    pub fn from_wire(id: u32, key: &[u8]) -> Result<Self, KeyError> {
        Ok(Self { id: PreKeyId::new(id)?, key: OneTimeKey::from_wire(key)? })
    }
}

impl Bundle {
    /// Checks that the identity signed the signed pre-key. [`Session::initiate`] does it again:
    /// this is for whoever stores or hands on a bundle.
    ///
    /// # Errors
    /// [`BundleError::Signature`].
    ///
    /// [`Session::initiate`]: crate::Session::initiate
    pub fn verify(&self) -> Result<(), BundleError> {
        self.identity.verify(&self.signed.key.to_wire(), &self.signed.signature)
    }
}
