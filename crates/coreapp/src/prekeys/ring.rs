//! Our own key pairs in memory, as all shards use them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use session::{Bundle, Identity, OneTimePreKey, OwnKeys, PreKeyId, SignedPreKey};
use tokio::sync::Notify;

/// The keys that are alive. A one-time key is taken off when a session has used it; its row goes
/// in the transaction that stores that session, so a crash in between brings it back.
pub(crate) struct Ring {
    me: Arc<Identity>,
    /// When it was made, Unix milliseconds.
    made_ms: i64,
    keys: RwLock<Keys>,
    low: Notify,
}

/// See [`Ring`].
#[derive(Default)]
pub(crate) struct Keys {
    /// By id, the retired ones included.
    pub signed: BTreeMap<PreKeyId, SignedPreKey>,
    /// The one we publish.
    pub newest: Option<PreKeyId>,
    pub one_time: HashMap<PreKeyId, OneTimePreKey>,
}

impl OwnKeys for Keys {
    fn signed(&self, id: PreKeyId) -> Option<&SignedPreKey> {
        self.signed.get(&id)
    }

    fn one_time(&self, id: PreKeyId) -> Option<&OneTimePreKey> {
        self.one_time.get(&id)
    }
}

impl Ring {
    pub(crate) fn new(me: Arc<Identity>, made_ms: i64, keys: Keys) -> Self {
        Self { me, made_ms, keys: RwLock::new(keys), low: Notify::new() }
    }

    pub(crate) fn me(&self) -> &Arc<Identity> {
        &self.me
    }

    /// When the identity was made, Unix seconds.
    pub(crate) fn made_s(&self) -> i64 {
        self.made_ms / 1_000
    }

    /// Looks at the keys. Long computing in here delays only whoever changes them.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&Keys) -> R) -> R {
        look(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut Keys) -> R) -> R {
        change(&mut self.keys.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// A session has used this one-time key up.
    pub(crate) fn used(&self, id: PreKeyId) {
        self.change(|keys| keys.one_time.remove(&id));
    }

    /// The network has few of our one-time keys left.
    pub(crate) fn low(&self) {
        self.low.notify_one();
    }

    /// Waits for [`Self::low`].
    pub(crate) async fn runs_low(&self) {
        self.low.notified().await;
    }

    /// A bundle to begin anew with, without a one-time key: those are for the network to hand out.
    pub(crate) fn bundle(&self) -> Option<Bundle> {
        self.with(|keys| Some(self.me.bundle(keys.signed.get(&keys.newest?)?, None)))
    }
}
