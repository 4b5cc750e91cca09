//! Reads, on the read connection. Look-ups go one by one: a cached statement by primary key costs a
//! few microseconds, and the whole group is one hop to the thread.

use contract::{Key, MediaId, Route, ShardId};
use diesel::{
    OptionalExtension, RunQueryDsl, SqliteConnection,
    sql_types::{BigInt, Binary, Nullable, SmallInt},
};

use crate::{
    codec,
    error::StoreError,
    history::{Mark, Reach, Stretch},
    reader::{DeadPage, File, Found, Read, ShardLoad},
    reads,
    rows::{Config, DeadEvent, DeadState, Event, Generation, OwnKey, Revoked, Shard, User},
    sqlite::stmt::{
        Bind::{Big, Bytes, Small},
        Stmt,
    },
};

pub(crate) fn look_up(
    conn: &mut SqliteConnection,
    keys: &[(ShardId, Read)],
) -> Result<Vec<Result<Found, StoreError>>, StoreError> {
    let one = |(shard, what): &(ShardId, Read)| match one(conn, *shard, *what) {
        Err(error) if error.is_transient() => Err(error),
        result => Ok(result),
    };
    keys.iter().map(one).collect()
}

fn one(conn: &mut SqliteConnection, shard: ShardId, what: Read) -> Result<Found, StoreError> {
    match what {
        Read::Contact(number) => {
            let rows: Vec<codec::ContactColumns> = Stmt::<(Nullable<Binary>, BigInt)>::new(
                "SELECT wa_id, checked_ms FROM contact WHERE shard = ? AND number = ?",
                &[Small(shard.get()), Bytes(number.as_bytes())],
            )
            .load(conn)?;
            let row = rows.into_iter().next();
            Ok(Found::Contact(row.map(|row| codec::contact(number, row)).transpose()?))
        }
        Read::Message(key) => {
            type Row = (BigInt, Binary, Nullable<Binary>, Binary);
            type Columns = (i64, Vec<u8>, Option<Vec<u8>>, Vec<u8>);
            let rows: Vec<Columns> = Stmt::<Row>::new(
                "SELECT m.created_ms, m.body_hash, t.context, m.body FROM message m \
                 LEFT JOIN trace t USING (shard, key) WHERE m.shard = ? AND m.key = ?",
                &[Small(shard.get()), Bytes(key.as_bytes())],
            )
            .load(conn)?;
            let row = rows.into_iter().next().map(|(created_ms, mut hash, trace, body)| {
                hash.extend(trace.unwrap_or_default());
                (created_ms, hash, body)
            });
            Ok(Found::Message(row.map(|row| codec::message(key, row)).transpose()?))
        }
        Read::Peer(wa_id) => {
            let binds = [Small(shard.get()), Bytes(wa_id.as_bytes())];
            let sessions: Vec<codec::SessionColumns> =
                Stmt::<(BigInt, BigInt, Binary, Nullable<Binary>)>::new(
                    "SELECT s.device, s.generation, s.record, m.mark FROM session s \
                 LEFT JOIN session_mark m USING (shard, wa_id, device) \
                 WHERE s.shard = ? AND s.wa_id = ? ORDER BY s.device",
                    &binds,
                )
                .load(conn)?;
            let identities: Vec<codec::IdentityColumns> =
                Stmt::<(BigInt, Binary, BigInt, SmallInt)>::new(
                    "SELECT device, key, created_ms, acknowledged FROM identity \
                     WHERE shard = ? AND wa_id = ? ORDER BY device",
                    &binds,
                )
                .load(conn)?;
            Ok(Found::Peer {
                sessions: sessions
                    .into_iter()
                    .map(|row| codec::session(shard, wa_id, row))
                    .collect::<Result<_, _>>()?,
                identities: identities
                    .into_iter()
                    .map(|row| codec::identity(wa_id, row))
                    .collect::<Result<_, _>>()?,
            })
        }
        Read::Inbound { peer, key } => {
            let rows: Vec<i64> = Stmt::<BigInt>::new(
                "SELECT created_ms FROM inbound WHERE shard = ? AND peer_hash = ? AND key = ?",
                &[Small(shard.get()), Big(peer.to_i64()), Bytes(key.as_bytes())],
            )
            .load(conn)?;
            Ok(Found::Inbound(!rows.is_empty()))
        }
        Read::Idempotency { hash, from_ms, to_ms } => {
            for dated in codec::dates(hash, from_ms, to_ms) {
                let rows: Vec<codec::IdempotencyColumns> = Stmt::<(BigInt, Binary)>::new(
                    "SELECT created_ms, key FROM idempotency WHERE shard = ? AND hash = ?",
                    &[Small(shard.get()), Bytes(&dated)],
                )
                .load(conn)?;
                if let Some(row) = rows.into_iter().next() {
                    return Ok(Found::Idempotency(Some(codec::idempotency(hash, row)?)));
                }
            }
            Ok(Found::Idempotency(None))
        }
    }
}

pub(crate) fn load_shard(
    conn: &mut SqliteConnection,
    shard: ShardId,
) -> Result<ShardLoad, StoreError> {
    let id = shard.get();
    let jobs: Vec<codec::JobColumns> = reads::jobs(id).load(conn)?;
    let outbox: Vec<codec::OutboxColumns> = reads::outboxes(id).load(conn)?;
    let cursors: Vec<codec::CursorColumns> = reads::cursors(id).load(conn)?;
    let blocked: Vec<codec::BlockedColumns> = reads::blocked_numbers(id).load(conn)?;
    Ok(ShardLoad {
        blocked: blocked.into_iter().map(codec::blocked).collect::<Result<_, _>>()?,
        jobs: jobs.into_iter().map(codec::job).collect::<Result<_, _>>()?,
        outbox: outbox
            .into_iter()
            .map(|row| codec::outbox(shard, row))
            .collect::<Result<_, _>>()?,
        max_event_seq: reads::last_event(id).first(conn).optional()?.unwrap_or(0),
        event_floor: reads::event_floor(id).first(conn)?,
        generation_start: reads::generation_start(id).first(conn).optional()?.unwrap_or(0),
        cursors: cursors.into_iter().map(codec::cursor).collect(),
    })
}

pub(crate) fn events(
    conn: &mut SqliteConnection,
    shard: ShardId,
    after_seq: i64,
    limit: i64,
) -> Result<Vec<Event>, StoreError> {
    let rows: Vec<codec::EventColumns> = reads::events(shard.get(), after_seq, limit).load(conn)?;
    rows.into_iter().map(|row| codec::event(shard, row)).collect()
}

pub(crate) fn dead_events(
    conn: &mut SqliteConnection,
    page: DeadPage,
) -> Result<Vec<DeadEvent>, StoreError> {
    let DeadPage { endpoint, shard, state, after_seq, limit } = page;
    let rows: Vec<codec::DeadEventColumns> =
        reads::dead_events(endpoint, shard.get(), state as i16, after_seq, limit.into())
            .load(conn)?;
    rows.into_iter().map(|row| codec::dead_event(endpoint, row)).collect()
}

pub(crate) fn dead_after(
    conn: &mut SqliteConnection,
    endpoint: i16,
    (shard, seq): (ShardId, i64),
    limit: i64,
) -> Result<Vec<(ShardId, DeadEvent)>, StoreError> {
    let rows: Vec<codec::DeadAfterColumns> =
        reads::dead_after(endpoint, shard.get(), seq, limit).load(conn)?;
    rows.into_iter().map(|row| codec::dead_after(endpoint, row)).collect()
}

pub(crate) fn messages_before(
    conn: &mut SqliteConnection,
    shard: ShardId,
    key: Key,
) -> Result<i64, StoreError> {
    Ok(reads::messages_before(shard.get(), key.as_bytes()).first(conn)?)
}

pub(crate) fn dead_count(conn: &mut SqliteConnection, endpoint: i16) -> Result<i64, StoreError> {
    Ok(reads::dead_count(endpoint, DeadState::Dead as i16).first(conn)?)
}

pub(crate) fn contact_page(
    conn: &mut SqliteConnection,
    shard: ShardId,
    after: &[u8],
    limit: i64,
) -> Result<Vec<(Vec<u8>, bool)>, StoreError> {
    Ok(reads::contact_page(shard.get(), after, limit).load(conn)?)
}

pub(crate) fn message_page(
    conn: &mut SqliteConnection,
    shard: ShardId,
    after: &[u8],
    limit: i64,
) -> Result<Vec<Vec<u8>>, StoreError> {
    Ok(reads::message_page(shard.get(), after, limit).load(conn)?)
}

pub(crate) fn event_page(
    conn: &mut SqliteConnection,
    shard: ShardId,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, i16)>, StoreError> {
    Ok(reads::event_page(shard.get(), after, limit).load(conn)?)
}

pub(crate) fn reaches(conn: &mut SqliteConnection) -> Result<Vec<Reach>, StoreError> {
    let rows: Vec<codec::ReachColumns> =
        Stmt::<(SmallInt, BigInt, BigInt)>::new(reads::REACHES, &[]).load(conn)?;
    rows.into_iter().map(codec::reach).collect()
}

pub(crate) fn marks(
    conn: &mut SqliteConnection,
    stretches: &[Stretch],
    each: i64,
) -> Result<Vec<Mark>, StoreError> {
    type Row = (SmallInt, BigInt, SmallInt, BigInt, SmallInt, BigInt, BigInt);
    let mut marks = Vec::new();
    for Stretch { shard, after, to } in stretches {
        let rows: Vec<codec::MarkColumns> = Stmt::<Row>::new(
            "SELECT shard, seq, kind, route_hash, held, created_ms, length(body) FROM event \
             WHERE shard = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
            &[Small(shard.get()), Big(*after), Big(*to), Big(each)],
        )
        .load(conn)?;
        for row in rows {
            marks.push(codec::mark_of(row)?);
        }
    }
    Ok(marks)
}

pub(crate) fn events_at(
    conn: &mut SqliteConnection,
    at: &[(ShardId, i64)],
) -> Result<Vec<Event>, StoreError> {
    type Row = (SmallInt, BigInt, SmallInt, BigInt, Nullable<Binary>, SmallInt, BigInt, Binary);
    let mut events = Vec::with_capacity(at.len());
    for (shard, seq) in at {
        let rows: Vec<codec::EventAtColumns> = Stmt::<Row>::new(
            "SELECT shard, seq, kind, route_hash, msg_key, held, created_ms, body FROM event \
             WHERE shard = ? AND seq = ?",
            &[Small(shard.get()), Big(*seq)],
        )
        .load(conn)?;
        for row in rows {
            events.push(codec::event_at(row)?);
        }
    }
    Ok(events)
}

pub(crate) fn latest_inbound(
    conn: &mut SqliteConnection,
    shard: ShardId,
    peer: Route,
    limit: i64,
) -> Result<Vec<(Key, i64)>, StoreError> {
    let rows: Vec<codec::HeardColumns> =
        reads::latest_inbound(shard.get(), peer.to_i64(), limit).load(conn)?;
    rows.into_iter().map(codec::heard).collect()
}

pub(crate) fn shards(conn: &mut SqliteConnection) -> Result<Vec<Shard>, StoreError> {
    let rows: Vec<codec::ShardColumns> = reads::shards().load(conn)?;
    rows.into_iter().map(codec::shard).collect()
}

pub(crate) fn generations(conn: &mut SqliteConnection) -> Result<Vec<Generation>, StoreError> {
    let rows: Vec<codec::GenerationColumns> = reads::generations().load(conn)?;
    rows.into_iter().map(codec::generation).collect()
}

pub(crate) fn own_keys(conn: &mut SqliteConnection) -> Result<Vec<OwnKey>, StoreError> {
    let rows: Vec<codec::OwnKeyColumns> = reads::own_keys().load(conn)?;
    Ok(rows.into_iter().map(codec::own_key).collect())
}

pub(crate) fn file(conn: &mut SqliteConnection, id: MediaId) -> Result<Option<File>, StoreError> {
    let row: Option<codec::FileColumns> = reads::file(id.as_bytes()).first(conn).optional()?;
    row.map(codec::file).transpose()
}

pub(crate) fn files_after(
    conn: &mut SqliteConnection,
    id: MediaId,
    limit: i64,
) -> Result<Vec<File>, StoreError> {
    let rows: Vec<codec::FileColumns> = reads::files_after(id.as_bytes(), limit).load(conn)?;
    rows.into_iter().map(codec::file).collect()
}

pub(crate) fn users(conn: &mut SqliteConnection) -> Result<Vec<User>, StoreError> {
    let rows: Vec<codec::UserColumns> = reads::users().load(conn)?;
    rows.into_iter().map(codec::user).collect()
}

pub(crate) fn user(conn: &mut SqliteConnection, name: &str) -> Result<Option<User>, StoreError> {
    let row: Option<codec::UserColumns> =
        reads::user_named(name.as_bytes()).first(conn).optional()?;
    row.map(codec::user).transpose()
}

pub(crate) fn config(
    conn: &mut SqliteConnection,
    name: &str,
) -> Result<Option<Config>, StoreError> {
    let row: Option<codec::ConfigColumns> =
        reads::configs(name.as_bytes()).first(conn).optional()?;
    row.map(codec::config).transpose()
}

pub(crate) fn revoked(conn: &mut SqliteConnection) -> Result<Vec<Revoked>, StoreError> {
    let rows: Vec<codec::RevokedColumns> = reads::revocations().load(conn)?;
    rows.into_iter().map(codec::revoked).collect()
}
