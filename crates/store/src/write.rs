//! What can be written, and how the writer is told.

use contract::{Key, MediaId, Number, Route, ShardId};
use tokio::sync::oneshot;

use crate::rows::{
    BlobHandle, Blocked, Config, Contact, Cursor, DeadEvent, Idempotency, Identity, Inbound, Job,
    Media, Message, NewEvent, Outbox, OwnKey, Release, Revoked, Session, User,
};

/// Which of a lane's inboxes a write waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// What somebody who can ask again waits for: as hot, but refused with [`WriteError::Away`], rather
    /// than kept, while the database is away.
    Intake,
    /// Seal, settle, receipts, inbound.
    Hot,
    /// Callback cursors.
    Cursor,
    /// Contacts, clean-up, keys. At most a quarter of a batch while hot writes wait.
    Bulk,
}

/// One change of one row. All of a [`Write`] belong to its shard.
#[derive(Clone, Debug)]
pub enum Op {
    /// A taken key is [`WriteError::Conflict`].
    InsertMessage(Message),
    InsertJob(Job),
    DeleteJob(i64),
    InsertOutbox(Outbox),
    DeleteOutbox {
        key: Key,
        device: i32,
    },
    /// Gets the shard's next sequence number when its batch is built.
    InsertEvent(NewEvent),
    /// Lets a held event go, with the body it has now; nothing happens to one that was let go before, or
    /// is gone.
    ReleaseEvent(Release),
    PutContact(Contact),
    DeleteContact(Number),
    /// A taken (peer, key) is [`WriteError::Conflict`].
    InsertInbound(Inbound),
    PutBlocked(Blocked),
    DeleteBlocked(Route),
    /// A hash taken on the same day is [`WriteError::Conflict`].
    InsertIdempotency(Idempotency),
    PutCursor(Cursor),
    PutDeadEvent(DeadEvent),
    DeleteDeadEvent {
        endpoint: i16,
        seq: i64,
    },
    PutSession(Session),
    DeleteSession {
        wa_id: Number,
        device: i32,
    },
    PutIdentity(Identity),
    DeleteIdentity {
        wa_id: Number,
        device: i32,
    },
    // Of the account, yet from any shard: a one-time key goes with the message that used it.
    PutOwnKey(OwnKey),
    DeleteOwnKey {
        kind: i16,
        id: i64,
    },
    // Of the account, yet from any shard: whoever takes a file in writes its row.
    PutMedia(Media),
    /// With its handle.
    DeleteMedia(MediaId),
    PutBlobHandle(BlobHandle),
    // Control shard only:
    PutConfig(Config),
    PutUser(User),
    DeleteUser(String),
    PutRevoked(Revoked),
    // Clean-up, at most `limit` rows:
    /// Events with seq ≤ `floor` made before `before_ms`; moves `shard.event_floor` along.
    TrimEvents {
        floor: i64,
        before_ms: i64,
        limit: u32,
    },
    /// Messages whose key sorts before `key`.
    TrimMessages {
        key: Key,
        limit: u32,
    },
    /// Idempotency rows of the days before the one `before_ms` lies in.
    TrimIdempotency {
        before_ms: i64,
        limit: u32,
    },
    /// Of the first `limit` inbound rows from peer `from` on, those made before `before_ms`.
    TrimInbound {
        from: Route,
        before_ms: i64,
        limit: u32,
    },
    /// Dead (not parked) events of the endpoint that died before `before_ms`, oldest numbers first.
    TrimDeadEvents {
        endpoint: i16,
        before_ms: i64,
        limit: u32,
    },
    /// Revocations that expired before this (Unix seconds).
    TrimRevoked {
        before_s: i64,
    },
}

/// Changes that are committed together or not at all.
#[derive(Debug)]
pub struct Write {
    pub shard: ShardId,
    /// Epoch under which the writer owns the shard; another one is refused.
    pub epoch: i64,
    pub class: Class,
    pub ops: Vec<Op>,
    pub reply: Reply,
}

/// How the outcome is told. Every write is answered exactly once.
#[derive(Debug)]
pub enum Reply {
    /// In the list that the shard's owner gets once a commit.
    Token(u64),
    Once(oneshot::Sender<Result<Committed, WriteError>>),
    /// Nobody waits.
    None,
}

/// Answer to [`Reply::Token`].
#[derive(Debug)]
pub struct Answer {
    pub shard: ShardId,
    pub token: u64,
    pub result: Result<Committed, WriteError>,
}

/// The write is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Sequence number of the write's first event; the others follow it. 0 without events.
    pub first_seq: i64,
}

/// The write is not on disk and will not be, but for [`WriteError::Fenced`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// This process no longer owns the lane; all its shards are lost. Nothing more will be written.
    /// What was under way may be on disk: only the new owner knows.
    #[error("another coreapp has taken over")]
    Fenced,
    /// The shard is not owned under that epoch.
    #[error("the shard is not owned here")]
    NotOwned,
    /// A key is taken.
    #[error("a row with this key exists")]
    Conflict,
    /// The database is away, and this write was never on its way there.
    #[error("the database does not answer; nothing was stored")]
    Away,
    /// The database failed, and not for what this write holds: its disk is full, say. Nothing was stored.
    #[error("the database failed to store it: {0}")]
    Failed(String),
    /// The database refuses this write, whatever the others do.
    #[error("the database refused the write: {0}")]
    Rejected(String),
}
