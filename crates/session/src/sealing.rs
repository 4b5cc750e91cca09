//! Rows encrypted at rest: AES-256-GCM under keys derived from a master key.
//!
//! One key with random nonces would pass its budget of 2^32 messages within days at full load.
//! Sessions therefore have a key each, own keys one per kind, and the rows of a table one per
//! (table, shard, UTC day of the row). The place a row belongs to is authenticated with it, so a
//! row moved elsewhere does not open.
//!
//! Sealed form: format version 1 ‖ master key id 2 ‖ nonce 12 ‖ ciphertext ‖ tag 16.

use std::collections::BTreeMap;
use std::fmt;

use ring::{aead, hkdf};
use zeroize::Zeroizing;

use crate::Rng;
use crate::limits::MASTER_KEYS;

/// The version byte of the sealed form.
const FORMAT: u8 = 1;

/// Keeps these keys apart from any other use of the master key.
const SALT: &[u8] = b"heliograph at rest 1";

/// Bytes a sealed row is longer than its plaintext.
pub const OVERHEAD: usize = 1 + 2 + aead::NONCE_LEN + 16;

/// A refused row or key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Not in the sealed form, or in a version this one does not know.
    #[error("open a sealed row: unknown format")]
    Format,
    /// Sealed under a master key that is not loaded.
    #[error("open a sealed row: master key {0} is not loaded")]
    UnknownKey(u16),
    /// Damaged, moved from another place, of another generation, or under another key of that id.
    #[error("open a sealed row: does not belong here")]
    Refused,
    /// A master key id twice, or more than [`MASTER_KEYS`].
    #[error("load the master keys: same id twice, or too many")]
    Keys,
    /// The cipher refused to seal; with rows below 2^36 bytes it does not.
    #[error("seal a row: cipher refused its input")]
    Cipher,
}

/// Tables whose rows are sealed under a key of their shard and day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// Accepted messages.
    Message,
    /// Sealed bytes waiting to leave.
    Outbox,
    /// Messages from customers.
    Inbound,
    /// Callback events.
    Event,
    /// Media keys and handles.
    Media,
    /// Versioned documents: settings, the token key.
    Config,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Outbox => "outbox",
            Self::Inbound => "inbound",
            Self::Event => "event",
            Self::Media => "media",
            Self::Config => "config",
        }
    }
}

/// Where a row belongs. All of it is authenticated; what chooses the key is said per variant.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// A [`Record`](crate::Record): a key per (account, wa_id, device).
    Session {
        /// The business number.
        account: &'a str,
        /// The peer.
        wa_id: &'a str,
        /// The peer's device.
        device: u32,
        /// The account's generation: after a database restore a higher one makes every stored
        /// session unreadable, since its keys may have been used.
        generation: u64,
    },
    /// A row of a table: a key per (account, table, shard, day).
    Row {
        /// The business number.
        account: &'a str,
        /// The table.
        table: Table,
        /// The shard.
        shard: i16,
        /// Days since the Unix epoch, UTC, of the row's key.
        day: u32,
        /// The rest of the primary key, in one form.
        row: &'a [u8],
    },
    /// An identity or pre-key of ours: a key per (account, kind).
    OwnKey {
        /// The business number.
        account: &'a str,
        /// Which kind of key, as the table names it.
        kind: &'a str,
        /// Its id.
        id: u32,
    },
}

impl fmt::Debug for Place<'_> {
    /// The variant alone: accounts and peers are phone numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session { .. } => "Session",
            Self::Row { table, .. } => table.name(),
            Self::OwnKey { .. } => "OwnKey",
        })
    }
}

impl Place<'_> {
    /// What is authenticated beside the row: table ‖ account ‖ wa_id ‖ device ‖ version ‖ key
    /// epoch for a session, the like for others. Each text has its length before it.
    fn associated(&self, key_id: u16) -> Vec<u8> {
        let mut out = self.scope();
        match *self {
            Self::Session { generation, .. } => out.extend_from_slice(&generation.to_be_bytes()),
            Self::Row { row, .. } => field(&mut out, row),
            Self::OwnKey { id, .. } => out.extend_from_slice(&id.to_be_bytes()),
        }
        out.push(FORMAT);
        out.extend_from_slice(&key_id.to_be_bytes());
        out
    }

    /// What chooses the key.
    fn scope(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        match *self {
            Self::Session { account, wa_id, device, .. } => {
                field(&mut out, b"session");
                field(&mut out, account.as_bytes());
                field(&mut out, wa_id.as_bytes());
                out.extend_from_slice(&device.to_be_bytes());
            }
            Self::Row { account, table, shard, day, .. } => {
                field(&mut out, table.name().as_bytes());
                field(&mut out, account.as_bytes());
                out.extend_from_slice(&shard.to_be_bytes());
                out.extend_from_slice(&day.to_be_bytes());
            }
            Self::OwnKey { account, kind, .. } => {
                field(&mut out, b"own_key");
                field(&mut out, account.as_bytes());
                field(&mut out, kind.as_bytes());
            }
        }
        out
    }
}

fn field(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// The master keys that are loaded: the newest seals, any opens.
pub struct MasterKeys {
    keys: BTreeMap<u16, hkdf::Prk>,
    newest: u16,
}

/// An opened row.
pub struct Opened {
    /// The row, wiped when dropped.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// Sealed under an older master key: the next write of the row renews it.
    pub needs_reseal: bool,
}

impl MasterKeys {
    /// One master key, with the id its rows carry.
    #[must_use]
    pub fn new(id: u16, key: &[u8; 32]) -> Self {
        Self { keys: BTreeMap::from([(id, extract(key))]), newest: id }
    }

    /// Adds a key that only opens, from before a rotation.
    ///
    /// # Errors
    /// [`SealError::Keys`] if the id is there already, or [`MASTER_KEYS`] are.
    pub fn with_retired(mut self, id: u16, key: &[u8; 32]) -> Result<Self, SealError> {
        if self.keys.len() >= MASTER_KEYS || self.keys.contains_key(&id) {
            return Err(SealError::Keys);
        }
        self.keys.insert(id, extract(key));
        Ok(self)
    }

    /// Seals a row for its place, under the newest master key. Draws 12 bytes.
    ///
    /// # Errors
    /// [`SealError::Cipher`].
    pub fn seal(
        &self,
        place: &Place<'_>,
        plaintext: &[u8],
        rng: &dyn Rng,
    ) -> Result<Vec<u8>, SealError> {
        let key = self.key(place, self.newest)?;
        let mut nonce = [0; aead::NONCE_LEN];
        rng.fill(&mut nonce);
        let mut body = Zeroizing::new(plaintext.to_vec());
        let tag = key
            .seal_in_place_separate_tag(
                aead::Nonce::assume_unique_for_key(nonce),
                aead::Aad::from(place.associated(self.newest)),
                body.as_mut(),
            )
            .map_err(|_| SealError::Cipher)?;
        let mut sealed = Vec::with_capacity(OVERHEAD.saturating_add(body.len()));
        sealed.push(FORMAT);
        sealed.extend_from_slice(&self.newest.to_be_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&body);
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens a row that belongs to `place`.
    ///
    /// # Errors
    /// [`SealError`]; `Refused` says no more than that it does not belong there.
    pub fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Opened, SealError> {
        let (id, rest) = split(sealed)?;
        let (nonce, ciphertext) = rest.split_first_chunk().ok_or(SealError::Format)?;
        let key = self.key(place, id)?;
        let mut body = Zeroizing::new(ciphertext.to_vec());
        let len = key
            .open_in_place(
                aead::Nonce::assume_unique_for_key(*nonce),
                aead::Aad::from(place.associated(id)),
                body.as_mut(),
            )
            .map_err(|_| SealError::Refused)?
            .len();
        body.truncate(len);
        Ok(Opened { plaintext: body, needs_reseal: id != self.newest })
    }

    /// Whether a row is sealed under another master key than the newest, without opening it.
    #[must_use]
    pub fn needs_reseal(&self, sealed: &[u8]) -> bool {
        !matches!(split(sealed), Ok((id, _)) if id == self.newest)
    }

    fn key(&self, place: &Place<'_>, id: u16) -> Result<aead::LessSafeKey, SealError> {
        let master = self.keys.get(&id).ok_or(SealError::UnknownKey(id))?;
        let scope = place.scope();
        let info = [scope.as_slice()];
        let okm = master.expand(&info, &aead::AES_256_GCM).map_err(|_| SealError::Cipher)?;
        Ok(aead::LessSafeKey::new(aead::UnboundKey::from(okm)))
    }
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKeys")
            .field("newest", &self.newest)
            .field("ids", &self.keys.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({} bytes, needs_reseal: {})", self.plaintext.len(), self.needs_reseal)
    }
}

fn extract(key: &[u8; 32]) -> hkdf::Prk {
    hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(key)
}

/// Takes format version and key id off.
fn split(sealed: &[u8]) -> Result<(u16, &[u8]), SealError> {
    match sealed.split_first_chunk() {
        Some((&[FORMAT, high, low], rest)) => Ok((u16::from_be_bytes([high, low]), rest)),
        _ => Err(SealError::Format),
    }
}

#[cfg(test)]
mod tests;
