//! Counters since the start, as `GET /stats` shows them.

use std::collections::BTreeMap;

use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    pub calls: Calls,
    pub contact_sync: Batches,
    pub bundle_fetch: Batches,
    /// Messages that came on an attached shard, repeats included.
    pub sends: u64,
    pub accepted: u64,
    /// By class: retry, hold, recipient, final.
    pub refused: BTreeMap<&'static str, u64>,
    /// A message already taken came again.
    pub duplicate_sends: u64,
    /// A message already taken came again with other bytes, though no phone had asked for it. Must
    /// stay 0 unless an identity changes while a message is on its way.
    pub different_bytes: u64,
    /// Messages of a stream or epoch that does not hold the shard; dropped without an answer.
    pub stale_sends: u64,
    /// Acknowledgements of the same kind; ignored.
    pub stale_acks: u64,
    /// Items that could not be read; dropped without an answer.
    pub malformed: u64,
    pub answers: u64,
    pub answers_lost: u64,
    /// Messages refused because their envelopes were not for the recipient's devices.
    pub stale_devices: u64,
    /// Twice the same (session, chain, counter) with different bytes. Must stay 0. The last
    /// 262,144 to 524,288 envelopes are compared; a reuse farther apart goes unseen.
    pub key_reuse: u64,
    /// Envelopes that a phone could not decrypt, by reason; `pretended` is the ending 0005.
    pub undecryptable: BTreeMap<&'static str, u64>,
    pub retries: Retries,
    /// Phones that got a new identity.
    pub identity_changes: u64,
    pub bundles: Bundles,
    /// Messages that reached their phones.
    pub delivered: u64,
    /// Messages that reached a phone twice under one key. Must stay 0.
    pub delivered_twice: u64,
    pub receipts: Receipts,
    pub inbound: u64,
    /// Customers' messages that businesses have complained about.
    pub reported: u64,
    /// Customers' messages that businesses have read.
    pub marked_read: u64,
    pub in_flight: InFlight,
    /// Messages that wait for phones that are offline.
    pub waiting_offline: usize,
    /// Customers' messages that wait to be encrypted: for a free thread, or for the business to
    /// publish keys.
    pub waiting_to_seal: usize,
    /// Envelopes that wait for outside devices.
    pub waiting_outside: usize,
    /// Messages whose content was dropped for a bound.
    pub contents_dropped: u64,
    pub disconnects: u64,
    /// By own number.
    pub numbers: BTreeMap<String, NumberStats>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    pub attach: u64,
    pub hello: u64,
    pub ack: u64,
    pub sync_contacts: u64,
    pub fetch_bundles: u64,
    pub publish_keys: u64,
    pub account: u64,
    pub report: u64,
    pub mark_read: u64,
    pub get_media: u64,
}

/// Messages sent again because a peer could not decrypt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Retries {
    /// Retry receipts of phones.
    pub asked: u64,
    /// Messages that came again after one.
    pub answered: u64,
    /// Messages that no phone asks for any more: after five retries, or at a bound.
    pub given_up: u64,
    /// Requests of coreapps to send a customer's message again.
    pub requested: u64,
    /// Those of them for messages that are not known any more, or after five.
    pub ignored: u64,
}

/// Bundles of phones handed out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bundles {
    pub given: u64,
    /// Of them, without a one-time pre-key.
    pub without_one_time: u64,
    /// Bundles of businesses given to phones.
    pub of_businesses: u64,
}

/// Sizes of the calls of one kind that were taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Batches {
    pub count: u64,
    pub sum: u64,
    pub max: u64,
    /// Refused because one of the same number was under way.
    pub refused_concurrent: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Receipts {
    pub delivered: u64,
    pub read: u64,
}

/// Messages that have no answer yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InFlight {
    pub sends: u64,
    pub sends_max: u64,
    pub per_recipient_max: u64,
    pub contact_syncs_max: u64,
    pub bundle_fetches_max: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NumberStats {
    pub unacked: usize,
    pub attached_shards: usize,
    /// Highest that a Hello named.
    pub generation: u64,
    /// One-time pre-keys of the business not given out yet.
    pub one_time_left: usize,
}

impl Batches {
    pub(super) fn took(&mut self, size: usize) {
        let size = size as u64;
        self.count += 1;
        self.sum += size;
        self.max = self.max.max(size);
    }
}
