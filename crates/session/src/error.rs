//! What can go wrong, one enum a direction. Messages read well after "failed to".

/// A key refused at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not 33 bytes on the wire, or not 32 stored.
    #[error("read a key: wrong length")]
    Length,
    /// The type byte is not 0x05.
    #[error("read a key: unknown key type")]
    Type,
    /// The coordinate is not below 2^255 − 19, so that two encodings would name one key.
    #[error("read a key: not in canonical form")]
    NonCanonical,
    /// One of the points whose every product is zero.
    #[error("read a key: point of low order")]
    LowOrder,
    /// An id that does not fit in 24 bits.
    #[error("read a key: pre-key id out of range")]
    Id,
}

/// Why no session can be made from a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// One of its keys is refused.
    #[error("use a pre-key bundle: {0}")]
    Key(#[from] KeyError),
    /// The signed pre-key was not signed by the identity key.
    #[error("use a pre-key bundle: signature does not verify")]
    Signature,
    /// A key agreement came out as zero, or a primitive refused its input.
    #[error("use a pre-key bundle: key agreement refused")]
    Agreement,
}

impl From<Primitive> for BundleError {
    fn from(_: Primitive) -> Self {
        Self::Agreement
    }
}

/// Why a message was not sealed; the session is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptError {
    /// No current session with that device: fetch a bundle first.
    #[error("seal a message: no session")]
    NoSession,
    /// Longer than [`limits::PLAINTEXT_LEN`](crate::limits::PLAINTEXT_LEN).
    #[error("seal a message: plaintext too long")]
    TooLong,
    /// 2^32 − 1 messages on one chain without an answer: a new session is needed.
    #[error("seal a message: chain exhausted")]
    Exhausted,
    /// A primitive refused its input; with the sizes used here it does not.
    #[error("seal a message: primitive refused its input")]
    Primitive,
}

impl From<Primitive> for EncryptError {
    fn from(_: Primitive) -> Self {
        Self::Primitive
    }
}

/// A message that was not decrypted; no state changed.
///
/// There is one error outward, whatever failed, so that nobody learns from an answer how far a
/// forged message came. [`DecryptError::reason`] is for this side's counters and retry logic only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("decrypt a message")]
pub struct DecryptError {
    reason: Reason,
}

impl DecryptError {
    /// Why, for local use: a counter's label, or the choice between dropping and asking again.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }
}

impl From<Reason> for DecryptError {
    fn from(reason: Reason) -> Self {
        Self { reason }
    }
}

impl From<Primitive> for DecryptError {
    fn from(_: Primitive) -> Self {
        Self { reason: Reason::Refused }
    }
}

impl From<KeyError> for DecryptError {
    fn from(_: KeyError) -> Self {
        Self { reason: Reason::Malformed }
    }
}

/// Why a message was not decrypted, as coarse as its uses need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Not a message of version 3, or a field is missing or has a wrong length.
    Malformed,
    /// Decrypted before, or so old that its key was evicted.
    Duplicate,
    /// More than [`limits::MESSAGE_GAP`](crate::limits::MESSAGE_GAP) ahead of its chain.
    TooFarAhead,
    /// Made with a pre-key of ours that we no longer have.
    UnknownPreKey,
    /// No session with that device.
    NoSession,
    /// MAC, padding or key agreement: one reason for all three.
    Refused,
}

impl Reason {
    /// The label of a metric.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Duplicate => "duplicate",
            Self::TooFarAhead => "too_far_ahead",
            Self::UnknownPreKey => "unknown_pre_key",
            Self::NoSession => "no_session",
            Self::Refused => "refused",
        }
    }
}

/// A stored row that is not what this crate wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Written by a version this one does not know.
    #[error("read a stored key or session: unknown version")]
    Version,
    /// Too short, too long, or a count beyond its limit.
    #[error("read a stored key or session: damaged")]
    Damaged,
    /// A public key in it is refused.
    #[error("read a stored key or session: {0}")]
    Key(#[from] KeyError),
}

/// A primitive refused its input: an all-zero key agreement, or a length that cannot occur.
/// Never leaves the crate under this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Primitive;
