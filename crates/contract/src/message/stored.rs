//! The body of a `message` row.
//!
//! `1 ‖ category ‖ len ‖ to ‖ len (2 B, big-endian) ‖ input ‖ canonical message`.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Category, Outgoing};
use crate::number::Number;

/// First byte: the version of this form.
const VERSION: u8 = 1;

/// A message as it is kept: everything needed to send it and to report on it.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// The recipient as dialled.
    pub to: Number,
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
        let mut out = BytesMut::with_capacity(5 + to.len() + input.len() + self.message.len());
        out.put_u8(VERSION);
        out.put_u8(self.category.get());
        #[expect(clippy::cast_possible_truncation, reason = "at most 15 digits")]
        out.put_u8(to.len() as u8);
        out.put_slice(to);
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
        if *version != VERSION {
            return Err(StoredError::Version(*version));
        }
        let [category, len, rest @ ..] = rest else { return Err(StoredError::Damaged) };
        let category = Category::from_u8(*category).ok_or(StoredError::Category(*category))?;
        let (to, rest) = rest.split_at_checked(usize::from(*len)).ok_or(StoredError::Damaged)?;
        let (len, rest) = rest.split_first_chunk().ok_or(StoredError::Damaged)?;
        let (input, message) = rest
            .split_at_checked(usize::from(u16::from_be_bytes(*len)))
            .ok_or(StoredError::Damaged)?;
        Ok(Self {
            to: Number::from_digits(to).map_err(|_| StoredError::Damaged)?,
            input: String::from_utf8(input.to_vec()).map_err(|_| StoredError::Damaged)?,
            category,
            message: Bytes::copy_from_slice(message),
        })
    }
}

impl From<Outgoing> for Stored {
    fn from(from: Outgoing) -> Self {
        let Outgoing { to, input, category, message } = from;
        Self { to, input, category, message }
    }
}
