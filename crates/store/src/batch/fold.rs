//! A batch without its detours: one change a row, as two changes of one key cannot stand in one
//! statement. Delete + insert is an upsert, insert + delete is nothing, the last update wins.
//!
//! Everything is sorted by key, so that every transaction takes its locks in the same order.

use std::collections::BTreeMap;

use contract::{Key, MediaId, Number, Route, ShardId, trace};

use crate::{
    batch::Batch,
    codec::{self, Dated},
    rows::{
        BlobHandle, Blocked, Config, Contact, Cursor, DeadEvent, Idempotency, Identity, Inbound,
        Job, Media, Message, NewEvent, Outbox, OwnKey, Release, Revoked, Session, User,
    },
    write::Op,
};

/// What a batch does to each table.
#[derive(Debug, Default)]
pub(crate) struct Changes<'a> {
    pub(crate) messages: Vec<(ShardId, &'a Message)>,
    pub(crate) inbound: Vec<(ShardId, &'a Inbound)>,
    pub(crate) events: Vec<(ShardId, i64, &'a NewEvent)>,
    pub(crate) releases: BTreeMap<(ShardId, i64), &'a Release>,
    pub(crate) idempotency: Vec<(ShardId, Dated, &'a Idempotency)>,
    /// Of the messages that have one.
    pub(crate) traces: Vec<(ShardId, Key, [u8; trace::LEN])>,
    pub(crate) jobs: Keyed<(ShardId, i64), &'a Job>,
    pub(crate) outbox: Keyed<(ShardId, Key, i32), &'a Outbox>,
    /// `None`: deleted.
    pub(crate) contacts: BTreeMap<(ShardId, Number), Option<&'a Contact>>,
    /// `None`: deleted.
    pub(crate) blocked: BTreeMap<(ShardId, Route), Option<&'a Blocked>>,
    pub(crate) cursors: BTreeMap<(i16, ShardId), &'a Cursor>,
    /// `None`: deleted.
    pub(crate) dead_events: BTreeMap<(i16, ShardId, i64), Option<&'a DeadEvent>>,
    /// `None`: deleted.
    pub(crate) sessions: BTreeMap<(ShardId, Number, i32), Option<&'a Session>>,
    pub(crate) identities: BTreeMap<(ShardId, Number, i32), Option<&'a Identity>>,
    /// `None`: deleted.
    pub(crate) own_keys: BTreeMap<(i16, i64), Option<&'a OwnKey>>,
    /// `None`: deleted, and the handle with it.
    pub(crate) media: BTreeMap<MediaId, Option<&'a Media>>,
    pub(crate) handles: BTreeMap<MediaId, &'a BlobHandle>,
    pub(crate) configs: BTreeMap<&'a str, &'a Config>,
    /// `None`: deleted.
    pub(crate) users: BTreeMap<&'a str, Option<&'a User>>,
    pub(crate) revoked: BTreeMap<&'a str, &'a Revoked>,
    pub(crate) trim: Trim,
}

/// Clean-up; the last of a kind for a shard wins.
#[derive(Debug, Default)]
pub(crate) struct Trim {
    /// floor, before_ms, limit
    pub(crate) events: BTreeMap<ShardId, (i64, i64, u32)>,
    pub(crate) messages: BTreeMap<ShardId, (Key, u32)>,
    /// before_ms, limit
    pub(crate) inbound: BTreeMap<(ShardId, Route), (i64, u32)>,
    /// before_ms, limit
    pub(crate) dead_events: BTreeMap<(i16, ShardId), (i64, u32)>,
    /// The first day that stays, limit.
    pub(crate) idempotency: BTreeMap<ShardId, ([u8; 4], u32)>,
    pub(crate) revoked: Option<i64>,
}

/// Rows that are inserted once and deleted once.
#[derive(Debug)]
pub(crate) struct Keyed<K, R>(BTreeMap<K, Fate<R>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate<R> {
    /// Fails when the row exists.
    Insert(R),
    /// Replaces the row.
    Put(R),
    Delete,
}

pub(crate) fn fold(batch: &Batch) -> Changes<'_> {
    let mut changes = Changes::default();
    for entry in &batch.entries {
        let mut seq = entry.first_seq;
        for op in entry.stored() {
            changes.add(entry.shard, op, &mut seq);
        }
    }
    changes.messages.sort_unstable_by_key(|(shard, row)| (*shard, row.key));
    changes.inbound.sort_unstable_by_key(|(shard, row)| (*shard, row.peer, row.key));
    changes.traces.sort_unstable_by_key(|(shard, key, _)| (*shard, *key));
    changes.idempotency.sort_unstable_by_key(|(shard, dated, _)| (*shard, *dated));
    changes.events.sort_unstable_by_key(|(shard, seq, _)| (*shard, *seq));
    changes
}

impl<'a> Changes<'a> {
    fn add(&mut self, shard: ShardId, op: &'a Op, seq: &mut i64) {
        match op {
            Op::InsertMessage(row) => {
                self.messages.push((shard, row));
                self.traces.extend(row.trace.map(|trace| (shard, row.key, trace.to_bytes())));
            }
            Op::InsertInbound(row) => self.inbound.push((shard, row)),
            Op::InsertIdempotency(row) => {
                let dated = codec::dated(codec::day(row.created_ms), &row.hash);
                self.idempotency.push((shard, dated, row));
            }
            Op::InsertEvent(row) => {
                self.events.push((shard, *seq, row));
                *seq += 1;
            }
            Op::ReleaseEvent(row) => {
                self.releases.insert((shard, row.seq), row);
            }
            Op::InsertJob(row) => self.jobs.insert((shard, row.id), row),
            Op::DeleteJob(id) => self.jobs.delete((shard, *id)),
            Op::InsertOutbox(row) => self.outbox.insert((shard, row.key, row.device), row),
            Op::DeleteOutbox { key, device } => self.outbox.delete((shard, *key, *device)),
            Op::PutContact(row) => {
                self.contacts.insert((shard, row.number), Some(row));
            }
            Op::DeleteContact(number) => {
                self.contacts.insert((shard, *number), None);
            }
            Op::PutBlocked(row) => {
                self.blocked.insert((shard, Route::of(&row.number)), Some(row));
            }
            Op::DeleteBlocked(route) => {
                self.blocked.insert((shard, *route), None);
            }
            Op::PutCursor(row) => {
                self.cursors.insert((row.endpoint, shard), row);
            }
            Op::PutDeadEvent(row) => {
                self.dead_events.insert((row.endpoint, shard, row.seq), Some(row));
            }
            Op::DeleteDeadEvent { endpoint, seq } => {
                self.dead_events.insert((*endpoint, shard, *seq), None);
            }
            Op::PutSession(row) => {
                self.sessions.insert((shard, row.wa_id, row.device), Some(row));
            }
            Op::DeleteSession { wa_id, device } => {
                self.sessions.insert((shard, *wa_id, *device), None);
            }
            Op::PutIdentity(row) => {
                self.identities.insert((shard, row.wa_id, row.device), Some(row));
            }
            Op::DeleteIdentity { wa_id, device } => {
                self.identities.insert((shard, *wa_id, *device), None);
            }
            Op::PutOwnKey(row) => {
                self.own_keys.insert((row.kind, row.id), Some(row));
            }
            Op::DeleteOwnKey { kind, id } => {
                self.own_keys.insert((*kind, *id), None);
            }
            Op::PutMedia(row) => {
                self.media.insert(row.id, Some(row));
            }
            Op::DeleteMedia(id) => {
                self.media.insert(*id, None);
                self.handles.remove(id);
            }
            Op::PutBlobHandle(row) => {
                self.handles.insert(row.id, row);
            }
            Op::PutConfig(row) => {
                self.configs.insert(&row.name, row);
            }
            Op::PutUser(row) => {
                self.users.insert(&row.name, Some(row));
            }
            Op::DeleteUser(name) => {
                self.users.insert(name, None);
            }
            Op::PutRevoked(row) => {
                self.revoked.insert(&row.rand, row);
            }
            Op::TrimEvents { floor, before_ms, limit } => {
                self.trim.events.insert(shard, (*floor, *before_ms, *limit));
            }
            Op::TrimMessages { key, limit } => {
                self.trim.messages.insert(shard, (*key, *limit));
            }
            Op::TrimInbound { from, before_ms, limit } => {
                self.trim.inbound.insert((shard, *from), (*before_ms, *limit));
            }
            Op::TrimDeadEvents { endpoint, before_ms, limit } => {
                self.trim.dead_events.insert((*endpoint, shard), (*before_ms, *limit));
            }
            Op::TrimIdempotency { before_ms, limit } => {
                let first = codec::day(*before_ms).to_be_bytes();
                self.trim.idempotency.insert(shard, (first, *limit));
            }
            Op::TrimRevoked { before_s } => self.trim.revoked = Some(*before_s),
        }
    }

    /// Whether the batch has changes that are rare: an upsert of a row that is usually only
    /// inserted, control rows, clean-up.
    pub(crate) fn has_rare(&self) -> bool {
        self.jobs.puts().next().is_some()
            || self.outbox.puts().next().is_some()
            || self.contacts.values().any(Option::is_none)
            || !self.blocked.is_empty()
            || self.sessions.values().any(Option::is_none)
            || self.identities.values().any(Option::is_none)
            || !self.releases.is_empty()
            || !self.dead_events.is_empty()
            || !self.own_keys.is_empty()
            || !self.media.is_empty()
            || !self.handles.is_empty()
            || !self.configs.is_empty()
            || !self.users.is_empty()
            || !self.revoked.is_empty()
            || !self.trim.events.is_empty()
            || !self.trim.messages.is_empty()
            || !self.trim.inbound.is_empty()
            || !self.trim.dead_events.is_empty()
            || !self.trim.idempotency.is_empty()
            || self.trim.revoked.is_some()
    }
}

// === impl Keyed ===

impl<K, R> Default for Keyed<K, R> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Copy, R: Copy> Keyed<K, R> {
    fn insert(&mut self, key: K, row: R) {
        let fate = match self.0.get(&key) {
            // A second insert is kept out when the batch is built.
            None | Some(Fate::Insert(_)) => Fate::Insert(row),
            Some(Fate::Delete | Fate::Put(_)) => Fate::Put(row),
        };
        self.0.insert(key, fate);
    }

    fn delete(&mut self, key: K) {
        if let Some(Fate::Insert(_)) = self.0.get(&key) {
            self.0.remove(&key);
        } else {
            self.0.insert(key, Fate::Delete);
        }
    }

    pub(crate) fn inserts(&self) -> impl Iterator<Item = (&K, R)> {
        self.0.iter().filter_map(|(key, fate)| match fate {
            Fate::Insert(row) => Some((key, *row)),
            _ => None,
        })
    }

    pub(crate) fn puts(&self) -> impl Iterator<Item = (&K, R)> {
        self.0.iter().filter_map(|(key, fate)| match fate {
            Fate::Put(row) => Some((key, *row)),
            _ => None,
        })
    }

    pub(crate) fn deletes(&self) -> impl Iterator<Item = &K> {
        self.0.iter().filter(|(_, fate)| matches!(fate, Fate::Delete)).map(|(key, _)| key)
    }
}

#[cfg(test)]
mod tests;
