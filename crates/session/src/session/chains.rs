//! The chains we receive on, and the keys of messages that were overtaken.

use std::collections::VecDeque;
use std::fmt;

use crate::error::{DecryptError, Reason};
use crate::kdf::{ChainKey, MessageSeed};
use crate::keys::RatchetKey;
use crate::limits::{MESSAGE_GAP, RECEIVER_CHAINS, SKIPPED_KEYS};

/// Up to [`RECEIVER_CHAINS`], newest first, with up to [`SKIPPED_KEYS`] skipped keys over all.
#[derive(Default)]
pub(super) struct Chains(pub(super) VecDeque<Chain>);

/// One chain of the peer's.
pub(super) struct Chain {
    pub(super) ratchet: RatchetKey,
    pub(super) key: ChainKey,
    /// The counter `key` stands at: the next one expected.
    pub(super) counter: u32,
    /// Keys of overtaken messages, in the order of their counters.
    pub(super) skipped: VecDeque<Skipped>,
}

/// The key of a message that has not come yet.
pub(super) struct Skipped {
    pub(super) counter: u32,
    pub(super) seed: MessageSeed,
}

/// A message's seed, and what the chain becomes once the message proves genuine.
pub(super) struct Found {
    pub(super) seed: MessageSeed,
    step: Step,
}

enum Step {
    /// The seed was a skipped one.
    Take,
    /// The chain moves forward over `skipped`.
    Advance { key: ChainKey, counter: u32, skipped: Vec<Skipped> },
}

impl Chain {
    pub(super) fn new(ratchet: RatchetKey, key: ChainKey) -> Self {
        Self { ratchet, key, counter: 0, skipped: VecDeque::new() }
    }

    /// Looks for the seed of `counter`. Changes nothing; the gap is checked before any hashing.
    pub(super) fn find(&self, counter: u32) -> Result<Found, DecryptError> {
        let Some(gap) = counter.checked_sub(self.counter) else {
            let skipped = self.skipped.iter().find(|skipped| skipped.counter == counter);
            let seed = MessageSeed::from_bytes(skipped.ok_or(Reason::Duplicate)?.seed.as_bytes());
            return Ok(Found { seed, step: Step::Take });
        };
        if gap > MESSAGE_GAP {
            return Err(Reason::TooFarAhead.into());
        }
        // A chain ends before its counter would wrap.
        let next_counter = counter.checked_add(1).ok_or(Reason::TooFarAhead)?;
        let (mut seed, mut key) = self.key.step()?;
        let mut skipped = Vec::new();
        for counter in self.counter..counter {
            let (next_seed, next_key) = key.step()?;
            skipped.push(Skipped { counter, seed: std::mem::replace(&mut seed, next_seed) });
            key = next_key;
        }
        Ok(Found { seed, step: Step::Advance { key, counter: next_counter, skipped } })
    }

    /// Makes the step of a message that proved genuine.
    pub(super) fn apply(&mut self, message_counter: u32, found: Found) {
        match found.step {
            Step::Take => self.skipped.retain(|skipped| skipped.counter != message_counter),
            Step::Advance { key, counter, skipped } => {
                self.key = key;
                self.counter = counter;
                self.skipped.extend(skipped);
            }
        }
    }
}

impl Chains {
    pub(super) fn contains(&self, ratchet: &RatchetKey) -> bool {
        self.get(ratchet).is_some()
    }

    pub(super) fn get(&self, ratchet: &RatchetKey) -> Option<&Chain> {
        self.0.iter().find(|chain| chain.ratchet == *ratchet)
    }

    pub(super) fn get_mut(&mut self, ratchet: &RatchetKey) -> Option<&mut Chain> {
        self.0.iter_mut().find(|chain| chain.ratchet == *ratchet)
    }

    /// Adds the newest chain; the oldest beyond the limit goes, with its skipped keys.
    pub(super) fn push(&mut self, chain: Chain) {
        self.0.push_front(chain);
        self.0.truncate(RECEIVER_CHAINS);
    }

    /// Brings the skipped keys back under their limit, oldest chain and oldest key first.
    pub(super) fn evict(&mut self) {
        let total: usize = self.0.iter().map(|chain| chain.skipped.len()).sum();
        let mut excess = total.saturating_sub(SKIPPED_KEYS);
        for chain in self.0.iter_mut().rev() {
            let here = excess.min(chain.skipped.len());
            chain.skipped.drain(..here);
            excess = excess.saturating_sub(here);
        }
    }
}

impl fmt::Debug for Chains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("ratchet", &self.ratchet)
            .field("counter", &self.counter)
            .field("skipped", &self.skipped.len())
            .finish_non_exhaustive()
    }
}
