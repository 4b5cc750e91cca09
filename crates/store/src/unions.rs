//! Answers in which one statement reads several tables: a row says which part it is of. What the
//! columns of each part are, and what becomes of them, is the same for every engine that asks so.

use contract::ShardId;

use crate::{
    cluster::Tick,
    codec::{self, Dated},
    error::StoreError,
    reader::{Found, Read},
    rows::NodeState,
};

/// Which key, which part, and the part's columns:
///
/// | part | | | | | |
/// |---|---|---|---|---|---|
/// | 0 `contact` | `checked_ms` | 0 | `wa_id` | none | 0 |
/// | 1 `message` | `created_ms` | 0 | `body_hash`, `trace.context` | `body` | 0 |
/// | 2 `session` | `device` | `generation` | `record` | `mark` | 0 |
/// | 3 `identity` | `device` | `created_ms` | `key` | none | `acknowledged` |
/// | 4 `inbound` | `created_ms` | 0 | none | none | 0 |
/// | 5 `idempotency` | `created_ms` | 0 | `key` | none | 0 |
pub(crate) type LookedUp = (i64, i16, i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, i16);

const SESSION: i16 = 2;

/// Part and columns: 1 node (`inc`, `state`, `n`, 0, `name`, `addr`, `version`), 2 shard (`id`,
/// `owner_inc`, `epoch`, `event_floor`), 3 lanes (all, live), 4 config (`version`, 0, 0, 0, `name`),
/// 5 generation (the last).
pub(crate) type TickRow =
    (i16, i64, i64, i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

const NODE: i16 = 1;
const SHARD: i16 = 2;
const LANES: i16 = 3;
const GENERATION: i16 = 5;

/// What is found under each key, in the order of the keys. A bad row spoils its own key only.
pub(crate) fn look_up(
    keys: &[(ShardId, Read)],
    rows: Vec<LookedUp>,
) -> Vec<Result<Found, StoreError>> {
    let mut found: Vec<_> = keys.iter().map(|(_, what)| Ok(nothing(*what))).collect();
    for row in rows {
        let Ok(n) = usize::try_from(row.0) else { continue };
        let (Some((shard, what)), Some(result)) = (keys.get(n), found.get_mut(n)) else { continue };
        if let Ok(found) = result
            && let Err(error) = add(*shard, *what, row, found)
        {
            *result = Err(error);
        }
    }
    for found in &mut found {
        if let Ok(Found::Peer { sessions, identities }) = found {
            sessions.sort_unstable_by_key(|row| row.device);
            identities.sort_unstable_by_key(|row| row.device);
        }
    }
    found
}

/// Adds a row to what is found under its key.
fn add(
    shard: ShardId,
    what: Read,
    (_, table, a, b, x, y, flag): LookedUp,
    found: &mut Found,
) -> Result<(), StoreError> {
    match (what, found) {
        (Read::Contact(number), Found::Contact(row)) => {
            *row = Some(codec::contact(number, (x, a))?);
        }
        (Read::Message(key), Found::Message(row)) => {
            let columns = (a, x.unwrap_or_default(), y.unwrap_or_default());
            *row = Some(codec::message(key, columns)?);
        }
        (Read::Peer(wa_id), Found::Peer { sessions, .. }) if table == SESSION => {
            sessions.push(codec::session(shard, wa_id, (a, b, x.unwrap_or_default(), y))?);
        }
        (Read::Peer(wa_id), Found::Peer { identities, .. }) => {
            identities.push(codec::identity(wa_id, (a, x.unwrap_or_default(), b, flag))?);
        }
        (Read::Inbound { .. }, Found::Inbound(there)) => *there = true,
        // One a day: the latest counts.
        (Read::Idempotency { hash, .. }, Found::Idempotency(row))
            if row.is_none_or(|row| row.created_ms < a) =>
        {
            *row = Some(codec::idempotency(hash, (a, x.unwrap_or_default()))?);
        }
        // An earlier day's; else `nothing` made it of the key's kind.
        _ => {}
    }
    Ok(())
}

fn nothing(what: Read) -> Found {
    match what {
        Read::Contact(_) => Found::Contact(None),
        Read::Message(_) => Found::Message(None),
        Read::Peer(_) => Found::Peer { sessions: Vec::new(), identities: Vec::new() },
        Read::Inbound { .. } => Found::Inbound(false),
        Read::Idempotency { .. } => Found::Idempotency(None),
    }
}

/// Where the idempotency rows may be: number of the key, shard, hash.
pub(crate) fn dated(keys: &[(ShardId, Read)]) -> Vec<(i64, i16, Dated)> {
    let mut dated = Vec::new();
    for (n, (shard, what)) in (0..).zip(keys) {
        if let Read::Idempotency { hash, from_ms, to_ms } = *what {
            let dates = codec::dates(hash, from_ms, to_ms);
            dated.extend(dates.map(|hash| (n, shard.get(), hash)));
        }
    }
    dated
}

/// What `inc` reads with its tick.
pub(crate) fn tick(inc: i64, rows: Vec<TickRow>) -> Result<Tick, StoreError> {
    let mut tick = Tick {
        state: NodeState::Dead,
        lanes_live: false,
        nodes: Vec::new(),
        shards: Vec::new(),
        configs: Vec::new(),
        generation: 0,
    };
    for (what, a, b, c, d, name, addr, version) in rows {
        let name = name.unwrap_or_default();
        match what {
            NODE => {
                let (addr, version) = (addr.unwrap_or_default(), version.unwrap_or_default());
                let node = codec::node((a, name, addr, small(b), version, c))?;
                if node.inc == inc {
                    tick.state = node.state;
                }
                tick.nodes.push(node);
            }
            SHARD => tick.shards.push(codec::shard((small(a), b, c, d))?),
            GENERATION => tick.generation = a,
            LANES => tick.lanes_live = a > 0 && a == b,
            _ => tick.configs.push((codec::text(name, "config", "name")?, a)),
        }
    }
    tick.nodes.sort_unstable_by_key(|node| node.inc);
    tick.shards.sort_unstable_by_key(|shard| shard.id);
    tick.configs.sort_unstable();
    Ok(tick)
}

/// A small number that travelled in a wide column; what does not fit is refused by the codec.
fn small(value: i64) -> i16 {
    i16::try_from(value).unwrap_or(i16::MAX)
}
