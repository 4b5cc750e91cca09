//! Threads that set sessions up: 200 to 400 µs of computing each, so that ten thousand strangers
//! stall no established conversation.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use contract::{Clock, Number, Rng};
use session::{BundleError, Identity, Session};
use tokio::sync::mpsc::UnboundedReceiver;
use upstream::{DeviceBundle, UserBundles};

use crate::shard::task::Drivers;

/// Sessions with the devices of a user, or why there are none.
#[derive(Debug)]
pub(crate) struct SetUp {
    pub wa_id: Number,
    /// All devices the user has; else only those a retry named.
    pub complete: bool,
    pub sessions: Result<Sessions, SetUpError>,
}

/// Of each device; its bundle may not be what it should be.
pub(crate) type Sessions = Vec<(u32, Result<Session, BundleError>)>;

/// See [`SetUp`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SetUpError {
    /// Worth another try.
    #[error("the pre-keys could not be fetched")]
    Fetch,
    /// No account, or none of its devices has keys.
    #[error("the recipient has no keys")]
    NoKeys,
}

/// Hands work to the threads. What waits is bounded by one fetch (1,000 users) for each that is
/// being worked on.
#[derive(Clone)]
pub(crate) struct Pool(mpsc::Sender<(UserBundles, bool)>);

/// What the threads compute with, and for whom.
pub(crate) struct Deps {
    pub me: Arc<Identity>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub drivers: Drivers,
}

impl Pool {
    /// Starts max(1, cores / 2) threads; they end with the last handle.
    pub(crate) fn start(deps: Deps) -> Self {
        let (work, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        let deps = Arc::new(deps);
        let cores = thread::available_parallelism().map_or(1, usize::from);
        for n in 0..(cores / 2).max(1) {
            let (queue, deps) = (queue.clone(), deps.clone());
            let name = format!("session-{n}");
            let started = thread::Builder::new().name(name).spawn(move || work_on(&queue, &deps));
            if let Err(error) = started {
                tracing::error!(%error, "a thread for session set-up could not be started");
            }
        }
        Self(work)
    }

    /// `complete`: see [`SetUp`].
    pub(crate) fn submit(&self, user: UserBundles, complete: bool) {
        if self.0.send((user, complete)).is_err() {
            tracing::error!("no thread sets sessions up any more");
        }
    }
}

/// Passes on the bundles that came with retry receipts. Runs until the process ends.
pub(crate) async fn retries(mut asked: UnboundedReceiver<UserBundles>, pool: Pool) {
    while let Some(user) = asked.recv().await {
        pool.submit(user, false);
    }
}

fn work_on(queue: &Mutex<mpsc::Receiver<(UserBundles, bool)>>, deps: &Deps) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((user, complete)) = next else { return };
        let wa_id = user.wa_id;
        let sessions = set_up(user, deps);
        deps.drivers.set_up(SetUp { wa_id, complete, sessions });
    }
}

fn set_up(user: UserBundles, deps: &Deps) -> Result<Sessions, SetUpError> {
    if user.devices.is_empty() {
        return Err(SetUpError::NoKeys);
    }
    let now_s = deps.clock.unix_s().unsigned_abs();
    let one = |DeviceBundle { device, bundle }| {
        let bundle = bundle.map_err(BundleError::from);
        let session = bundle.and_then(|it| Session::initiate(&deps.me, &it, now_s, &*deps.rng));
        (device, session)
    };
    Ok(user.devices.into_iter().map(one).collect())
}
