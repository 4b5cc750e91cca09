//! Reads, on pooled connections. What is read together is one text, so one round trip.

use contract::{Key, MediaId, Route, ShardId};
use mysql_async::{Conn, prelude::Queryable};

use crate::{
    codec,
    error::StoreError,
    history::{Mark, Reach, Stretch},
    mysql::{
        connect::{next_rows, rows},
        text::{Row, Text},
    },
    reader::{DeadPage, File, Found, Read, ShardLoad},
    reads::REACHES,
    rows::{Config, DeadEvent, DeadState, Event, Generation, OwnKey, Revoked, Shard, User},
    unions::{self, LookedUp},
};

/// The parts of a look-up, with the columns of [`LookedUp`], each around a table of keys `k`. The
/// keys come first and their rows by primary key, whatever the optimizer believes.
const CONTACT: [&str; 2] = [
    "SELECT STRAIGHT_JOIN k.n, 0, c.checked_ms, 0, c.wa_id, NULL, 0 FROM ",
    " k JOIN contact c FORCE INDEX (PRIMARY) ON c.shard = k.shard AND c.number = k.k",
];
const MESSAGE: [&str; 2] = [
    "SELECT STRAIGHT_JOIN k.n, 1, m.created_ms, 0, \
     CONCAT(m.body_hash, COALESCE(t.context, '')), m.body, 0 FROM ",
    " k JOIN message m FORCE INDEX (PRIMARY) ON m.shard = k.shard AND m.`key` = k.k \
     LEFT JOIN trace t FORCE INDEX (PRIMARY) ON t.shard = m.shard AND t.`key` = m.`key`",
];
const SESSION: [&str; 2] = [
    "SELECT STRAIGHT_JOIN k.n, 2, s.device, s.generation, s.record, m.mark, 0 FROM ",
    " k JOIN `session` s FORCE INDEX (PRIMARY) ON s.shard = k.shard AND s.wa_id = k.k \
     LEFT JOIN session_mark m FORCE INDEX (PRIMARY) \
     ON m.shard = s.shard AND m.wa_id = s.wa_id AND m.device = s.device",
];
const IDENTITY: [&str; 2] = [
    "SELECT STRAIGHT_JOIN k.n, 3, i.device, i.created_ms, i.`key`, NULL, i.acknowledged FROM ",
    " k JOIN identity i FORCE INDEX (PRIMARY) ON i.shard = k.shard AND i.wa_id = k.k",
];
const INBOUND: [&str; 2] = [
    "SELECT STRAIGHT_JOIN k.n, 4, i.created_ms, 0, NULL, NULL, 0 FROM ",
    " k JOIN inbound i FORCE INDEX (PRIMARY) \
     ON i.shard = k.shard AND i.peer_hash = k.peer_hash AND i.`key` = k.k",
];

const IDEMPOTENCY: [&str; 2] = [
    "SELECT STRAIGHT_JOIN k.n, 5, i.created_ms, 0, i.`key`, NULL, 0 FROM ",
    " k JOIN idempotency i FORCE INDEX (PRIMARY) ON i.shard = k.shard AND i.hash = k.k",
];

pub(crate) async fn look_up(
    conn: &mut Conn,
    keys: &[(ShardId, Read)],
) -> Result<Vec<Result<Found, StoreError>>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<LookedUp> = rows(conn, &look_up_text(keys)).await?;
    Ok(unions::look_up(keys, rows))
}

fn look_up_text(keys: &[(ShardId, Read)]) -> Text {
    let mut text = Text::default();
    let numbered = || (0i64..).zip(keys).map(|(n, (shard, what))| (n, shard.get(), *what));
    let contacts = numbered().filter_map(|(n, shard, what)| match what {
        Read::Contact(number) => Some((n, shard, number)),
        _ => None,
    });
    part(&mut text, CONTACT, contacts, |row, number| row.bytes("k", number.as_bytes()));
    let messages = numbered().filter_map(|(n, shard, what)| match what {
        Read::Message(key) => Some((n, shard, key)),
        _ => None,
    });
    part(&mut text, MESSAGE, messages, |row, key| row.bytes("k", key.as_bytes()));
    for table in [SESSION, IDENTITY] {
        let peers = numbered().filter_map(|(n, shard, what)| match what {
            Read::Peer(wa_id) => Some((n, shard, wa_id)),
            _ => None,
        });
        part(&mut text, table, peers, |row, wa_id| row.bytes("k", wa_id.as_bytes()));
    }
    let inbound = numbered().filter_map(|(n, shard, what)| match what {
        Read::Inbound { peer, key } => Some((n, shard, (peer, key))),
        _ => None,
    });
    part(&mut text, INBOUND, inbound, |row, (peer, key)| {
        row.int("peer_hash", peer.to_i64()).bytes("k", key.as_bytes())
    });
    part(&mut text, IDEMPOTENCY, unions::dated(keys), |row, hash| row.bytes("k", &hash));
    text
}

/// A part of a look-up: the number of each key, its shard, and the rest of it as `each` writes it.
/// Nothing without keys.
fn part<K>(
    text: &mut Text,
    [before, after]: [&'static str; 2],
    keys: impl IntoIterator<Item = (i64, i16, K)>,
    each: impl for<'a, 'b> Fn(&'a mut Row<'b>, K) -> &'a mut Row<'b>,
) {
    let mut keys = keys.into_iter().peekable();
    if keys.peek().is_none() {
        return;
    }
    text.sql(if text.len() == 0 { "" } else { " UNION ALL " }).sql(before);
    text.keys(keys, |row: &mut Row<'_>, (n, shard, key)| {
        each(row.int("n", n).int("shard", shard), key);
    });
    text.sql(after);
}

pub(crate) async fn load_shard(conn: &mut Conn, shard: ShardId) -> Result<ShardLoad, StoreError> {
    let of = shard.get();
    let mut text = Text::of(
        "SELECT j.id, j.`key`, j.route_hash, j.created_ms, j.header, t.context FROM job j \
         LEFT JOIN trace t FORCE INDEX (PRIMARY) ON t.shard = j.shard AND t.`key` = j.`key` \
         WHERE j.shard = ",
    );
    text.int(of)
        .sql(" ORDER BY j.id;SELECT `key`, device, kind, payload FROM outbox WHERE shard = ");
    text.int(of)
        .sql(" ORDER BY `key`, device;SELECT coalesce(max(seq), 0) FROM event WHERE shard = ");
    text.int(of).sql(";SELECT event_floor FROM shard WHERE id = ");
    text.int(of).sql(";SELECT endpoint, read_to, holes FROM `cursor` WHERE shard = ");
    text.int(of).sql(" ORDER BY endpoint;SELECT number, created_ms FROM blocked WHERE shard = ");
    text.int(of).sql(" ORDER BY route_hash;SELECT first_seq FROM generation WHERE shard = ");
    text.int(of).sql(" ORDER BY generation DESC LIMIT 1");
    let mut result = conn.query_iter(text.as_bytes()).await?;
    let jobs: Vec<codec::JobColumns> = next_rows(&mut result).await?;
    let outbox: Vec<codec::OutboxColumns> = next_rows(&mut result).await?;
    let last: Vec<i64> = next_rows(&mut result).await?;
    let floor: Vec<i64> = next_rows(&mut result).await?;
    let cursors: Vec<codec::CursorColumns> = next_rows(&mut result).await?;
    let blocked: Vec<codec::BlockedColumns> = next_rows(&mut result).await?;
    let generation: Vec<i64> = next_rows(&mut result).await?;
    result.drop_result().await?;
    let one = |rows: &[i64]| rows.first().copied();
    Ok(ShardLoad {
        blocked: blocked.into_iter().map(codec::blocked).collect::<Result<_, _>>()?,
        jobs: jobs.into_iter().map(codec::job).collect::<Result<_, _>>()?,
        outbox: outbox
            .into_iter()
            .map(|row| codec::outbox(shard, row))
            .collect::<Result<_, _>>()?,
        max_event_seq: one(&last).unwrap_or(0),
        event_floor: one(&floor)
            .ok_or_else(|| StoreError::Database(format!("shard {shard} has no row")))?,
        generation_start: one(&generation).unwrap_or(0),
        cursors: cursors.into_iter().map(codec::cursor).collect(),
    })
}

pub(crate) async fn events(
    conn: &mut Conn,
    shard: ShardId,
    after_seq: i64,
    limit: i64,
) -> Result<Vec<Event>, StoreError> {
    let mut text = Text::of(
        "SELECT e.seq, e.kind, e.route_hash, e.msg_key, e.held, e.created_ms, e.body, t.context \
         FROM event e LEFT JOIN trace t FORCE INDEX (PRIMARY) \
         ON t.shard = e.shard AND t.`key` = e.msg_key WHERE e.shard = ",
    );
    text.int(shard.get()).sql(" AND e.seq > ").int(after_seq);
    text.sql(" ORDER BY e.seq LIMIT ").int(limit);
    let rows: Vec<codec::EventColumns> = rows(conn, &text).await?;
    rows.into_iter().map(|row| codec::event(shard, row)).collect()
}

pub(crate) async fn dead_events(
    conn: &mut Conn,
    page: DeadPage,
) -> Result<Vec<DeadEvent>, StoreError> {
    let DeadPage { endpoint, shard, state, after_seq, limit } = page;
    let mut text = Text::of(
        "SELECT e.seq, e.kind, e.route_hash, e.msg_key, e.state, e.due_ms, e.tries, e.created_ms, \
         e.body, r.tried, t.context FROM dead_event e LEFT JOIN refusal r FORCE INDEX (PRIMARY) \
         ON r.endpoint = e.endpoint AND r.shard = e.shard AND r.seq = e.seq \
         LEFT JOIN trace t FORCE INDEX (PRIMARY) ON t.shard = e.shard AND t.`key` = e.msg_key \
         WHERE e.endpoint = ",
    );
    text.int(endpoint).sql(" AND e.shard = ").int(shard.get()).sql(" AND e.seq > ").int(after_seq);
    text.sql(" AND e.state = ").int(state as i16).sql(" ORDER BY e.seq LIMIT ").int(limit);
    let rows: Vec<codec::DeadEventColumns> = rows(conn, &text).await?;
    rows.into_iter().map(|row| codec::dead_event(endpoint, row)).collect()
}

pub(crate) async fn dead_after(
    conn: &mut Conn,
    endpoint: i16,
    (shard, seq): (ShardId, i64),
    limit: i64,
) -> Result<Vec<(ShardId, DeadEvent)>, StoreError> {
    let mut text = Text::of(
        "SELECT e.shard, e.seq, e.kind, e.route_hash, e.msg_key, e.state, e.due_ms, e.tries, \
         e.created_ms, e.body, r.tried FROM dead_event e LEFT JOIN refusal r FORCE INDEX (PRIMARY) \
         ON r.endpoint = e.endpoint AND r.shard = e.shard AND r.seq = e.seq WHERE e.endpoint = ",
    );
    text.int(endpoint).sql(" AND (e.shard > ").int(shard.get());
    text.sql(" OR e.shard = ").int(shard.get()).sql(" AND e.seq > ").int(seq);
    text.sql(") ORDER BY e.shard, e.seq LIMIT ").int(limit);
    let rows: Vec<codec::DeadAfterColumns> = rows(conn, &text).await?;
    rows.into_iter().map(|row| codec::dead_after(endpoint, row)).collect()
}

pub(crate) async fn messages_before(
    conn: &mut Conn,
    shard: ShardId,
    key: Key,
) -> Result<i64, StoreError> {
    let mut text = Text::of("SELECT count(*) FROM message WHERE shard = ");
    text.int(shard.get()).sql(" AND `key` < ").bytes(key.as_bytes());
    let rows: Vec<i64> = rows(conn, &text).await?;
    Ok(rows.first().copied().unwrap_or(0))
}

pub(crate) async fn dead_count(conn: &mut Conn, endpoint: i16) -> Result<i64, StoreError> {
    let mut text = Text::of("SELECT count(*) FROM dead_event WHERE endpoint = ");
    text.int(endpoint).sql(" AND state = ").int(DeadState::Dead as i16);
    let rows: Vec<i64> = rows(conn, &text).await?;
    Ok(rows.first().copied().unwrap_or(0))
}

pub(crate) async fn contact_page(
    conn: &mut Conn,
    shard: ShardId,
    after: &[u8],
    limit: i64,
) -> Result<Vec<(Vec<u8>, bool)>, StoreError> {
    let mut text = Text::of("SELECT number, wa_id IS NOT NULL FROM contact WHERE shard = ");
    text.int(shard.get()).sql(" AND number > ").bytes(after);
    text.sql(" ORDER BY number LIMIT ").int(limit);
    rows(conn, &text).await
}

pub(crate) async fn message_page(
    conn: &mut Conn,
    shard: ShardId,
    after: &[u8],
    limit: i64,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut text = Text::of("SELECT `key` FROM message WHERE shard = ");
    text.int(shard.get()).sql(" AND `key` > ").bytes(after);
    text.sql(" ORDER BY `key` LIMIT ").int(limit);
    rows(conn, &text).await
}

pub(crate) async fn event_page(
    conn: &mut Conn,
    shard: ShardId,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, i16)>, StoreError> {
    let mut text = Text::of("SELECT seq, kind FROM event WHERE shard = ");
    text.int(shard.get()).sql(" AND seq > ").int(after);
    text.sql(" ORDER BY seq LIMIT ").int(limit);
    rows(conn, &text).await
}

pub(crate) async fn reaches(conn: &mut Conn) -> Result<Vec<Reach>, StoreError> {
    let rows: Vec<codec::ReachColumns> = rows(conn, &Text::of(REACHES)).await?;
    rows.into_iter().map(codec::reach).collect()
}

/// One SELECT a stretch: MariaDB has no LATERAL.
pub(crate) async fn marks(
    conn: &mut Conn,
    stretches: &[Stretch],
    each: i64,
) -> Result<Vec<Mark>, StoreError> {
    let mut text = Text::default();
    for (n, Stretch { shard, after, to }) in stretches.iter().enumerate() {
        text.sql(if n == 0 { "(" } else { " UNION ALL (" }).sql(
            "SELECT shard, seq, kind, route_hash, held, created_ms, length(body) FROM event \
             WHERE shard = ",
        );
        text.int(shard.get()).sql(" AND seq > ").int(*after).sql(" AND seq <= ").int(*to);
        text.sql(" ORDER BY seq LIMIT ").int(each).sql(")");
    }
    let rows: Vec<codec::MarkColumns> = rows(conn, &text).await?;
    let mut marks = rows.into_iter().map(codec::mark_of).collect::<Result<Vec<_>, _>>()?;
    marks.sort_unstable_by_key(|mark| (mark.shard, mark.seq));
    Ok(marks)
}

pub(crate) async fn events_at(
    conn: &mut Conn,
    at: &[(ShardId, i64)],
) -> Result<Vec<Event>, StoreError> {
    let mut text = Text::of(
        "SELECT STRAIGHT_JOIN e.shard, e.seq, e.kind, e.route_hash, e.msg_key, e.held, \
         e.created_ms, e.body FROM ",
    );
    text.keys(at, |row: &mut Row<'_>, (shard, seq)| {
        row.int("shard", shard.get()).int("seq", *seq);
    });
    text.sql(" k JOIN event e FORCE INDEX (PRIMARY) ON e.shard = k.shard AND e.seq = k.seq");
    let rows: Vec<codec::EventAtColumns> = rows(conn, &text).await?;
    rows.into_iter().map(codec::event_at).collect()
}

pub(crate) async fn latest_inbound(
    conn: &mut Conn,
    shard: ShardId,
    peer: Route,
    limit: i64,
) -> Result<Vec<(Key, i64)>, StoreError> {
    let mut text = Text::of("SELECT `key`, created_ms FROM inbound WHERE shard = ");
    text.int(shard.get()).sql(" AND peer_hash = ").int(peer.to_i64());
    text.sql(" ORDER BY created_ms DESC, `key` DESC LIMIT ").int(limit);
    let rows: Vec<codec::HeardColumns> = rows(conn, &text).await?;
    rows.into_iter().map(codec::heard).collect()
}

pub(crate) async fn shards(conn: &mut Conn) -> Result<Vec<Shard>, StoreError> {
    let text = Text::of("SELECT id, owner_inc, epoch, event_floor FROM shard ORDER BY id");
    let rows: Vec<codec::ShardColumns> = rows(conn, &text).await?;
    rows.into_iter().map(codec::shard).collect()
}

pub(crate) async fn generations(conn: &mut Conn) -> Result<Vec<Generation>, StoreError> {
    let text =
        Text::of("SELECT generation, shard, first_seq FROM generation ORDER BY generation, shard");
    let rows: Vec<codec::GenerationColumns> = rows(conn, &text).await?;
    rows.into_iter().map(codec::generation).collect()
}

pub(crate) async fn own_keys(conn: &mut Conn) -> Result<Vec<OwnKey>, StoreError> {
    let text = Text::of("SELECT kind, id, state, created_ms, body FROM own_key ORDER BY kind, id");
    let rows: Vec<codec::OwnKeyColumns> = rows(conn, &text).await?;
    Ok(rows.into_iter().map(codec::own_key).collect())
}

const FILES: &str = "SELECT m.id, m.created_ms, m.state, m.size, m.sha256, m.mime, m.source, \
    h.uploaded_ms, h.handle FROM media m LEFT JOIN blob_handle h ON h.id = m.id WHERE m.id ";

pub(crate) async fn file(conn: &mut Conn, id: MediaId) -> Result<Option<File>, StoreError> {
    let mut text = Text::of(FILES);
    text.sql("= ").bytes(id.as_bytes());
    let rows: Vec<codec::FileColumns> = rows(conn, &text).await?;
    rows.into_iter().next().map(codec::file).transpose()
}

pub(crate) async fn files_after(
    conn: &mut Conn,
    id: MediaId,
    limit: i64,
) -> Result<Vec<File>, StoreError> {
    let mut text = Text::of(FILES);
    text.sql("> ").bytes(id.as_bytes()).sql(" ORDER BY m.id LIMIT ").int(limit);
    let rows: Vec<codec::FileColumns> = rows(conn, &text).await?;
    rows.into_iter().map(codec::file).collect()
}

const USERS: &str = "SELECT name, password_hash, admin, must_change, not_before FROM `user`";

pub(crate) async fn users(conn: &mut Conn) -> Result<Vec<User>, StoreError> {
    let mut text = Text::of(USERS);
    text.sql(" ORDER BY name");
    let rows: Vec<codec::UserColumns> = rows(conn, &text).await?;
    rows.into_iter().map(codec::user).collect()
}

pub(crate) async fn user(conn: &mut Conn, name: &str) -> Result<Option<User>, StoreError> {
    let mut text = Text::of(USERS);
    text.sql(" WHERE name = ").bytes(name.as_bytes());
    let rows: Vec<codec::UserColumns> = rows(conn, &text).await?;
    rows.into_iter().next().map(codec::user).transpose()
}

pub(crate) async fn config(conn: &mut Conn, name: &str) -> Result<Option<Config>, StoreError> {
    let mut text = Text::of("SELECT name, version, document FROM config WHERE name = ");
    text.bytes(name.as_bytes());
    let rows: Vec<codec::ConfigColumns> = rows(conn, &text).await?;
    rows.into_iter().next().map(codec::config).transpose()
}

pub(crate) async fn revoked(conn: &mut Conn) -> Result<Vec<Revoked>, StoreError> {
    let text = Text::of("SELECT rand, expires FROM revoked ORDER BY rand");
    let rows: Vec<codec::RevokedColumns> = rows(conn, &text).await?;
    rows.into_iter().map(codec::revoked).collect()
}
