//! A batch as one statement: the fence is its first part, every other part writes one table from
//! arrays and only if the fence moved. One statement is one round trip and one transaction, and no
//! part of it can overtake another.

use std::{collections::BTreeMap, sync::LazyLock};

use contract::{Key, Number, ShardId};
use diesel::{
    result::{DatabaseErrorKind, Error},
    sql_types::{BigInt, SmallInt},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{
    batch::Changes,
    codec,
    error::StoreError,
    lanes::{Done, Fence, Refusal},
    postgres::stmt::{
        Bind::{self, Big, Bigs, ManyBytes, ManyMaybe, Marks, Small, Smalls},
        Stmt,
    },
    rows::{Job, Outbox},
};

/// A part's text with `?` for each of its arrays.
type Part = &'static str;

const FENCE: Part = "f AS (UPDATE lane SET batch = ? WHERE inc = ? AND lane = ? AND live = 1 \
    AND batch = ? RETURNING 1)";

/// What nearly every batch has; [`usual_binds`] gives the arrays in this order.
const USUAL: &[Part] = &[
    "INSERT INTO message (shard, key, created_ms, body_hash, body) \
     SELECT * FROM unnest(?, ?, ?, ?, ?) WHERE EXISTS (SELECT 1 FROM f)",
    "INSERT INTO job (shard, id, key, route_hash, created_ms, header) \
     SELECT * FROM unnest(?, ?, ?, ?, ?, ?) WHERE EXISTS (SELECT 1 FROM f)",
    "DELETE FROM job t USING unnest(?, ?) AS d(shard, id) \
     WHERE t.shard = d.shard AND t.id = d.id AND EXISTS (SELECT 1 FROM f)",
    "INSERT INTO outbox (shard, key, device, kind, payload) \
     SELECT * FROM unnest(?, ?, ?, ?, ?) WHERE EXISTS (SELECT 1 FROM f)",
    "DELETE FROM outbox t USING unnest(?, ?, ?) AS d(shard, key, device) \
     WHERE t.shard = d.shard AND t.key = d.key AND t.device = d.device \
     AND EXISTS (SELECT 1 FROM f)",
    "INSERT INTO event (shard, seq, kind, route_hash, msg_key, held, created_ms, body) \
     SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?) WHERE EXISTS (SELECT 1 FROM f)",
    "INSERT INTO inbound (shard, peer_hash, key, created_ms) \
     SELECT * FROM unnest(?, ?, ?, ?) WHERE EXISTS (SELECT 1 FROM f)",
    "INSERT INTO contact (shard, number, wa_id, checked_ms) \
     SELECT * FROM unnest(?, ?, ?, ?) WHERE EXISTS (SELECT 1 FROM f) \
     ON CONFLICT (shard, number) DO UPDATE \
     SET wa_id = excluded.wa_id, checked_ms = excluded.checked_ms",
    "INSERT INTO cursor (endpoint, shard, read_to, holes) \
     SELECT * FROM unnest(?, ?, ?, ?) WHERE EXISTS (SELECT 1 FROM f) \
     ON CONFLICT (endpoint, shard) DO UPDATE \
     SET read_to = excluded.read_to, holes = excluded.holes",
    "INSERT INTO session (shard, wa_id, device, generation, record) \
     SELECT * FROM unnest(?, ?, ?, ?, ?) WHERE EXISTS (SELECT 1 FROM f) \
     ON CONFLICT (shard, wa_id, device) DO UPDATE \
     SET generation = excluded.generation, record = excluded.record",
    "INSERT INTO session_mark (shard, wa_id, device, mark) \
     SELECT * FROM unnest(?, ?, ?, ?) WHERE EXISTS (SELECT 1 FROM f) \
     ON CONFLICT (shard, wa_id, device) DO UPDATE SET mark = excluded.mark",
    "INSERT INTO identity (shard, wa_id, device, key, created_ms, acknowledged) \
     SELECT * FROM unnest(?, ?, ?, ?, ?, ?) WHERE EXISTS (SELECT 1 FROM f) \
     ON CONFLICT (shard, wa_id, device) DO UPDATE SET key = excluded.key, \
     created_ms = excluded.created_ms, acknowledged = excluded.acknowledged",
];

/// What a batch has whose requests carry idempotency keys; apart, so that others do not pay for it.
/// [`keyed_binds`] gives the arrays in this order.
const KEYED: &[Part] = &["INSERT INTO idempotency (shard, hash, created_ms, key) \
     SELECT * FROM unnest(?, ?, ?, ?) WHERE EXISTS (SELECT 1 FROM f)"];

/// What a batch has in which a message is traced. A key that is taken is told by `message`.
const TRACED: &[Part] = &["INSERT INTO trace (shard, key, context) \
     SELECT * FROM unnest(?, ?, ?) WHERE EXISTS (SELECT 1 FROM f) ON CONFLICT DO NOTHING"];

/// What a batch rarely has; [`rare_binds`] gives the arrays in this order.
const RARE: &[Part] = &[
    "INSERT INTO job (shard, id, key, route_hash, created_ms, header) \
     SELECT * FROM unnest(?, ?, ?, ?, ?, ?) WHERE EXISTS (SELECT 1 FROM f) \
     ON CONFLICT (shard, id) DO UPDATE SET key = excluded.key, \
     route_hash = excluded.route_hash, created_ms = excluded.created_ms, header = excluded.header",
    "INSERT INTO outbox (shard, key, device, kind, payload) \
     SELECT * FROM unnest(?, ?, ?, ?, ?) WHERE EXISTS (SELECT 1 FROM f) \
     ON CONFLICT (shard, key, device) DO UPDATE \
     SET kind = excluded.kind, payload = excluded.payload",
    "DELETE FROM contact t USING unnest(?, ?) AS d(shard, number) \
     WHERE t.shard = d.shard AND t.number = d.number AND EXISTS (SELECT 1 FROM f)",
    "INSERT INTO blocked (shard, route_hash, number, created_ms) \
     SELECT * FROM unnest(?, ?, ?, ?) WHERE EXISTS (SELECT 1 FROM f) \
     ON CONFLICT (shard, route_hash) DO UPDATE \
     SET number = excluded.number, created_ms = excluded.created_ms",
    "DELETE FROM blocked t USING unnest(?, ?) AS d(shard, route_hash) \
     WHERE t.shard = d.shard AND t.route_hash = d.route_hash AND EXISTS (SELECT 1 FROM f)",
    "DELETE FROM session t USING unnest(?, ?, ?) AS d(shard, wa_id, device) \
     WHERE t.shard = d.shard AND t.wa_id = d.wa_id AND t.device = d.device \
     AND EXISTS (SELECT 1 FROM f)",
    "DELETE FROM session_mark t USING unnest(?, ?, ?) AS d(shard, wa_id, device) \
     WHERE t.shard = d.shard AND t.wa_id = d.wa_id AND t.device = d.device \
     AND EXISTS (SELECT 1 FROM f)",
    "DELETE FROM identity t USING unnest(?, ?, ?) AS d(shard, wa_id, device) \
     WHERE t.shard = d.shard AND t.wa_id = d.wa_id AND t.device = d.device \
     AND EXISTS (SELECT 1 FROM f)",
    "UPDATE event t SET held = 0, body = d.body FROM unnest(?, ?, ?) AS d(shard, seq, body) \
     WHERE t.shard = d.shard AND t.seq = d.seq AND t.held = 1 AND EXISTS (SELECT 1 FROM f)",
    "INSERT INTO dead_event (endpoint, shard, seq, kind, route_hash, msg_key, state, due_ms, \
     tries, created_ms, body) \
     SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) WHERE EXISTS (SELECT 1 FROM f) \
     ON CONFLICT (endpoint, shard, seq) DO UPDATE SET kind = excluded.kind, \
     route_hash = excluded.route_hash, msg_key = excluded.msg_key, state = excluded.state, \
     due_ms = excluded.due_ms, tries = excluded.tries, created_ms = excluded.created_ms, \
     body = excluded.body",
    "INSERT INTO refusal (endpoint, shard, seq, tried) \
     SELECT * FROM unnest(?, ?, ?, ?) WHERE EXISTS (SELECT 1 FROM f) \
     ON CONFLICT (endpoint, shard, seq) DO UPDATE SET tried = excluded.tried",
    "DELETE FROM dead_event t USING unnest(?, ?, ?) AS d(endpoint, shard, seq) \
     WHERE t.endpoint = d.endpoint AND t.shard = d.shard AND t.seq = d.seq \
     AND EXISTS (SELECT 1 FROM f)",
    "DELETE FROM refusal t USING unnest(?, ?, ?) AS d(endpoint, shard, seq) \
     WHERE t.endpoint = d.endpoint AND t.shard = d.shard AND t.seq = d.seq \
     AND EXISTS (SELECT 1 FROM f)",
    "DELETE FROM dead_event t USING unnest(?, ?, ?, ?) AS d(endpoint, shard, before_ms, most), \
     LATERAL (SELECT seq FROM dead_event WHERE endpoint = d.endpoint AND shard = d.shard \
     AND state = 2 AND due_ms < d.before_ms ORDER BY seq LIMIT d.most) AS o \
     WHERE t.endpoint = d.endpoint AND t.shard = d.shard AND t.seq = o.seq \
     AND EXISTS (SELECT 1 FROM f)",
    "DELETE FROM refusal t USING unnest(?, ?, ?, ?) AS d(endpoint, shard, before_ms, most), \
     LATERAL (SELECT seq FROM dead_event WHERE endpoint = d.endpoint AND shard = d.shard \
     AND state = 2 AND due_ms < d.before_ms ORDER BY seq LIMIT d.most) AS o \
     WHERE t.endpoint = d.endpoint AND t.shard = d.shard AND t.seq = o.seq \
     AND EXISTS (SELECT 1 FROM f)",
    "INSERT INTO own_key (kind, id, state, created_ms, body) \
     SELECT * FROM unnest(?, ?, ?, ?, ?) WHERE EXISTS (SELECT 1 FROM f) \
     ON CONFLICT (kind, id) DO UPDATE SET state = excluded.state, \
     created_ms = excluded.created_ms, body = excluded.body",
    "DELETE FROM own_key t USING unnest(?, ?) AS d(kind, id) \
     WHERE t.kind = d.kind AND t.id = d.id AND EXISTS (SELECT 1 FROM f)",
    "INSERT INTO media (id, created_ms, state, size, sha256, mime, source) \
     SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?) WHERE EXISTS (SELECT 1 FROM f) \
     ON CONFLICT (id) DO UPDATE SET created_ms = excluded.created_ms, state = excluded.state, \
     size = excluded.size, sha256 = excluded.sha256, mime = excluded.mime, \
     source = excluded.source",
    "DELETE FROM media t USING unnest(?) AS d(id) \
     WHERE t.id = d.id AND EXISTS (SELECT 1 FROM f)",
    "DELETE FROM blob_handle t USING unnest(?) AS d(id) \
     WHERE t.id = d.id AND EXISTS (SELECT 1 FROM f)",
    "INSERT INTO blob_handle (id, uploaded_ms, handle) \
     SELECT * FROM unnest(?, ?, ?) WHERE EXISTS (SELECT 1 FROM f) \
     ON CONFLICT (id) DO UPDATE SET uploaded_ms = excluded.uploaded_ms, handle = excluded.handle",
    "INSERT INTO config (name, version, document) \
     SELECT * FROM unnest(?, ?, ?) WHERE EXISTS (SELECT 1 FROM f) \
     ON CONFLICT (name) DO UPDATE SET version = excluded.version, document = excluded.document",
    "INSERT INTO \"user\" (name, password_hash, admin, must_change, not_before) \
     SELECT * FROM unnest(?, ?, ?, ?, ?) WHERE EXISTS (SELECT 1 FROM f) \
     ON CONFLICT (name) DO UPDATE SET password_hash = excluded.password_hash, \
     admin = excluded.admin, must_change = excluded.must_change, not_before = excluded.not_before",
    "DELETE FROM \"user\" t USING unnest(?) AS d(name) \
     WHERE t.name = d.name AND EXISTS (SELECT 1 FROM f)",
    "INSERT INTO revoked (rand, expires) \
     SELECT * FROM unnest(?, ?) WHERE EXISTS (SELECT 1 FROM f) \
     ON CONFLICT (rand) DO UPDATE SET expires = excluded.expires",
    "DELETE FROM revoked t USING unnest(?) AS d(before_s) \
     WHERE t.expires < d.before_s AND EXISTS (SELECT 1 FROM f)",
    "DELETE FROM message t USING unnest(?, ?, ?) AS d(shard, key, most), \
     LATERAL (SELECT key FROM message WHERE shard = d.shard AND key < d.key \
     ORDER BY key LIMIT d.most) AS o \
     WHERE t.shard = d.shard AND t.key = o.key AND EXISTS (SELECT 1 FROM f)",
    "DELETE FROM trace t USING unnest(?, ?, ?) AS d(shard, key, most), \
     LATERAL (SELECT key FROM trace WHERE shard = d.shard AND key < d.key \
     ORDER BY key LIMIT d.most) AS o \
     WHERE t.shard = d.shard AND t.key = o.key AND EXISTS (SELECT 1 FROM f)",
    "DELETE FROM inbound t USING unnest(?, ?, ?, ?) AS d(shard, peer_hash, before_ms, most), \
     LATERAL (SELECT peer_hash, key FROM inbound WHERE shard = d.shard \
     AND peer_hash >= d.peer_hash ORDER BY peer_hash, key LIMIT d.most) AS o \
     WHERE t.shard = d.shard AND t.peer_hash = o.peer_hash AND t.key = o.key \
     AND t.created_ms < d.before_ms AND EXISTS (SELECT 1 FROM f)",
    "DELETE FROM idempotency t USING unnest(?, ?, ?) AS d(shard, hash, most), \
     LATERAL (SELECT hash FROM idempotency WHERE shard = d.shard AND hash < d.hash \
     ORDER BY hash LIMIT d.most) AS o \
     WHERE t.shard = d.shard AND t.hash = o.hash AND EXISTS (SELECT 1 FROM f)",
];

/// Events are trimmed from the old end up to the first one that is too young, so that the log keeps
/// no hole; `event_floor` follows.
const TRIM_EVENTS: &str = "old AS (SELECT d.shard, max(w.seq) AS seq \
     FROM unnest(?, ?, ?, ?) AS d(shard, floor, before_ms, most), \
     LATERAL (SELECT x.seq, bool_and(x.created_ms < d.before_ms) OVER (ORDER BY x.seq) AS old \
     FROM (SELECT seq, created_ms FROM event WHERE shard = d.shard AND seq <= d.floor \
     ORDER BY seq LIMIT d.most) AS x) AS w \
     WHERE w.old AND EXISTS (SELECT 1 FROM f) GROUP BY d.shard), \
     trimmed AS (DELETE FROM event t USING old \
     WHERE t.shard = old.shard AND t.seq <= old.seq AND EXISTS (SELECT 1 FROM f)), \
     floors AS (UPDATE shard t SET event_floor = greatest(t.event_floor, old.seq) FROM old \
     WHERE t.id = old.shard AND EXISTS (SELECT 1 FROM f))";

/// The statement of nearly every batch.
static USUAL_TEXT: LazyLock<String> = LazyLock::new(|| statement(USUAL, ""));
static KEYED_TEXT: LazyLock<String> = LazyLock::new(|| statement(&[USUAL, KEYED].concat(), ""));
/// The same with the rare parts: planning and running empty ones is not free.
static TRACED_TEXT: LazyLock<String> =
    LazyLock::new(|| statement(&[USUAL, KEYED, TRACED].concat(), ""));
static FULL_TEXT: LazyLock<String> =
    LazyLock::new(|| statement(&[USUAL, KEYED, TRACED, RARE].concat(), TRIM_EVENTS));

fn statement(parts: &[Part], last: &str) -> String {
    let mut text = format!("WITH {FENCE}");
    for (n, part) in parts.iter().enumerate() {
        text += &format!(", p{n} AS ({part})");
    }
    if !last.is_empty() {
        text += &format!(", {last}");
    }
    text += " SELECT count(*) FROM f";
    number(&text)
}

/// `?` to `$1`, `$2`, …
fn number(text: &str) -> String {
    let mut pieces = text.split('?');
    let mut numbered = pieces.next().unwrap_or_default().to_owned();
    for (n, piece) in (1..).zip(pieces) {
        numbered += &format!("${n}{piece}");
    }
    numbered
}

pub(crate) async fn commit(
    conn: &mut AsyncPgConnection,
    fence: Fence,
    changes: &Changes<'_>,
) -> Done {
    let Fence { inc, lane, batch } = fence;
    let mut binds = vec![Big(batch), Big(inc), Small(lane), Big(batch - 1)];
    usual_binds(changes, &mut binds);
    let text = if changes.has_rare() {
        keyed_binds(changes, &mut binds);
        traced_binds(changes, &mut binds);
        rare_binds(changes, &mut binds);
        &*FULL_TEXT
    } else if !changes.traces.is_empty() {
        keyed_binds(changes, &mut binds);
        traced_binds(changes, &mut binds);
        &*TRACED_TEXT
    } else if !changes.idempotency.is_empty() {
        keyed_binds(changes, &mut binds);
        &*KEYED_TEXT
    } else {
        &*USUAL_TEXT
    };
    let moved: Result<Vec<i64>, _> = Stmt::<BigInt>::new(text, &binds).load(conn).await;
    match moved.as_deref() {
        Ok([1]) => Done::Committed,
        Ok(_) => Done::NoRow,
        Err(error) => failure(error),
    }
}

/// The lane's row, locked: this waits until whatever an earlier connection has open is decided.
pub(crate) async fn ask(
    conn: &mut AsyncPgConnection,
    fence: Fence,
) -> Result<Option<(bool, i64)>, StoreError> {
    let rows: Vec<(i16, i64)> = Stmt::<(SmallInt, BigInt)>::new(
        "SELECT live, batch FROM lane WHERE inc = $1 AND lane = $2 FOR UPDATE",
        &[Big(fence.inc), Small(fence.lane)],
    )
    .load(conn)
    .await?;
    Ok(rows.as_slice().first().map(|(live, batch)| (*live == 1, *batch)))
}

/// Only a broken constraint is proof that the statement did nothing: it is reported before the
/// commit. Every other error may come after it, or from the connection.
fn failure(error: &Error) -> Done {
    let Error::DatabaseError(kind, info) = error else {
        return Done::Lost { answered: true, why: error.to_string() };
    };
    let why = info.message().to_owned();
    match kind {
        DatabaseErrorKind::UniqueViolation => {
            Done::Refused(Refusal { taken_in: info.table_name().map(str::to_owned), why })
        }
        DatabaseErrorKind::NotNullViolation
        | DatabaseErrorKind::CheckViolation
        | DatabaseErrorKind::ForeignKeyViolation
        | DatabaseErrorKind::RestrictViolation
        | DatabaseErrorKind::ExclusionViolation => Done::Refused(Refusal { taken_in: None, why }),
        DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection => {
            Done::Lost { answered: false, why }
        }
        _ => Done::Lost { answered: true, why },
    }
}

fn ids<'a>(shards: impl Iterator<Item = &'a ShardId>) -> Bind<'static> {
    Smalls(shards.map(|shard| shard.get()).collect())
}

fn usual_binds<'a>(changes: &'a Changes<'_>, binds: &mut Vec<Bind<'a>>) {
    let rows = &changes.messages;
    binds.push(ids(rows.iter().map(|(shard, _)| shard)));
    binds.push(ManyBytes(rows.iter().map(|(_, row)| row.key.as_bytes()).collect()));
    binds.push(Bigs(rows.iter().map(|(_, row)| row.created_ms).collect()));
    binds.push(ManyBytes(rows.iter().map(|(_, row)| row.body_hash.as_slice()).collect()));
    binds.push(ManyBytes(rows.iter().map(|(_, row)| &*row.body).collect()));

    job_binds(changes.jobs.inserts(), binds);
    binds.push(ids(changes.jobs.deletes().map(|(shard, _)| shard)));
    binds.push(Bigs(changes.jobs.deletes().map(|(_, id)| *id).collect()));

    outbox_binds(changes.outbox.inserts(), binds);
    let rows: Vec<_> = changes.outbox.deletes().collect();
    binds.push(ids(rows.iter().map(|(shard, ..)| shard)));
    binds.push(ManyBytes(rows.iter().map(|(_, key, _)| key.as_bytes()).collect()));
    binds.push(Bigs(rows.iter().map(|(.., device)| (*device).into()).collect()));

    let rows = &changes.events;
    binds.push(ids(rows.iter().map(|(shard, ..)| shard)));
    binds.push(Bigs(rows.iter().map(|(_, seq, _)| *seq).collect()));
    binds.push(Smalls(rows.iter().map(|(.., row)| row.kind).collect()));
    binds.push(Bigs(rows.iter().map(|(.., row)| row.route.to_i64()).collect()));
    binds.push(ManyMaybe(
        rows.iter().map(|(.., row)| row.key.as_ref().map(contract::Key::as_bytes)).collect(),
    ));
    binds.push(Smalls(rows.iter().map(|(.., row)| row.held.into()).collect()));
    binds.push(Bigs(rows.iter().map(|(.., row)| row.created_ms).collect()));
    binds.push(ManyBytes(rows.iter().map(|(.., row)| &*row.body).collect()));

    let rows = &changes.inbound;
    binds.push(ids(rows.iter().map(|(shard, _)| shard)));
    binds.push(Bigs(rows.iter().map(|(_, row)| row.peer.to_i64()).collect()));
    binds.push(ManyBytes(rows.iter().map(|(_, row)| row.key.as_bytes()).collect()));
    binds.push(Bigs(rows.iter().map(|(_, row)| row.created_ms).collect()));

    let rows: Vec<_> =
        changes.contacts.iter().filter_map(|((shard, _), row)| Some((shard, (*row)?))).collect();
    binds.push(ids(rows.iter().map(|(shard, _)| *shard)));
    binds.push(ManyBytes(rows.iter().map(|(_, row)| row.number.as_bytes()).collect()));
    binds.push(ManyMaybe(
        rows.iter().map(|(_, row)| row.wa_id.as_ref().map(contract::Number::as_bytes)).collect(),
    ));
    binds.push(Bigs(rows.iter().map(|(_, row)| row.checked_ms).collect()));

    let rows = &changes.cursors;
    binds.push(Smalls(rows.keys().map(|(endpoint, _)| *endpoint).collect()));
    binds.push(ids(rows.keys().map(|(_, shard)| shard)));
    binds.push(Bigs(rows.values().map(|row| row.read_to).collect()));
    binds.push(ManyBytes(rows.values().map(|row| &*row.holes).collect()));

    let rows: Vec<_> =
        changes.sessions.iter().filter_map(|((shard, ..), row)| Some((shard, (*row)?))).collect();
    binds.push(ids(rows.iter().map(|(shard, _)| *shard)));
    binds.push(ManyBytes(rows.iter().map(|(_, row)| row.wa_id.as_bytes()).collect()));
    binds.push(Bigs(rows.iter().map(|(_, row)| row.device.into()).collect()));
    binds.push(Bigs(rows.iter().map(|(_, row)| row.generation).collect()));
    binds.push(ManyBytes(rows.iter().map(|(_, row)| &*row.record).collect()));
    binds.push(ids(rows.iter().map(|(shard, _)| *shard)));
    binds.push(ManyBytes(rows.iter().map(|(_, row)| row.wa_id.as_bytes()).collect()));
    binds.push(Bigs(rows.iter().map(|(_, row)| row.device.into()).collect()));
    binds.push(Marks(rows.iter().map(|(_, row)| codec::mark(&row.record)).collect()));

    let rows: Vec<_> =
        changes.identities.iter().filter_map(|((shard, ..), row)| Some((shard, (*row)?))).collect();
    binds.push(ids(rows.iter().map(|(shard, _)| *shard)));
    binds.push(ManyBytes(rows.iter().map(|(_, row)| row.wa_id.as_bytes()).collect()));
    binds.push(Bigs(rows.iter().map(|(_, row)| row.device.into()).collect()));
    binds.push(ManyBytes(rows.iter().map(|(_, row)| &*row.key).collect()));
    binds.push(Bigs(rows.iter().map(|(_, row)| row.created_ms).collect()));
    binds.push(Smalls(rows.iter().map(|(_, row)| row.acknowledged.into()).collect()));
}

/// Which devices' rows are to be deleted.
fn gone_devices<R>(
    rows: &BTreeMap<(ShardId, Number, i32), Option<R>>,
) -> Vec<&(ShardId, Number, i32)> {
    rows.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| key).collect()
}

fn keyed_binds<'a>(changes: &'a Changes<'_>, binds: &mut Vec<Bind<'a>>) {
    let rows = &changes.idempotency;
    binds.push(ids(rows.iter().map(|(shard, ..)| shard)));
    binds.push(ManyBytes(rows.iter().map(|(_, dated, _)| dated.as_slice()).collect()));
    binds.push(Bigs(rows.iter().map(|(.., row)| row.created_ms).collect()));
    binds.push(ManyBytes(rows.iter().map(|(.., row)| row.key.as_bytes()).collect()));
}

fn traced_binds<'a>(changes: &'a Changes<'_>, binds: &mut Vec<Bind<'a>>) {
    let rows = &changes.traces;
    binds.push(ids(rows.iter().map(|(shard, ..)| shard)));
    binds.push(ManyBytes(rows.iter().map(|(_, key, _)| key.as_bytes()).collect()));
    binds.push(ManyBytes(rows.iter().map(|(.., context)| context.as_slice()).collect()));
}

fn rare_binds<'a>(changes: &'a Changes<'_>, binds: &mut Vec<Bind<'a>>) {
    job_binds(changes.jobs.puts(), binds);
    outbox_binds(changes.outbox.puts(), binds);

    let gone = || changes.contacts.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| key);
    binds.push(ids(gone().map(|(shard, _)| shard)));
    binds.push(ManyBytes(gone().map(|(_, number)| number.as_bytes()).collect()));

    let rows: Vec<_> = changes.blocked.iter().filter_map(|(k, row)| Some((k, (*row)?))).collect();
    binds.push(ids(rows.iter().map(|((shard, _), _)| shard)));
    binds.push(Bigs(rows.iter().map(|((_, route), _)| route.to_i64()).collect()));
    binds.push(ManyBytes(rows.iter().map(|(_, row)| row.number.as_bytes()).collect()));
    binds.push(Bigs(rows.iter().map(|(_, row)| row.created_ms).collect()));
    let gone = || changes.blocked.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| key);
    binds.push(ids(gone().map(|(shard, _)| shard)));
    binds.push(Bigs(gone().map(|(_, route)| route.to_i64()).collect()));

    let sessions = gone_devices(&changes.sessions);
    let identities = gone_devices(&changes.identities);
    for gone in [&sessions, &sessions, &identities] {
        binds.push(ids(gone.iter().map(|(shard, ..)| shard)));
        binds.push(ManyBytes(gone.iter().map(|(_, wa_id, _)| wa_id.as_bytes()).collect()));
        binds.push(Bigs(gone.iter().map(|(.., device)| (*device).into()).collect()));
    }

    let rows = &changes.releases;
    binds.push(ids(rows.keys().map(|(shard, _)| shard)));
    binds.push(Bigs(rows.keys().map(|(_, seq)| *seq).collect()));
    binds.push(ManyBytes(rows.values().map(|row| &*row.body).collect()));

    dead_event_binds(changes, binds);

    let rows: Vec<_> = changes.own_keys.values().filter_map(|row| *row).collect();
    binds.push(Smalls(rows.iter().map(|row| row.kind).collect()));
    binds.push(Bigs(rows.iter().map(|row| row.id).collect()));
    binds.push(Smalls(rows.iter().map(|row| row.state).collect()));
    binds.push(Bigs(rows.iter().map(|row| row.created_ms).collect()));
    binds.push(ManyBytes(rows.iter().map(|row| &*row.body).collect()));
    let gone = || changes.own_keys.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| key);
    binds.push(Smalls(gone().map(|(kind, _)| *kind).collect()));
    binds.push(Bigs(gone().map(|(_, id)| *id).collect()));

    let rows: Vec<_> = changes.media.values().filter_map(|row| *row).collect();
    binds.push(ManyBytes(rows.iter().map(|row| row.id.as_bytes().as_slice()).collect()));
    binds.push(Bigs(rows.iter().map(|row| row.created_ms).collect()));
    binds.push(Smalls(rows.iter().map(|row| row.state as i16).collect()));
    binds.push(Bigs(rows.iter().map(|row| row.size).collect()));
    binds.push(ManyBytes(rows.iter().map(|row| row.sha256.as_slice()).collect()));
    binds.push(ManyBytes(rows.iter().map(|row| row.mime.as_bytes()).collect()));
    binds.push(ManyBytes(rows.iter().map(|row| &*row.source).collect()));
    let gone = || changes.media.iter().filter(|(_, row)| row.is_none()).map(|(id, _)| id);
    // Twice: of the file and of its handle.
    for _ in 0..2 {
        binds.push(ManyBytes(gone().map(|id| id.as_bytes().as_slice()).collect()));
    }
    let rows = &changes.handles;
    binds.push(ManyBytes(rows.keys().map(|id| id.as_bytes().as_slice()).collect()));
    binds.push(Bigs(rows.values().map(|row| row.uploaded_ms).collect()));
    binds.push(ManyBytes(rows.values().map(|row| row.handle.as_bytes()).collect()));

    let rows = &changes.configs;
    binds.push(ManyBytes(rows.keys().map(|name| name.as_bytes()).collect()));
    binds.push(Bigs(rows.values().map(|row| row.version).collect()));
    binds.push(ManyBytes(rows.values().map(|row| &*row.document).collect()));

    let rows: Vec<_> = changes.users.values().filter_map(|row| *row).collect();
    binds.push(ManyBytes(rows.iter().map(|row| row.name.as_bytes()).collect()));
    binds.push(ManyBytes(rows.iter().map(|row| row.password_hash.as_bytes()).collect()));
    binds.push(Smalls(rows.iter().map(|row| row.admin.into()).collect()));
    binds.push(Smalls(rows.iter().map(|row| row.must_change.into()).collect()));
    binds.push(Bigs(rows.iter().map(|row| row.not_before).collect()));
    let gone = changes.users.iter().filter(|(_, row)| row.is_none());
    binds.push(ManyBytes(gone.map(|(name, _)| name.as_bytes()).collect()));

    let rows = &changes.revoked;
    binds.push(ManyBytes(rows.keys().map(|rand| rand.as_bytes()).collect()));
    binds.push(Bigs(rows.values().map(|row| row.expires).collect()));
    binds.push(Bigs(changes.trim.revoked.into_iter().collect()));

    let rows = &changes.trim.messages;
    // Of the messages, and of their traces.
    for _ in 0..2 {
        binds.push(ids(rows.keys()));
        binds.push(ManyBytes(rows.values().map(|(key, _)| key.as_bytes()).collect()));
        binds.push(Bigs(rows.values().map(|(_, most)| (*most).into()).collect()));
    }

    let rows = &changes.trim.inbound;
    binds.push(ids(rows.keys().map(|(shard, _)| shard)));
    binds.push(Bigs(rows.keys().map(|(_, from)| from.to_i64()).collect()));
    binds.push(Bigs(rows.values().map(|(before_ms, _)| *before_ms).collect()));
    binds.push(Bigs(rows.values().map(|(_, most)| (*most).into()).collect()));

    let rows = &changes.trim.idempotency;
    binds.push(ids(rows.keys()));
    binds.push(ManyBytes(rows.values().map(|(first, _)| first.as_slice()).collect()));
    binds.push(Bigs(rows.values().map(|(_, most)| (*most).into()).collect()));

    let rows = &changes.trim.events;
    binds.push(ids(rows.keys()));
    binds.push(Bigs(rows.values().map(|(floor, ..)| *floor).collect()));
    binds.push(Bigs(rows.values().map(|(_, before_ms, _)| *before_ms).collect()));
    binds.push(Bigs(rows.values().map(|(.., most)| (*most).into()).collect()));
}

fn dead_event_binds<'a>(changes: &'a Changes<'_>, binds: &mut Vec<Bind<'a>>) {
    let rows: Vec<_> =
        changes.dead_events.iter().filter_map(|(key, row)| Some((key, (*row)?))).collect();
    binds.push(Smalls(rows.iter().map(|((endpoint, ..), _)| *endpoint).collect()));
    binds.push(ids(rows.iter().map(|((_, shard, _), _)| shard)));
    binds.push(Bigs(rows.iter().map(|((.., seq), _)| *seq).collect()));
    binds.push(Smalls(rows.iter().map(|(_, row)| row.event.kind).collect()));
    binds.push(Bigs(rows.iter().map(|(_, row)| row.event.route.to_i64()).collect()));
    binds.push(ManyMaybe(
        rows.iter().map(|(_, row)| row.event.key.as_ref().map(contract::Key::as_bytes)).collect(),
    ));
    binds.push(Smalls(rows.iter().map(|(_, row)| row.state as i16).collect()));
    binds.push(Bigs(rows.iter().map(|(_, row)| row.due_ms).collect()));
    binds.push(Bigs(rows.iter().map(|(_, row)| row.tries.into()).collect()));
    binds.push(Bigs(rows.iter().map(|(_, row)| row.event.created_ms).collect()));
    binds.push(ManyBytes(rows.iter().map(|(_, row)| &*row.event.body).collect()));
    binds.push(Smalls(rows.iter().map(|((endpoint, ..), _)| *endpoint).collect()));
    binds.push(ids(rows.iter().map(|((_, shard, _), _)| shard)));
    binds.push(Bigs(rows.iter().map(|((.., seq), _)| *seq).collect()));
    binds.push(Marks(rows.iter().map(|(_, row)| codec::tried(&row.tried)).collect()));

    let gone = || changes.dead_events.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| key);
    // Twice: of the event and of its refusal; and so with the next ones.
    for _ in 0..2 {
        binds.push(Smalls(gone().map(|(endpoint, ..)| *endpoint).collect()));
        binds.push(ids(gone().map(|(_, shard, _)| shard)));
        binds.push(Bigs(gone().map(|(.., seq)| *seq).collect()));
    }

    let rows = &changes.trim.dead_events;
    for _ in 0..2 {
        binds.push(Smalls(rows.keys().map(|(endpoint, _)| *endpoint).collect()));
        binds.push(ids(rows.keys().map(|(_, shard)| shard)));
        binds.push(Bigs(rows.values().map(|(before_ms, _)| *before_ms).collect()));
        binds.push(Bigs(rows.values().map(|(_, most)| (*most).into()).collect()));
    }
}

fn job_binds<'a>(
    rows: impl Iterator<Item = (&'a (ShardId, i64), &'a Job)>,
    binds: &mut Vec<Bind<'a>>,
) {
    let rows: Vec<_> = rows.collect();
    binds.push(ids(rows.iter().map(|((shard, _), _)| shard)));
    binds.push(Bigs(rows.iter().map(|(_, row)| row.id).collect()));
    binds.push(ManyBytes(rows.iter().map(|(_, row)| row.key.as_bytes()).collect()));
    binds.push(Bigs(rows.iter().map(|(_, row)| row.route.to_i64()).collect()));
    binds.push(Bigs(rows.iter().map(|(_, row)| row.created_ms).collect()));
    binds.push(ManyBytes(rows.iter().map(|(_, row)| &*row.header).collect()));
}

fn outbox_binds<'a>(
    rows: impl Iterator<Item = (&'a (ShardId, Key, i32), &'a Outbox)>,
    binds: &mut Vec<Bind<'a>>,
) {
    let rows: Vec<_> = rows.collect();
    binds.push(ids(rows.iter().map(|((shard, ..), _)| shard)));
    binds.push(ManyBytes(rows.iter().map(|(_, row)| row.key.as_bytes()).collect()));
    binds.push(Bigs(rows.iter().map(|(_, row)| row.device.into()).collect()));
    binds.push(Smalls(rows.iter().map(|(_, row)| row.kind).collect()));
    binds.push(ManyBytes(rows.iter().map(|(_, row)| &*row.payload).collect()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, fold};

    #[test]
    fn every_statement_binds_as_many_values_as_it_names() {
        let batch = Batch { entries: Vec::new() };
        let changes = fold(&batch);
        let mut binds = vec![Big(1), Big(1), Small(1), Big(0)];
        usual_binds(&changes, &mut binds);
        assert!(USUAL_TEXT.contains(&format!("${}", binds.len())));
        assert!(!USUAL_TEXT.contains(&format!("${}", binds.len() + 1)));
        keyed_binds(&changes, &mut binds);
        assert!(KEYED_TEXT.contains(&format!("${}", binds.len())));
        assert!(!KEYED_TEXT.contains(&format!("${}", binds.len() + 1)));
        traced_binds(&changes, &mut binds);
        assert!(TRACED_TEXT.contains(&format!("${}", binds.len())));
        assert!(!TRACED_TEXT.contains(&format!("${}", binds.len() + 1)));
        rare_binds(&changes, &mut binds);
        assert!(FULL_TEXT.contains(&format!("${}", binds.len())));
        assert!(!FULL_TEXT.contains(&format!("${}", binds.len() + 1)));
    }

    #[test]
    fn every_part_that_writes_asks_for_the_fence() {
        let writes = ["INSERT INTO", "DELETE FROM", "UPDATE shard", "UPDATE event"];
        let parts = writes.iter().map(|verb| FULL_TEXT.matches(verb).count()).sum::<usize>();
        assert_eq!(parts, USUAL.len() + KEYED.len() + TRACED.len() + RARE.len() + 2);
        assert!(FULL_TEXT.matches("EXISTS (SELECT 1 FROM f)").count() >= parts);
        for part in USUAL.iter().chain(KEYED).chain(TRACED).chain(RARE) {
            assert!(part.contains("EXISTS (SELECT 1 FROM f)"), "{part}");
        }
    }
}
