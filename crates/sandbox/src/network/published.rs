//! What one device has published: of a business or of an outside phone. Each one-time key is given
//! out once.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use rpc::upstream as wire;

use crate::bodies::{Base64, Keys, OneTimeKey};

/// One-time keys kept for one device; more are not taken.
pub(super) const ONE_TIME_MAX: usize = 100_000;
/// Keys remembered so that none is published twice; the oldest is forgotten then.
const SEEN_MAX: usize = 2 * ONE_TIME_MAX;

/// What one device has published.
pub(super) struct Published {
    registration_id: u32,
    identity_key: Bytes,
    signed: wire::SignedPreKey,
    one_time: VecDeque<wire::OneTimePreKey>,
    /// The first bytes of each key taken, by id: ids wrap.
    seen: HashMap<u32, u64>,
    /// Oldest first.
    order: VecDeque<u32>,
}

impl Published {
    pub(super) fn new(keys: &Keys) -> Self {
        let mut new = Self {
            registration_id: keys.registration_id,
            identity_key: keys.identity_key.0.clone(),
            signed: keys.signed_pre_key.clone().into(),
            one_time: VecDeque::new(),
            seen: HashMap::new(),
            order: VecDeque::new(),
        };
        for (id, tag) in &keys.used {
            new.saw(*id, *tag);
        }
        new.add(&keys.one_time_pre_keys);
        new
    }

    /// Takes what is new; true when the identity is another one, which ends all that was before.
    pub(super) fn publish(&mut self, keys: &Keys) -> bool {
        if self.identity_key != keys.identity_key.0 {
            *self = Self::new(keys);
            return true;
        }
        self.registration_id = keys.registration_id;
        self.signed = keys.signed_pre_key.clone().into();
        self.add(&keys.one_time_pre_keys);
        false
    }

    fn add(&mut self, keys: &[OneTimeKey]) {
        for key in keys {
            let tag = tag(&key.public.0);
            if self.one_time.len() < ONE_TIME_MAX && self.seen.get(&key.id) != Some(&tag) {
                self.one_time.retain(|old| old.id != key.id);
                self.one_time.push_back(key.clone().into());
                self.saw(key.id, tag);
            }
        }
    }

    fn saw(&mut self, id: u32, tag: u64) {
        if self.seen.insert(id, tag).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
    }

    /// A bundle for one set-up.
    pub(super) fn bundle(&mut self) -> wire::Bundle {
        wire::Bundle {
            registration_id: self.registration_id,
            identity_key: self.identity_key.clone(),
            signed_pre_key: Some(self.signed.clone()),
            one_time_pre_key: self.one_time.pop_front(),
        }
    }

    /// The key was given out before the sandbox was started again.
    pub(super) fn used(&mut self, id: u32) {
        self.one_time.retain(|key| key.id != id);
    }

    pub(super) fn left(&self) -> usize {
        self.one_time.len()
    }

    /// All of it, for the journal.
    pub(super) fn to_keys(&self) -> Keys {
        let left = |id: &u32| self.one_time.iter().any(|key| key.id == *id);
        let used = self.order.iter().filter(|id| !left(id));
        Keys {
            registration_id: self.registration_id,
            identity_key: Base64(self.identity_key.clone()),
            signed_pre_key: self.signed.clone().into(),
            one_time_pre_keys: self.one_time.iter().cloned().map(Into::into).collect(),
            used: used.filter_map(|id| Some((*id, *self.seen.get(id)?))).collect(),
        }
    }
}

/// Tells two keys of one id apart; not against an adversary.
fn tag(public: &[u8]) -> u64 {
    public.iter().skip(1).take(8).fold(0, |tag, byte| tag << 8 | u64::from(*byte))
}
