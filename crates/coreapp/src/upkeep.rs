//! What is done now and then: old rows go, and the gate learns of the callback queue's length and of
//! the disk.

use std::{path::PathBuf, sync::Arc, time::Duration};

use contract::{Clock, Key, Route, ShardId, idempotency};
use store::{
    Lanes,
    write::{Class, Op, Reply, Write},
};
use telemetry::metrics::IntGauge;
use tokio::{sync::watch, time::MissedTickBehavior};

use crate::{
    callbacks::{Callbacks, ENDPOINT},
    cluster::MapRx,
    intake::Gate,
    settings::View,
};

/// How often the gate learns the callback queue's length.
const LEVEL: Duration = Duration::from_millis(100);
/// Looks at the level between two rounds of clean-up: ten seconds.
const ROUND: u32 = 100;
/// Looks at the level between two at the disk and at the oldest event: one second.
const LOOK: u32 = 10;
/// Rows of one table that a round deletes in one shard: in all 13,000 rows a second and table.
const ROWS: u32 = 2_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Received messages are recognised again for so long.
const INBOUND_MS: i64 = 30 * DAY_MS;

/// What upkeep works on.
pub(crate) struct Deps {
    /// Which shards are ours.
    pub map: MapRx,
    pub lanes: Lanes,
    pub clock: Arc<dyn Clock>,
    pub callbacks: Arc<Callbacks>,
    pub gate: Arc<Gate>,
    pub settings: watch::Receiver<Arc<View>>,
    /// Where the database's disk can be seen.
    pub disk: Option<PathBuf>,
    /// Age of the oldest event, seconds.
    pub oldest: IntGauge,
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
        if round % LOOK == 0 {
            deps.look().await;
        }
        if round == 0 {
            let settings = deps.settings.borrow().clone();
            let mine = deps.map.borrow().mine.clone();
            for (shard, epoch) in mine {
                deps.lanes.submit(Write {
                    shard,
                    epoch,
                    class: Class::Bulk,
                    ops: trims(shard, deps.callbacks.floor(shard), deps.clock.unix_ms(), &settings),
                    reply: Reply::None,
                });
            }
        }
    }
}

impl Deps {
    /// The oldest event, and the room on the disk when that matters.
    async fn look(&self) {
        let age_ms = self.callbacks.oldest_ms().map(|ms| self.clock.unix_ms().saturating_sub(ms));
        self.oldest.set(age_ms.unwrap_or(0).max(0) / 1_000);
        let least = self.settings.borrow().min_free_bytes.filter(|least| *least > 0);
        let (Some(least), Some(path)) = (least, self.disk.clone()) else {
            self.gate.disk(u64::MAX, 0);
            return;
        };
        let free = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&path));
        match free.await {
            Ok(Ok(disk)) => self.gate.disk(disk.f_bavail.saturating_mul(disk.f_frsize), least),
            // As before: what cannot be seen changes nothing.
            Ok(Err(error)) => tracing::debug!(%error, "the database's disk cannot be looked at"),
            Err(_) => {}
        }
    }
}

fn trims(shard: ShardId, floor: i64, now_ms: i64, settings: &View) -> Vec<Op> {
    let before_ms = now_ms - settings.dead_letter_ms;
    let mut ops = vec![
        Op::TrimEvents { floor, before_ms: now_ms - settings.retention_ms, limit: ROWS },
        Op::TrimDeadEvents { endpoint: ENDPOINT, before_ms, limit: ROWS },
    ];
    if shard == ShardId::CONTROL {
        return ops;
    }
    if let Some(kept_ms) = settings.message_ms {
        let before = Key::before_ms(now_ms - kept_ms);
        ops.extend(before.map(|key| Op::TrimMessages { key, limit: ROWS }));
    }
    // By whole days: what counts no longer stays for less than another one.
    let before_ms = now_ms - idempotency::KEPT_MS;
    ops.push(Op::TrimIdempotency { before_ms, limit: ROWS });
    let from = Route::from_i64(i64::MIN);
    ops.push(Op::TrimInbound { from, before_ms: now_ms - INBOUND_MS, limit: ROWS });
    ops
}
