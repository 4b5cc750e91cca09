//! Membership: each call one text, so one round trip, and one transaction where it writes more than
//! a row. A failed call leaves its transaction to the end of its connection.

use contract::ShardId;
use mysql_async::{Conn, prelude::Queryable};

use crate::{
    cluster::{Claim, Tick},
    codec,
    error::StoreError,
    mysql::{
        connect::{next_rows, rows},
        text::Text,
    },
    rows::{Node, NodeState, Shard},
    unions::{self, TickRow},
};

const NODES: &str = "SELECT node.inc, name, addr, state, version, coalesce(n, 0) \
    FROM node LEFT JOIN beat ON beat.inc = node.inc ORDER BY node.inc";

/// Everything about the cluster in one statement, so of one moment, with the columns of
/// [`TickRow`]. The lanes' incarnation and [`TICK_REST`] follow.
const TICK: &str = "SELECT 1, node.inc, state, coalesce(n, 0), 0, name, addr, version \
    FROM node LEFT JOIN beat ON beat.inc = node.inc \
    UNION ALL SELECT 2, id, owner_inc, epoch, event_floor, NULL, NULL, NULL FROM shard \
    UNION ALL SELECT 3, count(*), cast(coalesce(sum(live), 0) AS SIGNED), 0, 0, NULL, NULL, NULL \
    FROM lane WHERE inc = ";
const TICK_REST: &str = " UNION ALL SELECT 4, version, 0, 0, 0, name, NULL, NULL FROM config \
    UNION ALL SELECT 5, coalesce(max(generation), 0), 0, 0, 0, NULL, NULL, NULL FROM generation";

pub(crate) async fn nodes(conn: &mut Conn) -> Result<Vec<Node>, StoreError> {
    let rows: Vec<codec::NodeColumns> = rows(conn, &Text::of(NODES)).await?;
    rows.into_iter().map(codec::node).collect()
}

pub(crate) async fn join(conn: &mut Conn, node: &Node, lanes: i16) -> Result<(), StoreError> {
    let mut text =
        Text::of("START TRANSACTION;INSERT INTO node (inc, name, addr, state, version) ");
    text.sql("VALUES (").int(node.inc).sql(", ").bytes(node.name.as_bytes()).sql(", ");
    text.bytes(node.addr.as_bytes()).sql(", ").int(node.state as i16).sql(", ");
    text.bytes(node.version.as_bytes()).sql(") ON DUPLICATE KEY UPDATE inc = VALUES(inc)");
    text.sql(";INSERT INTO beat (inc, n) VALUES (").int(node.inc);
    text.sql(", 0) ON DUPLICATE KEY UPDATE inc = VALUES(inc)");
    text.sql(";INSERT INTO lane (inc, lane, live, batch) VALUES ");
    text.list(0..lanes, |text, lane| {
        text.sql("(").int(node.inc).sql(", ").int(lane).sql(", 1, 0)");
    });
    text.sql(" ON DUPLICATE KEY UPDATE inc = VALUES(inc);COMMIT");
    run(conn, &text).await
}

pub(crate) async fn add_lane(conn: &mut Conn, inc: i64, lane: i16) -> Result<(), StoreError> {
    let mut text = Text::of("INSERT INTO lane (inc, lane, live, batch) VALUES (");
    text.int(inc).sql(", ").int(lane).sql(", 1, 0)");
    run(conn, &text).await
}

pub(crate) async fn remove_lane(conn: &mut Conn, inc: i64, lane: i16) -> Result<(), StoreError> {
    let mut text = Text::of("DELETE FROM lane WHERE inc = ");
    text.int(inc).sql(" AND lane = ").int(lane);
    run(conn, &text).await
}

/// The first UPDATE waits for the lanes' open batches.
pub(crate) async fn fence(
    conn: &mut Conn,
    inc: i64,
    seen_beat: Option<i64>,
) -> Result<bool, StoreError> {
    let mut text = Text::of("START TRANSACTION;UPDATE lane SET live = 0 WHERE live = 1 AND inc = ");
    text.int(inc);
    if let Some(beat) = seen_beat {
        text.sql(" AND (SELECT n FROM beat WHERE inc = ").int(inc).sql(") = ").int(beat);
    }
    text.sql(";UPDATE node SET state = 3 WHERE inc = ").int(inc);
    if seen_beat.is_some() {
        text.sql(" AND ROW_COUNT() > 0");
    }
    text.sql(";COMMIT;SELECT count(*) FROM node WHERE state <> 3 AND inc = ").int(inc);
    let mut result = conn.query_iter(text.as_bytes()).await?;
    for _statement in 0..4 {
        let _: Vec<i64> = next_rows(&mut result).await?;
    }
    let alive: Vec<i64> = next_rows(&mut result).await?;
    result.drop_result().await?;
    Ok(alive == [0])
}

/// The node's row is held, so that it is not fenced meanwhile; then the shards', in the order of
/// their ids, or two claimers could wait for each other.
pub(crate) async fn claim(
    conn: &mut Conn,
    inc: i64,
    claims: &[Claim],
) -> Result<Vec<Shard>, StoreError> {
    let mut claims: Vec<_> = claims.iter().collect();
    claims.sort_unstable_by_key(|claim| claim.seen.id);
    let mut text = Text::of("START TRANSACTION;SELECT state FROM node WHERE state <> 3 AND inc = ");
    text.int(inc).sql(" LOCK IN SHARE MODE;SELECT STRAIGHT_JOIN t.id, ").int(inc);
    text.sql(", greatest(t.epoch, s.above) + 1, t.event_floor FROM ");
    matching(&mut text, &claims);
    matched(&mut text, inc);
    text.sql(" FOR UPDATE;UPDATE ");
    matching(&mut text, &claims);
    text.sql(" SET t.owner_inc = ").int(inc).sql(", t.epoch = greatest(t.epoch, s.above) + 1");
    matched(&mut text, inc);
    text.sql(";COMMIT");
    let mut result = conn.query_iter(text.as_bytes()).await?;
    let _begun: Vec<i64> = next_rows(&mut result).await?;
    let _alive: Vec<i64> = next_rows(&mut result).await?;
    let rows: Vec<codec::ShardColumns> = next_rows(&mut result).await?;
    result.drop_result().await?;
    let mut claimed: Vec<_> = rows.into_iter().map(codec::shard).collect::<Result<_, _>>()?;
    claimed.sort_unstable_by_key(|shard| shard.id);
    Ok(claimed)
}

/// The rows of the shards that were seen, as `t`.
fn matching(text: &mut Text, claims: &[&Claim]) {
    text.keys(claims, |row, Claim { seen, above }| {
        row.int("id", seen.id.get()).int("owner_inc", seen.owner_inc).int("epoch", seen.epoch);
        row.int("above", *above);
    });
    text.sql(" s STRAIGHT_JOIN shard t FORCE INDEX (PRIMARY) ON t.id = s.id");
}

/// Those that are as seen, for one that lives.
fn matched(text: &mut Text, inc: i64) {
    text.sql(" WHERE t.owner_inc = s.owner_inc AND t.epoch = s.epoch ");
    text.sql("AND EXISTS (SELECT 1 FROM node WHERE state <> 3 AND inc = ").int(inc).sql(")");
}

/// Nothing happens unless `inc`, or with `None` nobody, is alive.
pub(crate) async fn begin_generation(
    conn: &mut Conn,
    inc: Option<i64>,
    generation: i64,
    above: &[(ShardId, i64)],
) -> Result<(), StoreError> {
    let mut text = Text::of("INSERT INTO generation (generation, shard, first_seq) SELECT ");
    text.int(generation).sql(
        ", s.id, 1 + greatest(s.event_floor, \
         coalesce((SELECT max(seq) FROM event e WHERE e.shard = s.id), 0), \
         coalesce((SELECT max(read_to) FROM `cursor` c WHERE c.shard = s.id), 0), \
         coalesce((SELECT max(first_seq) - 1 FROM generation g WHERE g.shard = s.id), 0)",
    );
    if !above.is_empty() {
        text.sql(", coalesce((SELECT max(a.seq) FROM ");
        text.keys(above, |row, (shard, seq)| {
            row.int("shard", shard.get()).int("seq", *seq);
        });
        text.sql(" a WHERE a.shard = s.id), 0)");
    }
    text.sql(") FROM shard s WHERE ");
    match inc {
        Some(inc) => {
            text.sql("EXISTS (SELECT 1 FROM node WHERE state <> 3 AND inc = ").int(inc).sql(")")
        }
        None => text.sql("NOT EXISTS (SELECT 1 FROM node WHERE state <> 3)"),
    };
    text.sql(" ON DUPLICATE KEY UPDATE first_seq = generation.first_seq");
    run(conn, &text).await
}

pub(crate) async fn tick(conn: &mut Conn, inc: i64) -> Result<Tick, StoreError> {
    let mut text = Text::of("UPDATE beat SET n = n + 1 WHERE inc = ");
    text.int(inc).sql(";").sql(TICK).int(inc).sql(TICK_REST);
    let mut result = conn.query_iter(text.as_bytes()).await?;
    let _beaten: Vec<i64> = next_rows(&mut result).await?;
    let rows: Vec<TickRow> = next_rows(&mut result).await?;
    result.drop_result().await?;
    unions::tick(inc, rows)
}

pub(crate) async fn set_state(
    conn: &mut Conn,
    inc: i64,
    state: NodeState,
) -> Result<(), StoreError> {
    let mut text = Text::of("UPDATE node SET state = ");
    text.int(state as i16).sql(" WHERE state <> 3 AND inc = ").int(inc);
    run(conn, &text).await
}

/// Looks first, or a claim could be in the way of the locks. Who is dead and owns nothing stays so.
/// A probe's row belongs to no node, and its prober may be at it: only what a node leaves is taken.
pub(crate) async fn forget_dead(conn: &mut Conn) -> Result<(), StoreError> {
    let text = Text::of(
        "SELECT inc FROM node WHERE state = 3 \
         AND NOT EXISTS (SELECT 1 FROM shard WHERE owner_inc = node.inc)",
    );
    let dead: Vec<i64> = rows(conn, &text).await?;
    if dead.is_empty() {
        return Ok(());
    }
    let mut text = Text::of("START TRANSACTION");
    for table in [";DELETE FROM lane", ";DELETE FROM beat", ";DELETE FROM node"] {
        text.sql(table).sql(" WHERE inc IN (");
        text.list(&dead, |text, inc| {
            text.int(*inc);
        });
        text.sql(")");
    }
    text.sql(";COMMIT");
    run(conn, &text).await
}

async fn run(conn: &mut Conn, text: &Text) -> Result<(), StoreError> {
    Ok(conn.query_drop(text.as_bytes()).await?)
}
