//! What customers have written, and what of it businesses have read.

use std::collections::{HashMap, VecDeque};

use contract::{Key, Number};
use rpc::upstream as wire;

use super::{AccountId, LaneId, Network, key_of};
use crate::faults::MediaFault;

/// Messages remembered in all; the oldest is forgotten then, and marking it changes nothing.
const WRITTEN_MAX: usize = 100_000;

/// A message of a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrittenView {
    pub(crate) key: Key,
    pub(crate) read: bool,
}

/// In memory alone: after a restart nothing is known to be read.
#[derive(Default)]
pub(super) struct Reading {
    written: HashMap<LaneId, VecDeque<WrittenView>>,
    /// Oldest first.
    order: VecDeque<LaneId>,
}

impl Reading {
    /// A message has reached the network. One that comes again, sealed anew, is the same message.
    pub(super) fn written(&mut self, lane: LaneId, key: Key) {
        let written = self.written.entry(lane).or_default();
        if written.iter().rev().any(|known| known.key == key) {
            return;
        }
        written.push_back(WrittenView { key, read: false });
        self.order.push_back(lane);
        if self.order.len() > WRITTEN_MAX
            && let Some(oldest) = self.order.pop_front()
            && let Some(written) = self.written.get_mut(&oldest)
        {
            written.pop_front();
            if written.is_empty() {
                self.written.remove(&oldest);
            }
        }
    }

    fn mark(&mut self, lane: LaneId, key: Key) -> usize {
        let Some(written) = self.written.get_mut(&lane) else { return 0 };
        let Some(last) = written.iter().position(|known| known.key == key) else { return 0 };
        let unread = written.iter_mut().take(last + 1).filter(|known| !known.read);
        unread.map(|known| known.read = true).count()
    }
}

impl Network {
    /// A business has read a message and those before it; gives the latency of the answer.
    pub(crate) fn marked_read(&mut self, request: &wire::MarkReadRequest) -> Option<u64> {
        self.stats.calls.mark_read += 1;
        let key = key_of(&request.key)?;
        let phone = Number::from_digits(request.wa_id.as_bytes()).ok()?;
        let business = Number::from_digits(request.number.as_bytes()).ok()?;
        let account = self.account_of(business)?;
        self.stats.marked_read += self.reading.mark((account, phone), key) as u64;
        Some(self.latency())
    }

    /// A business fetches a file; gives what becomes of that, and how long its beginning takes.
    pub(crate) fn asked_for_media(&mut self) -> (MediaFault, u64) {
        self.stats.calls.get_media += 1;
        (self.faults.media, self.latency())
    }

    /// What a phone has written to all businesses, in order for each.
    pub(crate) fn written(&self, phone: &Number) -> Vec<(Number, WrittenView)> {
        let accounts = self.accounts.iter().enumerate();
        accounts
            .filter_map(|(n, account)| {
                let written = self.reading.written.get(&(AccountId(n), *phone))?;
                Some(written.iter().map(|written| (account.number, *written)))
            })
            .flatten()
            .collect()
    }
}
