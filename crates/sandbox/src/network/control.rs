//! What the control API asks of the network.

use bytes::Bytes;
use contract::{Clock, Code, Key, Number, Rng, ShardId};
use rpc::upstream as wire;
use serde::{Deserialize, Serialize};

use super::{
    AccountId, Network, Now, Stats,
    account::UNACKED_MAX,
    dedup::Name,
    phones::{Override, Received},
    published::Published,
    stats::NumberStats,
    stream::{Ready, not_kept},
    writing::{Letter, WAITING_MAX},
};
use crate::{
    faults::{Faults, FaultsPatch},
    numbering::Behaviour,
    random::Dice,
    sessions::Counters,
};

/// Devices a virtual phone may have.
const DEVICES_MAX: u32 = 10;

/// Why the control API cannot have it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ControlError {
    #[error("the sandbox runs with --phones count, which keeps no messages; start it with keep")]
    NotKept,
    #[error("no coreapp has said Hello yet; name the business's number in \"to\"")]
    NoBusiness,
    #[error("{0} own numbers are known; name one of them in \"to\"")]
    WhichBusiness(usize),
    #[error("the number is an own number of a business and no phone")]
    OwnNumber,
    #[error("the phone has no account; PUT /phones/{{wa_id}} {{\"registered\":true}} gives it one")]
    NotRegistered,
    #[error("the phone has received no message with the key {0}")]
    NoSuchKey(String),
    #[error("{UNACKED_MAX} items are not acknowledged by the coreapp; no more are taken")]
    Unacked,
    #[error("too many phones have settings or messages of their own; restart the sandbox")]
    Phones,
    #[error("{WAITING_MAX} messages of customers wait to be encrypted; no more are taken")]
    Letters,
    #[error("the business has published no keys yet")]
    NoKeys,
    #[error("the phone is no outside phone; POST /devices makes it one")]
    NotOutside,
    #[error("the keys of an outside phone are not here: POST /devices/{{wa_id}}/envelopes writes")]
    Outside,
    #[error("the phone has no such device; POST /devices adds one")]
    NoSuchDevice,
    #[error("a phone has at most {DEVICES_MAX} devices")]
    Devices,
    #[error("the error catalogue has no code {0}; 0 ends the behaviour")]
    NoSuchCode(u16),
    #[error("no coreapp has asked for a code, or set a profile, for this number")]
    NeverRegistered,
    #[error("too many own numbers")]
    Accounts,
    #[error("{0}")]
    Plan(String),
}

/// A change of a phone; what is absent stays.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PhonePatch {
    registered: Option<bool>,
    /// True: the account is gone since lately. Contact syncs say so; messages to it are taken and
    /// never delivered, its keys are still given out.
    deleted: Option<bool>,
    offline: Option<bool>,
    /// Both kinds of receipts at once.
    receipts: Option<bool>,
    delivered: Option<bool>,
    read: Option<bool>,
    /// How many devices the account has.
    devices: Option<u32>,
    /// Code of the error catalogue that messages are refused with; 0: they are not.
    refuses: Option<u16>,
    /// The same for messages that are taken and fail later.
    fails: Option<u16>,
    /// Products in messages are not to be had: each such message has a `warning`.
    products_missing: Option<bool>,
    /// Contact checks of this number name that one as the wa_id; the number itself: they do not.
    known_as: Option<Number>,
    /// True: the phone is set up anew, now.
    new_identity: Option<bool>,
}

/// How a phone behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PhoneView {
    wa_id: Number,
    registered: bool,
    deleted: bool,
    offline: bool,
    delivered: bool,
    read: bool,
    devices: u32,
    /// Codes that messages are refused with, or fail with later.
    #[serde(skip_serializing_if = "Option::is_none")]
    refuses: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fails: Option<u16>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    products_missing: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    known_as: Option<Number>,
    /// The caller of the control API keeps its keys.
    outside: bool,
}

/// A message a phone has received.
#[derive(Debug)]
pub(crate) struct ReceivedView {
    pub(crate) n: u64,
    pub(crate) from: Number,
    pub(crate) to: Number,
    pub(crate) key: Key,
    pub(crate) device: u32,
    pub(crate) received_ms: i64,
    pub(crate) read: bool,
    /// Times the phone got it.
    pub(crate) copies: u32,
    /// Times the network got it.
    pub(crate) sends: u32,
    pub(crate) content: Option<Box<[u8]>>,
    /// Of each device that has decrypted it, in order.
    pub(crate) opened: Vec<(u32, Option<Counters>)>,
}

/// A part of everything delivered.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) messages: Vec<ReceivedView>,
    /// Place of the last message delivered so far.
    pub(crate) last: u64,
}

/// A customer's message as the control API gives it.
pub(crate) struct Written {
    /// `None`: the only business there is.
    pub(crate) to: Option<Number>,
    pub(crate) profile_name: String,
    pub(crate) content: Bytes,
}

impl Network {
    /// Everything delivered after place `after`, without contents.
    pub(crate) fn delivered_after(&self, after: u64, limit: usize) -> Result<Page, ControlError> {
        self.kept()?;
        let messages = self.phones.after(after).take(limit);
        let messages = messages.map(|(n, received)| self.view(n, received, false)).collect();
        Ok(Page { messages, last: self.phones.last_n() })
    }

    /// What one phone has received after place `after`.
    pub(crate) fn received(
        &self,
        phone: &Number,
        after: u64,
        limit: usize,
    ) -> Result<Page, ControlError> {
        self.kept()?;
        let messages = self.phones.of(phone).filter(|(n, _)| *n > after).take(limit);
        let messages = messages.map(|(n, received)| self.view(n, received, true)).collect();
        Ok(Page { messages, last: self.phones.last_n() })
    }

    fn kept(&self) -> Result<(), ControlError> {
        if self.phones.keeps_contents() { Ok(()) } else { Err(ControlError::NotKept) }
    }

    fn view(&self, n: u64, received: &Received, content: bool) -> ReceivedView {
        let Name { account, to, key } = received.name;
        let known = self.dedup.get(&received.name);
        ReceivedView {
            n,
            from: self.accounts.get(account.0).map_or(to, |account| account.number),
            to,
            key,
            device: received.device,
            received_ms: received.unix_ms,
            read: received.read,
            // Forgotten ones came at least once.
            copies: known.map_or(1, |known| known.copies),
            sends: known.map_or(1, |known| known.sends),
            content: received.content.clone().filter(|_| content),
            opened: received.opened.clone(),
        }
    }

    /// How a phone behaves.
    pub(crate) fn phone(&self, phone: Number) -> PhoneView {
        let behaviour = self.phones.behaviour(&phone);
        let Behaviour { registered, deleted, offline, delivered, read, mut devices, .. } =
            behaviour;
        let registered = registered && !self.by_number.contains_key(&phone);
        let outside = self.outside.devices(&phone);
        if let Some(count) = outside.as_ref().map(Vec::len) {
            devices = u32::try_from(count).unwrap_or(u32::MAX);
        }
        let outside = outside.is_some();
        let Override { refuses, fails, products_missing, known_as, .. } = self.phones.set(&phone);
        PhoneView {
            wa_id: phone,
            registered,
            deleted,
            offline,
            delivered,
            read,
            devices,
            refuses,
            fails,
            products_missing: products_missing.unwrap_or(false),
            known_as,
            outside,
        }
    }

    /// Changes a phone; one that comes online gets what waited for it.
    pub(crate) fn set_phone(
        &mut self,
        phone: Number,
        patch: PhonePatch,
        now: Now,
    ) -> Result<PhoneView, ControlError> {
        if self.by_number.contains_key(&phone) {
            return Err(ControlError::OwnNumber);
        }
        if patch.devices.is_some_and(|count| !(1..=DEVICES_MAX).contains(&count)) {
            return Err(ControlError::Devices);
        }
        for code in [patch.refuses, patch.fails].into_iter().flatten() {
            if code != 0 && Code::from_u32(code.into()).is_none() {
                return Err(ControlError::NoSuchCode(code));
            }
        }
        let code = |new: Option<u16>, old: Option<u16>| new.or(old).filter(|code| *code != 0);
        let set = &mut self.phones.phone(phone).ok_or(ControlError::Phones)?.set;
        *set = Override {
            registered: patch.registered.or(set.registered),
            deleted: patch.deleted.or(set.deleted),
            offline: patch.offline.or(set.offline),
            delivered: patch.delivered.or(patch.receipts).or(set.delivered),
            read: patch.read.or(patch.receipts).or(set.read),
            devices: patch.devices.or(set.devices),
            refuses: code(patch.refuses, set.refuses),
            fails: code(patch.fails, set.fails),
            products_missing: patch.products_missing.or(set.products_missing),
            known_as: patch.known_as.or(set.known_as).filter(|other| *other != phone),
        };
        self.record_phone(phone);
        if patch.new_identity == Some(true) {
            self.new_identity(phone);
        }
        let view = self.phone(phone);
        if !view.offline {
            self.release(phone, now);
        }
        Ok(view)
    }

    /// Read receipts by hand: for `keys`, or for all that is unread. Gives their number.
    pub(crate) fn read_by_hand(
        &mut self,
        phone: &Number,
        keys: Option<&[Key]>,
        now: Now,
    ) -> Result<usize, ControlError> {
        self.kept()?;
        for key in keys.unwrap_or_default() {
            if !self.phones.of(phone).any(|(_, received)| received.name.key == *key) {
                return Err(ControlError::NoSuchKey(key.to_string()));
            }
        }
        let unread: Vec<_> = self
            .phones
            .of(phone)
            .filter(|(_, received)| !received.read)
            .filter(|(_, received)| keys.is_none_or(|keys| keys.contains(&received.name.key)))
            .map(|(n, received)| (n, received.name, received.home))
            .collect();
        for (n, name, home) in &unread {
            if let Some(received) = self.phones.received_mut(*n) {
                received.read = true;
            }
            self.stats.receipts.read += 1;
            self.receipt(*name, *home, wire::receipt::Type::Read, now);
        }
        Ok(unread.len())
    }

    /// The customer writes; gives the message's key.
    pub(crate) fn write_from(
        &mut self,
        phone: Number,
        written: Written,
        now: Now,
    ) -> Result<Key, ControlError> {
        if self.by_number.contains_key(&phone) {
            return Err(ControlError::OwnNumber);
        }
        let behaviour = self.phones.behaviour(&phone);
        if !behaviour.registered || behaviour.deleted {
            return Err(ControlError::NotRegistered);
        }
        if self.outside.has(&phone) {
            return Err(ControlError::Outside);
        }
        let account = self.business(written.to)?;
        if self.desk.waiting() >= WAITING_MAX {
            return Err(ControlError::Letters);
        }
        if self.accounts.get(account.0).is_some_and(|account| account.unacked >= UNACKED_MAX) {
            return Err(ControlError::Unacked);
        }
        self.phones.phone(phone).ok_or(ControlError::Phones)?.wrote_ms = Some(now.unix_ms);
        self.record_phone(phone);
        let letter = Letter {
            key: self.mint(now),
            from: phone,
            profile_name: written.profile_name,
            content: written.content,
            unix_ms: now.unix_ms,
        };
        self.record_letter((account, phone), &letter);
        Ok(self.write(account, letter, now))
    }

    /// A key for a customer's message.
    pub(crate) fn mint(&mut self, now: Now) -> Key {
        Key::mint(&At(now.unix_ms), &Drawn(self.dice.next()))
    }

    pub(super) fn business(&mut self, to: Option<Number>) -> Result<AccountId, ControlError> {
        match (to, self.accounts.len()) {
            (Some(to), _) => self.account_of(to).ok_or(ControlError::Accounts),
            (None, 0) => Err(ControlError::NoBusiness),
            (None, 1) => Ok(AccountId(0)),
            (None, many) => Err(ControlError::WhichBusiness(many)),
        }
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Changes the fault plan.
    pub(crate) fn set_faults(
        &mut self,
        patch: &FaultsPatch,
        now: Now,
    ) -> Result<Faults, ControlError> {
        let plan = self.faults.patched(patch).map_err(ControlError::Plan)?;
        if patch.sets_seed() {
            self.dice = Dice::new(plan.seed);
        }
        let rhythm = plan.disconnect_every_ms != self.faults.disconnect_every_ms;
        self.faults = plan;
        if rhythm {
            self.plan_disconnect(now);
        }
        if let Some(after_ms) = patch.busy_ms {
            let ids: Vec<_> = self.streams.keys().copied().collect();
            for id in ids {
                let item = wire::down::Item::Busy(wire::Busy { after_ms });
                let busy = not_kept(ShardId::CONTROL, item);
                self.push(id, Ready::Other(Box::new(busy)));
            }
        }
        if let Some(trouble) = &patch.trouble {
            self.trouble(trouble);
        }
        if patch.disconnect_now {
            self.close_all("the fault plan disconnects");
        }
        Ok(self.faults.clone())
    }

    /// Back to what the sandbox was started with.
    pub(crate) fn reset_faults(&mut self, now: Now) -> Faults {
        self.faults = self.configured.clone();
        self.dice = Dice::new(self.faults.seed);
        self.plan_disconnect(now);
        self.faults.clone()
    }

    /// A copy of all counters.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.stats.clone();
        stats.waiting_offline = self.phones.waiting();
        stats.contents_dropped = self.phones.contents_dropped;
        stats.waiting_to_seal = self.desk.waiting();
        stats.waiting_outside = self.outside.waiting();
        stats.numbers = self
            .accounts
            .iter()
            .map(|account| {
                let number = NumberStats {
                    unacked: account.unacked,
                    attached_shards: account.attached_shards(),
                    generation: account.generation,
                    one_time_left: account.published.as_ref().map_or(0, Published::left),
                };
                (account.number.to_string(), number)
            })
            .collect();
        stats
    }
}

/// The moment a key is minted at.
struct At(i64);

impl Clock for At {
    fn unix_ms(&self) -> i64 {
        self.0
    }
}

/// One draw, for the few random bytes of a key. The seconds before them keep a sandbox that starts
/// again with its seed from repeating a key.
struct Drawn(u64);

impl Rng for Drawn {
    fn fill(&self, out: &mut [u8]) {
        for (place, byte) in out.iter_mut().zip(self.0.to_be_bytes().into_iter().cycle()) {
            *place = byte;
        }
    }
}
