//! What customers write: encrypted by their phones in the order written, one at a time each, and
//! once more when the business could not decrypt.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use contract::{Key, Number, Route};
use rpc::upstream as wire;

use super::{
    AccountId, Network, StreamId, account::Kept, key_of, opening::RETRIES_MAX, outside::AskedAgain,
    send::LaneId, shard_id,
};
use crate::sessions::{Job, Seal, Sealed};

/// Letters that wait to be encrypted; then the control API takes no more.
pub(super) const WAITING_MAX: usize = 10_000;
/// Letters kept for the case that the business asks again; the oldest is forgotten then, and a
/// request for it ignored (counted).
const SENT_MAX: usize = 10_000;

/// A customer's message.
#[derive(Clone)]
pub(crate) struct Letter {
    pub(crate) key: Key,
    pub(crate) from: Number,
    pub(crate) profile_name: String,
    pub(crate) content: Bytes,
    pub(crate) unix_ms: i64,
}

/// A letter on the desk.
struct Draft {
    letter: Letter,
    /// Of the business; for a new session.
    bundle: Option<wire::Bundle>,
    /// A session that is there already does not do.
    anew: bool,
}

/// Where letters are encrypted.
#[derive(Default)]
pub(super) struct Desk {
    /// The first of each is being encrypted, or its lane is blocked.
    drafts: HashMap<LaneId, VecDeque<Draft>>,
    /// Lanes whose business has published no keys.
    blocked: Vec<LaneId>,
    waiting: usize,
    sent: HashMap<(LaneId, Key), Letter>,
    /// Oldest first.
    order: VecDeque<(LaneId, Key)>,
}

impl Desk {
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    fn remember(&mut self, lane: LaneId, letter: &Letter) {
        if self.sent.insert((lane, letter.key), letter.clone()).is_none() {
            self.order.push_back((lane, letter.key));
        }
        if self.order.len() > SENT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.sent.remove(&oldest);
        }
    }
}

impl Network {
    /// Puts a letter on the desk.
    pub(super) fn draft(&mut self, account: AccountId, letter: Letter, now_ms: i64) {
        let lane = (account, letter.from);
        self.push_draft(lane, Draft { letter, bundle: None, anew: false }, now_ms);
    }

    fn push_draft(&mut self, lane: LaneId, draft: Draft, now_ms: i64) {
        let drafts = self.desk.drafts.entry(lane).or_default();
        drafts.push_back(draft);
        self.desk.waiting += 1;
        if drafts.len() == 1 {
            self.seal_first(lane, now_ms);
        }
    }

    fn seal_first(&mut self, lane: LaneId, now_ms: i64) {
        let Some(account) = self.accounts.get(lane.0.0) else { return };
        let Some(draft) = self.desk.drafts.get(&lane).and_then(|drafts| drafts.front()) else {
            return;
        };
        let seal = Seal {
            lane,
            business: account.number,
            phone: self.crypto_phone(lane.1),
            content: draft.letter.content.clone(),
            bundle: draft.bundle.clone(),
            anew: draft.anew,
            unix_s: u64::try_from(now_ms / 1_000).unwrap_or(0),
        };
        self.jobs.push(Job::Seal(Box::new(seal)));
    }

    /// The first letter of a lane is encrypted, or wants a bundle.
    pub(super) fn sealed(&mut self, sealed: Sealed, now_ms: i64) {
        let Sealed { lane, envelope, .. } = sealed;
        let Some(first) = self.desk.drafts.get(&lane).and_then(|drafts| drafts.front()) else {
            return;
        };
        if envelope.is_none() && first.bundle.is_none() {
            let bundle = self.bundle_of_business(lane.0);
            let first = self.desk.drafts.get_mut(&lane).and_then(VecDeque::front_mut);
            match (bundle, first) {
                (Some(bundle), Some(first)) => {
                    first.bundle = Some(bundle);
                    self.seal_first(lane, now_ms);
                }
                _ => self.desk.blocked.push(lane),
            }
            return;
        }
        let Some(drafts) = self.desk.drafts.get_mut(&lane) else { return };
        let Some(Draft { letter, .. }) = drafts.pop_front() else { return };
        self.desk.waiting -= 1;
        let more = !drafts.is_empty();
        if !more {
            self.desk.drafts.remove(&lane);
        }
        match envelope {
            Some(envelope) => {
                self.post(lane.0, &letter, envelope);
                self.record_posted(lane, letter.key);
                self.desk.remember(lane, &letter);
            }
            // Published bundles are checked: only a retry request can bring a bad one.
            None => self.stats.retries.ignored += 1,
        }
        if more {
            self.seal_first(lane, now_ms);
        }
    }

    /// The letter reaches the network.
    pub(super) fn post(&mut self, account: AccountId, letter: &Letter, envelope: wire::Envelope) {
        self.stats.inbound += 1;
        self.reading.written((account, letter.from), letter.key);
        let inbound = wire::Inbound {
            key: Bytes::copy_from_slice(letter.key.as_bytes()),
            from: letter.from.to_string(),
            profile_name: letter.profile_name.clone(),
            timestamp_ms: letter.unix_ms,
            envelope: Some(envelope),
        };
        let home = Route::of(&letter.from).shard();
        self.keep(account, home, Kept::Other(Box::new(wire::down::Item::Inbound(inbound))));
    }

    /// The business has published keys.
    pub(super) fn letters_may_go(&mut self, account: AccountId, now_ms: i64) {
        let blocked = std::mem::take(&mut self.desk.blocked);
        let (go, stay): (Vec<_>, _) = blocked.into_iter().partition(|lane| lane.0 == account);
        self.desk.blocked = stay;
        for lane in go {
            self.seal_first(lane, now_ms);
        }
    }

    /// A coreapp could not decrypt a letter.
    pub(super) fn retry(&mut self, id: StreamId, request: wire::RetryRequest, now_ms: i64) {
        let (Some(shard), Some(key), Ok(to), Some(retry)) = (
            shard_id(request.shard),
            key_of(&request.key),
            Number::from_digits(request.to.as_bytes()),
            request.retry,
        ) else {
            self.stats.malformed += 1;
            return;
        };
        let account = self.streams.get(&id).and_then(|stream| stream.account);
        let attached = account.filter(|account| {
            let shard = self.accounts.get(account.0).and_then(|account| account.shard(shard));
            shard.is_some_and(|shard| shard.is_attached(id, request.epoch))
        });
        let Some(account) = attached else {
            self.stats.stale_sends += 1;
            return;
        };
        self.stats.retries.requested += 1;
        let lane = (account, to);
        if retry.count <= RETRIES_MAX && self.outside.has(&to) {
            let asked = AskedAgain { key, device: request.device, retry };
            return self.outside.asked_again(&to, asked);
        }
        let letter = self.desk.sent.get(&(lane, key)).cloned();
        match letter.filter(|_| retry.count <= RETRIES_MAX && self.desk.waiting < WAITING_MAX) {
            Some(letter) => {
                let bundle = retry.bundle.or_else(|| self.bundle_of_business(account));
                self.push_draft(lane, Draft { letter, bundle, anew: true }, now_ms);
            }
            None => self.stats.retries.ignored += 1,
        }
    }
}
