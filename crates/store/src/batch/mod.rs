//! What one transaction of a lane holds, independent of any database: which writes go together
//! ([`build`]), in which order their events are numbered, and what remains of them once folded
//! ([`fold`]).

mod build;
mod fold;

use contract::ShardId;
use tokio::sync::{mpsc, oneshot};

use crate::write::{Answer, Class, Committed, Op, Reply, Write, WriteError};

pub(crate) use build::{Built, Epochs, Owned, build};
pub(crate) use fold::{Changes, fold};

/// Most bytes of rows a batch takes; a larger write goes alone.
pub(crate) const BATCH_BYTES: usize = 1 << 20;
/// What a row costs beside its variable columns, for [`BATCH_BYTES`].
const ROW_BYTES: usize = 64;
/// Longest body or header of a row; a longer one is refused.
pub(crate) const BODY_MAX: usize = 16 << 20;
/// Longest name used as a key; far below what an index entry may have on any engine.
pub(crate) const NAME_MAX: usize = 255;

/// A write on its way through a lane.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) shard: ShardId,
    pub(crate) epoch: i64,
    pub(crate) ops: Vec<Op>,
    pub(crate) bytes: usize,
    /// Of [`Class::Intake`], and in no batch yet.
    pub(crate) intake: bool,
    pub(crate) to: ReplyTo,
}

/// Where the outcome goes.
#[derive(Debug)]
pub(crate) enum ReplyTo {
    /// The channel is the shard owner's of the time of the submission.
    Token(u64, Option<mpsc::UnboundedSender<Vec<Answer>>>),
    Once(oneshot::Sender<Result<Committed, WriteError>>),
    None,
}

/// The rows of one transaction. Repeating it writes the same bytes.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<Entry>,
}

/// A write within a batch.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) shard: ShardId,
    pub(crate) epoch: i64,
    /// As the writer and the feed know them.
    pub(crate) ops: Vec<Op>,
    /// As they are stored, when that differs.
    pub(crate) sealed: Option<Vec<Op>>,
    pub(crate) bytes: usize,
    /// Sequence number of its first event; 0 without events.
    pub(crate) first_seq: i64,
}

impl Item {
    pub(crate) fn new(write: Write, answers: Option<mpsc::UnboundedSender<Vec<Answer>>>) -> Self {
        let Write { shard, epoch, class, ops, reply } = write;
        let to = match reply {
            Reply::Token(token) => ReplyTo::Token(token, answers),
            Reply::Once(sender) => ReplyTo::Once(sender),
            Reply::None => ReplyTo::None,
        };
        let bytes = ops.iter().map(op_bytes).sum();
        Self { shard, epoch, ops, bytes, intake: class == Class::Intake, to }
    }
}

impl Entry {
    /// What is stored.
    pub(crate) fn stored(&self) -> &[Op] {
        self.sealed.as_deref().unwrap_or(&self.ops)
    }
}

impl Batch {
    /// The events of the batch as they stand in the log, in order per shard.
    pub(crate) fn events(&self) -> Vec<crate::rows::Event> {
        let mut events = Vec::new();
        for entry in &self.entries {
            let mut seq = entry.first_seq;
            for op in &entry.ops {
                if let Op::InsertEvent(event) = op {
                    let event = event.clone();
                    events.push(crate::rows::Event { shard: entry.shard, seq, event });
                    seq += 1;
                }
            }
        }
        events
    }
}

fn op_bytes(op: &Op) -> usize {
    ROW_BYTES
        + match op {
            Op::InsertMessage(row) => row.body.len(),
            Op::InsertJob(row) => row.header.len(),
            Op::InsertOutbox(row) => row.payload.len(),
            Op::InsertEvent(row) => row.body.len(),
            Op::ReleaseEvent(row) => row.body.len(),
            Op::PutCursor(row) => row.holes.len(),
            Op::PutDeadEvent(row) => row.event.body.len(),
            Op::PutSession(row) => row.record.len(),
            Op::PutIdentity(row) => row.key.len(),
            Op::PutOwnKey(row) => row.body.len(),
            Op::PutConfig(row) => row.document.len(),
            Op::PutUser(row) => row.password_hash.len(),
            Op::PutMedia(row) => row.source.len(),
            _ => 0,
        }
}

/// Why a write cannot be stored on any engine, whatever else is in its batch.
pub(crate) fn unstorable(ops: &[Op]) -> Option<&'static str> {
    let name = |name: &str| (name.len() > NAME_MAX).then_some("a name is too long");
    ops.iter().find_map(|op| {
        if op_bytes(op) > ROW_BYTES + BODY_MAX {
            return Some("a row is too large");
        }
        match op {
            Op::PutConfig(row) => name(&row.name),
            Op::PutUser(row) => name(&row.name),
            Op::DeleteUser(row) => name(row),
            Op::PutMedia(row) => name(&row.mime),
            Op::PutBlobHandle(row) => name(&row.handle),
            Op::PutRevoked(row) => name(&row.rand),
            Op::PutOwnKey(row) if !(1..=3).contains(&row.kind) => Some("a key's kind is unknown"),
            Op::PutOwnKey(row) => u32::try_from(row.id).err().map(|_| "a key's id is too large"),
            _ => None,
        }
    })
}
