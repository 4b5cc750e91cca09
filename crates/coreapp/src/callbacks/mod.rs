//! Callbacks: every event of the log is POSTed to the endpoint until it answers 200.
//!
//! `machine.rs` decides (no I/O), `task.rs` acts, `worker.rs` POSTs over one connection each,
//! `feed.rs` brings what was committed. Delivery is a cursor and the set of holes below it, so a
//! backlog of ten million costs the memory of ten thousand.

mod again;
mod breaker;
mod crew;
mod entry;
mod feed;
mod fill;
mod holes;
mod log;
mod lot;
mod machine;
mod merge;
mod observe;
mod parking;
mod ready;
mod retry_after;
mod save;
mod schedule;
mod shared;
mod sign;
mod task;
mod window;
mod worker;

#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub(crate) use again::{Again, AgainDeps, Repeat, Sent};
pub use feed::Feed;
pub(crate) use fill::HELD_MS;
pub use holes::HolesError;
pub use log::{Log, LogError};

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use contract::{Clock, Rng, ShardId, settings::Application};
use store::ShardLoad;
use telemetry::metrics::{MetricError, Metrics};
use tokio::sync::{mpsc, oneshot, watch};

use crate::egress::Egress;
use again::Aim;
use task::{Command, Settings};

/// POSTs in flight at most, whatever the settings say.
const MAX_CONCURRENT: u16 = 256;
/// The endpoint's number in cursor rows: `webhooks.url`.
pub const ENDPOINT: i16 = 0;
const PLACES: usize = 65;

/// What the dispatcher lives on.
pub struct Deps {
    pub log: Arc<dyn Log>,
    /// What the lanes report commits to.
    pub feed: Arc<Feed>,
    pub egress: Arc<Egress>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub metrics: Metrics,
    pub traces: telemetry::Traces,
    /// The account's generation that an event was numbered in: first part of its `webhook-id`.
    pub generation: Box<dyn Fn(ShardId, i64) -> i64 + Send + Sync>,
    /// False while another node may have taken this one's shards: then nothing is POSTed. Asked
    /// before each POST, so it must be quick.
    pub may_post: Box<dyn Fn() -> bool + Send + Sync>,
}

/// The dispatcher of the endpoint `webhooks.url`. Its task ends when this is dropped.
pub struct Callbacks {
    /// Bounded by what is sent: a few a shard, and one a change of the settings.
    commands: mpsc::UnboundedSender<Command>,
    levels: Arc<Levels>,
    aim: watch::Receiver<Aim>,
}

/// What others look at while the task works.
struct Levels {
    unsettled: AtomicU64,
    /// Unix milliseconds; 0: nothing is unsettled.
    oldest_ms: AtomicI64,
    floors: [AtomicI64; PLACES],
}

/// Starts the dispatcher, which owns no shard yet and POSTs nothing before it has settings. Needs
/// a Tokio runtime.
///
/// # Errors
/// [`MetricError`] when its metrics are registered already.
pub fn start(deps: Deps) -> Result<Callbacks, MetricError> {
    let (commands, inbox) = mpsc::unbounded_channel();
    let levels = Arc::new(Levels {
        unsettled: AtomicU64::new(0),
        oldest_ms: AtomicI64::new(0),
        floors: [const { AtomicI64::new(0) }; PLACES],
    });
    let driver = task::Driver::new(deps, inbox, levels.clone())?;
    let aim = driver.aim();
    tokio::spawn(driver.run());
    Ok(Callbacks { commands, levels, aim })
}

// === impl Callbacks ===

impl Callbacks {
    /// Takes a shard over, from its saved cursor on. What is committed after `load` was read comes
    /// through the feed.
    ///
    /// # Errors
    /// [`HolesError`] when the cursor was written by a later version or is damaged. The shard is
    /// not attached then: to guess would lose events or repeat a week of them.
    pub fn attach(&self, shard: ShardId, epoch: i64, load: &ShardLoad) -> Result<(), HolesError> {
        let cursor = load.cursors.iter().find(|cursor| cursor.endpoint == ENDPOINT);
        // Without a cursor nothing was ever settled; what is below the floor is gone.
        let read_to = cursor.map_or(load.event_floor, |cursor| cursor.read_to);
        let holes = holes::decode(cursor.map_or(&[], |cursor| &cursor.holes), read_to)?;
        self.levels.floor(shard, holes::settled_to(read_to, &holes));
        let head = load.next_seq() - 1;
        self.send(Command::Attach { shard, epoch, read_to, holes, head });
        Ok(())
    }

    /// Connects as this client does from now on; what is in flight ends as it began.
    pub fn egress(&self, egress: Arc<Egress>) {
        self.send(Command::Egress(egress));
    }

    /// Applies settings; POSTs in flight end as they began.
    pub fn settings(&self, application: &Application) {
        self.send(Command::Settings(Settings::of(application)));
    }

    /// Events of the attached shards that the webhook has not taken, parked ones included: what the
    /// intake gate looks at.
    #[must_use]
    pub fn unsettled(&self) -> u64 {
        self.levels.unsettled.load(Ordering::Relaxed)
    }

    /// When the oldest of them was made, Unix milliseconds; known to the second.
    #[must_use]
    pub fn oldest_ms(&self) -> Option<i64> {
        Some(self.levels.oldest_ms.load(Ordering::Relaxed)).filter(|ms| *ms > 0)
    }

    /// Whether there is a URL.
    pub(crate) fn has_url(&self) -> bool {
        self.aim.borrow().has_url
    }

    /// Everything of the shard up to here is settled, and saved as such: what clean-up may delete.
    #[must_use]
    pub fn floor(&self, shard: ShardId) -> i64 {
        self.levels.floors.get(shard.index()).map_or(0, |floor| floor.load(Ordering::Relaxed))
    }

    /// A held event was let go: its row is read again now.
    pub(crate) fn released(&self, shard: ShardId, seq: i64) {
        self.send(Command::LetGo { shard, seq });
    }

    /// Lets a shard go: waits at most two seconds for POSTs in flight, then until the cursor is
    /// saved. False when it could not be saved; the next owner then repeats some POSTs.
    pub async fn release(&self, shard: ShardId) -> bool {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Release { shard, reply });
        answer.await.unwrap_or(false)
    }

    /// Lets all shards go, at the same time.
    pub async fn release_all(&self) {
        futures_util::future::join_all(ShardId::all().map(|shard| self.release(shard))).await;
    }

    fn send(&self, command: Command) {
        // The task ends only after this handle; if it panicked, the answer does not come either.
        drop(self.commands.send(command));
    }
}

// === impl Levels ===

impl Levels {
    fn floor(&self, shard: ShardId, settled_to: i64) {
        if let Some(floor) = self.floors.get(shard.index()) {
            floor.store(settled_to, Ordering::Relaxed);
        }
    }
}
