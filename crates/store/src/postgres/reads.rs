//! Reads, on pooled connections.

use contract::ShardId;
use diesel::{
    OptionalExtension,
    sql_types::{BigInt, Binary, Nullable},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{
    codec,
    error::StoreError,
    postgres::stmt::{
        Bind::{Bigs, ManyBytes, Smalls},
        Stmt,
    },
    reader::{Found, Read, ShardLoad},
    reads,
    rows::{Config, Event, Revoked, Shard, User},
};

/// Contacts and messages of one group in one round trip. A row says which of the keys it answers.
const LOOK_UP: &str = "\
    SELECT k.n, c.checked_ms, c.wa_id, NULL::bytea FROM \
    unnest($1, $2, $3) AS k(n, shard, number) \
    JOIN contact c ON c.shard = k.shard AND c.number = k.number \
    UNION ALL \
    SELECT k.n, m.created_ms, m.body_hash, m.body FROM \
    unnest($4, $5, $6) AS k(n, shard, key) \
    JOIN message m ON m.shard = k.shard AND m.key = k.key";

type LookedUp = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>);

pub(crate) async fn look_up(
    conn: &mut AsyncPgConnection,
    keys: &[(ShardId, Read)],
) -> Result<Vec<Found>, StoreError> {
    let mut contacts = (Vec::new(), Vec::new(), Vec::new());
    let mut messages = (Vec::new(), Vec::new(), Vec::new());
    for (n, (shard, what)) in (0..).zip(keys) {
        let (list, key) = match what {
            Read::Contact(number) => (&mut contacts, number.as_bytes()),
            Read::Message(key) => (&mut messages, key.as_bytes()),
        };
        list.0.push(n);
        list.1.push(shard.get());
        list.2.push(key);
    }
    let binds = [
        Bigs(contacts.0),
        Smalls(contacts.1),
        ManyBytes(contacts.2),
        Bigs(messages.0),
        Smalls(messages.1),
        ManyBytes(messages.2),
    ];
    type Row = (BigInt, BigInt, Nullable<Binary>, Nullable<Binary>);
    let rows: Vec<LookedUp> = Stmt::<Row>::new(LOOK_UP, &binds).load(conn).await?;

    let mut found: Vec<_> = keys
        .iter()
        .map(|(_, what)| match what {
            Read::Contact(_) => Found::Contact(None),
            Read::Message(_) => Found::Message(None),
        })
        .collect();
    for (n, ms, first, second) in rows {
        let Ok(n) = usize::try_from(n) else { continue };
        let (Some((_, what)), Some(found)) = (keys.get(n), found.get_mut(n)) else { continue };
        *found = match what {
            Read::Contact(number) => Found::Contact(Some(codec::contact(*number, (first, ms))?)),
            Read::Message(key) => {
                let columns = (ms, first.unwrap_or_default(), second.unwrap_or_default());
                Found::Message(Some(codec::message(*key, columns)?))
            }
        };
    }
    Ok(found)
}

pub(crate) async fn load_shard(
    conn: &mut AsyncPgConnection,
    shard: ShardId,
) -> Result<ShardLoad, StoreError> {
    let id = shard.get();
    let jobs: Vec<codec::JobColumns> = reads::jobs(id).load(conn).await?;
    let outbox: Vec<codec::OutboxColumns> = reads::outboxes(id).load(conn).await?;
    let cursors: Vec<codec::CursorColumns> = reads::cursors(id).load(conn).await?;
    Ok(ShardLoad {
        jobs: jobs.into_iter().map(codec::job).collect::<Result<_, _>>()?,
        outbox: outbox
            .into_iter()
            .map(|row| codec::outbox(shard, row))
            .collect::<Result<_, _>>()?,
        max_event_seq: reads::last_event(id).get_result(conn).await.optional()?.unwrap_or(0),
        event_floor: reads::event_floor(id).get_result(conn).await?,
        cursors: cursors.into_iter().map(codec::cursor).collect(),
    })
}

pub(crate) async fn events(
    conn: &mut AsyncPgConnection,
    shard: ShardId,
    after_seq: i64,
    limit: i64,
) -> Result<Vec<Event>, StoreError> {
    let rows: Vec<codec::EventColumns> =
        reads::events(shard.get(), after_seq, limit).load(conn).await?;
    rows.into_iter().map(|row| codec::event(shard, row)).collect()
}

pub(crate) async fn shards(conn: &mut AsyncPgConnection) -> Result<Vec<Shard>, StoreError> {
    let rows: Vec<codec::ShardColumns> = reads::shards().load(conn).await?;
    rows.into_iter().map(codec::shard).collect()
}

pub(crate) async fn users(conn: &mut AsyncPgConnection) -> Result<Vec<User>, StoreError> {
    let rows: Vec<codec::UserColumns> = reads::users().load(conn).await?;
    rows.into_iter().map(codec::user).collect()
}

pub(crate) async fn user(
    conn: &mut AsyncPgConnection,
    name: &str,
) -> Result<Option<User>, StoreError> {
    let row: Option<codec::UserColumns> =
        reads::user_named(name.as_bytes()).get_result(conn).await.optional()?;
    row.map(codec::user).transpose()
}

pub(crate) async fn config(
    conn: &mut AsyncPgConnection,
    name: &str,
) -> Result<Option<Config>, StoreError> {
    let row: Option<codec::ConfigColumns> =
        reads::configs(name.as_bytes()).get_result(conn).await.optional()?;
    row.map(codec::config).transpose()
}

pub(crate) async fn revoked(conn: &mut AsyncPgConnection) -> Result<Vec<Revoked>, StoreError> {
    let rows: Vec<codec::RevokedColumns> = reads::revocations().load(conn).await?;
    rows.into_iter().map(codec::revoked).collect()
}
