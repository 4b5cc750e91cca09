//! What waits to go down one coreapp's stream.

use std::collections::VecDeque;

use bytes::Bytes;
use contract::{Key, ShardId};
use rpc::upstream as wire;

use super::{AccountId, counting::Counted};

/// Unanswered messages, answers waiting to be read included, of one stream before it is ended:
/// sixteen windows. A coreapp that keeps to its window never gets there.
pub(super) const UNANSWERED_MAX: usize = 65_536;

#[derive(Default)]
pub(super) struct Stream {
    /// The number of its first Hello; a stream speaks for one.
    pub(super) account: Option<AccountId>,
    pub(super) ready: VecDeque<Ready>,
    pub(super) unanswered: usize,
    /// Why it ends, once it does.
    pub(super) closed: Option<&'static str>,
}

/// Something to send, in order.
pub(super) enum Ready {
    /// Stays with the shard until acknowledged; skipped when it has been meanwhile.
    Kept {
        shard: ShardId,
        seq: u64,
    },
    Answer {
        shard: ShardId,
        key: Key,
        verdict: Verdict,
    },
    Other(Box<wire::Down>),
}

/// The network's word on a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Sent {
        unix_ms: i64,
        counted: Option<Counted>,
    },
    /// The envelopes were not for these, the devices of now.
    Stale {
        devices: Vec<u32>,
    },
    Refused {
        class: wire::refused::Class,
        after_ms: u64,
        code: u16,
        details: &'static str,
    },
}

impl Verdict {
    pub(super) fn into_down(self, shard: ShardId, key: &Key) -> wire::Down {
        let result = match self {
            Self::Sent { unix_ms, counted } => wire::answer::Result::Sent(wire::Sent {
                timestamp_ms: unix_ms,
                conversation: counted.map(Counted::to_wire),
            }),
            Self::Stale { devices } => wire::answer::Result::Stale(wire::StaleDevices { devices }),
            Self::Refused { class, after_ms, code, details } => {
                wire::answer::Result::Refused(wire::Refused {
                    class: class.into(),
                    code: code.into(),
                    details: details.to_owned(),
                    after_ms,
                })
            }
        };
        let key = Bytes::copy_from_slice(key.as_bytes());
        not_kept(shard, wire::down::Item::Answer(wire::Answer { key, result: Some(result) }))
    }
}

/// An item without a place in the shard's stream.
pub(super) fn not_kept(shard: ShardId, item: wire::down::Item) -> wire::Down {
    wire::Down { seq: 0, shard: shard.get().into(), item: Some(item) }
}
