//! Membership: each call one statement, so one round trip and one transaction.

use contract::ShardId;
use diesel::sql_types::{BigInt, Binary, Nullable, SmallInt};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{
    cluster::{Claim, Tick},
    codec,
    error::StoreError,
    postgres::stmt::{
        Bind::{Big, Bigs, Bytes, Small, Smalls},
        Stmt,
    },
    rows::{Node, NodeState, Shard},
    unions::{self, TickRow},
};

const NODES: &str = "SELECT node.inc, name, addr, state, version, coalesce(n, 0) \
    FROM node LEFT JOIN beat ON beat.inc = node.inc ORDER BY node.inc";

const JOIN: &str = "\
    WITH a AS (INSERT INTO node (inc, name, addr, state, version) VALUES ($1, $2, $3, $4, $5) \
    ON CONFLICT DO NOTHING), \
    b AS (INSERT INTO beat (inc, n) VALUES ($1, 0) ON CONFLICT DO NOTHING) \
    INSERT INTO lane (inc, lane, live, batch) \
    SELECT $1, lane, 1, 0 FROM generate_series(0, $6 - 1) AS lane ON CONFLICT DO NOTHING";

/// The UPDATE waits for the lane's open batch. `$2` is 1 when the beat does not matter.
const FENCE: &str = "\
    WITH l AS (UPDATE lane SET live = 0 WHERE inc = $1 AND live = 1 \
    AND ($2 = 1 OR (SELECT n FROM beat WHERE inc = $1) = $3) RETURNING 1), \
    d AS (UPDATE node SET state = 3 WHERE inc = $1 AND ($2 = 1 OR EXISTS (SELECT 1 FROM l)) \
    RETURNING 1) \
    SELECT (SELECT count(*) FROM d), count(*) FROM node WHERE inc = $1 AND state <> 3";

/// Rows are locked by id first, or two claimers could wait for each other.
const CLAIM: &str = "\
    WITH seen AS (SELECT * FROM unnest($2, $3, $4, $5) AS s(id, owner_inc, epoch, above)), \
    locked AS MATERIALIZED (SELECT shard.id FROM shard JOIN seen ON seen.id = shard.id \
    ORDER BY shard.id FOR UPDATE OF shard) \
    UPDATE shard SET owner_inc = $1, epoch = greatest(shard.epoch, seen.above) + 1 \
    FROM seen, locked \
    WHERE shard.id = locked.id AND shard.id = seen.id AND shard.owner_inc = seen.owner_inc \
    AND shard.epoch = seen.epoch \
    AND EXISTS (SELECT 1 FROM node WHERE inc = $1 AND state <> 3) \
    RETURNING shard.id, shard.owner_inc, shard.epoch, shard.event_floor";

/// Nothing happens unless `$1`, or with `$2 = 0` nobody, is alive.
const BEGIN_GENERATION: &str = "\
    INSERT INTO generation (generation, shard, first_seq) \
    SELECT $3, s.id, 1 + greatest(s.event_floor, \
    (SELECT max(seq) FROM event e WHERE e.shard = s.id), \
    (SELECT max(read_to) FROM cursor c WHERE c.shard = s.id), \
    (SELECT max(first_seq) - 1 FROM generation g WHERE g.shard = s.id), \
    (SELECT max(a.seq) FROM unnest($4, $5) AS a(shard, seq) WHERE a.shard = s.id)) \
    FROM shard s WHERE CASE WHEN $2 = 1 \
    THEN EXISTS (SELECT 1 FROM node WHERE inc = $1 AND state <> 3) \
    ELSE NOT EXISTS (SELECT 1 FROM node WHERE state <> 3) END \
    ON CONFLICT DO NOTHING";

/// Everything about the cluster, with the columns of [`TickRow`].
const TICK: &str = "\
    WITH b AS (UPDATE beat SET n = n + 1 WHERE inc = $1 RETURNING inc, n) \
    SELECT 1::smallint, node.inc, state::bigint, coalesce(b.n, beat.n, 0), 0::bigint, \
    name, addr, version \
    FROM node LEFT JOIN beat ON beat.inc = node.inc LEFT JOIN b ON b.inc = node.inc \
    UNION ALL SELECT 2::smallint, id, owner_inc, epoch, event_floor, NULL, NULL, NULL FROM shard \
    UNION ALL SELECT 3::smallint, count(*), count(*) FILTER (WHERE live = 1), 0, 0, NULL, NULL, NULL \
    FROM lane WHERE inc = $1 \
    UNION ALL SELECT 4::smallint, version, 0, 0, 0, name, NULL, NULL FROM config \
    UNION ALL SELECT 5::smallint, coalesce(max(generation), 0), 0, 0, 0, NULL, NULL, NULL \
    FROM generation";

/// A probe's row belongs to no node, and its prober may be at it: only what a node leaves is taken.
const FORGET: &str = "\
    WITH d AS (DELETE FROM node WHERE state = 3 \
    AND NOT EXISTS (SELECT 1 FROM shard WHERE owner_inc = node.inc) RETURNING inc), \
    b AS (DELETE FROM beat USING d WHERE beat.inc = d.inc) \
    DELETE FROM lane USING d WHERE lane.inc = d.inc";

pub(crate) async fn nodes(conn: &mut AsyncPgConnection) -> Result<Vec<Node>, StoreError> {
    type Row = (BigInt, Binary, Binary, SmallInt, Binary, BigInt);
    let rows: Vec<codec::NodeColumns> = Stmt::<Row>::new(NODES, &[]).load(conn).await?;
    rows.into_iter().map(codec::node).collect()
}

pub(crate) async fn join(
    conn: &mut AsyncPgConnection,
    node: &Node,
    lanes: i16,
) -> Result<(), StoreError> {
    let binds = [
        Big(node.inc),
        Bytes(node.name.as_bytes()),
        Bytes(node.addr.as_bytes()),
        Small(node.state as i16),
        Bytes(node.version.as_bytes()),
        Small(lanes),
    ];
    Stmt::<()>::new(JOIN, &binds).execute(conn).await?;
    Ok(())
}

pub(crate) async fn fence(
    conn: &mut AsyncPgConnection,
    inc: i64,
    seen_beat: Option<i64>,
) -> Result<bool, StoreError> {
    let binds = [Big(inc), Small(seen_beat.is_none().into()), Big(seen_beat.unwrap_or(0))];
    let rows: Vec<(i64, i64)> = Stmt::<(BigInt, BigInt)>::new(FENCE, &binds).load(conn).await?;
    Ok(rows.as_slice().first().is_some_and(|(killed, alive)| *killed > 0 || *alive == 0))
}

pub(crate) async fn claim(
    conn: &mut AsyncPgConnection,
    inc: i64,
    claims: &[Claim],
) -> Result<Vec<Shard>, StoreError> {
    let binds = [
        Big(inc),
        Smalls(claims.iter().map(|claim| claim.seen.id.get()).collect()),
        Bigs(claims.iter().map(|claim| claim.seen.owner_inc).collect()),
        Bigs(claims.iter().map(|claim| claim.seen.epoch).collect()),
        Bigs(claims.iter().map(|claim| claim.above).collect()),
    ];
    type Row = (SmallInt, BigInt, BigInt, BigInt);
    let rows: Vec<codec::ShardColumns> = Stmt::<Row>::new(CLAIM, &binds).load(conn).await?;
    let mut claimed: Vec<_> = rows.into_iter().map(codec::shard).collect::<Result<_, _>>()?;
    claimed.sort_unstable_by_key(|shard| shard.id);
    Ok(claimed)
}

pub(crate) async fn begin_generation(
    conn: &mut AsyncPgConnection,
    inc: Option<i64>,
    generation: i64,
    above: &[(ShardId, i64)],
) -> Result<(), StoreError> {
    let binds = [
        Big(inc.unwrap_or(0)),
        Small(inc.is_some().into()),
        Big(generation),
        Smalls(above.iter().map(|(shard, _)| shard.get()).collect()),
        Bigs(above.iter().map(|(_, seq)| *seq).collect()),
    ];
    Stmt::<()>::new(BEGIN_GENERATION, &binds).execute(conn).await?;
    Ok(())
}

pub(crate) async fn tick(conn: &mut AsyncPgConnection, inc: i64) -> Result<Tick, StoreError> {
    type Row = (
        SmallInt,
        BigInt,
        BigInt,
        BigInt,
        BigInt,
        Nullable<Binary>,
        Nullable<Binary>,
        Nullable<Binary>,
    );
    let rows: Vec<TickRow> = Stmt::<Row>::new(TICK, &[Big(inc)]).load(conn).await?;
    unions::tick(inc, rows)
}

pub(crate) async fn set_state(
    conn: &mut AsyncPgConnection,
    inc: i64,
    state: NodeState,
) -> Result<(), StoreError> {
    let binds = [Small(state as i16), Big(inc)];
    let text = "UPDATE node SET state = $1 WHERE inc = $2 AND state <> 3";
    Stmt::<()>::new(text, &binds).execute(conn).await?;
    Ok(())
}

pub(crate) async fn forget_dead(conn: &mut AsyncPgConnection) -> Result<(), StoreError> {
    Stmt::<()>::new(FORGET, &[]).execute(conn).await?;
    Ok(())
}
