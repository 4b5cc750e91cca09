//! Watches for message keys that are used twice: the one mistake a sender must never make.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hasher},
    mem,
};

use rpc::upstream::{Envelope, envelope::Kind};
use session::{Message, PreKeyMessage};

/// Envelopes remembered before the older half is forgotten: a reuse farther apart than this many
/// goes unseen. A state that was lost and used again shows at once.
const GENERATION: usize = 262_144;

/// A chain by the first half of its ratchet key, which is random and belongs to one session, and a
/// position in it.
type Place = ([u8; 16], u32);

/// Two maps, the current one full at [`GENERATION`]; then it becomes the previous one.
#[derive(Default)]
pub(super) struct Reuse {
    current: HashMap<Place, u64>,
    previous: HashMap<Place, u64>,
}

impl Reuse {
    /// How many of the envelopes use a place again that had other bytes.
    pub(super) fn came(&mut self, envelopes: &[Envelope]) -> u64 {
        let places = envelopes.iter().filter_map(|envelope| Some((place(envelope)?, envelope)));
        places.map(|(place, envelope)| u64::from(self.again(place, digest(envelope)))).sum()
    }

    fn again(&mut self, place: Place, digest: u64) -> bool {
        if self.current.len() >= GENERATION && !self.current.contains_key(&place) {
            self.previous = mem::take(&mut self.current);
        }
        match self.previous.get(&place) {
            Some(first) => *first != digest,
            None => *self.current.entry(place).or_insert(digest) != digest,
        }
    }
}

/// `None` for what is not sealed, or cannot be read.
fn place(envelope: &Envelope) -> Option<Place> {
    let message = match envelope.kind() {
        Kind::Prekey => PreKeyMessage::decode(&envelope.ciphertext).ok()?.message().clone(),
        Kind::Message => Message::decode(&envelope.ciphertext).ok()?,
        Kind::Plain | Kind::Unspecified => return None,
    };
    let key = message.ratchet_key().to_wire();
    let chain = key.get(1..).and_then(|key| key.first_chunk())?;
    Some((*chain, message.counter()))
}

fn digest(envelope: &Envelope) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(&envelope.ciphertext);
    hasher.finish()
}
