//! What the machines of a driver ask for in one turn, and what they are told about the world.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use contract::{
    ApiError, Key, MessageId, Number, Rng, Route, ShardId, TraceContext, callback::StatusKind,
    message::Category,
};
use store::{ReadRequest, write::Write};
use telemetry::traces::Span;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use upstream::{Outgoing, Sealing, UserBundles};

use super::{elsewhere::HandedOn, idempotent::KeyHash};
use crate::{
    intake::{Gate, pipe::StreamOut},
    media::Wanted,
    prekeys::Ring,
    settings::View,
};

/// A message that asks to be accepted; already validated.
#[derive(Debug)]
pub(crate) struct Frame {
    pub key: Key,
    pub to: Number,
    /// Accepted by the shard of `to`, which hands it on to this number's.
    pub moved_to: Option<Number>,
    /// Of the recipient here.
    pub route: Route,
    pub input: String,
    pub category: Category,
    pub message: Bytes,
    pub attempt: u32,
    pub deadline: Instant,
    /// What its idempotency key is stored as.
    pub idempotent: Option<KeyHash>,
    /// The span it comes from and when it came, if it is traced.
    pub trace: Option<(TraceContext, Instant)>,
    pub reply: ReplyTo,
}

/// Where the answer to a [`Frame`] goes.
#[derive(Debug)]
pub(crate) enum ReplyTo {
    Stream { out: Arc<StreamOut>, seq: u64 },
    Once(oneshot::Sender<Accepted>),
}

/// Answer to a [`Frame`].
pub(crate) type Accepted = Result<Acceptance, ApiError>;

/// A message is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acceptance {
    pub id: MessageId,
    /// By an earlier request with the same idempotency key.
    pub replayed: bool,
}

/// A question about a contact's identity, or its acknowledgement.
#[derive(Debug)]
pub(crate) struct IdentityRequest {
    /// The hash that is acknowledged; `None` only asks.
    pub acknowledge: Option<String>,
    pub reply: IdentityReply,
}

/// Where the answer to an [`IdentityRequest`] goes.
pub(crate) type IdentityReply = oneshot::Sender<Result<Identity, ApiError>>;

/// A contact's identity as integrators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub hash: String,
    /// When it was first seen, Unix milliseconds.
    pub created_ms: i64,
    pub acknowledged: bool,
}

/// A question about numbers of one shard.
#[derive(Debug)]
pub(crate) struct Check {
    pub numbers: Vec<Number>,
    /// Skip the cache.
    pub force: bool,
    /// Answer what memory and rows know; what they do not is looked up all the same.
    pub no_wait: bool,
    pub reply: mpsc::UnboundedSender<Checked>,
}

/// What is known of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    pub number: Number,
    pub state: CheckState,
}

/// See [`Checked`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckState {
    Valid(Number),
    Invalid,
    Processing,
    Failed,
    /// Too many numbers wait for the network.
    Overloaded,
}

/// Collected over one turn, carried out together.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub writes: Vec<Write>,
    pub replies: Vec<(ReplyTo, Accepted)>,
    pub reads: Vec<ReadRequest>,
    pub sends: Vec<Outgoing>,
    /// Numbers to ask the network about.
    pub contacts: Vec<Number>,
    /// Traced messages that wait for a call of the network about a number.
    pub waiting: Vec<(&'static str, Number, TraceContext)>,
    /// What of a traced message has ended.
    pub spans: Vec<Span>,
    /// wa_ids whose pre-keys are to be fetched.
    pub bundles: Vec<Number>,
    /// Messages whose files the network is to get.
    pub files: Vec<Wanted>,
    /// Messages for other shards.
    pub handed_on: Vec<HandedOn>,
    /// Bundles that came with a retry receipt.
    pub setups: Vec<UserBundles>,
    /// Why stored sessions were not used.
    pub refused: Vec<&'static str>,
    pub counts: Counts,
}

/// What happens seldom and is counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Pre-key bundles that were not valid.
    pub bundles_refused: u64,
    /// Messages that another shard has taken over.
    pub handed_on: u64,
    /// Retry receipts that were followed, and those that were not: too many.
    pub retries_followed: u64,
    pub retries_refused: u64,
    /// What became of messages, whether or not it is reported, by `StatusKind`.
    pub statuses: [u64; StatusKind::ALL.len()],
}

impl Counts {
    /// This became of a message.
    pub(crate) fn status(&mut self, kind: StatusKind) {
        if let Some(count) = self.statuses.get_mut(kind as usize) {
            *count += 1;
        }
    }
}

/// What a machine may know of the world during one turn.
pub(crate) struct Ctx<'a> {
    pub now: Instant,
    pub now_ms: i64,
    pub settings: &'a View,
    pub gate: &'a Gate,
    pub window: &'a Window,
    /// The node's own beat is stale: no byte may leave.
    pub frozen: bool,
    pub sealing: Sealing,
    /// Messages may be traced.
    pub tracing: bool,
    /// Of the account; sessions of another one are dead.
    pub generation: i64,
    pub keys: &'a Ring,
    pub rng: &'a dyn Rng,
}

impl Ctx<'_> {
    pub(crate) fn now_s(&self) -> u64 {
        self.now_ms.div_euclid(1_000).unsigned_abs()
    }
}

/// Messages that are sealed or on the link and not yet answered, over all shards of the process.
#[derive(Debug)]
pub(crate) struct Window {
    max: usize,
    taken: AtomicUsize,
}

impl Window {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, taken: AtomicUsize::new(0) }
    }

    /// Takes a place, if one is free.
    pub(crate) fn try_take(&self) -> bool {
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < self.max).then_some(n + 1))
            .is_ok()
    }

    /// Takes a place whether or not one is free: for what was sealed before a restart.
    pub(crate) fn take(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn give(&self, n: usize) {
        self.taken.fetch_sub(n, Ordering::Relaxed);
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// Which shard a frame belongs to.
pub(crate) fn shard_of(frame: &Frame) -> ShardId {
    frame.route.shard()
}
