//! What survives a restart, as lines of the journal. Nothing is recorded unless there is one.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use contract::{Key, Number, ShardId, catalogue::Catalogue};
use prost::Message as _;
use rpc::upstream as wire;
use serde::{Deserialize, Serialize};

use super::{
    AccountId, Network, Now,
    account::{Account, Kept, Shard},
    dedup::Name,
    key_of,
    phones::{Flight, Override, Phone},
    published::Published,
    registration::Registration,
    send::LaneId,
    templates::Templates,
    writing::Letter,
};
use crate::{
    bodies::{Base64, Keys},
    sessions::Advanced,
};

/// A line of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    /// Where a shard's stream stands.
    Shard {
        number: Number,
        shard: i16,
        epoch: i64,
        acked: u64,
        our_seq: i64,
    },
    /// A `Down` that is not acknowledged.
    Kept {
        number: Number,
        down: Base64,
    },
    /// A business's keys.
    Keys {
        number: Number,
        keys: Keys,
    },
    KeyUsed {
        number: Number,
        id: u32,
    },
    /// What a business is to the network.
    Business {
        number: Number,
        registration: Box<Registration>,
    },
    /// All message templates.
    Templates {
        catalogue: Box<serde_json::Value>,
    },
    /// An outside device's keys; `last_n`: of the last envelope its phone was given.
    Device {
        wa_id: Number,
        device: u32,
        last_n: u64,
        keys: Keys,
    },
    DeviceKeyUsed {
        wa_id: Number,
        device: u32,
        id: u32,
    },
    /// A `Send` whose envelopes wait for outside devices; `n` of the first.
    Waits {
        number: Number,
        n: u64,
        send: Base64,
    },
    /// An outside device needs the envelope no more.
    Done {
        wa_id: Number,
        n: u64,
    },
    /// A `Send` on its way to a virtual phone.
    Taken {
        number: Number,
        unix_ms: i64,
        send: Base64,
    },
    /// It has arrived.
    Landed {
        number: Number,
        to: Number,
        key: Base64,
    },
    /// A message that was taken: what comes again under its key is a repeat.
    Known {
        number: Number,
        to: Number,
        key: Base64,
        unix_ms: i64,
        digest: u64,
        copies: u32,
    },
    /// A phone that is not as its digits say.
    Phone {
        wa_id: Number,
        #[serde(flatten)]
        set: Override,
        identity: u32,
        wrote_ms: Option<i64>,
    },
    /// A session of a virtual phone's device.
    Session {
        number: Number,
        wa_id: Number,
        device: u32,
        identity: u32,
        record: Base64,
    },
    /// A customer's message that is not sealed yet.
    Letter {
        number: Number,
        from: Number,
        key: Base64,
        profile_name: String,
        content: Base64,
        unix_ms: i64,
    },
    /// It is on its way to the business.
    Posted {
        number: Number,
        from: Number,
        key: Base64,
    },
}

/// Messages that are known to have been taken after a restart; older ones are forgotten, and
/// delivered again if a coreapp has waited that long to repeat them.
const KNOWN_MAX: usize = 100_000;

/// What the journal says of messages and letters, until all of it is read.
#[derive(Default)]
struct Pending {
    taken: BTreeMap<u64, (Name, i64, wire::Send)>,
    place: HashMap<Name, u64>,
    last: u64,
}

impl Pending {
    /// The last word on a message counts; it keeps its place.
    fn take(&mut self, name: Name, unix_ms: i64, send: wire::Send) {
        let place = *self.place.entry(name).or_insert_with(|| {
            self.last += 1;
            self.last
        });
        self.taken.insert(place, (name, unix_ms, send));
    }

    fn land(&mut self, name: &Name) {
        if let Some(place) = self.place.remove(name) {
            self.taken.remove(&place);
        }
    }
}

impl Network {
    /// From now on all that must survive is recorded.
    pub(crate) fn record_from_now(&mut self) {
        self.records.get_or_insert_default();
    }

    /// What is new since the last call.
    pub(crate) fn take_records(&mut self) -> Vec<Record> {
        self.records.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn record(&mut self, record: impl FnOnce(&Self) -> Option<Record>) {
        if self.records.is_some()
            && let Some(record) = record(self)
            && let Some(records) = &mut self.records
        {
            records.push(record);
        }
    }

    pub(super) fn record_shard(&mut self, account: AccountId, id: ShardId) {
        self.record(|network| {
            let account = network.accounts.get(account.0)?;
            Some(shard(account, id, account.shard(id)?))
        });
    }

    pub(super) fn record_kept(&mut self, account: AccountId, id: ShardId, seq: u64) {
        self.record(|network| {
            let account = network.accounts.get(account.0)?;
            let down = account.shard(id)?.get(seq)?.to_down(id, seq);
            Some(Record::Kept { number: account.number, down: encoded(&down) })
        });
    }

    pub(super) fn record_taken(&mut self, name: Name, send: &wire::Send, unix_ms: i64) {
        if self.records.is_none() {
            return;
        }
        self.remembered.undelivered.insert(name, (unix_ms, send.clone()));
        self.record(|network| {
            let number = network.accounts.get(name.account.0)?.number;
            Some(Record::Taken { number, unix_ms, send: encoded(send) })
        });
    }

    pub(super) fn record_landed(&mut self, name: Name) {
        if self.remembered.undelivered.remove(&name).is_none() {
            return;
        }
        self.record(|network| {
            let number = network.accounts.get(name.account.0)?.number;
            Some(Record::Landed { number, to: name.to, key: of_key(name.key) })
        });
    }

    pub(super) fn record_phone(&mut self, wa_id: Number) {
        self.record(|network| network.phones.get(&wa_id).map(|phone| own(wa_id, phone)));
    }

    pub(super) fn record_sessions(&mut self, sessions: Vec<Advanced>) {
        for advanced in sessions {
            self.record(|_| Some(session(advanced.clone())));
            self.remembered.advanced(advanced);
        }
    }

    pub(super) fn record_letter(&mut self, lane: LaneId, written: &Letter) {
        if self.records.is_none() {
            return;
        }
        self.remembered.written(lane, written.clone());
        self.record(|network| Some(letter(network.accounts.get(lane.0.0)?.number, written)));
    }

    pub(super) fn record_posted(&mut self, lane: LaneId, key: Key) {
        if self.remembered.posted(lane, key) {
            self.record(|network| {
                let number = network.accounts.get(lane.0.0)?.number;
                Some(Record::Posted { number, from: lane.1, key: of_key(key) })
            });
        }
    }

    /// The phones' sessions of before the restart, when there is a journal.
    pub(crate) fn sessions(&self) -> Option<Vec<Advanced>> {
        self.records.as_ref().map(|_| self.remembered.sessions().collect())
    }

    /// All that must survive: the journal anew.
    pub(crate) fn snapshot(&self) -> Vec<Record> {
        let mut out = Vec::new();
        for account in &self.accounts {
            let number = account.number;
            for shard_id in ShardId::all() {
                let Some(shard) = account.shard(shard_id) else { continue };
                if shard.epoch_seen == 0 && shard.seqs().is_empty() && shard.acked() == 0 {
                    continue;
                }
                out.push(self::shard(account, shard_id, shard));
                let kept = shard.seqs().filter_map(|seq| Some((seq, shard.get(seq)?)));
                out.extend(kept.map(|(seq, kept)| Record::Kept {
                    number,
                    down: encoded(&kept.to_down(shard_id, seq)),
                }));
            }
            if let Some(published) = &account.published {
                out.push(Record::Keys { number, keys: published.to_keys() });
            }
        }
        out.extend(self.registrations.iter().map(|(number, registration)| Record::Business {
            number: *number,
            registration: Box::new(registration.clone()),
        }));
        out.push(self.templates_record());
        self.outside.snapshot(&self.accounts, &mut out);
        out.extend(self.phones.own().map(|(wa_id, phone)| own(wa_id, phone)));
        out.extend(self.remembered.sessions().map(session));
        for (name, known) in self.dedup.newest(KNOWN_MAX) {
            let Some(account) = self.accounts.get(name.account.0) else { continue };
            out.push(Record::Known {
                number: account.number,
                to: name.to,
                key: of_key(name.key),
                unix_ms: known.taken_ms.unwrap_or_default(),
                digest: known.digest,
                copies: known.copies,
            });
        }
        let mut undelivered: Vec<_> = self.remembered.undelivered.iter().collect();
        undelivered.sort_by_key(|(_, (unix_ms, _))| *unix_ms);
        for (name, (unix_ms, send)) in undelivered {
            let Some(account) = self.accounts.get(name.account.0) else { continue };
            let (number, unix_ms) = (account.number, *unix_ms);
            out.push(Record::Taken { number, unix_ms, send: encoded(send) });
        }
        for (lane, written) in self.remembered.letters.values() {
            let account = self.accounts.get(lane.0.0);
            out.extend(account.map(|account| letter(account.number, written)));
        }
        out
    }

    /// Takes up where the journal left off: what was on its way arrives at once, in the order it
    /// was taken. A record that cannot be used is left out and counted.
    pub(crate) fn restore(&mut self, records: Vec<Record>, now: Now) -> usize {
        let mut pending = Pending::default();
        let unusable = records
            .into_iter()
            .filter_map(|record| match self.restore_one(record, &mut pending) {
                Some(()) => None,
                None => Some(()),
            })
            .count();
        for (name, unix_ms, send) in pending.taken.into_values() {
            let home = contract::Route::of(&name.to).shard();
            self.remembered.undelivered.insert(name, (unix_ms, send.clone()));
            let flight = Flight { name, home, envelopes: send.envelopes };
            self.fly(flight, now.ms);
        }
        let letters: Vec<_> = self.remembered.letters.values().cloned().collect();
        for (lane, letter) in letters {
            self.write(lane.0, letter, now);
        }
        unusable
    }

    fn restore_one(&mut self, record: Record, pending: &mut Pending) -> Option<()> {
        match record {
            Record::Shard { number, shard, epoch, acked, our_seq } => {
                let account = self.account_of(number)?;
                let shard = ShardId::new(shard)?;
                self.accounts.get_mut(account.0)?.resume(shard, epoch, acked, our_seq);
            }
            Record::Kept { number, down } => {
                let down = wire::Down::decode(down.0).ok()?;
                let account = self.account_of(number)?;
                let shard = super::shard_id(down.shard)?;
                let item = Kept::Other(Box::new(down.item?));
                self.accounts.get_mut(account.0)?.keep(shard, item)?;
            }
            Record::Keys { number, keys } => {
                let account = self.account_of(number)?;
                match &mut self.accounts.get_mut(account.0)?.published {
                    Some(published) => drop(published.publish(&keys)),
                    none => *none = Some(Published::new(&keys)),
                }
            }
            Record::KeyUsed { number, id } => {
                let account = self.account_of(number)?;
                self.accounts.get_mut(account.0)?.published.as_mut()?.used(id);
            }
            Record::Business { number, registration } => {
                self.registrations.insert(number, *registration);
            }
            Record::Templates { catalogue } => {
                let catalogue = Catalogue::from_json(catalogue.to_string().as_bytes()).ok()?;
                self.templates = Templates::new(catalogue);
            }
            Record::Device { wa_id, device, last_n, keys } => {
                self.outside.register(wa_id, device, &keys).ok()?;
                self.outside.came_to(&wa_id, last_n);
            }
            Record::DeviceKeyUsed { wa_id, device, id } => {
                self.outside.used(&wa_id, device, id)?;
            }
            Record::Waits { number, n, send } => {
                let send = wire::Send::decode(send.0).ok()?;
                let name = self.name_of(number, &send)?;
                let wa_id = crate::numbering::wa_id(name.to);
                self.outside.resume(&wa_id, name, n, &send)?;
                let digest = super::dedup::digest(&send.envelopes);
                self.dedup.came(name, digest);
                self.dedup.taken(&name, digest, 0);
            }
            Record::Done { wa_id, n } => self.outside.drop_envelope(&wa_id, n)?,
            Record::Taken { number, unix_ms, send } => {
                let send = wire::Send::decode(send.0).ok()?;
                let name = self.name_of(number, &send)?;
                let digest = super::dedup::digest(&send.envelopes);
                self.dedup.came(name, digest);
                self.dedup.taken(&name, digest, unix_ms);
                pending.take(name, unix_ms, send);
            }
            Record::Landed { number, to, key } => {
                let name = Name::new(self.account_of(number)?, to, key_of(&key.0)?);
                self.dedup.reached(&name);
                pending.land(&name);
            }
            Record::Known { number, to, key, unix_ms, digest, copies } => {
                let name = Name::new(self.account_of(number)?, to, key_of(&key.0)?);
                self.dedup.resume(name, digest, unix_ms, copies);
            }
            Record::Phone { wa_id, set, identity, wrote_ms } => {
                let phone = self.phones.phone(wa_id)?;
                (phone.set, phone.identity, phone.wrote_ms) = (set, identity, wrote_ms);
            }
            Record::Session { number, wa_id, device, identity, record } => {
                let between = (number, wa_id, device);
                self.remembered.advanced(Advanced { between, identity, record: record.0 });
            }
            Record::Letter { number, from, key, profile_name, content, unix_ms } => {
                let lane = (self.account_of(number)?, from);
                let (key, content) = (key_of(&key.0)?, content.0);
                let letter = Letter { key, from, profile_name, content, unix_ms };
                self.remembered.written(lane, letter);
            }
            Record::Posted { number, from, key } => {
                let lane = (self.account_of(number)?, from);
                self.remembered.posted(lane, key_of(&key.0)?);
            }
        }
        Some(())
    }

    fn name_of(&mut self, number: Number, send: &wire::Send) -> Option<Name> {
        let to = Number::from_digits(send.to.as_bytes()).ok()?;
        Some(Name::new(self.account_of(number)?, to, key_of(&send.key)?))
    }
}

fn shard(account: &Account, id: ShardId, shard: &Shard) -> Record {
    Record::Shard {
        number: account.number,
        shard: id.get(),
        epoch: shard.epoch_seen,
        acked: shard.acked(),
        our_seq: shard.our_seq,
    }
}

fn own(wa_id: Number, phone: &Phone) -> Record {
    let Phone { set, identity, wrote_ms, .. } = phone;
    Record::Phone { wa_id, set: *set, identity: *identity, wrote_ms: *wrote_ms }
}

fn session(advanced: Advanced) -> Record {
    let Advanced { between: (number, wa_id, device), identity, record } = advanced;
    Record::Session { number, wa_id, device, identity, record: Base64(record) }
}

fn letter(number: Number, letter: &Letter) -> Record {
    let Letter { key, from, profile_name, content, unix_ms } = letter.clone();
    let (key, content) = (of_key(key), Base64(content));
    Record::Letter { number, from, key, profile_name, content, unix_ms }
}

fn of_key(key: Key) -> Base64 {
    Base64(Bytes::copy_from_slice(key.as_bytes()))
}

pub(super) fn encoded(message: &impl prost::Message) -> Base64 {
    Base64(message.encode_to_vec().into())
}
