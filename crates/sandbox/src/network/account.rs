//! One own number: per shard, who is attached and what is not acknowledged yet.

use std::collections::VecDeque;

use bytes::Bytes;
use contract::{Key, Number, ShardId};
use rpc::upstream as wire;

use super::{StreamId, business::Published, counting::Counted};

/// Kept items of one number before nothing more is taken for it: new messages are told to come
/// later, inbound messages are refused at the control API. Receipts of messages already taken
/// still come in.
pub(super) const UNACKED_MAX: usize = 1_000_000;

/// What stays until it is acknowledged.
#[derive(Clone)]
pub(super) enum Kept {
    /// The many.
    Receipt {
        key: Key,
        from: Number,
        device: u32,
        kind: wire::receipt::Type,
        code: u16,
        unix_ms: i64,
        counted: Option<Counted>,
    },
    /// Inbound messages, notices, and receipts that carry more.
    Other(Box<wire::down::Item>),
}

/// A stream that has claimed a shard.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Attachment {
    pub(super) stream: StreamId,
    pub(super) epoch: i64,
    /// Its Welcome has left; before that, kept items wait.
    pub(super) welcomed: bool,
}

/// One shard of one number.
#[derive(Default)]
pub(super) struct Shard {
    pub(super) epoch_seen: i64,
    pub(super) our_seq: i64,
    pub(super) attached: Option<Attachment>,
    /// Items dropped from the front so far, so the first has seq `acked + 1`.
    acked: u64,
    items: VecDeque<Kept>,
}

pub(super) struct Account {
    pub(super) number: Number,
    pub(super) generation: u64,
    pub(super) unacked: usize,
    /// A contact sync is under way.
    pub(super) syncing: bool,
    /// The business's own keys, once it has published them.
    pub(super) published: Option<Published>,
    /// That few one-time keys are left; until more are published.
    pub(super) told_keys_low: bool,
    shards: Vec<Shard>,
}

impl Account {
    pub(super) fn new(number: Number) -> Self {
        let shards = ShardId::all().map(|_| Shard::default()).collect();
        Self {
            number,
            generation: 0,
            unacked: 0,
            syncing: false,
            published: None,
            told_keys_low: false,
            shards,
        }
    }

    pub(super) fn shard(&self, id: ShardId) -> Option<&Shard> {
        self.shards.get(id.index())
    }

    pub(super) fn shard_mut(&mut self, id: ShardId) -> Option<&mut Shard> {
        self.shards.get_mut(id.index())
    }

    /// Claims a shard. Gives the attachment it ends, when that had a lower epoch or another stream.
    pub(super) fn claim(
        &mut self,
        id: ShardId,
        stream: StreamId,
        epoch: i64,
    ) -> Option<Attachment> {
        let shard = self.shards.get_mut(id.index())?;
        if epoch < shard.epoch_seen {
            return None;
        }
        shard.epoch_seen = epoch;
        let claim = Attachment { stream, epoch, welcomed: false };
        shard.attached.replace(claim).filter(|old| old.epoch < epoch)
    }

    /// Appends an item; gives its seq, and the stream that may have it now.
    pub(super) fn keep(&mut self, id: ShardId, item: Kept) -> Option<(u64, Option<StreamId>)> {
        let shard = self.shards.get_mut(id.index())?;
        shard.items.push_back(item);
        self.unacked += 1;
        let welcomed = shard.attached.filter(|attached| attached.welcomed);
        Some((shard.last_seq(), welcomed.map(|attached| attached.stream)))
    }

    /// Takes up where the journal left off.
    pub(super) fn resume(&mut self, id: ShardId, epoch: i64, acked: u64, our_seq: i64) {
        let Some(shard) = self.shards.get_mut(id.index()) else { return };
        shard.epoch_seen = shard.epoch_seen.max(epoch);
        shard.our_seq = shard.our_seq.max(our_seq);
        while shard.acked < acked && shard.items.pop_front().is_some() {
            shard.acked += 1;
            self.unacked -= 1;
        }
        shard.acked = shard.acked.max(acked);
    }

    /// Drops what is acknowledged; false when the stream is not the one attached.
    pub(super) fn ack(&mut self, id: ShardId, stream: StreamId, ack: &wire::Ack) -> bool {
        let Some(shard) = self.shards.get_mut(id.index()) else { return false };
        if !shard.is_attached(stream, ack.epoch) {
            return false;
        }
        shard.our_seq = shard.our_seq.max(ack.our_seq);
        let seq = ack.seq.min(shard.last_seq());
        while shard.acked < seq && shard.items.pop_front().is_some() {
            shard.acked += 1;
            self.unacked -= 1;
        }
        true
    }

    /// The stream is gone.
    pub(super) fn detach(&mut self, stream: StreamId) {
        for shard in &mut self.shards {
            shard.attached = shard.attached.filter(|attached| attached.stream != stream);
        }
    }

    pub(super) fn attached_shards(&self) -> usize {
        self.shards.iter().filter(|shard| shard.attached.is_some()).count()
    }
}

impl Shard {
    pub(super) fn is_attached(&self, stream: StreamId, epoch: i64) -> bool {
        self.attached.is_some_and(|now| now.stream == stream && now.epoch == epoch)
    }

    /// Of everything not acknowledged.
    pub(super) fn seqs(&self) -> std::ops::RangeInclusive<u64> {
        self.acked + 1..=self.last_seq()
    }

    /// `None` when it has been acknowledged.
    pub(super) fn get(&self, seq: u64) -> Option<&Kept> {
        let place = seq.checked_sub(self.acked + 1)?;
        self.items.get(usize::try_from(place).ok()?)
    }

    pub(super) fn acked(&self) -> u64 {
        self.acked
    }

    fn last_seq(&self) -> u64 {
        self.acked + self.items.len() as u64
    }
}

impl Kept {
    pub(super) fn to_down(&self, shard: ShardId, seq: u64) -> wire::Down {
        let item = match self {
            Self::Receipt { key, from, device, kind, code, unix_ms, counted } => {
                wire::down::Item::Receipt(wire::Receipt {
                    key: Bytes::copy_from_slice(key.as_bytes()),
                    from: from.to_string(),
                    r#type: (*kind).into(),
                    timestamp_ms: *unix_ms,
                    device: *device,
                    code: (*code).into(),
                    retry: None,
                    conversation: counted.map(Counted::to_wire),
                })
            }
            Self::Other(item) => (**item).clone(),
        };
        wire::Down { seq, shard: shard.get().into(), item: Some(item) }
    }
}
