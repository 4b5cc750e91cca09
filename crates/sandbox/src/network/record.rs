//! What survives a restart, as lines of the journal. Nothing is recorded unless there is one.

use bytes::Bytes;
use contract::{Key, Number, ShardId};
use prost::Message as _;
use rpc::upstream as wire;
use serde::{Deserialize, Serialize};

use super::{
    AccountId, Network, Now,
    account::{Account, Kept, Shard},
    dedup::Name,
    key_of,
    phones::Flight,
    published::Published,
};
use crate::bodies::{Base64, Keys};

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
        self.undelivered.insert(name, (unix_ms, send.clone()));
        self.record(|network| {
            let number = network.accounts.get(name.account.0)?.number;
            Some(Record::Taken { number, unix_ms, send: encoded(send) })
        });
    }

    pub(super) fn record_landed(&mut self, name: Name) {
        if self.undelivered.remove(&name).is_none() {
            return;
        }
        self.record(|network| {
            let number = network.accounts.get(name.account.0)?.number;
            let key = Base64(Bytes::copy_from_slice(name.key.as_bytes()));
            Some(Record::Landed { number, to: name.to, key })
        });
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
        self.outside.snapshot(&self.accounts, &mut out);
        for (name, (unix_ms, send)) in &self.undelivered {
            let Some(account) = self.accounts.get(name.account.0) else { continue };
            let (number, unix_ms) = (account.number, *unix_ms);
            out.push(Record::Taken { number, unix_ms, send: encoded(send) });
        }
        out
    }

    /// Takes up where the journal left off: what was on its way arrives at once, in the order it
    /// was taken. A record that cannot be used is left out and counted.
    pub(crate) fn restore(&mut self, records: Vec<Record>, now: Now) -> usize {
        let mut taken: Vec<Option<(Name, i64, wire::Send)>> = Vec::new();
        let unusable = records
            .into_iter()
            .filter_map(|record| match self.restore_one(record, &mut taken) {
                Some(()) => None,
                None => Some(()),
            })
            .count();
        for (name, unix_ms, send) in taken.into_iter().flatten() {
            let digest = super::dedup::digest(&send.envelopes);
            self.dedup.came(name, digest);
            self.dedup.taken(&name, digest, unix_ms);
            let home = contract::Route::of(&name.to).shard();
            self.undelivered.insert(name, (unix_ms, send.clone()));
            let flight = Flight { name, home, envelopes: send.envelopes };
            self.fly(flight, now.ms);
        }
        unusable
    }

    fn restore_one(
        &mut self,
        record: Record,
        taken: &mut Vec<Option<(Name, i64, wire::Send)>>,
    ) -> Option<()> {
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
                taken.push(Some((self.name_of(number, &send)?, unix_ms, send)));
            }
            Record::Landed { number, to, key } => {
                let name = Name::new(self.account_of(number)?, to, Key::from_bytes(&key.0).ok()?);
                for place in taken.iter_mut().rev() {
                    if place.as_ref().is_some_and(|(taken, ..)| *taken == name) {
                        *place = None;
                    }
                }
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

pub(super) fn encoded(message: &impl prost::Message) -> Base64 {
    Base64(message.encode_to_vec().into())
}
