//! The businesses' own keys: published by coreapps, given to phones.

use contract::{Number, ShardId};
use rpc::upstream as wire;

use super::{
    AccountId, ControlError, Network, Now, account::Kept, record::Record, stream::Ready,
    stream::not_kept,
};
use crate::bodies::Keys;

pub(super) use super::published::Published;

/// One-time keys of a business below which its owner is told, once until it publishes more.
pub(super) const KEYS_LOW: usize = 50;
/// One-time keys one call may publish.
pub(crate) const PUBLISH_MAX: usize = 10_000;

impl Network {
    /// A business publishes keys that have been checked; gives how many one-time keys it has now.
    pub(crate) fn publish(&mut self, number: Number, keys: &Keys, now: Now) -> Option<u32> {
        self.stats.calls.publish_keys += 1;
        let id = self.account_of(number)?;
        let account = self.accounts.get_mut(id.0)?;
        account.told_keys_low = false;
        let left = match &mut account.published {
            Some(published) => {
                published.publish(keys);
                published.left()
            }
            none => none.insert(Published::new(keys)).left(),
        };
        self.record(|_| Some(Record::Keys { number, keys: keys.clone() }));
        self.letters_may_go(id, now.unix_ms);
        Some(u32::try_from(left).unwrap_or(u32::MAX))
    }

    /// A bundle of a business for one set-up; `None` when it has published nothing.
    pub(super) fn bundle_of_business(&mut self, id: AccountId) -> Option<wire::Bundle> {
        let account = self.accounts.get_mut(id.0)?;
        let published = account.published.as_mut()?;
        let bundle = published.bundle();
        let left = published.left();
        let number = account.number;
        let tell =
            left < KEYS_LOW && !std::mem::replace(&mut account.told_keys_low, left < KEYS_LOW);
        self.stats.bundles.of_businesses += 1;
        if let Some(id) = bundle.one_time_pre_key.as_ref().map(|key| key.id) {
            self.record(|_| Some(Record::KeyUsed { number, id }));
        }
        if tell {
            let item = wire::down::Item::Notice(keys_low(left));
            self.keep(id, ShardId::CONTROL, Kept::Other(Box::new(item)));
        }
        Some(bundle)
    }

    /// The same for the control API.
    pub(crate) fn take_bundle(&mut self, to: Option<Number>) -> Result<wire::Bundle, ControlError> {
        let account = self.business(to)?;
        self.bundle_of_business(account).ok_or(ControlError::NoKeys)
    }

    /// A network that has lost, or never had, the keys says so when shard -1 is attached: not kept,
    /// since each Hello repeats it.
    pub(super) fn tell_keys_missing(&mut self, stream: super::StreamId, account: AccountId) {
        let published = self.accounts.get(account.0).and_then(|it| it.published.as_ref());
        if published.is_none() {
            let item = wire::down::Item::Notice(keys_low(0));
            let notice = not_kept(ShardId::CONTROL, item);
            self.push(stream, Ready::Other(Box::new(notice)));
        }
    }
}

fn keys_low(left: usize) -> wire::Notice {
    let left = u32::try_from(left).unwrap_or(u32::MAX);
    wire::Notice { notice: Some(wire::notice::Notice::KeysLow(wire::KeysLow { left })) }
}
