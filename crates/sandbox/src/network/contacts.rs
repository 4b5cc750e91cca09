//! Contact syncs: which numbers have an account. One call of a number at a time.

use contract::Number;
use rpc::upstream::{ContactResult, ReportRequest, contact_result::Status};

use super::{AccountId, Network};
use crate::numbering::wa_id;

/// Numbers a call may ask for.
pub(super) const CONTACTS_MAX: usize = 2_000;

/// Messages a complaint may name.
pub(crate) const REPORT_MAX: usize = 5;

/// Why a contact sync is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SyncRefused {
    #[error("a contact sync of this number is under way; one at a time is allowed")]
    Concurrent,
    #[error("a contact sync takes at most {CONTACTS_MAX} numbers")]
    TooMany,
    #[error("the own number is not valid: give 5 to 15 digits")]
    Number,
    #[error("too many own numbers")]
    Accounts,
}

impl Network {
    /// Begins a sync; gives the account to end it with, and how long it takes in milliseconds.
    pub(crate) fn begin_sync(
        &mut self,
        number: &str,
        size: usize,
    ) -> Result<(AccountId, u64), SyncRefused> {
        self.stats.calls.sync_contacts += 1;
        let number = Number::from_digits(number.as_bytes()).map_err(|_| SyncRefused::Number)?;
        if size > CONTACTS_MAX {
            return Err(SyncRefused::TooMany);
        }
        let id = self.account_of(number).ok_or(SyncRefused::Accounts)?;
        let account = self.accounts.get_mut(id.0).ok_or(SyncRefused::Accounts)?;
        if std::mem::replace(&mut account.syncing, true) {
            self.stats.contact_sync.refused_concurrent += 1;
            return Err(SyncRefused::Concurrent);
        }
        let syncing = self.accounts.iter().filter(|account| account.syncing).count();
        self.stats.contact_sync.took(size);
        let most = &mut self.stats.in_flight.contact_syncs_max;
        *most = (*most).max(syncing as u64);
        Ok((id, self.latency()))
    }

    /// Ends a sync, answered or given up.
    pub(crate) fn end_sync(&mut self, id: AccountId) {
        if let Some(account) = self.accounts.get_mut(id.0) {
            account.syncing = false;
        }
    }

    /// The network's word on each number, in the order asked.
    pub(crate) fn contacts(&mut self, numbers: Vec<String>) -> Vec<ContactResult> {
        numbers.into_iter().map(|number| self.contact(number)).collect()
    }

    /// Takes note of a complaint; gives how long the answer takes, milliseconds.
    pub(crate) fn reported(&mut self, report: &ReportRequest) -> u64 {
        self.stats.calls.report += 1;
        self.stats.reported += report.keys.len() as u64;
        self.latency()
    }

    fn contact(&mut self, number: String) -> ContactResult {
        let dialled = Number::from_digits(number.as_bytes()).ok().map(wa_id);
        let phone = dialled.map(|phone| self.phones.set(&phone).known_as.unwrap_or(phone));
        let registered = phone.filter(|phone| {
            let behaviour = self.phones.behaviour(phone);
            behaviour.registered && !behaviour.deleted && !self.by_number.contains_key(phone)
        });
        let (status, wa_id) = match registered {
            _ if self.dice.happens(self.faults.contacts_failed) => (Status::Failed, String::new()),
            Some(phone) => (Status::Registered, phone.to_string()),
            None => (Status::NotRegistered, String::new()),
        };
        ContactResult { number, status: status.into(), wa_id }
    }
}
