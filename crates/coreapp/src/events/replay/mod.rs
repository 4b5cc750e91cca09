//! Events sent to the webhook again, under their `webhook-id`: a part of the log, or dead letters.
//!
//! `book.rs` keeps account (no I/O), `run.rs` sends, one event at a time. The owner of shard -1 does both
//! for all shards: what it does not know of another's, it asks its owner.

mod book;
mod run;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use contract::{
    ApiError, Clock, Code, Rng, Route, ShardId,
    events::{DeadCursor, Position, Progress, ReplayRequest, Scope, State},
};
use store::{
    Lanes, Reader, StoreError,
    rows::Config,
    write::{Class, Op, WriteError},
};
use telemetry::metrics::IntCounter;
use tokio::{
    sync::{Mutex as AsyncMutex, watch},
    time::sleep,
};

use super::log::{EventLog, database};
use crate::{
    callbacks::{Again, Callbacks, ENDPOINT},
    cluster::{MapRx, Peers},
};
use book::{Book, Entry, Source, Wanted};

/// The `config` row.
const ROW: &str = "replays";
/// After a row that could not be read.
const AGAIN: Duration = Duration::from_secs(1);

/// What replays live on.
pub(crate) struct Deps {
    pub log: Arc<EventLog>,
    pub reader: Reader,
    pub lanes: Lanes,
    /// Which shards are ours.
    pub map: MapRx,
    pub peers: Arc<Peers>,
    pub callbacks: Arc<Callbacks>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub sent: IntCounter,
    pub failed: IntCounter,
}

/// See the module.
pub(crate) struct Replays {
    deps: Deps,
    book: Mutex<Book>,
    /// Version of the row; held while it is written.
    version: AsyncMutex<i64>,
    /// Something was asked for or stopped.
    changed: watch::Sender<()>,
    /// The book is that of the row: no other coreapp writes it.
    ready: AtomicBool,
}

// === impl Replays ===

impl Replays {
    /// With what was under way when the process ended, if that is ours to go on with.
    pub(crate) async fn open(deps: Deps) -> Result<Self, StoreError> {
        let replays = Self {
            deps,
            book: Mutex::default(),
            version: AsyncMutex::new(0),
            changed: watch::Sender::new(()),
            ready: AtomicBool::new(false),
        };
        if replays.is_keeper() {
            replays.read().await?;
        }
        Ok(replays)
    }

    /// Goes by the row.
    async fn read(&self) -> Result<(), StoreError> {
        let row = self.deps.reader.config(ROW).await?;
        let version = row.as_ref().map_or(0, |row| row.version);
        let book = row.and_then(|row| {
            let book = Book::read(&row.document);
            if book.is_none() {
                tracing::warn!(
                    "the replays on record are of another version and are not gone on with"
                );
            }
            book
        });
        *self.version.lock().await = version;
        *self.book() = book.unwrap_or_default();
        self.ready.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The account is ours, and its replays with it.
    fn is_keeper(&self) -> bool {
        self.deps.map.borrow().owns(ShardId::CONTROL)
    }

    /// # Errors
    /// 1017 when another coreapp keeps account, or this one has yet to read how replays stand.
    fn usable(&self) -> Result<(), ApiError> {
        if self.ready.load(Ordering::Relaxed) && self.is_keeper() {
            return Ok(());
        }
        let details = "Another coreapp keeps account of replays";
        Err(ApiError::new(Code::NOT_PRIMARY_MASTER, details))
    }

    /// How far the webhook is with a shard of ours.
    ///
    /// # Errors
    /// 1018 when it is not ours.
    pub(crate) fn settled_here(&self, shard: ShardId) -> Result<i64, ApiError> {
        if !self.deps.map.borrow().owns(shard) {
            let details = format!("Shard {shard} is another coreapp's");
            return Err(ApiError::new(Code::NOT_PRIMARY_COREAPP, details));
        }
        Ok(self.deps.callbacks.floor(shard))
    }

    /// A dead letter of a shard of ours was taken after all.
    ///
    /// # Errors
    /// As of any write.
    pub(crate) async fn bury_here(&self, shard: ShardId, seq: i64) -> Result<(), ApiError> {
        let ops = vec![Op::DeleteDeadEvent { endpoint: ENDPOINT, seq }];
        let epoch = self.epoch(shard);
        let buried = self.deps.lanes.commit(shard, epoch, Class::Cursor, ops).await;
        buried.map(|_| ()).map_err(|error| match error {
            WriteError::Fenced | WriteError::NotOwned => {
                ApiError::new(Code::NOT_PRIMARY_COREAPP, error.to_string())
            }
            error => ApiError::new(Code::DATABASE, error.to_string()),
        })
    }

    /// Sends what is asked for, until the process ends.
    pub(crate) async fn run(self: Arc<Self>, again: impl Fn() -> Again) {
        let (mut map, mut left) = (self.deps.map.clone(), self.deps.map.clone());
        while map.wait_for(|map| map.owns(ShardId::CONTROL)).await.is_ok() {
            while !self.ready.load(Ordering::Relaxed) {
                if let Err(error) = self.read().await {
                    tracing::warn!(%error, "the replays on record could not be read; will try again");
                    sleep(AGAIN).await;
                }
            }
            let left = async {
                let _ended = left.wait_for(|map| !map.owns(ShardId::CONTROL)).await;
            };
            tokio::select! {
                () = run::Runner::new(self.clone(), again()).run() => {}
                () = left => self.ready.store(false, Ordering::Relaxed),
            }
        }
    }

    /// Takes a request; it is durable when this answers.
    pub(crate) async fn start(&self, body: &[u8]) -> Result<Bytes, ApiError> {
        let request = ReplayRequest::parse(body)?;
        self.usable()?;
        if !self.deps.callbacks.has_url() {
            let details = "There is nowhere to send events to: set 'webhooks.url'";
            return Err(ApiError::new(Code::NO_WEBHOOK, details));
        }
        let wanted = Wanted::of(&request);
        let (source, estimate) = match request.scope {
            Scope::Dead => {
                let count = self.deps.reader.dead_count(ENDPOINT).await;
                (Source::Dead { at: DeadCursor::START }, count.map_err(|error| database(&error))?)
            }
            Scope::Log { after, until } => {
                let (at, head) = self.deps.log.bounds(after.map(|after| *after)).await?;
                let only = request.number.as_ref().map(|number| Route::of(number).shard());
                stretch(at, until.map_or(head, |until| *until), &head, only)
            }
        };
        let progress = Progress {
            id: format!("{:016x}", self.deps.rng.next_u64()),
            state: State::Queued,
            estimate,
            sent: 0,
            failed: 0,
            pending: 0,
            rate: request.rate,
            created: self.deps.clock.unix_s(),
        };
        let id = progress.id.clone();
        self.book().add(Entry { progress, wanted, source })?;
        if let Err(error) = self.save().await {
            self.book().remove(&id);
            return Err(error);
        }
        tracing::info!(replay = id, estimate, "a replay of events was asked for");
        self.changed.send_replace(());
        self.get(&id)
    }

    /// How it stands, as JSON.
    pub(crate) fn get(&self, id: &str) -> Result<Bytes, ApiError> {
        self.usable()?;
        let book = self.book();
        let entry = book.get(id).ok_or_else(|| {
            ApiError::new(Code::NOT_FOUND, "There is no replay with this id, or not any more")
        })?;
        // Texts and plain numbers always serialise.
        Ok(serde_json::to_vec(&entry.progress).unwrap_or_default().into())
    }

    /// Stops it.
    pub(crate) async fn cancel(&self, id: &str) -> Result<Bytes, ApiError> {
        self.get(id)?;
        let ended = self.book().end(id, State::Cancelled);
        if ended {
            self.changed.send_replace(());
            self.save().await?;
        }
        self.get(id)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the book as it is now.
    async fn save(&self) -> Result<(), ApiError> {
        let mut version = self.version.lock().await;
        let document = self.book().document().into();
        let row = Config { name: ROW.to_owned(), version: *version + 1, document };
        let epoch = self.epoch(ShardId::CONTROL);
        let ops = vec![Op::PutConfig(row)];
        let saved = self.deps.lanes.commit(ShardId::CONTROL, epoch, Class::Bulk, ops).await;
        saved.map_err(|error| ApiError::new(Code::DATABASE, error.to_string()))?;
        *version += 1;
        Ok(())
    }

    fn epoch(&self, shard: ShardId) -> i64 {
        self.deps.map.borrow().mine.get(&shard).copied().unwrap_or(0)
    }
}

/// The log from one position to another, at most to its head, of all shards or of one; and how many
/// events that is at most.
fn stretch(at: Position, until: Position, head: &Position, only: Option<ShardId>) -> (Source, u64) {
    let (mut end, mut estimate) = (at, 0);
    for shard in ShardId::all().filter(|shard| only.is_none_or(|only| only == *shard)) {
        let to = until.of(shard).min(head.of(shard)).max(at.of(shard));
        estimate += to.abs_diff(at.of(shard));
        end.set(shard, to);
    }
    (Source::Log { at: Box::new(at), until: Box::new(end) }, estimate)
}
