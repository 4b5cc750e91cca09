//! The virtual phones: how each behaves and what it has received.

use std::collections::{HashMap, VecDeque};

use contract::{Key, Number, ShardId};
use rpc::upstream::Envelope;
use serde::{Deserialize, Serialize};

use super::{AccountId, dedup::Name};
use crate::{
    config::Phones as Mode,
    numbering::{self, Behaviour},
    sessions::Counters,
};

/// Messages whose content is kept for one phone; the oldest content goes first (counted).
pub(super) const PER_PHONE_MAX: usize = 10_000;
/// Messages kept in all; the oldest goes first (counted).
pub(super) const LOG_MAX: usize = 1_000_000;
/// Messages that wait for phones that are offline; then more are refused for such phones.
pub(super) const WAITING_MAX: usize = 1_000_000;
/// Phones with a setting or a message of their own; then the control API refuses more, and
/// messages for others are answered without being kept.
pub(super) const PHONES_MAX: usize = 1_000_000;

/// A message on its way to a phone.
pub(super) struct Flight {
    pub(super) name: Name,
    /// Shard of the recipient.
    pub(super) home: ShardId,
    /// Empty when contents are not kept.
    pub(super) envelopes: Vec<Envelope>,
}

/// A message that has reached its phone.
pub(super) struct Received {
    pub(super) name: Name,
    pub(super) home: ShardId,
    pub(super) device: u32,
    pub(super) unix_ms: i64,
    pub(super) read: bool,
    /// `None` once dropped for the phone's bound.
    pub(super) content: Option<Box<[u8]>>,
    /// The devices that have decrypted it, in order.
    pub(super) opened: Vec<(u32, Option<Counters>)>,
}

/// What the control API has set; `None` leaves the digits' word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Override {
    pub(super) registered: Option<bool>,
    pub(super) deleted: Option<bool>,
    pub(super) offline: Option<bool>,
    pub(super) delivered: Option<bool>,
    pub(super) read: Option<bool>,
    pub(super) devices: Option<u32>,
    /// Messages are refused for ever with this code.
    #[serde(default)]
    pub(super) refuses: Option<u16>,
    /// Messages are taken and fail later with this code.
    #[serde(default)]
    pub(super) fails: Option<u16>,
    /// Products in messages are not to be had: each such message has a warning.
    #[serde(default)]
    pub(super) products_missing: Option<bool>,
    /// Contact checks of this number name that one.
    #[serde(default)]
    pub(super) known_as: Option<Number>,
}

#[derive(Default)]
pub(super) struct Phone {
    pub(super) set: Override,
    /// How often its identity has changed.
    pub(super) identity: u32,
    /// When the customer last wrote to a business.
    pub(super) wrote_ms: Option<i64>,
    /// Place in the log of each message received.
    received: VecDeque<u64>,
    waiting: VecDeque<Flight>,
}

pub(super) struct Phones {
    mode: Mode,
    phones: HashMap<Number, Phone>,
    log: VecDeque<Received>,
    /// Messages that left the log's front, so the first has n = `gone + 1`.
    gone: u64,
    waiting: usize,
    pub(super) contents_dropped: u64,
}

impl Phones {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            phones: HashMap::new(),
            log: VecDeque::new(),
            gone: 0,
            waiting: 0,
            contents_dropped: 0,
        }
    }

    pub(super) fn keeps_contents(&self) -> bool {
        self.mode == Mode::Keep
    }

    /// How the phone behaves now.
    pub(super) fn behaviour(&self, wa_id: &Number) -> Behaviour {
        let digits = numbering::behaviour(wa_id);
        let Some(Phone { set, .. }) = self.phones.get(wa_id) else { return digits };
        Behaviour {
            registered: set.registered.unwrap_or(digits.registered),
            deleted: set.deleted.unwrap_or(digits.deleted),
            offline: set.offline.unwrap_or(digits.offline),
            delivered: set.delivered.unwrap_or(digits.delivered),
            read: set.read.unwrap_or(digits.read),
            refused: digits.refused,
            keys: digits.keys,
            devices: set.devices.unwrap_or(digits.devices),
        }
    }

    /// What the control API has set of it.
    pub(super) fn set(&self, wa_id: &Number) -> Override {
        self.phones.get(wa_id).map(|phone| phone.set).unwrap_or_default()
    }

    /// How often the phone's identity has changed.
    pub(super) fn identity(&self, wa_id: &Number) -> u32 {
        self.phones.get(wa_id).map_or(0, |phone| phone.identity)
    }

    pub(super) fn wrote_ms(&self, wa_id: &Number) -> Option<i64> {
        self.phones.get(wa_id).and_then(|phone| phone.wrote_ms)
    }

    /// The phone's own record; `None` at [`PHONES_MAX`].
    pub(super) fn phone(&mut self, wa_id: Number) -> Option<&mut Phone> {
        if self.phones.len() >= PHONES_MAX && !self.phones.contains_key(&wa_id) {
            return None;
        }
        Some(self.phones.entry(wa_id).or_default())
    }

    pub(super) fn get(&self, wa_id: &Number) -> Option<&Phone> {
        self.phones.get(wa_id)
    }

    /// Those that are not as their digits say.
    pub(super) fn own(&self) -> impl Iterator<Item = (Number, &Phone)> {
        let own = self.phones.iter().filter(|(_, phone)| !phone.is_unchanged());
        own.map(|(wa_id, phone)| (*wa_id, phone))
    }

    pub(super) fn may_wait(&self) -> bool {
        self.waiting < WAITING_MAX
    }

    /// Holds a message until the phone is online. Beyond the bounds (messages already on their way
    /// when [`WAITING_MAX`] was reached) it is lost, as with a phone that never comes back.
    pub(super) fn hold(&mut self, wa_id: Number, flight: Flight) {
        if self.may_wait()
            && let Some(phone) = self.phone(wa_id)
        {
            phone.waiting.push_back(flight);
            self.waiting += 1;
        } else {
            self.contents_dropped += 1;
        }
    }

    /// What waited for the phone, oldest first.
    pub(super) fn release(&mut self, wa_id: &Number) -> VecDeque<Flight> {
        let waiting = self.phones.get_mut(wa_id).map(|phone| std::mem::take(&mut phone.waiting));
        let waiting = waiting.unwrap_or_default();
        self.waiting -= waiting.len();
        waiting
    }

    /// Keeps a message that has arrived; gives its place in the log, 0 when contents are not kept.
    pub(super) fn receive(&mut self, wa_id: Number, received: Received) -> u64 {
        if self.mode == Mode::Count {
            return 0;
        }
        while self.log.len() >= LOG_MAX {
            self.forget_oldest();
        }
        let n = self.gone + self.log.len() as u64 + 1;
        let Some(phone) = self.phone(wa_id) else {
            self.contents_dropped += 1;
            return 0;
        };
        phone.received.push_back(n);
        let full = phone.received.len() > PER_PHONE_MAX;
        let oldest = full.then(|| phone.received.pop_front()).flatten();
        self.log.push_back(received);
        if let Some(old) = oldest.and_then(|n| self.received_mut(n)) {
            old.content = None;
            self.contents_dropped += 1;
        }
        n
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.log.pop_front() else { return };
        self.gone += 1;
        self.contents_dropped += u64::from(oldest.content.is_some());
        let wa_id = numbering::wa_id(oldest.name.to);
        if let Some(phone) = self.phones.get_mut(&wa_id) {
            if phone.received.front().is_some_and(|n| *n <= self.gone) {
                phone.received.pop_front();
            }
            if phone.is_as_new() {
                self.phones.remove(&wa_id);
            }
        }
    }

    pub(super) fn received_mut(&mut self, n: u64) -> Option<&mut Received> {
        let place = n.checked_sub(self.gone + 1)?;
        self.log.get_mut(usize::try_from(place).ok()?)
    }

    /// Messages after place `after`, in the order they arrived, and the place of each.
    pub(super) fn after(&self, after: u64) -> impl Iterator<Item = (u64, &Received)> {
        let skip = usize::try_from(after.saturating_sub(self.gone)).unwrap_or(usize::MAX);
        let skip = skip.min(self.log.len());
        (self.gone + 1 + skip as u64..).zip(self.log.range(skip..))
    }

    /// Place of the last message that arrived.
    pub(super) fn last_n(&self) -> u64 {
        self.gone + self.log.len() as u64
    }

    /// What one phone has received, oldest first.
    pub(super) fn of(&self, wa_id: &Number) -> impl Iterator<Item = (u64, &Received)> {
        let received = self.phones.get(wa_id).map(|phone| &phone.received);
        received.into_iter().flatten().filter_map(|n| {
            let place = usize::try_from(n.checked_sub(self.gone + 1)?).ok()?;
            Some((*n, self.log.get(place)?))
        })
    }

    /// Messages that wait for phones that are offline.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }
}

impl Phone {
    /// Nothing would be lost with it.
    fn is_as_new(&self) -> bool {
        self.received.is_empty() && self.waiting.is_empty() && self.is_unchanged()
    }

    /// It behaves as its digits say.
    fn is_unchanged(&self) -> bool {
        self.wrote_ms.is_none() && self.identity == 0 && self.set == Override::default()
    }
}

impl Received {
    pub(super) fn new(name: Name, home: ShardId, device: u32, unix_ms: i64) -> Self {
        Self { name, home, device, unix_ms, read: false, content: None, opened: Vec::new() }
    }
}

impl Name {
    pub(super) fn new(account: AccountId, to: Number, key: Key) -> Self {
        Self { account, to, key }
    }
}
