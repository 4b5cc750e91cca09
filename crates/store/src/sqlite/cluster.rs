//! Membership. A file has one coreapp, so these are about its own restarts; the statements are those
//! of a cluster all the same, and so is what they promise.

use contract::ShardId;
use diesel::{
    RunQueryDsl, SqliteConnection,
    sql_types::{BigInt, Binary, SmallInt},
};

use crate::{
    cluster::{Claim, Tick},
    codec,
    error::StoreError,
    rows::{Node, NodeState, Shard},
    sqlite::{
        reads,
        stmt::{
            Bind::{Big, Bytes, Small},
            Stmt, execute,
        },
    },
};

pub(crate) fn nodes(conn: &mut SqliteConnection) -> Result<Vec<Node>, StoreError> {
    let rows: Vec<codec::NodeColumns> =
        Stmt::<(BigInt, Binary, Binary, SmallInt, Binary, BigInt)>::new(
            "SELECT node.inc, name, addr, state, version, coalesce(n, 0) \
             FROM node LEFT JOIN beat ON beat.inc = node.inc ORDER BY node.inc",
            &[],
        )
        .load(conn)?;
    rows.into_iter().map(codec::node).collect()
}

pub(crate) fn join(conn: &mut SqliteConnection, node: &Node, lanes: i16) -> Result<(), StoreError> {
    execute(
        conn,
        "INSERT OR IGNORE INTO node (inc, name, addr, state, version) VALUES (?, ?, ?, ?, ?)",
        &[
            Big(node.inc),
            Bytes(node.name.as_bytes()),
            Bytes(node.addr.as_bytes()),
            Small(node.state as i16),
            Bytes(node.version.as_bytes()),
        ],
    )?;
    execute(conn, "INSERT OR IGNORE INTO beat (inc, n) VALUES (?, 0)", &[Big(node.inc)])?;
    (0..lanes).try_for_each(|lane| add_lane(conn, node.inc, lane))
}

pub(crate) fn add_lane(conn: &mut SqliteConnection, inc: i64, lane: i16) -> Result<(), StoreError> {
    execute(
        conn,
        "INSERT OR IGNORE INTO lane (inc, lane, live, batch) VALUES (?, ?, 1, 0)",
        &[Big(inc), Small(lane)],
    )?;
    Ok(())
}

pub(crate) fn remove_lane(
    conn: &mut SqliteConnection,
    inc: i64,
    lane: i16,
) -> Result<(), StoreError> {
    execute(conn, "DELETE FROM lane WHERE inc = ? AND lane = ?", &[Big(inc), Small(lane)])?;
    Ok(())
}

pub(crate) fn fence(
    conn: &mut SqliteConnection,
    inc: i64,
    seen_beat: Option<i64>,
) -> Result<bool, StoreError> {
    let taken = match seen_beat {
        Some(beat) => execute(
            conn,
            "UPDATE lane SET live = 0 WHERE inc = ? AND live = 1 \
             AND (SELECT n FROM beat WHERE beat.inc = lane.inc) = ?",
            &[Big(inc), Big(beat)],
        )?,
        None => execute(conn, "UPDATE lane SET live = 0 WHERE inc = ? AND live = 1", &[Big(inc)])?,
    };
    if taken == 0 && seen_beat.is_some() {
        let state = state(conn, inc)?;
        return Ok(state == NodeState::Dead);
    }
    set_state(conn, inc, NodeState::Dead)?;
    Ok(true)
}

pub(crate) fn claim(
    conn: &mut SqliteConnection,
    inc: i64,
    claims: &[Claim],
) -> Result<Vec<Shard>, StoreError> {
    let mut claimed = Vec::new();
    if state(conn, inc)? == NodeState::Dead {
        return Ok(claimed);
    }
    for Claim { seen, above } in claims {
        let rows: Vec<codec::ShardColumns> = Stmt::<(SmallInt, BigInt, BigInt, BigInt)>::new(
            "UPDATE shard SET owner_inc = ?, epoch = max(epoch, ?) + 1 \
             WHERE id = ? AND owner_inc = ? AND epoch = ? \
             RETURNING id, owner_inc, epoch, event_floor",
            &[Big(inc), Big(*above), Small(seen.id.get()), Big(seen.owner_inc), Big(seen.epoch)],
        )
        .load(conn)?;
        for row in rows {
            claimed.push(codec::shard(row)?);
        }
    }
    claimed.sort_unstable_by_key(|shard| shard.id);
    Ok(claimed)
}

/// Nothing happens unless `inc`, or with `None` nobody, is alive.
pub(crate) fn begin_generation(
    conn: &mut SqliteConnection,
    inc: Option<i64>,
    generation: i64,
    above: &[(ShardId, i64)],
) -> Result<(), StoreError> {
    let begun = execute(
        conn,
        "INSERT OR IGNORE INTO generation (generation, shard, first_seq) SELECT ?, id, 1 + max( \
         event_floor, \
         coalesce((SELECT max(seq) FROM event WHERE shard = shard.id), 0), \
         coalesce((SELECT max(read_to) FROM cursor WHERE shard = shard.id), 0), \
         coalesce((SELECT max(first_seq) - 1 FROM generation WHERE shard = shard.id), 0)) \
         FROM shard WHERE CASE WHEN ? \
         THEN EXISTS (SELECT 1 FROM node WHERE inc = ? AND state <> 3) \
         ELSE NOT EXISTS (SELECT 1 FROM node WHERE state <> 3) END",
        &[Big(generation), Small(inc.is_some().into()), Big(inc.unwrap_or(0))],
    )?;
    let above = if begun > 0 { above } else { &[] };
    for (shard, seq) in above {
        execute(
            conn,
            "UPDATE generation SET first_seq = max(first_seq, ?) \
             WHERE generation = ? AND shard = ?",
            &[Big(seq.saturating_add(1)), Big(generation), Small(shard.get())],
        )?;
    }
    Ok(())
}

pub(crate) fn tick(conn: &mut SqliteConnection, inc: i64) -> Result<Tick, StoreError> {
    execute(conn, "UPDATE beat SET n = n + 1 WHERE inc = ?", &[Big(inc)])?;
    let lanes: Vec<(i64, i64)> = Stmt::<(BigInt, BigInt)>::new(
        "SELECT count(*), coalesce(sum(live), 0) FROM lane WHERE inc = ?",
        &[Big(inc)],
    )
    .load(conn)?;
    let configs: Vec<(Vec<u8>, i64)> =
        Stmt::<(Binary, BigInt)>::new("SELECT name, version FROM config ORDER BY name", &[])
            .load(conn)?;
    let configs = configs
        .into_iter()
        .map(|(name, version)| Ok((codec::text(name, "config", "name")?, version)))
        .collect::<Result<_, StoreError>>()?;
    let generation: Vec<i64> =
        Stmt::<BigInt>::new("SELECT coalesce(max(generation), 0) FROM generation", &[])
            .load(conn)?;
    Ok(Tick {
        state: state(conn, inc)?,
        lanes_live: lanes.as_slice().first().is_some_and(|(all, live)| *all > 0 && all == live),
        nodes: nodes(conn)?,
        shards: reads::shards(conn)?,
        configs,
        generation: generation.as_slice().first().copied().unwrap_or(0),
    })
}

pub(crate) fn set_state(
    conn: &mut SqliteConnection,
    inc: i64,
    state: NodeState,
) -> Result<(), StoreError> {
    execute(
        conn,
        "UPDATE node SET state = ? WHERE inc = ? AND state <> 3",
        &[Small(state as i16), Big(inc)],
    )?;
    Ok(())
}

pub(crate) fn leave(conn: &mut SqliteConnection, inc: i64) -> Result<(), StoreError> {
    fence(conn, inc, None).map(|_| ())
}

pub(crate) fn forget_dead(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    execute(
        conn,
        "DELETE FROM node WHERE state = 3 \
         AND NOT EXISTS (SELECT 1 FROM shard WHERE owner_inc = node.inc)",
        &[],
    )?;
    execute(conn, "DELETE FROM beat WHERE inc NOT IN (SELECT inc FROM node)", &[])?;
    // Whoever opens the file is alone, so a probe's row that is found is a left-over.
    execute(conn, "DELETE FROM lane WHERE inc NOT IN (SELECT inc FROM node)", &[])?;
    Ok(())
}

fn state(conn: &mut SqliteConnection, inc: i64) -> Result<NodeState, StoreError> {
    let rows: Vec<i16> =
        Stmt::<SmallInt>::new("SELECT state FROM node WHERE inc = ?", &[Big(inc)]).load(conn)?;
    Ok(rows.as_slice().first().copied().and_then(codec::node_state).unwrap_or(NodeState::Dead))
}
