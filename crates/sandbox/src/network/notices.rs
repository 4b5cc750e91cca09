//! What the network tells businesses unasked: other numbers of customers, trouble.

use contract::{Number, Route, ShardId};
use rpc::upstream as wire;

use super::{ControlError, Network, account::Kept};
use crate::faults::Trouble;

impl Network {
    /// A customer has another number: the old one has no account any more.
    pub(crate) fn change_number(&mut self, from: Number, to: Number) -> Result<(), ControlError> {
        if self.by_number.contains_key(&from) || self.by_number.contains_key(&to) {
            return Err(ControlError::OwnNumber);
        }
        if !self.phones.behaviour(&from).registered {
            return Err(ControlError::NotRegistered);
        }
        for (phone, registered) in [(from, false), (to, true)] {
            self.phones.phone(phone).ok_or(ControlError::Phones)?.set.registered = Some(registered);
            self.record_phone(phone);
        }
        let changed = wire::NumberChanged { wa_id: from.to_string(), new_wa_id: to.to_string() };
        self.notice(Route::of(&from).shard(), &wire::notice::Notice::NumberChanged(changed));
        Ok(())
    }

    /// Something is wrong with all accounts.
    pub(super) fn trouble(&mut self, trouble: &Trouble) {
        let Trouble { code, details } = trouble;
        let trouble = wire::Trouble { code: (*code).into(), details: details.clone() };
        self.notice(ShardId::CONTROL, &wire::notice::Notice::Trouble(trouble));
    }

    /// To all businesses.
    fn notice(&mut self, shard: ShardId, notice: &wire::notice::Notice) {
        for account in (0..self.accounts.len()).map(super::AccountId) {
            let notice = wire::Notice { notice: Some(notice.clone()) };
            let item = wire::down::Item::Notice(notice);
            self.keep(account, shard, Kept::Other(Box::new(item)));
        }
    }
}
