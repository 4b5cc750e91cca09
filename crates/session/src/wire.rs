//! The two messages as bytes: version byte, protobuf, and for the inner one a MAC.
//!
//! Everything is length-checked on the way in; nothing is hashed or multiplied here.

use prost::Message as _;

use crate::cipher::{self, BLOCK};
use crate::error::{DecryptError, Primitive, Reason};
use crate::kdf::MessageKeys;
use crate::keys::{BaseKey, IdentityKey, PreKeyId, RatchetKey};
use crate::limits::{MAC_LEN, MESSAGE_LEN};

/// What we send: the session's version in the high nibble, our newest in the low one.
const VERSION: u8 = 0x33;

/// The session version, the only part of a received version byte that counts: peers send 0x34.
const SESSION_VERSION: u8 = 3;

#[derive(Clone, PartialEq, prost::Message)]
struct MessageFields {
    #[prost(bytes = "vec", optional, tag = "1")]
    ratchet_key: Option<Vec<u8>>,
    #[prost(uint32, optional, tag = "2")]
    counter: Option<u32>,
    #[prost(uint32, optional, tag = "3")]
    previous_counter: Option<u32>,
    #[prost(bytes = "vec", optional, tag = "4")]
    ciphertext: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PreKeyFields {
    #[prost(uint32, optional, tag = "1")]
    one_time_id: Option<u32>,
    #[prost(bytes = "vec", optional, tag = "2")]
    base_key: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "3")]
    identity_key: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "4")]
    message: Option<Vec<u8>>,
    #[prost(uint32, optional, tag = "5")]
    registration_id: Option<u32>,
    #[prost(uint32, optional, tag = "6")]
    signed_id: Option<u32>,
}

/// A message of an established session, as received: not yet authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Version byte and protobuf: what the MAC covers, as it came.
    body: Vec<u8>,
    mac: [u8; MAC_LEN],
    ratchet: RatchetKey,
    counter: u32,
    previous_counter: u32,
    ciphertext: Vec<u8>,
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    /// [`Reason::Malformed`] for another version, a missing field, a wrong length, a refused key.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecryptError> {
        let (body, mac) = bytes.split_last_chunk().ok_or(Reason::Malformed)?;
        let fields = MessageFields::decode(protobuf(body)?).map_err(|_| Reason::Malformed)?;
        let ciphertext = fields.ciphertext.ok_or(Reason::Malformed)?;
        if ciphertext.is_empty() || !ciphertext.len().is_multiple_of(BLOCK) {
            return Err(Reason::Malformed.into());
        }
        Ok(Self {
            ratchet: RatchetKey::from_wire(&fields.ratchet_key.ok_or(Reason::Malformed)?)?,
            counter: fields.counter.ok_or(Reason::Malformed)?,
            previous_counter: fields.previous_counter.unwrap_or(0),
            ciphertext,
            body: body.to_vec(),
            mac: *mac,
        })
    }

    /// The sender's ratchet key: it names the chain.
    #[must_use]
    pub fn ratchet_key(&self) -> &RatchetKey {
        &self.ratchet
    }

    /// The position in the chain, from 0.
    #[must_use]
    pub fn counter(&self) -> u32 {
        self.counter
    }

    /// The last position of the sender's chain before this one. Late messages of that chain are
    /// found by their own key, so nothing depends on it.
    #[must_use]
    pub fn previous_counter(&self) -> u32 {
        self.previous_counter
    }

    pub(crate) fn ciphertext(&self) -> &[u8] {
        &self.ciphertext
    }

    /// Checks the MAC; nothing may change before it.
    pub(crate) fn authenticate(
        &self,
        keys: &MessageKeys,
        sender: &IdentityKey,
        receiver: &IdentityKey,
    ) -> Result<(), Primitive> {
        cipher::verify(keys, sender, receiver, &self.body, &self.mac)
    }
}

/// What is needed to write a message; the ciphertext is made already.
pub(crate) struct Outgoing<'a> {
    pub(crate) keys: &'a MessageKeys,
    pub(crate) sender: &'a IdentityKey,
    pub(crate) receiver: &'a IdentityKey,
    pub(crate) ratchet: &'a RatchetKey,
    pub(crate) counter: u32,
    pub(crate) previous_counter: u32,
    pub(crate) ciphertext: Vec<u8>,
}

impl Outgoing<'_> {
    /// The message's bytes, MAC included.
    pub(crate) fn encode(self) -> Result<Vec<u8>, Primitive> {
        let fields = MessageFields {
            ratchet_key: Some(self.ratchet.to_wire().to_vec()),
            counter: Some(self.counter),
            previous_counter: Some(self.previous_counter),
            ciphertext: Some(self.ciphertext),
        };
        let mut bytes = versioned(&fields, MAC_LEN)?;
        let mac = cipher::mac(self.keys, self.sender, self.receiver, &bytes)?;
        bytes.extend_from_slice(&mac);
        Ok(bytes)
    }
}

/// A message that brings along what its receiver needs to set up the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreKeyMessage {
    one_time_id: Option<PreKeyId>,
    base: BaseKey,
    identity: IdentityKey,
    message: Message,
    registration_id: u32,
    signed_id: PreKeyId,
}

impl PreKeyMessage {
    /// Reads a pre-key message and the message inside.
    ///
    /// # Errors
    /// [`Reason::Malformed`] for another version, a missing field, a wrong length, a refused key.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecryptError> {
        let fields = PreKeyFields::decode(protobuf(bytes)?).map_err(|_| Reason::Malformed)?;
        Ok(Self {
            one_time_id: fields.one_time_id.map(PreKeyId::new).transpose()?,
            base: BaseKey::from_wire(&fields.base_key.ok_or(Reason::Malformed)?)?,
            identity: IdentityKey::from_wire(&fields.identity_key.ok_or(Reason::Malformed)?)?,
            message: Message::decode(&fields.message.ok_or(Reason::Malformed)?)?,
            // Only tells a reinstalled peer apart; some leave it out.
            registration_id: fields.registration_id.unwrap_or(0),
            signed_id: PreKeyId::new(fields.signed_id.ok_or(Reason::Malformed)?)?,
        })
    }

    /// The one-time pre-key of ours it was made with, if there was one left.
    #[must_use]
    pub fn one_time_id(&self) -> Option<PreKeyId> {
        self.one_time_id
    }

    /// The signed pre-key of ours it was made with.
    #[must_use]
    pub fn signed_id(&self) -> PreKeyId {
        self.signed_id
    }

    /// The initiator's base key: it names the session.
    #[must_use]
    pub fn base_key(&self) -> &BaseKey {
        &self.base
    }

    /// Who claims to write; proven once the message inside decrypts.
    #[must_use]
    pub fn identity_key(&self) -> &IdentityKey {
        &self.identity
    }

    /// The sender's registration id; 0 if it told none.
    #[must_use]
    pub fn registration_id(&self) -> u32 {
        self.registration_id
    }

    /// The message inside.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }
}

/// What a pre-key message adds to the message inside it.
pub(crate) struct Envelope<'a> {
    pub(crate) one_time_id: Option<PreKeyId>,
    pub(crate) base: &'a BaseKey,
    pub(crate) identity: &'a IdentityKey,
    pub(crate) registration_id: u32,
    pub(crate) signed_id: PreKeyId,
}

impl Envelope<'_> {
    /// The pre-key message's bytes around an encoded message.
    pub(crate) fn encode(self, message: Vec<u8>) -> Result<Vec<u8>, Primitive> {
        let fields = PreKeyFields {
            one_time_id: self.one_time_id.map(PreKeyId::get),
            base_key: Some(self.base.to_wire().to_vec()),
            identity_key: Some(self.identity.to_wire().to_vec()),
            message: Some(message),
            registration_id: Some(self.registration_id),
            signed_id: Some(self.signed_id.get()),
        };
        versioned(&fields, 0)
    }
}

/// Which of the two messages some bytes are; the network carries it beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A [`PreKeyMessage`].
    PreKey,
    /// A [`Message`].
    Message,
}

/// A sealed message: the bytes to send, and nothing secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which message the bytes are.
    pub kind: Kind,
    /// The bytes; a repeated transmission repeats them.
    pub bytes: Vec<u8>,
}

/// Checks length and version, and leaves the protobuf.
fn protobuf(bytes: &[u8]) -> Result<&[u8], DecryptError> {
    if bytes.len() > MESSAGE_LEN {
        return Err(Reason::Malformed.into());
    }
    match bytes.split_first() {
        Some((version, rest)) if version >> 4 == SESSION_VERSION => Ok(rest),
        _ => Err(Reason::Malformed.into()),
    }
}

/// The version byte and the protobuf, with room for `more` bytes.
fn versioned(fields: &impl prost::Message, more: usize) -> Result<Vec<u8>, Primitive> {
    let len = fields.encoded_len().saturating_add(more).saturating_add(1);
    let mut bytes = Vec::with_capacity(len);
    bytes.push(VERSION);
    fields.encode(&mut bytes).map_err(|_| Primitive)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
