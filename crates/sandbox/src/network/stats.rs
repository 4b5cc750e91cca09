//! Counters since the start, as `GET /stats` shows them.

use std::collections::BTreeMap;

use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    pub calls: Calls,
    pub contact_sync: ContactSync,
    /// Messages that came on an attached shard, repeats included.
    pub sends: u64,
    pub accepted: u64,
    /// By class: retry, hold, recipient, final.
    pub refused: BTreeMap<&'static str, u64>,
    /// A message already taken came again.
    pub duplicate_sends: u64,
    /// A message came again with other bytes. Must stay 0.
    pub different_bytes: u64,
    /// Messages of a stream or epoch that does not hold the shard; dropped without an answer.
    pub stale_sends: u64,
    /// Acknowledgements of the same kind; ignored.
    pub stale_acks: u64,
    /// Items that could not be read; dropped without an answer.
    pub malformed: u64,
    pub answers: u64,
    pub answers_lost: u64,
    /// Messages that reached their phones.
    pub delivered: u64,
    /// Messages that reached a phone twice under one key. Must stay 0.
    pub delivered_twice: u64,
    pub receipts: Receipts,
    pub inbound: u64,
    pub in_flight: InFlight,
    /// Messages that wait for phones that are offline.
    pub waiting_offline: usize,
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
}

/// Sizes of the contact syncs that were taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ContactSync {
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
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NumberStats {
    pub unacked: usize,
    pub attached_shards: usize,
    /// Highest that a Hello named.
    pub generation: u64,
}

impl Stats {
    pub(super) fn sync_taken(&mut self, size: usize, in_flight: usize) {
        let size = size as u64;
        self.contact_sync.count += 1;
        self.contact_sync.sum += size;
        self.contact_sync.max = self.contact_sync.max.max(size);
        self.in_flight.contact_syncs_max = self.in_flight.contact_syncs_max.max(in_flight as u64);
    }
}
