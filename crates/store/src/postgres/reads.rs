//! Reads, on pooled connections.

use contract::{Key, MediaId, Route, ShardId};
use diesel::{
    OptionalExtension,
    sql_types::{BigInt, Binary, Nullable, SmallInt},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{
    codec::{self, Dated},
    error::StoreError,
    history::{Mark, Reach, Stretch},
    postgres::stmt::{
        Bind::{self, Big, Bigs, ManyBytes, Smalls},
        Stmt,
    },
    reader::{DeadPage, File, Found, Read, ShardLoad},
    reads,
    rows::{Config, DeadEvent, DeadState, Event, Generation, OwnKey, Revoked, Shard, User},
    unions::{self, LookedUp},
};

/// All kinds of one group in one round trip, with the columns of [`LookedUp`].
const LOOK_UP: &str = "\
    SELECT k.n, 0::smallint, c.checked_ms, 0::bigint, c.wa_id, NULL::bytea, 0::smallint FROM \
    unnest($1, $2, $3) AS k(n, shard, number) \
    JOIN contact c ON c.shard = k.shard AND c.number = k.number \
    UNION ALL \
    SELECT k.n, 1::smallint, m.created_ms, 0, m.body_hash || coalesce(t.context, ''::bytea), \
    m.body, 0::smallint FROM unnest($4, $5, $6) AS k(n, shard, key) \
    JOIN message m ON m.shard = k.shard AND m.key = k.key \
    LEFT JOIN trace t ON t.shard = m.shard AND t.key = m.key \
    UNION ALL \
    SELECT k.n, 2::smallint, s.device, s.generation, s.record, m.mark, 0::smallint FROM \
    unnest($7, $8, $9) AS k(n, shard, wa_id) \
    JOIN session s ON s.shard = k.shard AND s.wa_id = k.wa_id \
    LEFT JOIN session_mark m \
    ON m.shard = s.shard AND m.wa_id = s.wa_id AND m.device = s.device \
    UNION ALL \
    SELECT k.n, 3::smallint, i.device, i.created_ms, i.key, NULL, i.acknowledged FROM \
    unnest($7, $8, $9) AS k(n, shard, wa_id) \
    JOIN identity i ON i.shard = k.shard AND i.wa_id = k.wa_id \
    UNION ALL \
    SELECT k.n, 4::smallint, i.created_ms, 0, NULL, NULL, 0::smallint FROM \
    unnest($10, $11, $12, $13) AS k(n, shard, peer_hash, key) \
    JOIN inbound i ON i.shard = k.shard AND i.peer_hash = k.peer_hash AND i.key = k.key \
    UNION ALL \
    SELECT k.n, 5::smallint, i.created_ms, 0, i.key, NULL, 0::smallint FROM \
    unnest($14, $15, $16) AS k(n, shard, hash) \
    JOIN idempotency i ON i.shard = k.shard AND i.hash = k.hash";

pub(crate) async fn look_up(
    conn: &mut AsyncPgConnection,
    keys: &[(ShardId, Read)],
) -> Result<Vec<Result<Found, StoreError>>, StoreError> {
    type Row = (BigInt, SmallInt, BigInt, BigInt, Nullable<Binary>, Nullable<Binary>, SmallInt);
    let dated = unions::dated(keys);
    let binds = look_up_binds(keys, &dated);
    let rows: Vec<LookedUp> = Stmt::<Row>::new(LOOK_UP, &binds).load(conn).await?;
    Ok(unions::look_up(keys, rows))
}

/// The arrays of [`LOOK_UP`], in its order.
fn look_up_binds<'a>(
    keys: &'a [(ShardId, Read)],
    dated: &'a [(i64, i16, Dated)],
) -> [Bind<'a>; 16] {
    let mut contacts = (Vec::new(), Vec::new(), Vec::new());
    let mut messages = (Vec::new(), Vec::new(), Vec::new());
    let mut peers = (Vec::new(), Vec::new(), Vec::new());
    let mut inbound = (Vec::new(), Vec::new(), Vec::new());
    let mut routes = Vec::new();
    for (n, (shard, what)) in (0..).zip(keys) {
        let (list, key) = match what {
            Read::Contact(number) => (&mut contacts, number.as_bytes()),
            Read::Message(key) => (&mut messages, key.as_bytes()),
            Read::Peer(wa_id) => (&mut peers, wa_id.as_bytes()),
            Read::Inbound { peer, key } => {
                routes.push(peer.to_i64());
                (&mut inbound, key.as_bytes())
            }
            Read::Idempotency { .. } => continue,
        };
        list.0.push(n);
        list.1.push(shard.get());
        list.2.push(key);
    }
    [
        Bigs(contacts.0),
        Smalls(contacts.1),
        ManyBytes(contacts.2),
        Bigs(messages.0),
        Smalls(messages.1),
        ManyBytes(messages.2),
        Bigs(peers.0),
        Smalls(peers.1),
        ManyBytes(peers.2),
        Bigs(inbound.0),
        Smalls(inbound.1),
        Bigs(routes),
        ManyBytes(inbound.2),
        Bigs(dated.iter().map(|(n, ..)| *n).collect()),
        Smalls(dated.iter().map(|(_, shard, _)| *shard).collect()),
        ManyBytes(dated.iter().map(|(.., hash)| hash.as_slice()).collect()),
    ]
}

pub(crate) async fn load_shard(
    conn: &mut AsyncPgConnection,
    shard: ShardId,
) -> Result<ShardLoad, StoreError> {
    let id = shard.get();
    let jobs: Vec<codec::JobColumns> = reads::jobs(id).load(conn).await?;
    let outbox: Vec<codec::OutboxColumns> = reads::outboxes(id).load(conn).await?;
    let cursors: Vec<codec::CursorColumns> = reads::cursors(id).load(conn).await?;
    let blocked: Vec<codec::BlockedColumns> = reads::blocked_numbers(id).load(conn).await?;
    Ok(ShardLoad {
        blocked: blocked.into_iter().map(codec::blocked).collect::<Result<_, _>>()?,
        jobs: jobs.into_iter().map(codec::job).collect::<Result<_, _>>()?,
        outbox: outbox
            .into_iter()
            .map(|row| codec::outbox(shard, row))
            .collect::<Result<_, _>>()?,
        max_event_seq: reads::last_event(id).get_result(conn).await.optional()?.unwrap_or(0),
        event_floor: reads::event_floor(id).get_result(conn).await?,
        generation_start: reads::generation_start(id)
            .get_result(conn)
            .await
            .optional()?
            .unwrap_or(0),
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

pub(crate) async fn dead_events(
    conn: &mut AsyncPgConnection,
    page: DeadPage,
) -> Result<Vec<DeadEvent>, StoreError> {
    let DeadPage { endpoint, shard, state, after_seq, limit } = page;
    let rows: Vec<codec::DeadEventColumns> =
        reads::dead_events(endpoint, shard.get(), state as i16, after_seq, limit.into())
            .load(conn)
            .await?;
    rows.into_iter().map(|row| codec::dead_event(endpoint, row)).collect()
}

pub(crate) async fn dead_after(
    conn: &mut AsyncPgConnection,
    endpoint: i16,
    (shard, seq): (ShardId, i64),
    limit: i64,
) -> Result<Vec<(ShardId, DeadEvent)>, StoreError> {
    let rows: Vec<codec::DeadAfterColumns> =
        reads::dead_after(endpoint, shard.get(), seq, limit).load(conn).await?;
    rows.into_iter().map(|row| codec::dead_after(endpoint, row)).collect()
}

pub(crate) async fn messages_before(
    conn: &mut AsyncPgConnection,
    shard: ShardId,
    key: Key,
) -> Result<i64, StoreError> {
    Ok(reads::messages_before(shard.get(), key.as_bytes()).get_result(conn).await?)
}

pub(crate) async fn dead_count(
    conn: &mut AsyncPgConnection,
    endpoint: i16,
) -> Result<i64, StoreError> {
    Ok(reads::dead_count(endpoint, DeadState::Dead as i16).get_result(conn).await?)
}

pub(crate) async fn contact_page(
    conn: &mut AsyncPgConnection,
    shard: ShardId,
    after: &[u8],
    limit: i64,
) -> Result<Vec<(Vec<u8>, bool)>, StoreError> {
    Ok(reads::contact_page(shard.get(), after, limit).load(conn).await?)
}

pub(crate) async fn message_page(
    conn: &mut AsyncPgConnection,
    shard: ShardId,
    after: &[u8],
    limit: i64,
) -> Result<Vec<Vec<u8>>, StoreError> {
    Ok(reads::message_page(shard.get(), after, limit).load(conn).await?)
}

pub(crate) async fn event_page(
    conn: &mut AsyncPgConnection,
    shard: ShardId,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, i16)>, StoreError> {
    Ok(reads::event_page(shard.get(), after, limit).load(conn).await?)
}

pub(crate) async fn reaches(conn: &mut AsyncPgConnection) -> Result<Vec<Reach>, StoreError> {
    type Row = (SmallInt, BigInt, BigInt);
    let rows: Vec<codec::ReachColumns> = Stmt::<Row>::new(reads::REACHES, &[]).load(conn).await?;
    rows.into_iter().map(codec::reach).collect()
}

const MARKS: &str = "\
    SELECT k.shard, e.seq, e.kind, e.route_hash, e.held, e.created_ms, e.bytes FROM \
    unnest($1, $2, $3) AS k(shard, after, upto), \
    LATERAL (SELECT seq, kind, route_hash, held, created_ms, octet_length(body)::bigint AS bytes \
    FROM event WHERE shard = k.shard AND seq > k.after AND seq <= k.upto \
    ORDER BY seq LIMIT $4) AS e ORDER BY k.shard, e.seq";

pub(crate) async fn marks(
    conn: &mut AsyncPgConnection,
    stretches: &[Stretch],
    each: i64,
) -> Result<Vec<Mark>, StoreError> {
    type Row = (SmallInt, BigInt, SmallInt, BigInt, SmallInt, BigInt, BigInt);
    let binds = [
        Smalls(stretches.iter().map(|stretch| stretch.shard.get()).collect()),
        Bigs(stretches.iter().map(|stretch| stretch.after).collect()),
        Bigs(stretches.iter().map(|stretch| stretch.to).collect()),
        Big(each),
    ];
    let rows: Vec<codec::MarkColumns> = Stmt::<Row>::new(MARKS, &binds).load(conn).await?;
    rows.into_iter().map(codec::mark_of).collect()
}

pub(crate) async fn events_at(
    conn: &mut AsyncPgConnection,
    at: &[(ShardId, i64)],
) -> Result<Vec<Event>, StoreError> {
    type Row = (SmallInt, BigInt, SmallInt, BigInt, Nullable<Binary>, SmallInt, BigInt, Binary);
    let binds = [
        Smalls(at.iter().map(|(shard, _)| shard.get()).collect()),
        Bigs(at.iter().map(|(_, seq)| *seq).collect()),
    ];
    let rows: Vec<codec::EventAtColumns> = Stmt::<Row>::new(
        "SELECT e.shard, e.seq, e.kind, e.route_hash, e.msg_key, e.held, e.created_ms, e.body \
         FROM unnest($1, $2) AS k(shard, seq) \
         JOIN event e ON e.shard = k.shard AND e.seq = k.seq",
        &binds,
    )
    .load(conn)
    .await?;
    rows.into_iter().map(codec::event_at).collect()
}

pub(crate) async fn latest_inbound(
    conn: &mut AsyncPgConnection,
    shard: ShardId,
    peer: Route,
    limit: i64,
) -> Result<Vec<(Key, i64)>, StoreError> {
    let rows: Vec<codec::HeardColumns> =
        reads::latest_inbound(shard.get(), peer.to_i64(), limit).load(conn).await?;
    rows.into_iter().map(codec::heard).collect()
}

pub(crate) async fn shards(conn: &mut AsyncPgConnection) -> Result<Vec<Shard>, StoreError> {
    let rows: Vec<codec::ShardColumns> = reads::shards().load(conn).await?;
    rows.into_iter().map(codec::shard).collect()
}

pub(crate) async fn generations(
    conn: &mut AsyncPgConnection,
) -> Result<Vec<Generation>, StoreError> {
    let rows: Vec<codec::GenerationColumns> = reads::generations().load(conn).await?;
    rows.into_iter().map(codec::generation).collect()
}

pub(crate) async fn own_keys(conn: &mut AsyncPgConnection) -> Result<Vec<OwnKey>, StoreError> {
    let rows: Vec<codec::OwnKeyColumns> = reads::own_keys().load(conn).await?;
    Ok(rows.into_iter().map(codec::own_key).collect())
}

pub(crate) async fn file(
    conn: &mut AsyncPgConnection,
    id: MediaId,
) -> Result<Option<File>, StoreError> {
    let row: Option<codec::FileColumns> =
        reads::file(id.as_bytes()).get_result(conn).await.optional()?;
    row.map(codec::file).transpose()
}

pub(crate) async fn files_after(
    conn: &mut AsyncPgConnection,
    id: MediaId,
    limit: i64,
) -> Result<Vec<File>, StoreError> {
    let rows: Vec<codec::FileColumns> = reads::files_after(id.as_bytes(), limit).load(conn).await?;
    rows.into_iter().map(codec::file).collect()
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
