//! Outside phones: the caller of the control API keeps their keys. Envelopes wait here until the
//! device has confirmed them; what it writes goes to the business as it is.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use contract::{Direction, Key, MessageId, Number, Route};
use rpc::upstream::{self as wire, DeviceBundle};

use super::{
    AccountId, ControlError, Network, Now,
    account::{Account, UNACKED_MAX},
    dedup::Name,
    published::Published,
    record::{Record, encoded},
    writing::Letter,
};
use crate::bodies::Keys;

/// Phones that may be outside; then no more are registered.
const PHONES_MAX: usize = 10_000;
/// Devices of one phone; then no more are registered.
const DEVICES_MAX: usize = 10;
/// Envelopes that may wait for one phone; then messages to it are told to come later.
const WAITING_MAX: usize = 10_000;
/// Requests of the business to send a message again that wait for one phone; the oldest is dropped.
const ASKED_MAX: usize = 100;

/// All outside phones.
#[derive(Default)]
pub(super) struct Outside {
    phones: HashMap<Number, Phone>,
    waiting: usize,
    /// Grows with everything that comes for one of them.
    arrivals: u64,
}

#[derive(Default)]
struct Phone {
    devices: BTreeMap<u32, Published>,
    waiting: VecDeque<Waiting>,
    last_n: u64,
    asked: VecDeque<AskedAgain>,
}

/// An envelope not confirmed yet.
struct Waiting {
    n: u64,
    name: Name,
    envelope: wire::Envelope,
}

/// What the business could not decrypt.
#[derive(Clone)]
pub(crate) struct AskedAgain {
    pub(crate) key: Key,
    pub(crate) device: u32,
    pub(crate) retry: wire::Retry,
}

/// An envelope as the control API shows it.
pub(crate) struct EnvelopeView {
    pub(crate) n: u64,
    pub(crate) id: MessageId,
    pub(crate) envelope: wire::Envelope,
}

/// What waits for a phone.
pub(crate) struct Mail {
    pub(crate) envelopes: Vec<EnvelopeView>,
    pub(crate) retries: Vec<AskedAgain>,
}

/// A receipt of an outside device.
pub(crate) enum OutsideReceipt {
    Delivered,
    Read,
    Retry(wire::Retry),
}

impl Outside {
    pub(super) fn has(&self, wa_id: &Number) -> bool {
        self.phones.contains_key(wa_id)
    }

    pub(super) fn devices(&self, wa_id: &Number) -> Option<Vec<u32>> {
        self.phones.get(wa_id).map(|phone| phone.devices.keys().copied().collect())
    }

    pub(super) fn is_full(&self, wa_id: &Number) -> bool {
        self.phones.get(wa_id).is_some_and(|phone| phone.waiting.len() >= WAITING_MAX)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// True when the device has a new identity.
    pub(super) fn register(
        &mut self,
        wa_id: Number,
        device: u32,
        keys: &Keys,
    ) -> Result<bool, ControlError> {
        if self.phones.len() >= PHONES_MAX && !self.has(&wa_id) {
            return Err(ControlError::Phones);
        }
        let phone = self.phones.entry(wa_id).or_default();
        if phone.devices.len() >= DEVICES_MAX && !phone.devices.contains_key(&device) {
            return Err(ControlError::Devices);
        }
        match phone.devices.get_mut(&device) {
            Some(published) => Ok(published.publish(keys)),
            None => {
                phone.devices.insert(device, Published::new(keys));
                Ok(false)
            }
        }
    }

    pub(super) fn used(&mut self, wa_id: &Number, device: u32, id: u32) -> Option<()> {
        self.phones.get_mut(wa_id)?.devices.get_mut(&device)?.used(id);
        Some(())
    }

    pub(super) fn came_to(&mut self, wa_id: &Number, last_n: u64) {
        if let Some(phone) = self.phones.get_mut(wa_id) {
            phone.last_n = phone.last_n.max(last_n);
        }
    }

    /// Puts envelopes back as the journal has them.
    pub(super) fn resume(
        &mut self,
        wa_id: &Number,
        name: Name,
        n: u64,
        send: &wire::Send,
    ) -> Option<()> {
        let phone = self.phones.get_mut(wa_id)?;
        phone.last_n = phone.last_n.max(n.saturating_sub(1));
        self.arrive(wa_id, name, send.envelopes.clone());
        Some(())
    }

    /// Gives the place of the first.
    fn arrive(
        &mut self,
        wa_id: &Number,
        name: Name,
        envelopes: Vec<wire::Envelope>,
    ) -> Option<u64> {
        let phone = self.phones.get_mut(wa_id)?;
        let first = phone.last_n + 1;
        for envelope in envelopes {
            phone.last_n += 1;
            phone.waiting.push_back(Waiting { n: phone.last_n, name, envelope });
            self.waiting += 1;
        }
        self.arrivals += 1;
        Some(first)
    }

    pub(super) fn drop_envelope(&mut self, wa_id: &Number, n: u64) -> Option<()> {
        let phone = self.phones.get_mut(wa_id)?;
        let before = phone.waiting.len();
        phone.waiting.retain(|waiting| waiting.n != n);
        self.waiting -= before - phone.waiting.len();
        Some(())
    }

    /// Passes on that the business could not decrypt.
    pub(super) fn asked_again(&mut self, to: &Number, asked: AskedAgain) {
        let Some(phone) = self.phones.get_mut(to) else { return };
        phone.asked.retain(|old| old.key != asked.key);
        phone.asked.push_back(asked);
        if phone.asked.len() > ASKED_MAX {
            phone.asked.pop_front();
        }
        self.arrivals += 1;
    }

    pub(super) fn snapshot(&self, accounts: &[Account], out: &mut Vec<Record>) {
        for (wa_id, phone) in &self.phones {
            for (device, published) in &phone.devices {
                // The envelopes below bring `last_n` to where it was.
                let first = phone.waiting.front().map(|first| first.n - 1);
                out.push(Record::Device {
                    wa_id: *wa_id,
                    device: *device,
                    last_n: first.unwrap_or(phone.last_n),
                    keys: published.to_keys(),
                });
            }
            for Waiting { n, name, envelope } in &phone.waiting {
                let Some(account) = accounts.get(name.account.0) else { continue };
                out.push(waits(account.number, *n, *name, std::slice::from_ref(envelope)));
            }
            if let Some((device, published)) = phone.devices.first_key_value() {
                let keys =
                    Keys { one_time_pre_keys: Vec::new(), used: Vec::new(), ..published.to_keys() };
                let (wa_id, device, last_n) = (*wa_id, *device, phone.last_n);
                out.push(Record::Device { wa_id, device, last_n, keys });
            }
        }
    }
}

fn waits(number: Number, n: u64, name: Name, envelopes: &[wire::Envelope]) -> Record {
    let send = wire::Send {
        key: Bytes::copy_from_slice(name.key.as_bytes()),
        to: name.to.to_string(),
        envelopes: envelopes.to_vec(),
        ..Default::default()
    };
    Record::Waits { number, n, send: encoded(&send) }
}

impl Network {
    /// Registers an outside device, or adds to one. The keys have been checked.
    pub(crate) fn register(
        &mut self,
        wa_id: Number,
        device: u32,
        keys: &Keys,
    ) -> Result<(), ControlError> {
        if self.by_number.contains_key(&wa_id) {
            return Err(ControlError::OwnNumber);
        }
        let changed = self.outside.register(wa_id, device, keys)?;
        let keys_recorded = keys.clone();
        self.record(|_| Some(Record::Device { wa_id, device, last_n: 0, keys: keys_recorded }));
        if changed {
            self.identity_changed(wa_id, device, &keys.identity_key.0);
        }
        Ok(())
    }

    pub(super) fn outside_bundles(&mut self, wa_id: &Number) -> Vec<DeviceBundle> {
        let phone = self.outside.phones.get_mut(wa_id);
        let devices = phone.into_iter().flat_map(|phone| &mut phone.devices);
        let bundles: Vec<_> = devices
            .map(|(device, published)| DeviceBundle {
                device: *device,
                bundle: Some(published.bundle()),
            })
            .collect();
        for DeviceBundle { device, bundle } in &bundles {
            let used = bundle.as_ref().and_then(|bundle| bundle.one_time_pre_key.as_ref());
            if let Some(id) = used.map(|key| key.id) {
                let (wa_id, device) = (*wa_id, *device);
                self.record(|_| Some(Record::DeviceKeyUsed { wa_id, device, id }));
            }
        }
        bundles
    }

    /// A message for an outside phone.
    pub(super) fn outside_takes(
        &mut self,
        wa_id: &Number,
        name: Name,
        envelopes: Vec<wire::Envelope>,
    ) {
        let copy = self.records.is_some().then(|| envelopes.clone());
        let Some(n) = self.outside.arrive(wa_id, name, envelopes) else { return };
        self.record(|network| {
            let number = network.accounts.get(name.account.0)?.number;
            Some(waits(number, n, name, &copy?))
        });
    }

    /// What waits for an outside phone after place `after`, up to `limit`.
    pub(crate) fn mail(
        &self,
        wa_id: &Number,
        after: u64,
        limit: usize,
    ) -> Result<Mail, ControlError> {
        let phone = self.outside.phones.get(wa_id).ok_or(ControlError::NotOutside)?;
        let waiting = phone.waiting.iter().filter(|waiting| waiting.n > after).take(limit);
        let envelopes = waiting.map(|Waiting { n, name, envelope }| EnvelopeView {
            n: *n,
            id: MessageId { direction: Direction::Outbound, number: name.to, key: name.key },
            envelope: envelope.clone(),
        });
        Ok(Mail { envelopes: envelopes.collect(), retries: phone.asked.iter().cloned().collect() })
    }

    /// Something may have come for an outside phone when this has grown.
    pub(crate) fn arrivals(&self) -> u64 {
        self.outside.arrivals()
    }

    /// An outside device writes.
    pub(crate) fn write_outside(
        &mut self,
        letter: &Letter,
        to: Option<Number>,
        envelope: wire::Envelope,
    ) -> Result<(), ControlError> {
        let from = letter.from;
        let phone = self.outside.phones.get(&from).ok_or(ControlError::NotOutside)?;
        if !phone.devices.contains_key(&envelope.device) {
            return Err(ControlError::NoSuchDevice);
        }
        let account = self.business(to)?;
        if self.accounts.get(account.0).is_some_and(|account| account.unacked >= UNACKED_MAX) {
            return Err(ControlError::Unacked);
        }
        self.phones.phone(from).ok_or(ControlError::Phones)?.wrote_ms = Some(letter.unix_ms);
        self.record_phone(from);
        if let Some(phone) = self.outside.phones.get_mut(&from) {
            phone.asked.retain(|asked| asked.key != letter.key);
        }
        self.post(account, letter, envelope);
        Ok(())
    }

    /// An outside device tells what became of a message.
    pub(crate) fn outside_receipt(
        &mut self,
        wa_id: Number,
        device: u32,
        key: Key,
        receipt: OutsideReceipt,
        now: Now,
    ) -> Result<(), ControlError> {
        let phone = self.outside.phones.get(&wa_id).ok_or(ControlError::NotOutside)?;
        if !phone.devices.contains_key(&device) {
            return Err(ControlError::NoSuchDevice);
        }
        let waiting = phone.waiting.iter().find(|waiting| waiting.name.key == key);
        let name = match waiting {
            Some(waiting) => waiting.name,
            None => self.taken_name(wa_id, key).ok_or(ControlError::NoSuchKey(key.to_string()))?,
        };
        self.confirm(&wa_id, device, name);
        let home = Route::of(&wa_id).shard();
        match receipt {
            OutsideReceipt::Retry(retry) => {
                self.stats.retries.given_up += self.asked.ask(name, device);
                self.retry_receipt(name, home, device, retry, now);
            }
            OutsideReceipt::Delivered => {
                let all = self.asked.settled(&name, device);
                let phone = self.outside.phones.get(&wa_id);
                let more =
                    phone.is_some_and(|phone| phone.waiting.iter().any(|it| it.name == name));
                if all && !more {
                    if self.dedup.reached(&name) == 1 {
                        self.stats.delivered += 1;
                    }
                    self.stats.receipts.delivered += 1;
                    self.receipt(name, home, wire::receipt::Type::Delivered, now);
                }
            }
            OutsideReceipt::Read => {
                self.stats.receipts.read += 1;
                self.receipt(name, home, wire::receipt::Type::Read, now);
            }
        }
        Ok(())
    }

    /// The device needs its envelopes of the message no more.
    fn confirm(&mut self, wa_id: &Number, device: u32, name: Name) {
        let Some(phone) = self.outside.phones.get(wa_id) else { return };
        let of = |waiting: &&Waiting| waiting.name == name && waiting.envelope.device == device;
        let done: Vec<_> = phone.waiting.iter().filter(of).map(|waiting| waiting.n).collect();
        for n in done {
            let wa_id = *wa_id;
            self.outside.drop_envelope(&wa_id, n);
            self.record(|_| Some(Record::Done { wa_id, n }));
        }
    }

    /// A message taken for the phone before; after a restart its business is known only when there
    /// is one.
    fn taken_name(&self, wa_id: Number, key: Key) -> Option<Name> {
        let mut names =
            (0..self.accounts.len()).map(|account| Name::new(AccountId(account), wa_id, key));
        let known = names.clone().find(|name| self.dedup.get(name).is_some());
        known.or_else(|| names.next().filter(|_| self.accounts.len() == 1))
    }
}
