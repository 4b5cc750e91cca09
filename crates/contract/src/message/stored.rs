//! The body of a `message` row.
//!
//! `1 ‖ category ‖ len ‖ to ‖ len (2 B, big-endian) ‖ input ‖ canonical message`, and for a message that was
//! handed on to another shard `2 ‖ len ‖ the network's number ‖ category ‖ …`.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Category, Outgoing};
use crate::number::Number;

/// First byte: the version of this form.
const VERSION: u8 = 1;
/// The same of a message that was handed on.
const MOVED: u8 = 2;

/// A message as it is kept: everything needed to send it and to report on it.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// The recipient as dialled.
    pub to: Number,
    /// The recipient as the network knows it, when that number is of another shard than `to`: the message
    /// was handed on to that shard.
    pub moved_to: Option<Number>,
    /// `to` as the caller wrote it.
    pub input: String,
    /// What kind of message it is.
    pub category: Category,
    /// The canonical message.
    pub message: Bytes,
}

/// Bytes are no stored message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// Written by a newer version, or no stored message at all.
    #[error("a stored message of the unknown version {0}")]
    Version(u8),
    /// Written by a newer version that knows more types of messages.
    #[error("a stored message of the unknown type {0}")]
    Category(u8),
    /// The version is known, the rest is not as it should be.
    #[error("a damaged stored message")]
    Damaged,
}

impl Stored {
    /// The bytes of the row. `input` beyond 65,535 bytes is cut, which no checked message has.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let to = self.to.as_bytes();
        let input = self.input.as_bytes();
        let input = input.get(..usize::from(u16::MAX)).unwrap_or(input);
        let moved_to = self.moved_to.as_ref().map(Number::as_bytes).unwrap_or_default();
        let texts = to.len() + moved_to.len() + input.len();
        let mut out = BytesMut::with_capacity(6 + texts + self.message.len());
        if moved_to.is_empty() {
            out.put_u8(VERSION);
        } else {
            out.put_u8(MOVED);
            put_number(&mut out, moved_to);
        }
        out.put_u8(self.category.get());
        put_number(&mut out, to);
        #[expect(clippy::cast_possible_truncation, reason = "cut to 16 bits above")]
        out.put_u16(input.len() as u16);
        out.put_slice(input);
        out.put_slice(&self.message);
        out.freeze()
    }

    /// Reads what [`Stored::encode`] wrote.
    ///
    /// # Errors
    /// [`StoredError`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoredError> {
        let (version, rest) = bytes.split_first().ok_or(StoredError::Damaged)?;
        let (moved_to, rest) = match *version {
            VERSION => (None, rest),
            MOVED => take_number(rest).map(|(number, rest)| (Some(number), rest))?,
            other => return Err(StoredError::Version(other)),
        };
        let (category, rest) = rest.split_first().ok_or(StoredError::Damaged)?;
        let category = Category::from_u8(*category).ok_or(StoredError::Category(*category))?;
        let (to, rest) = take_number(rest)?;
        let (len, rest) = rest.split_first_chunk().ok_or(StoredError::Damaged)?;
        let (input, message) = rest
            .split_at_checked(usize::from(u16::from_be_bytes(*len)))
            .ok_or(StoredError::Damaged)?;
        Ok(Self {
            to,
            moved_to,
            input: String::from_utf8(input.to_vec()).map_err(|_| StoredError::Damaged)?,
            category,
            message: Bytes::copy_from_slice(message),
        })
    }
}

fn put_number(out: &mut BytesMut, digits: &[u8]) {
    #[expect(clippy::cast_possible_truncation, reason = "at most 15 digits")]
    out.put_u8(digits.len() as u8);
    out.put_slice(digits);
}

fn take_number(bytes: &[u8]) -> Result<(Number, &[u8]), StoredError> {
    let (len, rest) = bytes.split_first().ok_or(StoredError::Damaged)?;
    let (digits, rest) = rest.split_at_checked(usize::from(*len)).ok_or(StoredError::Damaged)?;
    Ok((Number::from_digits(digits).map_err(|_| StoredError::Damaged)?, rest))
}

impl From<Outgoing> for Stored {
    fn from(from: Outgoing) -> Self {
        let Outgoing { to, input, category, message } = from;
        Self { to, moved_to: None, input, category, message }
    }
}
