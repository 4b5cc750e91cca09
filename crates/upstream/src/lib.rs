//! The trait the coreapp sends through, and the client of the sandbox network.
//!
//! Sealing stays outside: an upstream carries bytes. What differs between networks is stated as
//! data in [`Caps`]. Control-rate calls are methods; per-message traffic flows over a link.

mod account;
pub mod sandbox;

use std::{future::Future, time::Duration};

use bytes::Bytes;
use contract::{Code, Key, Number, ShardId, callback::Conversation};
use session::{Bundle, IdentityKey, KeyError, OneTimePublic, SignedPublic};
use tokio::sync::mpsc;

pub use account::{AccountAction, AccountAnswer, Pin};

/// What a network is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    pub sealing: Sealing,
    /// `None`: the network needs no contact sync.
    pub contacts: Option<Batch>,
    /// `None`: no pre-keys.
    pub prekeys: Option<Batch>,
    pub resend: Resend,
    pub inbound: InboundBy,
    /// Messages to one recipient that may be unanswered at once.
    pub per_recipient: usize,
    /// Messages on the link that may be unanswered at once.
    pub window: usize,
}

/// Who seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    EndToEnd,
    Plain,
}

/// A call that takes many: one in flight, at most `max` items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    pub max: usize,
    pub timeout: Duration,
}

/// May a message whose answer was lost be sent again?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resend {
    /// The network drops the second one.
    Harmless,
    /// Only after asking, and after this long.
    AskFirst(Duration),
}

/// How inbound messages arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboundBy {
    Stream,
    Webhook,
}

/// Coreapp → network.
#[derive(Clone, Debug, PartialEq)]
pub enum Outgoing {
    /// Claims shards; the answer is one [`Item::Welcome`] a shard.
    Hello {
        generation: u64,
        shards: Vec<(ShardId, i64)>,
    },
    Send(SendItem),
    /// Everything of the shard up to `seq` is durable.
    Ack {
        shard: ShardId,
        epoch: i64,
        seq: u64,
        our_seq: i64,
    },
    /// A customer's message could not be decrypted: its sender is to send it again.
    Retry {
        shard: ShardId,
        epoch: i64,
        /// Of the message.
        key: Key,
        /// wa_id of its sender.
        to: Number,
        device: u32,
        retry: Retry,
    },
}

/// One message to one recipient.
#[derive(Clone, Debug, PartialEq)]
pub struct SendItem {
    pub shard: ShardId,
    pub epoch: i64,
    pub key: Key,
    /// wa_id.
    pub to: Number,
    /// text, template, …: in the clear.
    pub category: &'static str,
    pub envelopes: Vec<Envelope>,
    /// Devices the recipient has, for which nothing can be sealed.
    pub left_out: Vec<u32>,
}

/// Bytes for, or from, one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub device: u32,
    pub kind: EnvelopeKind,
    pub ciphertext: Bytes,
}

/// As numbered by the upstream protocol and the outbox rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeKind {
    Plain = 1,
    PreKey = 2,
    Message = 3,
}

/// Network → coreapp.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// A new connection stands; nothing is attached to it yet. Whatever was unanswered on an
    /// earlier one will not be answered.
    Connected,
    /// The connection is gone, with the reason for a log.
    Disconnected(String),
    /// Send nothing at all for so long.
    Busy(Duration),
    /// Something for a shard. `seq` is 0 for what the network does not keep.
    Item { shard: ShardId, seq: u64, item: Item },
}

/// Something for a shard.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// The shard is attached, unless `epoch_seen` is above ours.
    Welcome {
        epoch_seen: i64,
        acked_our_seq: i64,
    },
    Answer {
        key: Key,
        result: Result<Sent, Refused>,
    },
    Receipt(Receipt),
    Inbound(Inbound),
    /// The keys of a contact's device are not what they were.
    IdentityChanged {
        wa_id: Number,
        device: u32,
        identity_key: IdentityKey,
    },
    /// Few of our one-time keys are left at the network; to shard -1. With seq 0: the network has
    /// none of our keys, whatever we have published before.
    KeysLow {
        left: u32,
    },
    /// A contact has another number from now on.
    NumberChanged {
        wa_id: Number,
        new_wa_id: Number,
    },
    /// Something is wrong that belongs to no message; to shard -1.
    Trouble {
        code: Code,
        details: String,
    },
    /// Somebody claimed the shard with a higher epoch.
    Detached {
        epoch_seen: i64,
    },
}

/// The network took the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub timestamp_ms: i64,
    /// `None`: the network has not said.
    pub conversation: Option<Conversation>,
}

/// The network did not take the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// This message later.
    Retry(Duration),
    /// Nothing on this link for a while.
    Hold(Duration),
    /// Nothing to this recipient for a while.
    Recipient(Duration),
    /// Never.
    Final { code: Code, details: String },
    /// The envelopes were for other devices than these, which the recipient has now.
    StaleDevices(Vec<u32>),
}

/// What became of a message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub key: Key,
    /// wa_id of the recipient.
    pub from: Number,
    pub device: u32,
    pub kind: ReceiptKind,
    pub timestamp_ms: i64,
    pub conversation: Option<Conversation>,
}

/// See [`Receipt`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiptKind {
    Delivered,
    Read,
    Failed(Code),
    /// Part of it cannot be shown. Not final.
    Warning(Code),
    /// The device could not decrypt it.
    Retry(Retry),
}

/// Asks for another envelope of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// 1 for the first.
    pub count: u32,
    /// Of the device that asks.
    pub registration_id: u32,
    /// To begin anew with. Its signature is not verified yet.
    pub bundle: Option<Box<Bundle>>,
}

/// A customer's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    pub key: Key,
    pub from: Number,
    pub profile_name: String,
    pub timestamp_ms: i64,
    pub envelope: Envelope,
}

/// The network's word on a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContactResult {
    pub number: Number,
    pub status: ContactStatus,
}

/// See [`ContactResult`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContactStatus {
    Registered { wa_id: Number },
    NotRegistered,
    Failed,
}

/// The devices of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserBundles {
    pub wa_id: Number,
    /// Empty: there is no such account, or it has no keys.
    pub devices: Vec<DeviceBundle>,
}

/// What one device publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceBundle {
    pub device: u32,
    /// For one set-up. Its signature is not verified yet; a key that is none says so.
    pub bundle: Result<Bundle, KeyError>,
}

/// What we publish of our own keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnKeys {
    pub registration_id: u32,
    pub identity: IdentityKey,
    pub signed: SignedPublic,
    /// Those not published yet; one published before is left out by the network.
    pub one_time: Vec<OneTimePublic>,
}

/// A complaint about a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub wa_id: Number,
    /// Of their messages.
    pub keys: Vec<Key>,
    /// In the words of the business; may be empty.
    pub reason: String,
}

/// A part of a file on its way to or from the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// At most [`PIECE_MAX`].
    Bytes(Bytes),
    /// The file is whole. Without it nothing is kept.
    End,
}

/// Why the network gives no file out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoMedia {
    /// It has none of this name, or not any more.
    #[error("the network does not have the file: {0}")]
    Gone(String),
    /// It has given out too many for now.
    #[error("the network gives out no more files for now: {0}")]
    Throttled(String),
    /// It may be asked again.
    #[error(transparent)]
    Failed(#[from] CallError),
}

/// Most bytes of a [`Piece`].
pub const PIECE_MAX: usize = 256 << 10;

/// A control-rate call failed; it may be repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the upstream call failed: {0}")]
pub struct CallError(pub String);

/// A network.
pub trait Upstream: Send + Sync + 'static {
    fn caps(&self) -> Caps;

    /// Asks which numbers have an account; the answer keeps the order.
    fn check_contacts(
        &self,
        numbers: Vec<Number>,
    ) -> impl Future<Output = Result<Vec<ContactResult>, CallError>> + Send;

    /// Fetches pre-key bundles, in the order asked. One-time keys in them are used up.
    fn fetch_bundles(
        &self,
        users: Vec<Number>,
    ) -> impl Future<Output = Result<Vec<UserBundles>, CallError>> + Send;

    /// Publishes our own keys; gives how many one-time keys the network holds now.
    fn publish_keys(&self, keys: OwnKeys) -> impl Future<Output = Result<u32, CallError>> + Send;

    /// Complains about messages of a customer.
    fn report(&self, report: Report) -> impl Future<Output = Result<(), CallError>> + Send;

    /// Tells that the business has read a customer's message, and all before it. May be repeated.
    fn mark_read(
        &self,
        wa_id: Number,
        key: Key,
    ) -> impl Future<Output = Result<(), CallError>> + Send;

    /// Hands a file over; gives what the network calls it, for seven days at least.
    fn put_media(
        &self,
        content_type: String,
        pieces: mpsc::Receiver<Piece>,
    ) -> impl Future<Output = Result<String, CallError>> + Send;

    /// Fetches a file that a customer's message names: its pieces, then its end. Whoever drops the other end
    /// of `pieces` ends it.
    fn get_media(
        &self,
        handle: String,
        pieces: mpsc::Sender<Piece>,
    ) -> impl Future<Output = Result<(), NoMedia>> + Send;

    /// Asks for something of the account behind `number`, which for a registration is not ours yet.
    fn account(
        &self,
        number: Number,
        action: AccountAction,
    ) -> impl Future<Output = Result<AccountAnswer, CallError>> + Send;

    /// The catalogue of templates, when it is another one than that of `version`; `None` when it is not
    /// for as long as the network lets one wait, a minute at most.
    fn templates(
        &self,
        version: String,
    ) -> impl Future<Output = Result<Option<Bytes>, CallError>> + Send;

    /// Carries per-message traffic until `outgoing` is closed or `incoming` dropped, and reconnects
    /// by itself (100 ms to 5 s apart, jittered). What is put into `outgoing` while there is no
    /// connection is dropped: the owner sends it again once its shard is welcomed.
    fn link(
        &self,
        outgoing: mpsc::Receiver<Outgoing>,
        incoming: mpsc::Sender<Vec<Incoming>>,
    ) -> impl Future<Output = ()> + Send;
}
