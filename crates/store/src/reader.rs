//! Reads: grouped look-ups for the shard drivers, which never wait, and plain ones.

use std::{future::Future, sync::Arc, time::Duration};

use contract::{Key, MediaId, Number, Rng, Route, ShardId};
use tokio::{sync::mpsc, time::Instant};

use crate::{
    backoff::Backoff,
    engine::{Backend, Engine, with_engine},
    error::StoreError,
    rows::{
        BlobHandle, Blocked, Config, Contact, Cursor, DeadEvent, DeadState, Event, Generation,
        IDEMPOTENCY_HASH_LEN, Idempotency, Identity, Job, Media, Message, Outbox, OwnKey, Revoked,
        Session, User,
    },
    vault::Vault,
};

/// Most keys of a round trip.
pub const GROUP_MAX: usize = 256;
/// Look-ups that may wait; more are answered [`StoreError::Busy`]. Above `jobs.max`, so that a shard
/// that loads every job at once still fits.
pub const WAITING_MAX: usize = 65_536;
/// Most events [`Reader::events`] gives.
pub const EVENTS_MAX: u32 = 128;
/// Days a look-up of an idempotency row spans; further ones are not looked at.
pub const DAYS_MAX: usize = 3;
/// How long a read is tried before its error is told.
pub const PATIENCE: Duration = Duration::from_secs(10);
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(1);

/// What to look up, by primary key or its first columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    Contact(Number),
    Message(Key),
    /// Of all devices of a wa_id.
    Peer(Number),
    Inbound {
        peer: Route,
        key: Key,
    },
    /// The latest row with this hash made on one of the days from one time to the other, at most
    /// [`DAYS_MAX`] days.
    Idempotency {
        hash: [u8; IDEMPOTENCY_HASH_LEN],
        from_ms: i64,
        to_ms: i64,
    },
}

/// A look-up for a shard driver.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest {
    pub shard: ShardId,
    /// Comes back with the answer.
    pub token: u64,
    pub what: Read,
}

/// What is there: `None`, an empty list or `false` when there is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Contact(Option<Contact>),
    Message(Option<Message>),
    /// Each list by device.
    Peer {
        sessions: Vec<Session>,
        identities: Vec<Identity>,
    },
    Inbound(bool),
    Idempotency(Option<Idempotency>),
}

/// Answer to a [`ReadRequest`].
#[derive(Debug)]
pub struct ReadAnswer {
    pub shard: ShardId,
    pub token: u64,
    pub result: Result<Found, Arc<StoreError>>,
}

/// Which dead events to read: those of one endpoint, shard and state, ascending.
#[derive(Clone, Copy, Debug)]
pub struct DeadPage {
    pub endpoint: i16,
    pub shard: ShardId,
    pub state: DeadState,
    pub after_seq: i64,
    /// At most [`EVENTS_MAX`].
    pub limit: u32,
}

/// All that a new owner needs to go on with a shard.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ShardLoad {
    /// By id, so in the order they were accepted.
    pub jobs: Vec<Job>,
    pub outbox: Vec<Outbox>,
    /// 0 when the log is empty.
    pub max_event_seq: i64,
    pub event_floor: i64,
    /// First number of the account's generation; 0 in the first one.
    pub generation_start: i64,
    pub cursors: Vec<Cursor>,
    pub blocked: Vec<Blocked>,
}

impl ShardLoad {
    /// The number of the shard's next event: above all that were ever given, trimmed ones included.
    #[must_use]
    pub fn next_seq(&self) -> i64 {
        let read_to = self.cursors.iter().map(|cursor| cursor.read_to).max().unwrap_or(0);
        (self.max_event_seq.max(self.event_floor).max(read_to) + 1).max(self.generation_start)
    }
}

/// Reads. Clones share one queue and the database's read connections.
#[derive(Clone)]
pub struct Reader {
    pub(crate) backend: Backend,
    queue: mpsc::Sender<Waiting>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) rng: Arc<dyn Rng>,
}

struct Waiting {
    request: ReadRequest,
    to: mpsc::UnboundedSender<Vec<ReadAnswer>>,
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub media: Media,
    pub handle: Option<BlobHandle>,
}

impl Reader {
    /// Starts the task that groups look-ups; it ends with the last clone.
    pub(crate) fn start(backend: Backend, rng: Arc<dyn Rng>, vault: Arc<Vault>) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(group(backend.clone(), waiting, Arc::clone(&rng), Arc::clone(&vault)));
        Self { backend, queue, vault, rng }
    }

    /// Looks a row up together with what else waits; never blocks. The answer comes to `to`, one
    /// list a round trip; after [`PATIENCE`] it is an error.
    pub fn submit(&self, request: ReadRequest, to: mpsc::UnboundedSender<Vec<ReadAnswer>>) {
        if let Err(refused) = self.queue.try_send(Waiting { request, to }) {
            let (mpsc::error::TrySendError::Full(waiting)
            | mpsc::error::TrySendError::Closed(waiting)) = refused;
            let ReadRequest { shard, token, .. } = waiting.request;
            let result = Err(Arc::new(StoreError::Busy));
            drop(waiting.to.send(vec![ReadAnswer { shard, token, result }]));
        }
    }

    /// Everything of a shard but its messages and what it knows of contacts. Read it after the claim is committed.
    ///
    /// # Errors
    /// As all reads here: [`StoreError`] after [`PATIENCE`], or at once when a row is corrupt.
    pub async fn load_shard(&self, shard: ShardId) -> Result<ShardLoad, StoreError> {
        let backend = &self.backend;
        let mut load = patiently(&self.rng, || async move {
            with_engine!(backend, engine => engine.load_shard(shard).await)
        })
        .await?;
        self.vault.open_load(shard, &mut load)?;
        Ok(load)
    }

    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn contact(
        &self,
        shard: ShardId,
        number: Number,
    ) -> Result<Option<Contact>, StoreError> {
        match self.one(shard, Read::Contact(number)).await? {
            Some(Found::Contact(row)) => Ok(row),
            _ => Ok(None),
        }
    }

    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn message(&self, shard: ShardId, key: Key) -> Result<Option<Message>, StoreError> {
        match self.one(shard, Read::Message(key)).await? {
            Some(Found::Message(row)) => Ok(row),
            _ => Ok(None),
        }
    }

    /// Whether a customer's message was stored.
    ///
    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn heard(&self, shard: ShardId, peer: Route, key: Key) -> Result<bool, StoreError> {
        let found = self.one(shard, Read::Inbound { peer, key }).await?;
        Ok(matches!(found, Some(Found::Inbound(true))))
    }

    /// Events above `after_seq`, at most `limit` and [`EVENTS_MAX`].
    ///
    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn events(
        &self,
        shard: ShardId,
        after_seq: i64,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        let limit = i64::from(limit.min(EVENTS_MAX));
        let backend = &self.backend;
        let mut events = patiently(&self.rng, || async move {
            with_engine!(backend, engine => engine.events(shard, after_seq, limit).await)
        })
        .await?;
        events.iter_mut().try_for_each(|row| self.vault.open_event(row))?;
        Ok(events)
    }

    /// Events that an endpoint would not take.
    ///
    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn dead_events(&self, page: DeadPage) -> Result<Vec<DeadEvent>, StoreError> {
        let page = DeadPage { limit: page.limit.min(EVENTS_MAX), ..page };
        let backend = &self.backend;
        let mut events = patiently(&self.rng, || async move {
            with_engine!(backend, engine => engine.dead_events(page).await)
        })
        .await?;
        events.iter_mut().try_for_each(|row| self.vault.open_dead_event(page.shard, row))?;
        Ok(events)
    }

    /// Key and time (Unix milliseconds) of the latest messages of a customer, the newest first, at
    /// most `limit` and [`EVENTS_MAX`].
    ///
    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn latest_inbound(
        &self,
        shard: ShardId,
        peer: Route,
        limit: u32,
    ) -> Result<Vec<(Key, i64)>, StoreError> {
        let limit = i64::from(limit.min(EVENTS_MAX));
        let backend = &self.backend;
        patiently(&self.rng, || async move {
            with_engine!(backend, engine => engine.latest_inbound(shard, peer, limit).await)
        })
        .await
    }

    /// All key pairs of ours, by kind and id.
    ///
    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn own_keys(&self) -> Result<Vec<OwnKey>, StoreError> {
        let backend = &self.backend;
        let mut keys = patiently(&self.rng, || async move {
            with_engine!(backend, engine => engine.own_keys().await)
        })
        .await?;
        keys.iter_mut().try_for_each(|row| self.vault.open_own_key(row))?;
        Ok(keys)
    }

    /// Where each generation of the account begins, by generation and shard.
    ///
    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn generations(&self) -> Result<Vec<Generation>, StoreError> {
        let backend = &self.backend;
        patiently(&self.rng, || async move {
            with_engine!(backend, engine => engine.generations().await)
        })
        .await
    }

    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn file(&self, id: MediaId) -> Result<Option<File>, StoreError> {
        let backend = &self.backend;
        patiently(
            &self.rng,
            || async move { with_engine!(backend, engine => engine.file(id).await) },
        )
        .await
    }

    /// Files behind an id, in its order, at most `limit` and [`EVENTS_MAX`].
    ///
    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn files_after(&self, id: MediaId, limit: u32) -> Result<Vec<File>, StoreError> {
        let (backend, limit) = (&self.backend, i64::from(limit.min(EVENTS_MAX)));
        patiently(&self.rng, || async move {
            with_engine!(backend, engine => engine.files_after(id, limit).await)
        })
        .await
    }

    /// How many messages of a shard have a key that sorts before this one.
    ///
    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn messages_before(&self, shard: ShardId, key: Key) -> Result<u64, StoreError> {
        let backend = &self.backend;
        let count = patiently(&self.rng, || async move {
            with_engine!(backend, engine => engine.messages_before(shard, key).await)
        })
        .await?;
        Ok(count.unsigned_abs())
    }

    /// All users, by name.
    ///
    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn users(&self) -> Result<Vec<User>, StoreError> {
        let backend = &self.backend;
        patiently(
            &self.rng,
            || async move { with_engine!(backend, engine => engine.users().await) },
        )
        .await
    }

    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn user(&self, name: &str) -> Result<Option<User>, StoreError> {
        let backend = &self.backend;
        patiently(
            &self.rng,
            || async move { with_engine!(backend, engine => engine.user(name).await) },
        )
        .await
    }

    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn config(&self, name: &str) -> Result<Option<Config>, StoreError> {
        let backend = &self.backend;
        let mut config = patiently(&self.rng, || async move {
            with_engine!(backend, engine => engine.config(name).await)
        })
        .await?;
        config.iter_mut().try_for_each(|row| self.vault.open_config(row))?;
        Ok(config)
    }

    /// All revocations, expired ones included.
    ///
    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn revoked(&self) -> Result<Vec<Revoked>, StoreError> {
        let backend = &self.backend;
        patiently(
            &self.rng,
            || async move { with_engine!(backend, engine => engine.revoked().await) },
        )
        .await
    }

    async fn one(&self, shard: ShardId, what: Read) -> Result<Option<Found>, StoreError> {
        let keys = [(shard, what)];
        let found = look_up(&self.backend, &self.rng, &self.vault, &keys).await?;
        found.into_iter().next().transpose()
    }
}

/// Answers what has gathered while the last group was read.
async fn group(
    backend: Backend,
    mut waiting: mpsc::Receiver<Waiting>,
    rng: Arc<dyn Rng>,
    vault: Arc<Vault>,
) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while waiting.recv_many(&mut group, GROUP_MAX).await > 0 {
        let keys: Vec<_> =
            group.iter().map(|one: &Waiting| (one.request.shard, one.request.what)).collect();
        let mut results = match look_up(&backend, &rng, &vault, &keys).await {
            Ok(found) => {
                found.into_iter().map(|one| one.map_err(Arc::new)).collect::<Vec<_>>().into_iter()
            }
            Err(error) => {
                let error = Arc::new(error);
                vec![Err(error); group.len()].into_iter()
            }
        };
        let mut lists: Vec<(mpsc::UnboundedSender<Vec<ReadAnswer>>, Vec<ReadAnswer>)> = Vec::new();
        for Waiting { request, to } in group.drain(..) {
            let Some(result) = results.next() else { break };
            let answer = ReadAnswer { shard: request.shard, token: request.token, result };
            match lists.iter_mut().find(|(known, _)| known.same_channel(&to)) {
                Some((_, list)) => list.push(answer),
                None => lists.push((to, vec![answer])),
            }
        }
        for (to, list) in lists {
            // A driver that is gone no longer wants to know.
            drop(to.send(list));
        }
    }
}

async fn look_up(
    backend: &Backend,
    rng: &Arc<dyn Rng>,
    vault: &Vault,
    keys: &[(ShardId, Read)],
) -> Result<Vec<Result<Found, StoreError>>, StoreError> {
    let look_up = || async move { with_engine!(backend, engine => engine.look_up(keys).await) };
    let found = patiently(rng, look_up).await?.into_iter().zip(keys);
    Ok(found.map(|(found, (shard, _))| vault.open(*shard, found?)).collect())
}

/// Repeats a read while the database does not answer, for [`PATIENCE`].
pub(crate) async fn patiently<T, F>(
    rng: &Arc<dyn Rng>,
    mut read: impl FnMut() -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST, Arc::clone(rng));
    let until = Instant::now() + PATIENCE;
    loop {
        let result = match tokio::time::timeout_at(until, read()).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Database("no answer in time".to_owned())),
        };
        match result {
            Err(error) if error.is_transient() && Instant::now() < until => {
                tracing::warn!(%error, "A read is repeated");
                backoff.wait().await;
            }
            result => return result,
        }
    }
}
