//! Writes to batch: refuses what its shard's owner may not write, keeps apart what must not share a
//! transaction, numbers the events.

use std::collections::{HashMap, HashSet};

use contract::{Key, Route, ShardId};

use crate::{
    batch::{Batch, Entry, Item, ReplyTo, unstorable},
    codec::{self, Dated},
    vault::Vault,
    write::{Op, WriteError},
};

/// How a shard is owned at the moment a batch is built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owned {
    pub(crate) epochs: Epochs,
    pub(crate) next_seq: i64,
}

/// From the one a shard was claimed under to the last it was raised to. The owner has not changed
/// in between, so a write under any of them is its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epochs {
    pub(crate) first: i64,
    pub(crate) last: i64,
}

impl Epochs {
    pub(crate) fn hold(self, epoch: i64) -> bool {
        (self.first..=self.last).contains(&epoch)
    }
}

/// A batch and what did not go into it.
pub(crate) struct Built {
    pub(crate) batch: Batch,
    /// One an entry of the batch.
    pub(crate) waiting: Vec<ReplyTo>,
    /// The numbers that follow, for the shards with events; valid once the batch is committed.
    pub(crate) next_seqs: HashMap<ShardId, i64>,
    pub(crate) refused: Vec<(Item, WriteError)>,
    /// What has to wait for the next batch, in order.
    pub(crate) rest: Vec<Item>,
}

/// A row whose insert must fail when the row exists.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Fresh {
    Message(ShardId, Key),
    Inbound(ShardId, Route, Key),
    Job(ShardId, i64),
    Outbox(ShardId, Key, i32),
    Idempotency(ShardId, Dated),
}

/// Builds a batch of `items`, in order, as far as they may share a transaction: an insert of a row
/// that the batch inserts already has to meet the committed row, or two of one key would fold into
/// one and both succeed.
pub(crate) fn build(
    items: Vec<Item>,
    vault: &Vault,
    owned: impl Fn(ShardId) -> Option<Owned>,
) -> Built {
    let mut built = Built {
        batch: Batch { entries: Vec::with_capacity(items.len()) },
        waiting: Vec::with_capacity(items.len()),
        next_seqs: HashMap::new(),
        refused: Vec::new(),
        rest: Vec::new(),
    };
    let mut fresh = HashSet::new();
    let mut items = items.into_iter();
    while let Some(item) = items.next() {
        let Some(next_seq) = owned(item.shard)
            .filter(|owned| owned.epochs.hold(item.epoch))
            .map(|owned| built.next_seqs.get(&item.shard).copied().unwrap_or(owned.next_seq))
        else {
            built.refused.push((item, WriteError::NotOwned));
            continue;
        };
        if let Some(error) = unfit(&item) {
            built.refused.push((item, error));
            continue;
        }
        if !add(&mut fresh, &item) {
            built.rest.push(item);
            built.rest.extend(items);
            break;
        }
        let sealed = match vault.seal(item.shard, next_seq, &item.ops) {
            Ok(sealed) => sealed,
            Err(error) => {
                built.refused.push((item, WriteError::Rejected(error.to_string())));
                continue;
            }
        };
        let Item { shard, epoch, ops, bytes, intake: _, to } = item;
        let events = ops.iter().filter(|op| matches!(op, Op::InsertEvent(_))).count();
        let events = i64::try_from(events).unwrap_or(i64::MAX);
        if events > 0 {
            built.next_seqs.insert(shard, next_seq + events);
        }
        let first_seq = if events > 0 { next_seq } else { 0 };
        built.batch.entries.push(Entry { shard, epoch, ops, sealed, bytes, first_seq });
        built.waiting.push(to);
    }
    built
}

impl Built {
    /// The items again, for a batch that is known not to have committed.
    pub(crate) fn unbuild(batch: &Batch, waiting: Vec<ReplyTo>) -> Vec<Item> {
        batch
            .entries
            .iter()
            .cloned()
            .zip(waiting)
            .map(|(Entry { shard, epoch, ops, bytes, .. }, to)| Item {
                shard,
                epoch,
                ops,
                bytes,
                intake: false,
                to,
            })
            .collect()
    }
}

/// Why a write can never succeed, alone or not.
fn unfit(item: &Item) -> Option<WriteError> {
    if let Some(why) = unstorable(&item.ops) {
        return Some(WriteError::Rejected(why.to_owned()));
    }
    let mut fresh = HashSet::new();
    item.ops.iter().find_map(|op| match step(item.shard, op) {
        Step::Insert(row) if !fresh.insert(row) => Some(match row {
            Fresh::Message(..) | Fresh::Inbound(..) | Fresh::Idempotency(..) => {
                WriteError::Conflict
            }
            Fresh::Job(..) | Fresh::Outbox(..) => {
                WriteError::Rejected("a row is inserted twice".to_owned())
            }
        }),
        Step::Delete(row) => {
            fresh.remove(&row);
            None
        }
        Step::Insert(_) | Step::Other => None,
    })
}

/// Adds a write's rows to those of the batch. False, and nothing added, when one is there already.
fn add(fresh: &mut HashSet<Fresh>, item: &Item) -> bool {
    let mut changed = HashMap::new();
    for op in &item.ops {
        match step(item.shard, op) {
            Step::Insert(row) => {
                let there = changed.get(&row).copied().unwrap_or_else(|| fresh.contains(&row));
                if there {
                    return false;
                }
                changed.insert(row, true);
            }
            Step::Delete(row) => {
                changed.insert(row, false);
            }
            Step::Other => {}
        }
    }
    for (row, there) in changed {
        if there {
            fresh.insert(row);
        } else {
            fresh.remove(&row);
        }
    }
    true
}

enum Step {
    Insert(Fresh),
    Delete(Fresh),
    Other,
}

fn step(shard: ShardId, op: &Op) -> Step {
    match op {
        Op::InsertMessage(row) => Step::Insert(Fresh::Message(shard, row.key)),
        Op::InsertInbound(row) => Step::Insert(Fresh::Inbound(shard, row.peer, row.key)),
        Op::InsertJob(row) => Step::Insert(Fresh::Job(shard, row.id)),
        Op::InsertOutbox(row) => Step::Insert(Fresh::Outbox(shard, row.key, row.device)),
        Op::InsertIdempotency(row) => {
            let dated = codec::dated(codec::day(row.created_ms), &row.hash);
            Step::Insert(Fresh::Idempotency(shard, dated))
        }
        Op::DeleteJob(id) => Step::Delete(Fresh::Job(shard, *id)),
        Op::DeleteOutbox { key, device } => Step::Delete(Fresh::Outbox(shard, *key, *device)),
        _ => Step::Other,
    }
}
