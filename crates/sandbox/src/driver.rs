//! Holds the network, wakes the streams, lets time pass.
//!
//! One task for all that is planned: it sleeps until the next thing is due, at most a millisecond
//! at a time while there is traffic, and everything due by then happens at once.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use contract::Clock;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    network::{Network, Now, StreamId},
};

/// The network and who waits for it.
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    /// Something is due earlier than the driver thinks.
    earlier: Notify,
    started: Instant,
    clock: Arc<dyn Clock>,
}

struct Inner {
    network: Network,
    /// Wakes the stream when it has something to pull.
    streams: HashMap<StreamId, Arc<Notify>>,
}

impl Shared {
    pub(crate) fn new(config: &Config, clock: Arc<dyn Clock>) -> Self {
        let network = Network::new(config);
        Self {
            inner: Mutex::new(Inner { network, streams: HashMap::new() }),
            earlier: Notify::new(),
            started: Instant::now(),
            clock,
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
        result
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
