//! Columns to rows: one place that knows how a type of ours is stored and names the row that does
//! not fit.

use bytes::Bytes;
use contract::{Key, MediaId, Number, Route, ShardId, TraceContext};

use crate::{
    error::StoreError,
    history::{Mark, Reach},
    reader::{DAYS_MAX, File},
    rows::{
        BlobHandle, Blocked, Config, Contact, Cursor, DeadEvent, DeadState, Event, Generation,
        IDEMPOTENCY_HASH_LEN, Idempotency, Identity, Job, Media, MediaState, Message, NewEvent,
        Node, NodeState, Outbox, OwnKey, Revoked, Session, Shard, Tried, User,
    },
};

type Read<T> = Result<T, StoreError>;

/// Bytes of the day that [`dated`] begins with.
const DAY_LEN: usize = 4;
const DAY_MS: i64 = 86_400_000;
/// A hash as its column has it: the day of its making in front, so that the rows of a day lie side
/// by side and old ones go by a range of the primary key.
pub(crate) type Dated = [u8; DAY_LEN + IDEMPOTENCY_HASH_LEN];

/// Bytes of [`tried`]; as many as of a [`mark`], with which they share a way to PostgreSQL.
pub(crate) const TRIED_LEN: usize = MARK_LEN;
const TRIED_VERSION: u8 = 1;
/// Bytes of a [`mark`].
pub(crate) const MARK_LEN: usize = 16;

pub(crate) type JobColumns = (i64, Vec<u8>, i64, i64, Vec<u8>, Option<Vec<u8>>);
pub(crate) type OutboxColumns = (Vec<u8>, i64, i16, Vec<u8>);
/// The last is `trace.context`, here and below.
pub(crate) type EventColumns = (i64, i16, i64, Option<Vec<u8>>, i16, i64, Vec<u8>, Option<Vec<u8>>);
pub(crate) type CursorColumns = (i16, i64, Vec<u8>);
/// The last but one is `refusal.tried`.
pub(crate) type DeadEventColumns =
    (i64, i16, i64, Option<Vec<u8>>, i16, i64, i64, i64, Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>);
/// `shard` and the columns of a dead event up to `refusal.tried`.
pub(crate) type DeadAfterColumns =
    (i16, i64, i16, i64, Option<Vec<u8>>, i16, i64, i64, i64, Vec<u8>, Option<Vec<u8>>);
pub(crate) type ReachColumns = (i16, i64, i64);
pub(crate) type MarkColumns = (i16, i64, i16, i64, i16, i64, i64);
/// `shard` and the columns of an event up to `body`.
pub(crate) type EventAtColumns = (i16, i64, i16, i64, Option<Vec<u8>>, i16, i64, Vec<u8>);
/// The second is `body_hash` with `trace.context` behind it.
pub(crate) type MessageColumns = (i64, Vec<u8>, Vec<u8>);
pub(crate) type ContactColumns = (Option<Vec<u8>>, i64);
pub(crate) type BlockedColumns = (Vec<u8>, i64);
pub(crate) type HeardColumns = (Vec<u8>, i64);
pub(crate) type IdempotencyColumns = (i64, Vec<u8>);
pub(crate) type SessionColumns = (i64, i64, Vec<u8>, Option<Vec<u8>>);
pub(crate) type IdentityColumns = (i64, Vec<u8>, i64, i16);
pub(crate) type OwnKeyColumns = (i16, i64, i16, i64, Vec<u8>);
pub(crate) type ConfigColumns = (Vec<u8>, i64, Vec<u8>);
/// The last two are of its handle.
pub(crate) type FileColumns =
    (Vec<u8>, i64, i16, i64, Vec<u8>, Vec<u8>, Vec<u8>, Option<i64>, Option<Vec<u8>>);
pub(crate) type UserColumns = (Vec<u8>, Vec<u8>, i16, i16, i64);
pub(crate) type RevokedColumns = (Vec<u8>, i64);
pub(crate) type ShardColumns = (i16, i64, i64, i64);
pub(crate) type GenerationColumns = (i64, i16, i64);
pub(crate) type NodeColumns = (i64, Vec<u8>, Vec<u8>, i16, Vec<u8>, i64);

pub(crate) fn job((id, key, route, created_ms, header, trace): JobColumns) -> Read<Job> {
    Ok(Job {
        id,
        key: key_of(&key, "job", id)?,
        route: Route::from_i64(route),
        created_ms,
        header: header.into(),
        trace: context(trace.as_deref()),
    })
}

pub(crate) fn outbox(shard: ShardId, (key, device, kind, payload): OutboxColumns) -> Read<Outbox> {
    Ok(Outbox {
        key: key_of(&key, "outbox", shard)?,
        device: device_of(device, "outbox")?,
        kind,
        payload: payload.into(),
    })
}

pub(crate) fn event(
    shard: ShardId,
    (seq, kind, route, key, held, created_ms, body, trace): EventColumns,
) -> Read<Event> {
    Ok(Event {
        shard,
        seq,
        event: NewEvent {
            kind,
            route: Route::from_i64(route),
            key: key.map(|key| key_of(&key, "event", seq)).transpose()?,
            held: held != 0,
            created_ms,
            body: body.into(),
            trace: context(trace.as_deref()),
        },
    })
}

pub(crate) fn cursor((endpoint, read_to, holes): CursorColumns) -> Cursor {
    Cursor { endpoint, read_to, holes: holes.into() }
}

pub(crate) fn dead_event(
    endpoint: i16,
    (seq, kind, route, key, state, due_ms, tries, created_ms, body, tried, trace): DeadEventColumns,
) -> Read<DeadEvent> {
    let state = [DeadState::Parked, DeadState::Dead].into_iter().find(|s| *s as i16 == state);
    let event = NewEvent {
        kind,
        route: Route::from_i64(route),
        key: key.map(|key| key_of(&key, "dead_event", seq)).transpose()?,
        held: false,
        created_ms,
        body: body.into(),
        trace: context(trace.as_deref()),
    };
    Ok(DeadEvent {
        endpoint,
        seq,
        state: state.ok_or_else(|| corrupt("dead_event", "state", seq))?,
        due_ms,
        tries: u32::try_from(tries).map_err(|_| corrupt("dead_event", "tries", seq))?,
        tried: tried.as_deref().map(tried_of).unwrap_or_default(),
        event,
    })
}

pub(crate) fn dead_after(
    endpoint: i16,
    (shard, seq, kind, route, key, state, due_ms, tries, created_ms, body, tried): DeadAfterColumns,
) -> Read<(ShardId, DeadEvent)> {
    let columns = (seq, kind, route, key, state, due_ms, tries, created_ms, body, tried, None);
    Ok((shard_of(shard, "dead_event")?, dead_event(endpoint, columns)?))
}

/// `refusal.tried`: a version, a byte that says nothing, `why`, and the two times in six bytes each.
pub(crate) fn tried(row: &Tried) -> [u8; TRIED_LEN] {
    let mut out = [0; TRIED_LEN];
    out[0] = TRIED_VERSION;
    out[2..4].copy_from_slice(&row.why.to_be_bytes());
    out[4..10].copy_from_slice(&row.first_s.to_be_bytes()[2..]);
    out[10..].copy_from_slice(&row.last_s.to_be_bytes()[2..]);
    out
}

/// What a newer version wrote is as good as unknown.
fn tried_of(bytes: &[u8]) -> Tried {
    let Ok([TRIED_VERSION, _, a, b, times @ ..]) = <[u8; TRIED_LEN]>::try_from(bytes) else {
        return Tried::default();
    };
    let seconds = |bytes: &[u8]| bytes.iter().fold(0, |all, byte| all << 8 | i64::from(*byte));
    let (first_s, last_s) = (seconds(&times[..6]), seconds(&times[6..]));
    Tried { why: i16::from_be_bytes([a, b]), first_s, last_s }
}

pub(crate) fn event_at(
    (shard, seq, kind, route, key, held, created_ms, body): EventAtColumns,
) -> Read<Event> {
    event(shard_of(shard, "event")?, (seq, kind, route, key, held, created_ms, body, None))
}

pub(crate) fn reach((shard, floor, last): ReachColumns) -> Read<Reach> {
    Ok(Reach { shard: shard_of(shard, "shard")?, floor, head: last.max(floor) })
}

pub(crate) fn mark_of(
    (shard, seq, kind, route, held, created_ms, bytes): MarkColumns,
) -> Read<Mark> {
    let (shard, route) = (shard_of(shard, "event")?, Route::from_i64(route));
    Ok(Mark { shard, seq, kind, route, held: held != 0, created_ms, bytes })
}

pub(crate) fn message(key: Key, (created_ms, hash, body): MessageColumns) -> Read<Message> {
    let (body_hash, trace) =
        hash.split_first_chunk().ok_or_else(|| corrupt("message", "body_hash", "one key"))?;
    let (body_hash, trace) = (*body_hash, context(Some(trace)));
    Ok(Message { key, created_ms, body_hash, body: body.into(), trace })
}

/// A trace that cannot be read ends; nothing else depends on it.
fn context(stored: Option<&[u8]>) -> Option<TraceContext> {
    stored.and_then(TraceContext::from_bytes)
}

pub(crate) fn day(ms: i64) -> u32 {
    u32::try_from(ms.div_euclid(DAY_MS)).unwrap_or(0)
}

pub(crate) fn dated(day: u32, hash: &[u8; IDEMPOTENCY_HASH_LEN]) -> Dated {
    let mut dated = [0; DAY_LEN + IDEMPOTENCY_HASH_LEN];
    let (front, back) = dated.split_at_mut(DAY_LEN);
    front.copy_from_slice(&day.to_be_bytes());
    back.copy_from_slice(hash);
    dated
}

/// Where a hash made between two times may be, the latest day first.
pub(crate) fn dates(
    hash: [u8; IDEMPOTENCY_HASH_LEN],
    from_ms: i64,
    to_ms: i64,
) -> impl Iterator<Item = Dated> {
    (day(from_ms)..=day(to_ms)).rev().take(DAYS_MAX).map(move |day| dated(day, &hash))
}

pub(crate) fn idempotency(
    hash: [u8; IDEMPOTENCY_HASH_LEN],
    (created_ms, key): IdempotencyColumns,
) -> Read<Idempotency> {
    Ok(Idempotency { hash, created_ms, key: key_of(&key, "idempotency", created_ms)? })
}

pub(crate) fn contact(number: Number, (wa_id, checked_ms): ContactColumns) -> Read<Contact> {
    let wa_id = wa_id
        .map(|digits| Number::from_digits(&digits))
        .transpose()
        .map_err(|_| corrupt("contact", "wa_id", "one number"))?;
    Ok(Contact { number, wa_id, checked_ms })
}

pub(crate) fn blocked((number, created_ms): BlockedColumns) -> Read<Blocked> {
    let number =
        Number::from_digits(&number).map_err(|_| corrupt("blocked", "number", "one number"))?;
    Ok(Blocked { number, created_ms })
}

/// Key and time of a received message.
pub(crate) fn heard((key, created_ms): HeardColumns) -> Read<(Key, i64)> {
    Ok((key_of(&key, "inbound", "one peer")?, created_ms))
}

/// What [`mark`] was written with a session is to be there still: a row that was put back by hand, or
/// with its table alone, is one whose keys may have been used.
pub(crate) fn session(
    shard: ShardId,
    wa_id: Number,
    (device, generation, record, marked): SessionColumns,
) -> Read<Session> {
    let device = device_of(device, "session")?;
    if marked.as_deref() != Some(mark(&record).as_slice()) {
        return Err(StoreError::RolledBack { row: format!("shard {shard}, device {device}") });
    }
    Ok(Session { wa_id, device, generation, record: record.into() })
}

pub(crate) fn identity(
    wa_id: Number,
    (device, key, created_ms, acknowledged): IdentityColumns,
) -> Read<Identity> {
    let device = device_of(device, "identity")?;
    Ok(Identity { wa_id, device, key: key.into(), created_ms, acknowledged: acknowledged != 0 })
}

pub(crate) fn own_key((kind, id, state, created_ms, body): OwnKeyColumns) -> OwnKey {
    OwnKey { kind, id, state, created_ms, body: body.into() }
}

pub(crate) fn config((name, version, document): ConfigColumns) -> Read<Config> {
    Ok(Config { name: text(name, "config", "name")?, version, document: Bytes::from(document) })
}

pub(crate) fn file(
    (id, created_ms, state, size, sha256, mime, source, uploaded_ms, handle): FileColumns,
) -> Read<File> {
    let id = <[u8; 16]>::try_from(id).map_err(|_| corrupt("media", "id", "one file"))?;
    let id = MediaId::from_bytes(id);
    let state = [MediaState::Stored, MediaState::Absent].into_iter().find(|s| *s as i16 == state);
    let handle = uploaded_ms.zip(handle).map(|(uploaded_ms, handle)| {
        let handle = text(handle, "blob_handle", "handle")?;
        Read::Ok(BlobHandle { id, uploaded_ms, handle })
    });
    Ok(File {
        media: Media {
            id,
            created_ms,
            state: state.ok_or_else(|| corrupt("media", "state", id))?,
            size,
            sha256: sha256.try_into().map_err(|_| corrupt("media", "sha256", id))?,
            mime: text(mime, "media", "mime")?,
            source: source.into(),
        },
        handle: handle.transpose()?,
    })
}

pub(crate) fn user((name, hash, admin, must_change, not_before): UserColumns) -> Read<User> {
    Ok(User {
        name: text(name, "user", "name")?,
        password_hash: text(hash, "user", "password_hash")?,
        admin: admin != 0,
        must_change: must_change != 0,
        not_before,
    })
}

pub(crate) fn revoked((rand, expires): RevokedColumns) -> Read<Revoked> {
    Ok(Revoked { rand: text(rand, "revoked", "rand")?, expires })
}

pub(crate) fn generation((generation, shard, first_seq): GenerationColumns) -> Read<Generation> {
    let shard =
        ShardId::new(shard).ok_or_else(|| corrupt("generation", "shard", "one generation"))?;
    Ok(Generation { generation, shard, first_seq })
}

pub(crate) fn shard((id, owner_inc, epoch, event_floor): ShardColumns) -> Read<Shard> {
    let id = ShardId::new(id).ok_or_else(|| corrupt("shard", "id", id))?;
    Ok(Shard { id, owner_inc, epoch, event_floor })
}

pub(crate) fn node((inc, name, addr, state, version, beat): NodeColumns) -> Read<Node> {
    Ok(Node {
        inc,
        name: text(name, "node", "name")?,
        addr: text(addr, "node", "addr")?,
        state: node_state(state).ok_or_else(|| corrupt("node", "state", inc))?,
        version: text(version, "node", "version")?,
        beat,
    })
}

pub(crate) fn node_state(state: i16) -> Option<NodeState> {
    [NodeState::Live, NodeState::Draining, NodeState::Dead]
        .into_iter()
        .find(|known| *known as i16 == state)
}

pub(crate) fn text(bytes: Vec<u8>, table: &'static str, column: &'static str) -> Read<String> {
    String::from_utf8(bytes).map_err(|_| corrupt(table, column, "one name"))
}

/// Of a session's record as it is stored; kept in another table, written in the same transaction.
pub(crate) fn mark(record: &[u8]) -> [u8; MARK_LEN] {
    let digest = ring::digest::digest(&ring::digest::SHA256, record);
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

fn shard_of(shard: i16, table: &'static str) -> Read<ShardId> {
    ShardId::new(shard).ok_or_else(|| corrupt(table, "shard", shard))
}

fn device_of(device: i64, table: &'static str) -> Read<i32> {
    i32::try_from(device).map_err(|_| corrupt(table, "device", device))
}

fn key_of(bytes: &[u8], table: &'static str, row: impl std::fmt::Display) -> Read<Key> {
    Key::from_bytes(bytes).map_err(|_| corrupt(table, "key", row))
}

fn corrupt(table: &'static str, column: &'static str, row: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { table, column, row: row.to_string() }
}
