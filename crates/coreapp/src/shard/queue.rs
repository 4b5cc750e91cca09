//! The queue in memory: jobs, and the line of each recipient.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use contract::{
    ApiError, Key, Number, Route, TraceContext,
    callback::{Conversation, StatusKind},
    message::{Category, Stored, StoredError},
};
use tokio::time::Instant;
use upstream::Envelope;

use super::{effects::ReplyTo, steps::Doing};

/// Messages of one recipient that may wait; the next is refused with 429/1015.
pub(crate) const RECIPIENT_WAITING_MAX: usize = 1_000;

/// What callbacks about a message need, and every stage after acceptance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    /// As dialled; part of the public id.
    pub to: Number,
    /// See [`Stored::moved_to`].
    pub moved_to: Option<Number>,
    /// As the sender wrote it.
    pub input: String,
    pub category: Category,
    /// Its span, if it is traced; not part of the header.
    pub trace: Option<TraceContext>,
}

/// What a status says beside the message it is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub kind: StatusKind,
    pub timestamp_ms: i64,
    /// The recipient, as the network knows it; `None`: as the cache knows it.
    pub wa_id: Option<Number>,
    pub conversation: Option<Conversation>,
    pub errors: &'a [ApiError],
}

/// A message that is not settled yet.
#[derive(Debug)]
pub(crate) struct Job {
    /// `epoch << 40 | n`; the order of acceptance.
    pub id: i64,
    pub route: Route,
    pub meta: Arc<Meta>,
    pub created_ms: i64,
    pub body_hash: Option<[u8; 32]>,
    /// The canonical message; `None`: must be read before it can be sealed.
    pub body: Option<Bytes>,
    pub wa_id: Option<Number>,
    pub files: Files,
    /// What leaves, once sealed: one a device.
    pub envelopes: Vec<Envelope>,
    /// How many of them have rows.
    pub durable: usize,
    /// Times the network said that the recipient has other devices.
    pub stale: u8,
    /// Only for this device: it asked again.
    pub only: Option<u32>,
    pub stage: Stage,
    /// The network may have it.
    pub left: bool,
    /// Not transmitted before; after a refusal for now.
    pub not_before: Option<Instant>,
    /// What it is doing, if it is traced.
    pub doing: Option<Box<Doing>>,
}

/// Whether the body names its files as phones get to know them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Files {
    /// Not looked at, or as it is stored.
    #[default]
    Unseen,
    /// They are being handed to the network.
    Asked,
    There,
}

/// Who waits for the accept write.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub reply: ReplyTo,
    /// Its request is not the one that made the message.
    pub replayed: bool,
}

/// Where a job is. Only *accepted* and *sealed* are rows; the rest is memory.
#[derive(Debug)]
pub(crate) enum Stage {
    /// The accept write is under way; these wait for it.
    Accepting(Vec<Waiter>),
    /// In its recipient's line.
    Waiting,
    /// The recipient's shard is taking it over; still in its line.
    Handing,
    /// The cancellation is under way; still in its line.
    Cancelling,
    /// The seal write is under way.
    Sealing,
    /// The bytes are durable and may leave.
    Sealed,
    /// The bytes left; the network has not answered.
    Transmitted,
    /// The last write is under way.
    Settling,
}

/// The line of one recipient (one route: a collision only shares the line).
#[derive(Debug, Default)]
pub(crate) struct Recipient {
    /// Accepted and not sealed, in order.
    pub waiting: VecDeque<Key>,
    /// Sealing, sealed or on the link.
    pub unanswered: usize,
    /// Already among the ready ones.
    pub listed: bool,
    /// The network wants nothing for it until then.
    pub hold: Option<Instant>,
}

impl Told<'_> {
    pub(super) fn of(kind: StatusKind, timestamp_ms: i64) -> Self {
        Self { kind, timestamp_ms, wa_id: None, conversation: None, errors: &[] }
    }
}

impl Meta {
    /// For log lines.
    pub(crate) fn trace_id(&self) -> Option<String> {
        self.trace.map(|trace| trace.id())
    }

    /// The number of this shard that the recipient has.
    pub(super) fn here(&self) -> Number {
        self.moved_to.unwrap_or(self.to)
    }

    /// `job.header`: a stored message without its text.
    pub(crate) fn encode(&self) -> Bytes {
        let Self { to, moved_to, ref input, category, .. } = *self;
        Stored { to, moved_to, input: input.clone(), category, message: Bytes::new() }.encode()
    }

    /// # Errors
    /// For a header this version did not write.
    pub(crate) fn decode(header: &[u8]) -> Result<Self, StoredError> {
        Stored::decode(header).map(Self::from)
    }
}

impl From<Stored> for Meta {
    fn from(stored: Stored) -> Self {
        let Stored { to, moved_to, input, category, message: _ } = stored;
        Self { to, moved_to, input, category, trace: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_header_survives_its_row() {
        let meta = Meta {
            to: Number::parse("4915112345678").unwrap(),
            moved_to: Number::parse("4915112345679").ok(),
            input: "+49 151 12345678".to_owned(),
            category: Category::Text,
            trace: None,
        };
        assert_eq!(Meta::decode(&meta.encode()), Ok(meta));
        assert!(Meta::decode(&[9, 0, 0]).is_err());
    }
}
