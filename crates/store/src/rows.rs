//! The rows of the tables, as the coreapp sees them. Every `body`, `header` and `payload` starts
//! with a version byte that belongs to whoever wrote it.

use std::fmt;

use bytes::Bytes;
use contract::{Key, MediaId, Number, Route, ShardId, TraceContext};

/// `message`: insert-only, outlives its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub key: Key,
    pub created_ms: i64,
    /// SHA-256 of the stored message; tells a retry from a clash of keys.
    pub body_hash: [u8; 32],
    pub body: Bytes,
    /// Where it stands in its trace, if it is traced. A row of its own, `trace`.
    pub trace: Option<TraceContext>,
}

/// `job`: a message that is not settled yet. Headers of all jobs are in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// `epoch << 40 | n`.
    pub id: i64,
    pub key: Key,
    pub route: Route,
    pub created_ms: i64,
    /// What is needed to go on without the body.
    pub header: Bytes,
    /// Its message's. Only read; the message's row is what is written.
    pub trace: Option<TraceContext>,
}

/// `outbox`: exactly the bytes that leave for one device of the recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbox {
    pub key: Key,
    pub device: i32,
    /// As the upstream protocol numbers it.
    pub kind: i16,
    pub payload: Bytes,
}

/// `contact`: the network's last answer for a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    pub number: Number,
    /// `None`: no account.
    pub wa_id: Option<Number>,
    pub checked_ms: i64,
}

/// `session`: the sessions with one device of a contact.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    pub wa_id: Number,
    pub device: i32,
    /// The account's generation; sessions of an earlier one are dead.
    pub generation: i64,
    /// Holds keys.
    pub record: Bytes,
}

/// `identity`: the identity key a contact's device last showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub wa_id: Number,
    pub device: i32,
    /// Public.
    pub key: Bytes,
    pub created_ms: i64,
    pub acknowledged: bool,
}

/// `own_key`: a key pair of ours.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnKey {
    /// 1 identity, 2 signed pre-key, 3 one-time pre-key.
    pub kind: i16,
    /// From 0, below 2^32.
    pub id: i64,
    /// 1 written, 2 published, 3 retired.
    pub state: i16,
    pub created_ms: i64,
    /// Holds a private key.
    pub body: Bytes,
}

/// `event` before its sequence number is assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    pub kind: i16,
    pub route: Route,
    pub key: Option<Key>,
    pub held: bool,
    pub created_ms: i64,
    /// The exact JSON that will be POSTed.
    pub body: Bytes,
    /// Its message's. Passed on from the commit and read with the log; not written.
    pub trace: Option<TraceContext>,
}

impl NewEvent {
    /// One that belongs to no message, and to a conversation of its own.
    #[must_use]
    pub fn apart(kind: i16, created_ms: i64, body: Vec<u8>) -> Self {
        let (route, body) = (Route::from_i64(0), body.into());
        Self { kind, route, key: None, held: false, created_ms, body, trace: None }
    }
}

/// What becomes of a held `event`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Its number in the log.
    pub seq: i64,
    /// As it was inserted.
    pub created_ms: i64,
    /// In the place of the one it has.
    pub body: Bytes,
}

/// `event`: one entry of a shard's log. Sequence numbers have no gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub shard: ShardId,
    pub seq: i64,
    pub event: NewEvent,
}

/// `generation`: where a generation of the account begins in a shard's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// The Unix second it was begun in, or one more than the one before. The first, without a row,
    /// is 1.
    pub generation: i64,
    pub shard: ShardId,
    pub first_seq: i64,
}

/// `cursor`: how far an endpoint has got in a shard's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub endpoint: i16,
    /// Everything up to here is settled, but for the holes.
    pub read_to: i64,
    /// Encoded by the dispatcher.
    pub holes: Bytes,
}

/// `dead_event`: an event that an endpoint would not take, settled for its cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadEvent {
    pub endpoint: i16,
    /// Its number in the log, from which it may be gone.
    pub seq: i64,
    pub state: DeadState,
    /// Unix milliseconds: of the next try while parked, of its death afterwards.
    pub due_ms: i64,
    /// POSTs that failed. 0: parked untried, behind a conversation that took too much room.
    pub tries: u32,
    /// How they went.
    pub tried: Tried,
    /// Never `held`.
    pub event: NewEvent,
}

/// `refusal`: how the tries of a dead event went. All zero: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// How the last one failed, as the dispatcher numbers it.
    pub why: i16,
    /// When the first one failed, Unix seconds.
    pub first_s: i64,
    /// When the last one did.
    pub last_s: i64,
}

/// `dead_event.state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadState {
    /// Still tried now and then.
    Parked = 1,
    /// Given up.
    Dead = 2,
}

/// `inbound`: a received message, kept to recognise its repetition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    pub peer: Route,
    pub key: Key,
    pub created_ms: i64,
}

/// `blocked`: a number whose messages are not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// As the business named it; its route is the row's key.
    pub number: Number,
    pub created_ms: i64,
}

/// `idempotency`: the message that a request was answered with, for a repeat of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Of whoever asks, what they call the request, and for whom it is.
    pub hash: [u8; IDEMPOTENCY_HASH_LEN],
    pub created_ms: i64,
    /// Of the message.
    pub key: Key,
}

/// Bytes of [`Idempotency::hash`].
pub const IDEMPOTENCY_HASH_LEN: usize = 16;

/// `media`: a file of the media directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    pub id: MediaId,
    pub created_ms: i64,
    pub state: MediaState,
    /// Bytes; 0 while they are not known.
    pub size: i64,
    pub sha256: [u8; 32],
    /// Content type.
    pub mime: String,
    /// Where a received file is to be had; empty for one that was uploaded.
    pub source: Bytes,
}

/// `media.state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaState {
    /// The file is there.
    Stored = 1,
    /// Received, and not fetched.
    Absent = 2,
}

/// `blob_handle`: under which name the network has a file of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobHandle {
    pub id: MediaId,
    pub uploaded_ms: i64,
    pub handle: String,
}

/// `user`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    /// PHC string.
    pub password_hash: String,
    pub admin: bool,
    pub must_change: bool,
    /// Unix seconds; older tokens are void.
    pub not_before: i64,
}

/// `revoked`: a token that was logged out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    pub rand: String,
    /// Unix seconds.
    pub expires: i64,
}

/// `config`: a versioned JSON document under a name (`settings`, `token_key`, …).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub name: String,
    pub version: i64,
    pub document: Bytes,
}

/// `shard`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    pub id: ShardId,
    pub owner_inc: i64,
    pub epoch: i64,
    pub event_floor: i64,
}

/// `node` with its `beat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub inc: i64,
    pub name: String,
    /// host:port of 6250.
    pub addr: String,
    pub state: NodeState,
    pub version: String,
    pub beat: i64,
}

/// `node.state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    Live = 1,
    Draining = 2,
    Dead = 3,
}

/// Keys are not shown.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("wa_id", &self.wa_id)
            .field("device", &self.device)
            .field("generation", &self.generation)
            .field("record_bytes", &self.record.len())
            .finish_non_exhaustive()
    }
}

/// Keys are not shown.
impl fmt::Debug for OwnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnKey")
            .field("kind", &self.kind)
            .field("id", &self.id)
            .field("state", &self.state)
            .field("created_ms", &self.created_ms)
            .finish_non_exhaustive()
    }
}
