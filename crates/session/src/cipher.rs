//! One message's cipher and MAC: AES-256-CBC with PKCS#7, and HMAC-SHA256 cut to eight bytes.

use aes::Aes256;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
use ring::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::Primitive;
use crate::kdf::MessageKeys;
use crate::keys::IdentityKey;
use crate::limits::MAC_LEN;

/// Bytes of an AES block.
pub(crate) const BLOCK: usize = 16;

/// Pads and encrypts.
pub(crate) fn encrypt(keys: &MessageKeys, plaintext: &[u8]) -> Result<Vec<u8>, Primitive> {
    let padding = BLOCK.saturating_sub(plaintext.len() % BLOCK);
    let mut buffer = Vec::with_capacity(plaintext.len().saturating_add(padding));
    buffer.extend_from_slice(plaintext);
    buffer.resize(plaintext.len().saturating_add(padding), 0);
    cbc::Encryptor::<Aes256>::new(&keys.cipher.into(), &keys.iv.into())
        .encrypt_padded::<Pkcs7>(&mut buffer, plaintext.len())
        .map_err(|_| Primitive)?;
    Ok(buffer)
}

/// Decrypts and takes the padding off. To be called only under a good MAC: before that, a padding
/// error would be an oracle.
pub(crate) fn decrypt(
    keys: &MessageKeys,
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Primitive> {
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let len = cbc::Decryptor::<Aes256>::new(&keys.cipher.into(), &keys.iv.into())
        .decrypt_padded::<Pkcs7>(&mut buffer)
        .map_err(|_| Primitive)?
        .len();
    buffer.truncate(len);
    Ok(buffer)
}

/// The MAC of a message's version byte and protobuf, bound to who wrote it to whom.
pub(crate) fn mac(
    keys: &MessageKeys,
    sender: &IdentityKey,
    receiver: &IdentityKey,
    body: &[u8],
) -> Result<[u8; MAC_LEN], Primitive> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &keys.mac));
    context.update(&sender.to_wire());
    context.update(&receiver.to_wire());
    context.update(body);
    context.sign().as_ref().first_chunk().copied().ok_or(Primitive)
}

/// Compares a MAC in constant time.
pub(crate) fn verify(
    keys: &MessageKeys,
    sender: &IdentityKey,
    receiver: &IdentityKey,
    body: &[u8],
    found: &[u8; MAC_LEN],
) -> Result<(), Primitive> {
    let expected = mac(keys, sender, receiver, body)?;
    if bool::from(expected.ct_eq(found)) { Ok(()) } else { Err(Primitive) }
}

#[cfg(test)]
mod tests;
