//! Fixed layouts of stored rows: big-endian numbers, keys as they are, nothing implicit.

use zeroize::Zeroizing;

use crate::error::RecordError;
use crate::keys::{Pair, Public, Secret, role::Role};

/// Appends fields to a buffer that is wiped when dropped. It is given its final size at once,
/// so that no half-written copy is left behind by a reallocation.
pub(crate) struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    /// Starts a row with its version byte and room for `len` bytes more.
    pub(crate) fn with_version(version: u8, len: usize) -> Self {
        let mut bytes = Vec::with_capacity(len.saturating_add(1));
        bytes.push(version);
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn public<R: Role>(&mut self, key: &Public<R>) {
        self.bytes(key.as_bytes());
    }

    pub(crate) fn pair<R: Role>(&mut self, pair: &Pair<R>) {
        self.bytes(pair.secret().as_bytes());
        self.public(pair.public());
    }

    pub(crate) fn finish(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

/// Takes fields off a slice; every lack is [`RecordError::Damaged`].
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn with_version(version: u8, bytes: &'a [u8]) -> Result<Self, RecordError> {
        match bytes.split_first() {
            Some((found, rest)) if *found == version => Ok(Self(rest)),
            Some(_) => Err(RecordError::Version),
            None => Err(RecordError::Damaged),
        }
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], RecordError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(RecordError::Damaged)?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, RecordError> {
        self.array().copied().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, RecordError> {
        self.array().copied().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, RecordError> {
        self.array().copied().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, RecordError> {
        self.array().copied().map(u64::from_be_bytes)
    }

    pub(crate) fn public<R: Role>(&mut self) -> Result<Public<R>, RecordError> {
        Ok(Public::from_stored(self.array::<32>()?)?)
    }

    pub(crate) fn pair<R: Role>(&mut self) -> Result<Pair<R>, RecordError> {
        let secret = Secret::from_bytes(*self.array()?);
        let public = self.public()?;
        Ok(Pair::from_stored(secret, public))
    }

    /// Nothing may be left.
    pub(crate) fn end(self) -> Result<(), RecordError> {
        if self.0.is_empty() { Ok(()) } else { Err(RecordError::Damaged) }
    }
}
