//! Our own keys: made, written, known to all coreapps, published, in this order; refilled, rotated,
//! forgotten. All of it by the owner of shard -1.
//!
//! A key is durable, and every coreapp has it, before the network can hand it out. A new owner
//! publishes every key again, which changes nothing there.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use contract::{Clock, Rng, ShardId};
use session::{Identity, OneTimePreKey, PreKeyId, RecordError, SignedPreKey};
use store::{
    Lanes, Reader, StoreError,
    rows::{Config, OwnKey},
    write::{Class, Op, WriteError},
};
use upstream::Upstream;

use super::ring::{Keys, Ring};
use crate::{control::Tell, generation::Generations};

/// `own_key.kind`.
const IDENTITY: i16 = 1;
const SIGNED: i16 = 2;
/// Also what a consumed key's row is found by.
pub(crate) const ONE_TIME: i16 = 3;
/// `own_key.state`.
const WRITTEN: i16 = 1;
/// `config` row; its version grows with every key that is made or forgotten.
pub(crate) const VERSION: &str = "own_keys";

/// One-time keys the network should hold, and how few make us publish more.
const STOCK: usize = 400;
const STOCK_LOW: usize = 100;
/// One-time keys alive at most. The network handed out what it no longer holds, and nobody may ever
/// use it; at this bound sessions are set up without one.
const ALIVE_MAX: usize = 10_000;
/// A new signed pre-key every week; a retired one decrypts for another 30 days.
const ROTATE_MS: i64 = 7 * DAY_MS;
const FORGET_MS: i64 = 30 * DAY_MS + ROTATE_MS;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// How often the dates are looked at, and how soon a failed publication is repeated.
const LOOK: Duration = Duration::from_secs(3_600);
const AGAIN: Duration = Duration::from_secs(5);

/// Our keys cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Shard -1 is not ours and its owner has made none yet.
    #[error("the account has no identity yet: the coreapp that owns shard -1 has not made it")]
    Absent,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row is not what this version wrote.
    #[error("failed to read table own_key, column body, kind {kind} id {id}: {error}")]
    Row {
        /// `own_key.kind`.
        kind: i16,
        /// `own_key.id`.
        id: i64,
        /// Why.
        error: RecordError,
    },
    /// The first keys could not be written.
    #[error("failed to write our own keys: {0}")]
    Write(#[from] WriteError),
}

/// What upkeep works with.
pub(crate) struct Upkeep<U> {
    pub upstream: Arc<U>,
    pub reader: Reader,
    pub lanes: Lanes,
    /// Of shard -1.
    pub epoch: i64,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub ring: Arc<Ring>,
    pub generations: Arc<Generations>,
    /// Waits until the other coreapps go by the rows: what the network hands out all can use.
    pub tell: Tell,
    pub known: Known,
}

/// Beside the keys in the ring.
#[derive(Default)]
pub(crate) struct Known {
    /// When each signed key was made.
    made_ms: HashMap<PreKeyId, i64>,
    /// One-time keys the network was not told of yet.
    unpublished: HashSet<PreKeyId>,
    /// Of the `config` row that grows with every key that is made.
    version: i64,
}

/// What the rows hold.
struct Stored {
    /// And when it was made.
    identity: Option<(Identity, i64)>,
    keys: Keys,
    known: Known,
}

/// Is there an account's identity yet?
pub(crate) async fn exist(reader: &Reader) -> Result<bool, StoreError> {
    Ok(reader.own_keys().await?.iter().any(|row| row.kind == IDENTITY))
}

/// Reads our keys. `owner` is the epoch of shard -1, when that is ours: then the identity and the
/// first signed pre-key of a new account are made.
pub(crate) async fn open(
    reader: &Reader,
    lanes: &Lanes,
    owner: Option<i64>,
    clock: &dyn Clock,
    rng: &dyn Rng,
) -> Result<Arc<Ring>, KeyError> {
    let Stored { identity, mut keys, mut known } = read(reader).await?;
    let now_ms = clock.unix_ms();
    let mut first = Vec::new();
    let (identity, made_ms) = match (identity, owner) {
        (Some(identity), _) => identity,
        (None, Some(_)) => {
            let identity = Identity::generate(rng);
            first.push(row(IDENTITY, 0, now_ms, &identity.to_bytes()));
            (identity, now_ms)
        }
        (None, None) => return Err(KeyError::Absent),
    };
    if let Some(epoch) = owner {
        if keys.newest.is_none() {
            let id = first_id(rng);
            let key = SignedPreKey::generate(&identity, id, rng);
            first.push(row(SIGNED, id.get().into(), now_ms, &key.to_bytes()));
            keys.newest = Some(id);
            keys.signed.insert(id, key);
        }
        if !first.is_empty() {
            commit(lanes, epoch, &mut known, first).await?;
        }
    }
    Ok(Arc::new(Ring::new(Arc::new(identity), made_ms, keys)))
}

/// Brings the ring up to what the rows hold: shard -1's owner has made keys, or we are that now.
pub(crate) async fn refresh(reader: &Reader, ring: &Ring) -> Result<Known, KeyError> {
    let Stored { keys, known, .. } = read(reader).await?;
    ring.change(|ring| *ring = keys);
    Ok(known)
}

async fn read(reader: &Reader) -> Result<Stored, KeyError> {
    // The version first: what is made meanwhile is read once more.
    let version = reader.config(VERSION).await?.map_or(0, |row| row.version);
    let mut known = Known { version, ..Known::default() };
    let (mut identity, mut keys) = (None, Keys::default());
    for row in reader.own_keys().await? {
        let damaged = |error| KeyError::Row { kind: row.kind, id: row.id, error };
        match row.kind {
            IDENTITY => {
                let made = Identity::from_bytes(&row.body).map_err(damaged)?;
                identity = Some((made, row.created_ms));
            }
            SIGNED => {
                let key = SignedPreKey::from_bytes(&row.body).map_err(damaged)?;
                known.made_ms.insert(key.id(), row.created_ms);
                keys.signed.insert(key.id(), key);
            }
            ONE_TIME => {
                let key = OneTimePreKey::from_bytes(&row.body).map_err(damaged)?;
                keys.one_time.insert(key.id(), key);
            }
            _ => {}
        }
    }
    keys.newest = known.made_ms.iter().max_by_key(|(_, made)| **made).map(|(id, _)| *id);
    Ok(Stored { identity, keys, known })
}

impl<U: Upstream> Upkeep<U> {
    /// Runs until the process ends.
    pub(crate) async fn run(mut self) {
        // The network may have forgotten what it had: at first it is told of every key.
        let mut all = true;
        loop {
            let wait = match self.round(all).await {
                Ok(()) => {
                    all = false;
                    LOOK
                }
                Err(error) => {
                    tracing::warn!(error, "our pre-keys could not be published; will try again");
                    AGAIN
                }
            };
            tokio::select! {
                () = self.ring.runs_low() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn round(&mut self, all: bool) -> Result<(), String> {
        // Other coreapps' sessions have used some up.
        let unpublished = std::mem::take(&mut self.known.unpublished);
        self.known = refresh(&self.reader, &self.ring).await.map_err(|error| error.to_string())?;
        self.known.unpublished = unpublished;
        let old = self.before_generation();
        if old {
            // Ids follow those our rows know, so that they take the place of lost ones there.
            self.make(STOCK).await.map_err(|error| error.to_string())?;
        }
        self.rotate(old).await.map_err(|error| error.to_string())?;
        let left = self.publish(all).await?;
        if left < STOCK_LOW {
            self.make(STOCK - left).await.map_err(|error| error.to_string())?;
            self.publish(false).await?;
        }
        Ok(())
    }

    /// Tells the network of new keys, or of all; gives how many one-time keys it holds.
    async fn publish(&mut self, all: bool) -> Result<usize, String> {
        let Some(keys) = self.publication(all) else { return Err("there is no key".to_owned()) };
        let left = self.upstream.publish_keys(keys).await.map_err(|error| error.to_string())?;
        // Their rows say nothing of it: whoever owns shard -1 next tells the network of every key.
        self.known.unpublished.clear();
        Ok(usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// The newest key is older than the account's generation: keys made after it may be lost, and
    /// the network hands them out.
    fn before_generation(&self) -> bool {
        let newest_ms = self.known.made_ms.values().max().copied().unwrap_or_default();
        newest_ms < self.begun_ms()
    }

    /// The generation's number is the second it began in.
    fn begun_ms(&self) -> i64 {
        self.generations.current().saturating_mul(1_000)
    }

    /// A new signed pre-key when the last has served its time, or `at_once`.
    async fn rotate(&mut self, at_once: bool) -> Result<(), WriteError> {
        let now_ms = self.clock.unix_ms();
        let newest_ms = self.known.made_ms.values().max().copied().unwrap_or_default();
        let mut ops = Vec::new();
        if at_once || now_ms - newest_ms > ROTATE_MS {
            // Not before its generation, should the clock have gone back.
            let now_ms = now_ms.max(self.begun_ms());
            let last = self.ring.with(|keys| keys.newest).unwrap_or_else(|| first_id(&*self.rng));
            let id = last.following();
            let key = SignedPreKey::generate(self.ring.me(), id, &*self.rng);
            ops.push(row(SIGNED, id.get().into(), now_ms, &key.to_bytes()));
            let ops = std::mem::take(&mut ops);
            commit(&self.lanes, self.epoch, &mut self.known, ops).await?;
            self.known.made_ms.insert(id, now_ms);
            self.ring.change(|keys| {
                keys.signed.insert(id, key);
                keys.newest = Some(id);
            });
            tracing::info!("a new signed pre-key is in use");
            (self.tell)().await;
        }
        let old: Vec<PreKeyId> = self
            .known
            .made_ms
            .iter()
            .filter(|(_, made)| now_ms - **made > FORGET_MS)
            .map(|(id, _)| *id)
            .collect();
        for id in old {
            ops.push(Op::DeleteOwnKey { kind: SIGNED, id: id.get().into() });
            self.known.made_ms.remove(&id);
            self.ring.change(|keys| keys.signed.remove(&id));
        }
        if !ops.is_empty() {
            commit(&self.lanes, self.epoch, &mut self.known, ops).await?;
            (self.tell)().await;
        }
        Ok(())
    }

    async fn make(&mut self, count: usize) -> Result<(), WriteError> {
        let alive = self.ring.with(|keys| keys.one_time.len());
        let count = count.min(ALIVE_MAX.saturating_sub(alive));
        let (rng, now_ms) = (self.rng.clone(), self.clock.unix_ms());
        let ids = self.ring.with(|keys| {
            let last = keys.one_time.keys().max().copied().unwrap_or_else(|| first_id(&*rng));
            PreKeyId::allocate(last, count, |id| keys.one_time.contains_key(&id))
        });
        let keys: Vec<OneTimePreKey> =
            ids.iter().map(|id| OneTimePreKey::generate(*id, &*rng)).collect();
        let rows =
            keys.iter().map(|key| row(ONE_TIME, key.id().get().into(), now_ms, &key.to_bytes()));
        commit(&self.lanes, self.epoch, &mut self.known, rows.collect()).await?;
        self.ring.change(|ring| ring.one_time.extend(keys.into_iter().map(|key| (key.id(), key))));
        self.known.unpublished.extend(ids);
        (self.tell)().await;
        Ok(())
    }

    fn publication(&self, all: bool) -> Option<upstream::OwnKeys> {
        self.ring.with(|keys| {
            let signed = keys.signed.get(&keys.newest?)?;
            let unpublished = &self.known.unpublished;
            let one_time =
                keys.one_time.values().filter(|key| all || unpublished.contains(&key.id()));
            let me = self.ring.me();
            Some(upstream::OwnKeys {
                registration_id: me.registration_id(),
                identity: *me.key(),
                signed: signed.public(),
                one_time: one_time.map(OneTimePreKey::public).collect(),
            })
        })
    }
}

/// Somewhere in the 24 bits, so that ids of a re-made account do not repeat those of the last.
fn first_id(rng: &dyn Rng) -> PreKeyId {
    let mut bytes = [0; 4];
    rng.fill(&mut bytes);
    let id = u32::from_be_bytes(bytes) & PreKeyId::MAX.get();
    PreKeyId::new(id.max(1)).unwrap_or(PreKeyId::MAX)
}

fn row(kind: i16, id: i64, created_ms: i64, body: &[u8]) -> Op {
    Op::PutOwnKey(OwnKey { kind, id, state: WRITTEN, created_ms, body: body.to_vec().into() })
}

/// The version goes with what it is of.
async fn commit(
    lanes: &Lanes,
    epoch: i64,
    known: &mut Known,
    mut ops: Vec<Op>,
) -> Result<(), WriteError> {
    let version = known.version + 1;
    ops.push(Op::PutConfig(Config { name: VERSION.to_owned(), version, document: Bytes::new() }));
    lanes.commit(ShardId::CONTROL, epoch, Class::Hot, ops).await?;
    known.version = version;
    Ok(())
}
