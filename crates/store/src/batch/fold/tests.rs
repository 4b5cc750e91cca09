use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    batch::{Built, Epochs, Item, Owned, ReplyTo, build},
    vault::Vault,
};

const EPOCH: i64 = 7;
const EPOCHS: Epochs = Epochs { first: EPOCH, last: EPOCH };
const FIRST_SEQ: i64 = 100;

/// The tables, as one write after another leaves them.
#[derive(Clone, Debug, Default, PartialEq)]
struct Tables {
    messages: BTreeMap<(ShardId, Key), Message>,
    jobs: BTreeMap<(ShardId, i64), Job>,
    outbox: BTreeMap<(ShardId, Key, i32), Outbox>,
    contacts: BTreeMap<(ShardId, Number), Contact>,
    cursors: BTreeMap<(i16, ShardId), Cursor>,
    sessions: BTreeMap<(ShardId, Number, i32), Session>,
    identities: BTreeMap<(ShardId, Number, i32), Identity>,
    own_keys: BTreeMap<(i16, i64), OwnKey>,
    events: BTreeMap<(ShardId, i64), NewEvent>,
    dead_events: BTreeMap<(i16, ShardId, i64), DeadEvent>,
}

/// An insert met a row.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Taken {
    /// As a retry does.
    Message,
    /// As no writer does: it knows its jobs.
    Other,
}

impl Tables {
    fn apply_one(&mut self, shard: ShardId, op: &Op) -> Result<(), Taken> {
        match op {
            Op::InsertMessage(row) => {
                if self.messages.insert((shard, row.key), row.clone()).is_some() {
                    return Err(Taken::Message);
                }
            }
            Op::InsertJob(row) => {
                if self.jobs.insert((shard, row.id), row.clone()).is_some() {
                    return Err(Taken::Other);
                }
            }
            Op::DeleteJob(id) => {
                self.jobs.remove(&(shard, *id));
            }
            Op::InsertOutbox(row) => {
                let key = (shard, row.key, row.device);
                if self.outbox.insert(key, row.clone()).is_some() {
                    return Err(Taken::Other);
                }
            }
            Op::DeleteOutbox { key, device } => {
                self.outbox.remove(&(shard, *key, *device));
            }
            Op::PutContact(row) => {
                self.contacts.insert((shard, row.number), row.clone());
            }
            Op::DeleteContact(number) => {
                self.contacts.remove(&(shard, *number));
            }
            Op::PutCursor(row) => {
                self.cursors.insert((row.endpoint, shard), row.clone());
            }
            Op::PutSession(row) => {
                self.sessions.insert((shard, row.wa_id, row.device), row.clone());
            }
            Op::DeleteSession { wa_id, device } => {
                self.sessions.remove(&(shard, *wa_id, *device));
            }
            Op::PutIdentity(row) => {
                self.identities.insert((shard, row.wa_id, row.device), row.clone());
            }
            Op::DeleteIdentity { wa_id, device } => {
                self.identities.remove(&(shard, *wa_id, *device));
            }
            Op::PutOwnKey(row) => {
                self.own_keys.insert((row.kind, row.id), row.clone());
            }
            Op::DeleteOwnKey { kind, id } => {
                self.own_keys.remove(&(*kind, *id));
            }
            Op::PutDeadEvent(row) => {
                self.dead_events.insert((row.endpoint, shard, row.seq), row.clone());
            }
            Op::DeleteDeadEvent { endpoint, seq } => {
                self.dead_events.remove(&(*endpoint, shard, *seq));
            }
            Op::InsertEvent(row) => {
                let last = self.events.range((shard, 0)..=(shard, i64::MAX)).next_back();
                let seq = last.map_or(FIRST_SEQ, |((_, seq), _)| seq + 1);
                self.events.insert((shard, seq), row.clone());
            }
            other => panic!("not generated: {other:?}"),
        }
        Ok(())
    }

    /// As a database does it: each change once, inserts strict.
    fn apply_folded(&mut self, changes: &Changes<'_>) -> Result<(), Taken> {
        for (shard, row) in &changes.messages {
            if self.messages.insert((*shard, row.key), (*row).clone()).is_some() {
                return Err(Taken::Message);
            }
        }
        for (key, row) in changes.jobs.inserts() {
            if self.jobs.insert(*key, row.clone()).is_some() {
                return Err(Taken::Other);
            }
        }
        self.jobs.extend(changes.jobs.puts().map(|(key, row)| (*key, row.clone())));
        changes.jobs.deletes().for_each(|key| drop(self.jobs.remove(key)));
        for (key, row) in changes.outbox.inserts() {
            if self.outbox.insert(*key, row.clone()).is_some() {
                return Err(Taken::Other);
            }
        }
        self.outbox.extend(changes.outbox.puts().map(|(key, row)| (*key, row.clone())));
        changes.outbox.deletes().for_each(|key| drop(self.outbox.remove(key)));
        for (key, row) in &changes.contacts {
            match row {
                Some(row) => drop(self.contacts.insert(*key, (*row).clone())),
                None => drop(self.contacts.remove(key)),
            }
        }
        self.cursors.extend(changes.cursors.iter().map(|(key, row)| (*key, (*row).clone())));
        for (key, row) in &changes.sessions {
            match row {
                Some(row) => drop(self.sessions.insert(*key, (*row).clone())),
                None => drop(self.sessions.remove(key)),
            }
        }
        for (key, row) in &changes.identities {
            match row {
                Some(row) => drop(self.identities.insert(*key, (*row).clone())),
                None => drop(self.identities.remove(key)),
            }
        }
        for (key, row) in &changes.own_keys {
            match row {
                Some(row) => drop(self.own_keys.insert(*key, (*row).clone())),
                None => drop(self.own_keys.remove(key)),
            }
        }
        for (key, row) in &changes.dead_events {
            match row {
                Some(row) => drop(self.dead_events.insert(*key, (*row).clone())),
                None => drop(self.dead_events.remove(key)),
            }
        }
        for (shard, seq, row) in &changes.events {
            if self.events.insert((*shard, *seq), (*row).clone()).is_some() {
                return Err(Taken::Other);
            }
        }
        Ok(())
    }
}

fn key(n: u8) -> Key {
    Key::from_bytes(&[n; 9]).unwrap()
}

fn number(n: u8) -> Number {
    Number::parse(&format!("49151000{n:03}")).unwrap()
}

fn event(body: Bytes) -> NewEvent {
    let route = Route::from_i64(5);
    NewEvent { kind: 1, route, key: None, held: false, created_ms: 1, body, trace: None }
}

/// Few keys, so that changes meet each other.
fn op() -> impl Strategy<Value = Op> {
    // Below the marks of a stored body, so that what is stored is what was written.
    let bytes = || (0..0xfeu8).prop_map(|byte| Bytes::copy_from_slice(&[byte]));
    prop_oneof![
        (1..9u8, bytes()).prop_map(|(n, body)| Op::InsertMessage(Message {
            key: key(n),
            created_ms: 1,
            body_hash: [n; 32],
            body,
            trace: None,
        })),
        (1..4i64, bytes()).prop_map(|(id, header)| Op::InsertJob(Job {
            id,
            key: key(1),
            route: Route::from_i64(5),
            created_ms: 1,
            header,
            trace: None,
        })),
        (1..4i64).prop_map(Op::DeleteJob),
        (1..3u8, 0..2i32, bytes()).prop_map(|(n, device, payload)| Op::InsertOutbox(Outbox {
            key: key(n),
            device,
            kind: 2,
            payload
        })),
        (1..3u8, 0..2i32).prop_map(|(n, device)| Op::DeleteOutbox { key: key(n), device }),
        (1..3u8, any::<i64>()).prop_map(|(n, checked_ms)| Op::PutContact(Contact {
            number: number(n),
            wa_id: None,
            checked_ms
        })),
        (1..3u8).prop_map(|n| Op::DeleteContact(number(n))),
        (0..2i16, any::<i64>(), bytes()).prop_map(|(endpoint, read_to, holes)| Op::PutCursor(
            Cursor { endpoint, read_to, holes }
        )),
        (1..3u8, 0..2i32, bytes()).prop_map(|(n, device, record)| Op::PutSession(Session {
            wa_id: number(n),
            device,
            generation: 1,
            record
        })),
        (1..3u8, 0..2i32).prop_map(|(n, device)| Op::DeleteSession { wa_id: number(n), device }),
        (1..3u8, 0..2i32, bytes()).prop_map(|(n, device, key)| Op::PutIdentity(Identity {
            wa_id: number(n),
            device,
            key,
            created_ms: 1,
            acknowledged: false
        })),
        (1..3u8, 0..2i32).prop_map(|(n, device)| Op::DeleteIdentity { wa_id: number(n), device }),
        (1..4i16, 0..2i64, bytes()).prop_map(|(kind, id, body)| Op::PutOwnKey(OwnKey {
            kind,
            id,
            state: 1,
            created_ms: 1,
            body
        })),
        (1..4i16, 0..2i64).prop_map(|(kind, id)| Op::DeleteOwnKey { kind, id }),
        bytes().prop_map(|body| Op::InsertEvent(event(body))),
        (0..2i16, 0..3i64, bytes()).prop_map(|(endpoint, seq, body)| Op::PutDeadEvent(DeadEvent {
            endpoint,
            seq,
            state: crate::rows::DeadState::Parked,
            due_ms: 1,
            tries: 5,
            tried: crate::rows::Tried::default(),
            event: event(body)
        })),
        (0..2i16, 0..3i64).prop_map(|(endpoint, seq)| Op::DeleteDeadEvent { endpoint, seq }),
    ]
}

fn writes() -> impl Strategy<Value = Vec<(ShardId, Vec<Op>)>> {
    let shard = prop_oneof![Just(ShardId::new(3).unwrap()), Just(ShardId::new(5).unwrap())];
    proptest::collection::vec((shard, proptest::collection::vec(op(), 1..6)), 1..12)
}

struct Zeros;

impl contract::Rng for Zeros {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0);
    }
}

fn vault() -> Vault {
    Vault::new(None, None, std::sync::Arc::new(Zeros))
}

fn item(shard: ShardId, ops: Vec<Op>) -> Item {
    Item { shard, epoch: EPOCH, ops, bytes: 1, intake: false, to: ReplyTo::None }
}

/// Builds, as a lane does, one batch after the other until nothing is left. Applies each; a batch
/// that breaks a constraint is split. Gives the tables and, per shard, what was refused.
fn through_batches(writes: &[(ShardId, Vec<Op>)]) -> (Tables, usize) {
    let mut tables = Tables::default();
    let mut refused = 0;
    let mut next = BTreeMap::new();
    let items = writes.iter().map(|(shard, ops)| item(*shard, ops.clone())).collect();
    let mut groups = std::collections::VecDeque::from([items]);
    while let Some(group) = groups.pop_front() {
        let built = build(group, &vault(), |shard| {
            let next_seq = next.get(&shard).copied().unwrap_or(FIRST_SEQ);
            Some(Owned { epochs: EPOCHS, next_seq })
        });
        refused += built.refused.len();
        if !built.rest.is_empty() {
            groups.push_front(built.rest);
        }
        let mut after = tables.clone();
        match after.apply_folded(&fold(&built.batch)) {
            Ok(()) => {
                tables = after;
                next.extend(built.next_seqs);
            }
            Err(_) => {
                let mut items = Built::unbuild(&built.batch, built.waiting);
                if items.len() == 1 {
                    refused += 1;
                } else {
                    let second = items.split_off(items.len() / 2);
                    groups.push_front(second);
                    groups.push_front(items);
                }
            }
        }
    }
    (tables, refused)
}

/// Drops the writes that no writer would make: an insert of a job or outbox row that is there. Gives
/// the others with the tables they leave and how many of them are refused.
fn one_by_one(writes: Vec<(ShardId, Vec<Op>)>) -> (Vec<(ShardId, Vec<Op>)>, Tables, usize) {
    let mut tables = Tables::default();
    let mut refused = 0;
    let mut kept = Vec::new();
    for (shard, ops) in writes {
        let mut after = tables.clone();
        match ops.iter().try_for_each(|op| after.apply_one(shard, op)) {
            Ok(()) => tables = after,
            Err(Taken::Message) => refused += 1,
            Err(Taken::Other) => continue,
        }
        kept.push((shard, ops));
    }
    (kept, tables, refused)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, fork: false,
        ..ProptestConfig::default() })]

    #[test]
    fn batches_leave_what_the_writes_one_by_one_would(writes in writes()) {
        let (writes, expected, expected_refused) = one_by_one(writes);
        let (tables, refused) = through_batches(&writes);
        prop_assert_eq!(refused, expected_refused);
        prop_assert_eq!(tables, expected);
    }

    #[test]
    fn a_batch_has_one_change_a_row(writes in writes()) {
        let items = writes.into_iter().map(|(shard, ops)| item(shard, ops)).collect();
        let built = build(items, &vault(), |_| Some(Owned { epochs: EPOCHS, next_seq: 1 }));
        let changes = fold(&built.batch);
        let mut jobs: Vec<_> = changes.jobs.inserts().map(|(key, _)| key)
            .chain(changes.jobs.puts().map(|(key, _)| key)).chain(changes.jobs.deletes()).collect();
        let all = jobs.len();
        jobs.sort_unstable();
        jobs.dedup();
        prop_assert_eq!(jobs.len(), all);
        for shard in [3, 5] {
            let seqs: Vec<_> = changes.events.iter()
                .filter(|(of, ..)| of.get() == shard).map(|(_, seq, _)| *seq).collect();
            let gap_free: Vec<_> = (1..).take(seqs.len()).collect();
            prop_assert_eq!(seqs, gap_free);
        }
    }
}

#[test]
fn a_write_of_a_shard_that_is_not_owned_is_refused_and_takes_no_number() {
    let [ours, lost] = [3, 5].map(|shard| ShardId::new(shard).unwrap());
    let event = Op::InsertEvent(NewEvent {
        kind: 1,
        route: Route::from_i64(5),
        key: None,
        held: false,
        created_ms: 1,
        body: Bytes::new(),
        trace: None,
    });
    let items = [ours, lost, ours].map(|shard| item(shard, vec![event.clone()]));
    let built = build(items.into(), &vault(), |shard| {
        (shard == ours).then_some(Owned { epochs: EPOCHS, next_seq: 40 })
    });
    let seqs: Vec<_> = built.batch.entries.iter().map(|entry| entry.first_seq).collect();
    assert_eq!(seqs, [40, 41]);
    assert_eq!(built.next_seqs.get(&ours), Some(&42));
    assert_eq!(built.refused.len(), 1);
}
