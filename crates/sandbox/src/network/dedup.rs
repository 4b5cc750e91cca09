//! Which messages the network has been given, by (own number, recipient, key).

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hasher},
    mem,
};

use contract::{Key, Number, callback::Origin};
use rpc::upstream::Envelope;

use super::AccountId;

/// Messages remembered before the older half is forgotten: between one and two million, which is
/// eleven hours at 50 messages/s. A message forgotten and sent again is delivered again.
pub(super) const GENERATION: usize = 1_000_000;

/// A message's name on the network.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    pub(super) account: AccountId,
    pub(super) to: Number,
    pub(super) key: Key,
}

/// What is known of a message.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub(super) digest: u64,
    /// When it was taken, Unix milliseconds; `None` as long as it was refused.
    pub(super) taken_ms: Option<i64>,
    /// What it is counted as; not known of messages of before a restart.
    pub(super) origin: Option<Origin>,
    /// Times it came from the coreapp.
    pub(super) sends: u32,
    /// Times it reached the phone.
    pub(super) copies: u32,
}

/// Two maps, the current one full at [`GENERATION`]; then it becomes the previous one.
#[derive(Default)]
pub(super) struct Dedup {
    current: HashMap<Name, Known>,
    previous: HashMap<Name, Known>,
}

impl Dedup {
    /// Notes that `name` came. Gives what is known of it now, and whether its bytes are those that
    /// were taken (or, before that, came first).
    pub(super) fn came(&mut self, name: Name, digest: u64) -> (&mut Known, bool) {
        if self.current.len() >= GENERATION && !self.current.contains_key(&name) {
            self.previous = mem::take(&mut self.current);
        }
        let known = match self.previous.get_mut(&name) {
            Some(known) => known,
            None => self.current.entry(name).or_insert(Known {
                digest,
                taken_ms: None,
                origin: None,
                sends: 0,
                copies: 0,
            }),
        };
        known.sends = known.sends.saturating_add(1);
        let same = known.digest == digest;
        (known, same)
    }

    /// Takes up what was known before a restart.
    pub(super) fn resume(&mut self, name: Name, digest: u64, taken_ms: i64, copies: u32) {
        let known = Known { digest, taken_ms: Some(taken_ms), origin: None, sends: 1, copies };
        self.current.insert(name, known);
    }

    /// The messages that were taken last, oldest first.
    pub(super) fn newest(&self, most: usize) -> Vec<(Name, Known)> {
        let all = self.previous.iter().chain(&self.current);
        let taken = all.filter(|(_, known)| known.taken_ms.is_some());
        let mut taken: Vec<_> = taken.map(|(name, known)| (*name, *known)).collect();
        taken.sort_unstable_by_key(|(_, known)| known.taken_ms);
        taken.split_off(taken.len().saturating_sub(most))
    }

    /// Notes that `name` reached its phone; gives how often that has happened.
    pub(super) fn reached(&mut self, name: &Name) -> u32 {
        self.known(name).map_or(1, |known| {
            known.copies = known.copies.saturating_add(1);
            known.copies
        })
    }

    /// Notes that the network has taken `name` with these bytes.
    pub(super) fn taken(&mut self, name: &Name, digest: u64, unix_ms: i64) {
        if let Some(known) = self.known(name) {
            known.digest = digest;
            known.taken_ms = Some(unix_ms);
        }
    }

    /// Notes what `name` is counted as.
    pub(super) fn counted(&mut self, name: &Name, origin: Origin) {
        if let Some(known) = self.known(name) {
            known.origin = Some(origin);
        }
    }

    fn known(&mut self, name: &Name) -> Option<&mut Known> {
        match self.previous.get_mut(name) {
            Some(known) => Some(known),
            None => self.current.get_mut(name),
        }
    }

    pub(super) fn get(&self, name: &Name) -> Option<&Known> {
        self.current.get(name).or_else(|| self.previous.get(name))
    }
}

/// 64 bits that tell different bytes apart; not against an adversary.
pub(super) fn digest(envelopes: &[Envelope]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for envelope in envelopes {
        hasher.write_u32(envelope.device);
        hasher.write_i32(envelope.kind);
        hasher.write_usize(envelope.ciphertext.len());
        hasher.write(&envelope.ciphertext);
    }
    hasher.finish()
}
