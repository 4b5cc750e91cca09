//! What becomes of a message when its phone tries to decrypt it: delivered once all devices have,
//! asked for again by those that have not.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use contract::{Code, Number, ShardId};
use rpc::upstream as wire;

use super::{Event, Network, Now, account::Kept, dedup::Name, phones::Received, send::Step};
use crate::{
    numbering::{Keys, wa_id},
    sessions::{Failure, Opened, keys::DeviceId},
};

/// Retry receipts one device sends for one message; then it is given up.
pub(super) const RETRIES_MAX: u32 = 5;
/// Messages that wait to come again; the oldest is given up then.
const ASKED_MAX: usize = 10_000;

/// A message that not all of its devices could decrypt.
struct Progress {
    /// Devices that have not decrypted it.
    left: Vec<u32>,
    /// Of these, the ones that have asked for it again and wait.
    asked: Vec<u32>,
    /// Retry receipts by device.
    counts: HashMap<u32, u32>,
    /// Its place in the log, once one device has decrypted it.
    n: Option<u64>,
}

/// All such messages.
#[derive(Default)]
pub(super) struct Asked {
    messages: HashMap<Name, Progress>,
    /// Oldest first; those answered meanwhile are skipped.
    order: VecDeque<Name>,
}

impl Asked {
    /// Of the envelopes of a message that came again, those a device has asked for.
    pub(super) fn take(
        &mut self,
        name: &Name,
        envelopes: &[wire::Envelope],
    ) -> Option<Vec<wire::Envelope>> {
        let progress = self.messages.get_mut(name)?;
        let (mut taken, mut devices) = (Vec::new(), Vec::new());
        for envelope in envelopes {
            if progress.asked.contains(&envelope.device) && !devices.contains(&envelope.device) {
                devices.push(envelope.device);
                taken.push(envelope.clone());
            }
        }
        progress.asked.retain(|device| !devices.contains(device));
        (!taken.is_empty()).then_some(taken)
    }

    /// Whether some device has tried it before.
    pub(super) fn knows(&self, name: &Name) -> bool {
        self.messages.contains_key(name)
    }

    /// An outside device asks again.
    pub(super) fn ask(&mut self, name: Name, device: u32) -> u64 {
        let progress = self.messages.remove(&name);
        let mut progress = progress.unwrap_or_else(|| Progress::new(Vec::new()));
        for list in [&mut progress.left, &mut progress.asked] {
            if !list.contains(&device) {
                list.push(device);
            }
        }
        self.put(name, progress)
    }

    /// An outside device has it; false while another one waits for it to come again.
    pub(super) fn settled(&mut self, name: &Name, device: u32) -> bool {
        let Some(progress) = self.messages.get_mut(name) else { return true };
        progress.left.retain(|left| *left != device);
        progress.asked.retain(|asked| *asked != device);
        let settled = progress.left.is_empty();
        if settled {
            self.messages.remove(name);
        }
        settled
    }

    /// Gives how many were given up for it.
    fn put(&mut self, name: Name, progress: Progress) -> u64 {
        self.messages.insert(name, progress);
        self.order.push_back(name);
        let mut given_up = 0;
        while self.order.len() > ASKED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            // A message that asks for the second time is in there twice.
            if !self.order.contains(&oldest) && self.messages.remove(&oldest).is_some() {
                given_up += 1;
            }
        }
        given_up
    }
}

impl Progress {
    fn new(left: Vec<u32>) -> Self {
        Self { left, asked: Vec::new(), counts: HashMap::new(), n: None }
    }
}

impl Network {
    /// The devices of a phone have tried.
    pub(super) fn opened(&mut self, opened: Opened, now: Now) {
        let Opened { name, home, devices, .. } = opened;
        let phone = wa_id(name.to);
        let progress = self.asked.messages.remove(&name);
        let mut progress = progress
            .unwrap_or_else(|| Progress::new(devices.iter().map(|(device, _)| *device).collect()));
        for (device, outcome) in devices {
            match outcome {
                Ok(opening) => {
                    progress.left.retain(|left| *left != device);
                    match progress.n.and_then(|n| self.phones.received_mut(n)) {
                        Some(received) => received.opened.push((device, opening.counters)),
                        None => {
                            let mut received = Received::new(name, home, device, now.unix_ms);
                            received.content = Some(opening.content);
                            received.opened = vec![(device, opening.counters)];
                            progress.n = Some(self.phones.receive(phone, received));
                        }
                    }
                }
                Err(failure) => {
                    let count = progress.counts.entry(device).or_default();
                    *count += 1;
                    *self.stats.undecryptable.entry(failure.reason).or_default() += 1;
                    if *count > RETRIES_MAX {
                        self.stats.retries.given_up += 1;
                        return self.record_landed(name);
                    }
                    let count = *count;
                    progress.asked.push(device);
                    self.ask_again(name, home, device, count, failure, now);
                }
            }
        }
        if progress.left.is_empty() {
            self.arrived(name, home, progress.n.unwrap_or(0), now);
        } else {
            self.stats.retries.given_up += self.asked.put(name, progress);
        }
    }

    fn ask_again(
        &mut self,
        name: Name,
        home: ShardId,
        device: u32,
        count: u32,
        failure: Failure,
        now: Now,
    ) {
        let retry = wire::Retry {
            count,
            registration_id: failure.registration_id,
            bundle: Some(failure.bundle),
        };
        self.retry_receipt(name, home, device, retry, now);
    }

    /// Tells the business that a device could not decrypt.
    pub(super) fn retry_receipt(
        &mut self,
        name: Name,
        home: ShardId,
        device: u32,
        retry: wire::Retry,
        now: Now,
    ) {
        self.stats.retries.asked += 1;
        let receipt = wire::Receipt {
            key: Bytes::copy_from_slice(name.key.as_bytes()),
            from: name.to.to_string(),
            r#type: wire::receipt::Type::Retry.into(),
            timestamp_ms: now.unix_ms,
            device,
            code: 0,
            retry: Some(retry),
            conversation: None,
        };
        let item = wire::down::Item::Receipt(receipt);
        self.keep(name.account, home, Kept::Other(Box::new(item)));
    }

    /// The phone has the message.
    pub(super) fn arrived(&mut self, name: Name, home: ShardId, n: u64, now: Now) {
        let phone = wa_id(name.to);
        let behaviour = self.phones.behaviour(&phone);
        if self.dedup.reached(&name) > 1 {
            self.stats.delivered_twice += 1;
            return;
        }
        self.stats.delivered += 1;
        if self.phones.set(&phone).products_missing == Some(true) && self.has_products(n) {
            let code = Code::PRODUCTS_MISSING.get();
            self.told(name, home, wire::receipt::Type::Warning, code, now);
        }
        if behaviour.delivered {
            self.stats.receipts.delivered += 1;
            self.receipt(name, home, wire::receipt::Type::Delivered, now);
        }
        // Behind its receipt: a journal that is cut off here gives the message to the phone again.
        self.record_landed(name);
        if behaviour.read {
            let due = now.ms + self.latency();
            let lane = (name.account, name.to);
            self.plan(lane, Step::Read, due, Event::Read { name, home, n });
        }
        if behaviour.keys == Keys::ChangesIdentity && self.phones.identity(&phone) == 0 {
            self.new_identity(phone);
        }
    }

    /// Whether the message at a place of the log shows products.
    fn has_products(&mut self, n: u64) -> bool {
        let received = self.phones.received_mut(n).and_then(|received| received.content.as_deref());
        let content: Option<serde_json::Value> =
            received.and_then(|content| serde_json::from_slice(content).ok());
        let kind = content.as_ref().and_then(|content| content["interactive"]["type"].as_str());
        matches!(kind, Some("product" | "product_list" | "catalog_message"))
    }

    /// The phone is set up anew: its keys and sessions are gone. Nothing happens when all phones
    /// share their keys.
    pub(crate) fn new_identity(&mut self, phone: Number) {
        if self.shared_bundle.is_some() {
            return;
        }
        let Some(own) = self.phones.phone(phone) else { return };
        own.identity += 1;
        let identity = own.identity;
        self.record_phone(phone);
        for device in 0..self.phones.behaviour(&phone).devices {
            let of = DeviceId { wa_id: Some(phone), device, identity };
            let key = self.seed.identity(of).key().to_wire();
            self.identity_changed(phone, device, &Bytes::copy_from_slice(&key));
        }
    }

    /// Tells all businesses.
    pub(super) fn identity_changed(&mut self, phone: Number, device: u32, identity_key: &Bytes) {
        self.stats.identity_changes += 1;
        let home = contract::Route::of(&phone).shard();
        for account in (0..self.accounts.len()).map(super::AccountId) {
            let changed = wire::IdentityChanged {
                wa_id: phone.to_string(),
                device,
                identity_key: identity_key.clone(),
            };
            let notice =
                wire::Notice { notice: Some(wire::notice::Notice::IdentityChanged(changed)) };
            let item = wire::down::Item::Notice(notice);
            self.keep(account, home, Kept::Other(Box::new(item)));
        }
    }
}
