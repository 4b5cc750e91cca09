//! What phones do with keys: bundles, decrypting, encrypting.
//!
//! The network decides, and hands the work out as jobs; here it is done, off the network's lock and
//! off the runtime. `keys` derives a phone's keys, `worker` does the jobs of some phones in order,
//! `pool` runs the workers on threads, `wire` translates bundles.

pub(crate) mod keys;
pub(crate) mod pool;
pub(crate) mod wire;
pub(crate) mod worker;

use bytes::Bytes;
use contract::{Number, ShardId};
use rpc::upstream::{Bundle, DeviceBundle, Envelope};
use tokio::sync::mpsc::UnboundedSender;

use crate::network::{LaneId, Name};

/// Work for the threads. Jobs of one phone are done in the order they were handed out.
pub(crate) enum Job {
    Open(Box<Open>),
    Seal(Box<Seal>),
    Bundles(Bundles),
}

/// A message to decrypt.
pub(crate) struct Open {
    pub(crate) name: Name,
    pub(crate) home: ShardId,
    pub(crate) business: Number,
    pub(crate) phone: Phone,
    /// Fails without trying.
    pub(crate) pretend: bool,
    pub(crate) envelopes: Vec<Envelope>,
}

/// A phone as it is when the job is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Phone {
    pub(crate) wa_id: Number,
    /// How often its identity has changed.
    pub(crate) identity: u32,
    /// Whether its bundles have one-time keys.
    pub(crate) one_time: bool,
}

/// A customer's message to encrypt, by device 0.
pub(crate) struct Seal {
    pub(crate) lane: LaneId,
    pub(crate) business: Number,
    pub(crate) phone: Phone,
    pub(crate) content: Bytes,
    /// Of the business, for the case that there is no session.
    pub(crate) bundle: Option<Bundle>,
    /// Begin anew with the bundle even if there is a session.
    pub(crate) anew: bool,
    pub(crate) unix_s: u64,
}

/// Bundles to make; the reply channel closes after the last.
pub(crate) struct Bundles {
    pub(crate) users: Vec<User>,
    pub(crate) reply: UnboundedSender<(usize, Vec<DeviceBundle>)>,
}

/// One user of [`Bundles`].
pub(crate) struct User {
    /// Place in the call.
    pub(crate) place: usize,
    pub(crate) phone: Phone,
    pub(crate) devices: u32,
}

/// What came of a job.
pub(crate) enum Done {
    Opened(Opened),
    Sealed(Sealed),
}

/// Business, phone, device.
pub(crate) type Between = (Number, Number, u32);

/// A session as a job left it, for the journal.
#[derive(Clone, Debug)]
pub(crate) struct Advanced {
    pub(crate) between: Between,
    /// How often the phone's identity had changed.
    pub(crate) identity: u32,
    pub(crate) record: Bytes,
}

/// What came of [`Open`].
pub(crate) struct Opened {
    pub(crate) name: Name,
    pub(crate) home: ShardId,
    pub(crate) devices: Vec<(u32, Result<Opening, Failure>)>,
    /// Empty unless there is a journal.
    pub(crate) sessions: Vec<Advanced>,
}

/// A decrypted message.
pub(crate) struct Opening {
    pub(crate) content: Box<[u8]>,
    /// `None` when it was not encrypted.
    pub(crate) counters: Option<Counters>,
}

/// Which message of which chain it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Hash of the session's base key.
    pub(crate) session: [u8; 8],
    /// Hash of the sender's ratchet key.
    pub(crate) chain: [u8; 8],
    pub(crate) counter: u32,
}

/// An envelope that was not decrypted.
pub(crate) struct Failure {
    pub(crate) reason: &'static str,
    pub(crate) registration_id: u32,
    /// To begin anew with.
    pub(crate) bundle: Bundle,
}

/// What came of [`Seal`].
pub(crate) struct Sealed {
    pub(crate) lane: LaneId,
    /// `None`: no session and no usable bundle.
    pub(crate) envelope: Option<Envelope>,
    /// Empty unless there is a journal.
    pub(crate) sessions: Vec<Advanced>,
}
