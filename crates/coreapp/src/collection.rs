//! Collection on request: what `PUT /v1/services/{message,media}/gc` begin, and unused media once a day.
//!
//! One run of a kind at a time. What came of one that was asked for is told by a callback.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use contract::{
    ApiError, Clock, Code, Key, ShardId,
    callback::{self, EventKind},
};
use store::{
    Lanes, Reader,
    rows::NewEvent,
    write::{Class, Op},
};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use crate::{cluster::MapRx, control::Control, media::Shelf, settings::View, stickers};

/// Rows of messages that go at once.
const ROWS: u32 = 2_000;
/// How often unused media go unasked, if they do.
const PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

/// What is collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Old messages of the shards that are ours.
    Messages = 0,
    /// Unused files; only where the account is.
    Media = 1,
}

/// What collection works on.
pub(crate) struct Deps {
    pub node: String,
    pub shelf: Arc<Shelf>,
    pub control: Arc<Control>,
    pub lanes: Lanes,
    pub reader: Reader,
    pub map: MapRx,
    pub clock: Arc<dyn Clock>,
    pub settings: watch::Receiver<Arc<View>>,
}

/// See the module.
pub(crate) struct Collector {
    deps: Deps,
    /// By [`Kind`].
    running: [AtomicBool; 2],
}

impl Collector {
    pub(crate) fn new(deps: Deps) -> Arc<Self> {
        Arc::new(Self { deps, running: Default::default() })
    }

    /// Begins a run, unless there is one; answers at once.
    ///
    /// # Errors
    /// 1017 for media when the account is another coreapp's.
    pub(crate) fn begin(self: &Arc<Self>, kind: Kind) -> Result<(), ApiError> {
        if kind == Kind::Media && !self.deps.control.is_owner() {
            let details = "another coreapp collects media";
            return Err(ApiError::new(Code::NOT_PRIMARY_MASTER, details));
        }
        if !self.running[kind as usize].swap(true, Ordering::Relaxed) {
            let collector = self.clone();
            tokio::spawn(async move {
                let outcome = collector.collect(kind).await;
                collector.running[kind as usize].store(false, Ordering::Relaxed);
                collector.tell(kind, &outcome).await;
            });
        }
        Ok(())
    }

    /// Collects media once a day, where the account is, while the settings want it.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut period = interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // At once: whoever restarts often would never collect.
        loop {
            period.tick().await;
            let wanted = self.deps.settings.borrow().collect_media;
            if !wanted || !self.deps.control.is_owner() {
                continue;
            }
            match self.collect(Kind::Media).await {
                Ok(files) => tracing::info!(files, "unused media were collected"),
                Err(error) => tracing::warn!(%error, "unused media were not collected"),
            }
        }
    }

    async fn collect(&self, kind: Kind) -> Result<u64, ApiError> {
        match kind {
            Kind::Media => {
                let used = stickers::packs(&self.deps.control).await?.images().collect();
                self.deps.shelf.collect(&used).await
            }
            Kind::Messages => self.messages().await,
        }
    }

    async fn messages(&self) -> Result<u64, ApiError> {
        let database = |error: String| ApiError::new(Code::DATABASE, error);
        let kept_ms = self.deps.settings.borrow().collected_message_ms;
        let Some(key) = Key::before_ms(self.deps.clock.unix_ms() - kept_ms) else { return Ok(0) };
        let mut gone = 0;
        let mine = self.deps.map.borrow().mine.clone();
        for (shard, epoch) in mine.into_iter().filter(|(shard, _)| *shard != ShardId::CONTROL) {
            let count = self.deps.reader.messages_before(shard, key).await;
            let count = count.map_err(|error| database(error.to_string()))?;
            for _ in 0..count.div_ceil(ROWS.into()) {
                let trim = vec![Op::TrimMessages { key, limit: ROWS }];
                let trimmed = self.deps.lanes.commit(shard, epoch, Class::Bulk, trim).await;
                trimmed.map_err(|error| database(error.to_string()))?;
            }
            gone += count;
        }
        Ok(gone)
    }

    async fn tell(&self, kind: Kind, outcome: &Result<u64, ApiError>) {
        let cluster = !self.deps.map.borrow().owns_all();
        let node = cluster.then_some(&*self.deps.node);
        let body = match kind {
            Kind::Messages => callback::messages_collected(outcome.as_ref().copied(), node),
            Kind::Media => callback::media_collected(outcome.as_ref().copied()),
        };
        let now_ms = self.deps.clock.unix_ms();
        let event = NewEvent::apart(EventKind::Services.get(), now_ms, body);
        if let Err(error) = self.deps.shelf.commit(vec![Op::InsertEvent(event)]).await {
            tracing::warn!(%error, ?outcome, "what came of a collection could not be told");
        }
    }
}
