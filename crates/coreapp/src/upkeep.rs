//! What is done now and then: old rows go, and the callback queue's length reaches the gate.

use std::{sync::Arc, time::Duration};

use contract::{Clock, Key, Route, ShardId, idempotency};
use store::{
    Lanes,
    rows::Shard,
    write::{Class, Op, Reply, Write},
};
use tokio::time::MissedTickBehavior;

use crate::{callbacks::Callbacks, intake::Gate};

/// How often the gate learns the callback queue's length.
const LEVEL: Duration = Duration::from_millis(100);
/// Looks at the level between two rounds of clean-up: ten seconds.
const ROUND: u32 = 100;
/// Rows of one table that a round deletes in one shard: in all 13,000 rows a second and table.
const ROWS: u32 = 2_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Settled events are kept for catching up.
const EVENTS_MS: i64 = 7 * DAY_MS;
/// Messages answer retries, quotes and receipts for so long.
const MESSAGES_MS: i64 = 30 * DAY_MS;
/// Received messages are recognised again for so long.
const INBOUND_MS: i64 = 30 * DAY_MS;

/// What upkeep works on.
pub(crate) struct Deps {
    pub shards: Vec<Shard>,
    pub lanes: Lanes,
    pub clock: Arc<dyn Clock>,
    pub callbacks: Arc<Callbacks>,
    pub gate: Arc<Gate>,
}

/// Runs until the process ends.
pub(crate) async fn run(deps: Deps) {
    let mut period = tokio::time::interval(LEVEL);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut round = 0;
    loop {
        period.tick().await;
        deps.gate.callbacks(deps.callbacks.unsettled());
        round = (round + 1) % ROUND;
        if round == 0 {
            for shard in &deps.shards {
                deps.lanes.submit(Write {
                    shard: shard.id,
                    epoch: shard.epoch,
                    class: Class::Bulk,
                    ops: trims(shard.id, deps.callbacks.floor(shard.id), deps.clock.unix_ms()),
                    reply: Reply::None,
                });
            }
        }
    }
}

fn trims(shard: ShardId, floor: i64, now_ms: i64) -> Vec<Op> {
    let mut ops = vec![Op::TrimEvents { floor, before_ms: now_ms - EVENTS_MS, limit: ROWS }];
    if shard == ShardId::CONTROL {
        return ops;
    }
    // Keys begin with the seconds of their minting.
    let mut oldest = [0; 9];
    let seconds = u32::try_from((now_ms - MESSAGES_MS) / 1_000).unwrap_or(0);
    oldest[..4].copy_from_slice(&seconds.to_be_bytes());
    if let Ok(key) = Key::from_bytes(&oldest) {
        ops.push(Op::TrimMessages { key, limit: ROWS });
    }
    // By whole days: what counts no longer stays for less than another one.
    let before_ms = now_ms - idempotency::KEPT_MS;
    ops.push(Op::TrimIdempotency { before_ms, limit: ROWS });
    let from = Route::from_i64(i64::MIN);
    ops.push(Op::TrimInbound { from, before_ms: now_ms - INBOUND_MS, limit: ROWS });
    ops
}
