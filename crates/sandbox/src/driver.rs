//! Holds the network, wakes the streams, hands out its jobs and records, lets time pass.
//!
//! One task for all that is planned: it sleeps until the next thing is due, at most a millisecond
//! at a time while there is traffic, and everything due by then happens at once.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use contract::{Clock, Rng};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    StartError,
    config::Config,
    journal::{self, Journal, NotDurable},
    media::Media,
    network::{Network, Now, StreamId},
    sessions::{keys::Seed, pool::Pool},
};

/// The network and who waits for it.
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    /// Something is due earlier than the driver thinks.
    earlier: Notify,
    started: Instant,
    clock: Arc<dyn Clock>,
    pool: Pool,
    journal: Option<Journal>,
    media: Media,
    /// Of outside phones, see [`Network::arrivals`].
    arrivals: watch::Sender<u64>,
    /// Version of the message templates.
    templates: watch::Sender<String>,
    /// Nothing is held any more.
    stopping: CancellationToken,
}

struct Inner {
    network: Network,
    /// Wakes the stream when it has something to pull.
    streams: HashMap<StreamId, Arc<Notify>>,
}

impl Shared {
    pub(crate) fn new(
        config: &Config,
        clock: Arc<dyn Clock>,
        rng: &Arc<dyn Rng>,
    ) -> Result<Arc<Self>, StartError> {
        let mut network = Network::new(config);
        let journal = config.data_dir.as_deref().map(|dir| -> Result<_, StartError> {
            let mut opened = journal::open(dir)?;
            let now = Now { ms: 0, unix_ms: clock.unix_ms() };
            let unusable = network.restore(std::mem::take(&mut opened.records), now);
            if unusable > 0 {
                warn!(records = unusable, "Parts of the sandbox's journal could not be used");
            }
            network.record_from_now();
            Ok(opened.start(&network.snapshot())?)
        });
        let journal = journal.transpose()?;
        let mut failed = None;
        let shared = Arc::new_cyclic(|shared: &Weak<Self>| {
            let shared = shared.clone();
            let done = move |done| {
                if let Some(shared) = shared.upgrade() {
                    shared.with(|network, now| network.done(done, now));
                }
            };
            let sessions = network.sessions();
            let seed = Arc::new(Seed::new(config.seed));
            let pool = Pool::start(&seed, rng, sessions.as_deref(), done);
            let pool = pool.unwrap_or_else(|error| {
                failed = Some(error);
                Pool::default()
            });
            Self {
                inner: Mutex::new(Inner { network, streams: HashMap::new() }),
                earlier: Notify::new(),
                started: Instant::now(),
                clock,
                pool,
                journal,
                media: Media::new(config.data_dir.clone(), rng.clone()),
                arrivals: watch::Sender::new(0),
                templates: watch::Sender::default(),
                stopping: CancellationToken::new(),
            }
        });
        match failed {
            Some(error) => Err(StartError::Threads(error)),
            None => Ok(shared),
        }
    }

    /// Does something with the network now. Short: everybody else waits.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut Network, Now) -> R) -> R {
        let now = Now { ms: millis(self.started.elapsed()), unix_ms: self.clock.unix_ms() };
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let due = inner.network.next_ms().unwrap_or(u64::MAX);
        let result = act(&mut inner.network, now);
        for id in inner.network.take_wakes() {
            if let Some(stream) = inner.streams.get(&id) {
                stream.notify_one();
            }
        }
        if inner.network.next_ms().is_some_and(|next| next < due) {
            self.earlier.notify_one();
        }
        // Under the lock, so that jobs and records are in the order of what made them.
        for job in inner.network.take_jobs() {
            self.pool.submit(job);
        }
        if let Some(journal) = &self.journal {
            let records = inner.network.take_records();
            if !records.is_empty() {
                journal.append(records);
            }
            if journal.has_grown() {
                journal.rewrite(inner.network.snapshot());
            }
        }
        let arrivals = inner.network.arrivals();
        self.arrivals.send_if_modified(|known| std::mem::replace(known, arrivals) != arrivals);
        let version = inner.network.templates_version();
        self.templates.send_if_modified(|known| {
            let other = known != version;
            if other {
                version.clone_into(known);
            }
            other
        });
        result
    }

    /// The files that messages name.
    pub(crate) fn media(&self) -> &Media {
        &self.media
    }

    /// Writes what the journal still has to write and gives its directory free.
    pub(crate) async fn close(&self) {
        if let Some(journal) = &self.journal {
            journal.close().await;
        }
    }

    /// Waits until all that has happened so far survives a restart, if anything does.
    pub(crate) async fn durable(&self) -> Result<(), NotDurable> {
        match &self.journal {
            Some(journal) => journal.flushed().await,
            None => Ok(()),
        }
    }

    /// Changes when something comes for an outside phone.
    pub(crate) fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrivals.subscribe()
    }

    /// Waits for another version of the message templates; for so long at most.
    pub(crate) async fn another_catalogue(&self, version: &str, wait: Duration) {
        let mut versions = self.templates.subscribe();
        let another = versions.wait_for(|now| !now.is_empty() && now != version);
        tokio::select! {
            _ = tokio::time::timeout(wait, another) => {}
            () = self.stopping.cancelled() => {}
        }
    }

    /// Ends what waits for something to happen.
    pub(crate) fn stop_waiting(&self) {
        self.stopping.cancel();
    }

    /// A coreapp connects; `None` when there are too many.
    pub(crate) fn open_stream(&self) -> Option<(StreamId, Arc<Notify>)> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let id = inner.network.open_stream()?;
        let wake = Arc::new(Notify::new());
        inner.streams.insert(id, wake.clone());
        Some((id, wake))
    }

    pub(crate) fn drop_stream(&self, id: StreamId) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.network.drop_stream(id);
        if let Some(wake) = inner.streams.remove(&id) {
            wake.notify_one();
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Lets time pass until stopped.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let due = shared.with(|network, now| {
            network.advance(now);
            network.next_ms()
        });
        let wait = async {
            match due {
                Some(ms) => sleep_until(shared.started + Duration::from_millis(ms)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.earlier.notified() => {}
            () = wait => {}
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
