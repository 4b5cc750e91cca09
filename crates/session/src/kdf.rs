//! Key derivation: one type per key of the schedule, HKDF and HMAC from `ring`.
//!
//! `ring` does not wipe its own HMAC state; what this crate keeps is wiped when dropped.

use std::fmt;

use ring::{hkdf, hmac};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::dh::Shared;
use crate::error::Primitive;

const X3DH_INFO: &[u8] = b"WhisperText";
const RATCHET_INFO: &[u8] = b"WhisperRatchet";
const MESSAGE_INFO: &[u8] = b"WhisperMessageKeys";
const ZERO_SALT: [u8; 32] = [0; 32];

/// What is hashed with the chain key for a message's seed, and for the next chain key.
const SEED: &[u8] = &[0x01];
const NEXT: &[u8] = &[0x02];

macro_rules! chain_secrets {
    ($($(#[$doc:meta])+ $name:ident;)+) => {$(
        $(#[$doc])+
        #[derive(Zeroize, ZeroizeOnDrop)]
        pub(crate) struct $name([u8; 32]);

        impl $name {
            pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Self {
                Self(*bytes)
            }

            pub(crate) fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )+};
}

chain_secrets! {
    /// Steps with every change of ratchet keys.
    RootKey;
    /// Steps with every message of one chain.
    ChainKey;
    /// What one message's keys are made from; the form in which a skipped message waits.
    MessageSeed;
}

/// The keys of one message.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct MessageKeys {
    pub(crate) cipher: [u8; 32],
    pub(crate) mac: [u8; 32],
    pub(crate) iv: [u8; 16],
}

/// The first keys of a session, from the concatenated agreements of X3DH.
pub(crate) fn first_keys(agreed: &[u8]) -> Result<(RootKey, ChainKey), Primitive> {
    root_and_chain(&ZERO_SALT, agreed, X3DH_INFO)
}

impl RootKey {
    /// One root step, with the agreement of a ratchet key and its counterpart.
    pub(crate) fn step(&self, shared: &Shared) -> Result<(RootKey, ChainKey), Primitive> {
        root_and_chain(&self.0, shared.as_bytes(), RATCHET_INFO)
    }
}

impl ChainKey {
    /// The seed of this position's message, and the key of the next position.
    pub(crate) fn step(&self) -> Result<(MessageSeed, ChainKey), Primitive> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let sign = |what| <[u8; 32]>::try_from(hmac::sign(&key, what).as_ref());
        match (sign(SEED), sign(NEXT)) {
            (Ok(seed), Ok(next)) => Ok((MessageSeed(seed), ChainKey(next))),
            _ => Err(Primitive),
        }
    }
}

impl MessageSeed {
    /// Cipher key, MAC key and IV.
    pub(crate) fn keys(&self) -> Result<MessageKeys, Primitive> {
        let okm = expand::<80>(&ZERO_SALT, &self.0, MESSAGE_INFO)?;
        let (cipher, rest) = okm.split_first_chunk().ok_or(Primitive)?;
        let (mac, iv) = rest.split_first_chunk().ok_or(Primitive)?;
        let iv = iv.try_into().map_err(|_| Primitive)?;
        Ok(MessageKeys { cipher: *cipher, mac: *mac, iv })
    }
}

fn root_and_chain(
    salt: &[u8],
    secret: &[u8],
    info: &[u8],
) -> Result<(RootKey, ChainKey), Primitive> {
    let okm = expand::<64>(salt, secret, info)?;
    let (root, chain) = okm.split_first_chunk().ok_or(Primitive)?;
    let chain = chain.try_into().map_err(|_| Primitive)?;
    Ok((RootKey(*root), ChainKey(chain)))
}

/// HKDF-SHA256, extract and expand.
fn expand<const N: usize>(
    salt: &[u8],
    secret: &[u8],
    info: &[u8],
) -> Result<Zeroizing<[u8; N]>, Primitive> {
    let mut okm = Zeroizing::new([0; N]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(secret)
        .expand(&[info], OutputLen(N))
        .and_then(|output| output.fill(okm.as_mut()))
        .map_err(|_| Primitive)?;
    Ok(okm)
}

struct OutputLen(usize);

impl hkdf::KeyType for OutputLen {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests;
