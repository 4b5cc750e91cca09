//! The two steps of a session. Everything that can fail comes before the first assignment.

use super::chains::Chain;
use super::{Plaintext, Sending, State};
use crate::error::{DecryptError, EncryptError};
use crate::kdf::{MessageSeed, RootKey};
use crate::keys::{Pair, role};
use crate::limits::PLAINTEXT_LEN;
use crate::wire::{Envelope, Kind, Message, Outgoing, Sealed};
use crate::{Rng, cipher};

impl State {
    /// Seals the next message and moves the sending chain on.
    pub(super) fn encrypt(&mut self, plaintext: &[u8]) -> Result<Sealed, EncryptError> {
        if plaintext.len() > PLAINTEXT_LEN {
            return Err(EncryptError::TooLong);
        }
        let sending = &self.sending;
        let counter = sending.counter;
        let next_counter = counter.checked_add(1).ok_or(EncryptError::Exhausted)?;
        let (seed, next_chain) = sending.chain.step()?;
        let keys = seed.keys()?;
        let message = Outgoing {
            keys: &keys,
            sender: &self.own,
            receiver: &self.peer,
            ratchet: sending.ratchet.public(),
            counter,
            previous_counter: sending.previous_counter,
            ciphertext: cipher::encrypt(&keys, plaintext)?,
        }
        .encode()?;
        let sealed = match &self.pending {
            None => Sealed { kind: Kind::Message, bytes: message },
            Some(set_up) => {
                let envelope = Envelope {
                    one_time_id: set_up.one_time_id,
                    base: &self.base,
                    identity: &self.own,
                    registration_id: set_up.registration_id,
                    signed_id: set_up.signed_id,
                };
                Sealed { kind: Kind::PreKey, bytes: envelope.encode(message)? }
            }
        };
        self.sending.chain = next_chain;
        self.sending.counter = next_counter;
        Ok(sealed)
    }

    /// Decrypts a message on a known chain, or on the chain its new ratchet key begins.
    pub(super) fn decrypt(
        &mut self,
        message: &Message,
        rng: &dyn Rng,
    ) -> Result<Plaintext, DecryptError> {
        // A known chain means an answer came before: the session is not pending.
        if let Some(chain) = self.receiving.get(message.ratchet_key()) {
            let found = chain.find(message.counter())?;
            let plaintext = self.open(message, &found.seed)?;
            if let Some(chain) = self.receiving.get_mut(message.ratchet_key()) {
                chain.apply(message.counter(), found);
            }
            self.receiving.evict();
            return Ok(plaintext);
        }

        let shared = self.sending.ratchet.secret().agree(message.ratchet_key())?;
        let (root, chain_key) = self.root.step(&shared)?;
        let mut chain = Chain::new(*message.ratchet_key(), chain_key);
        let found = chain.find(message.counter())?;
        let plaintext = self.open(message, &found.seed)?;
        let (root, sending) = self.next_sending(&root, message, rng)?;

        chain.apply(message.counter(), found);
        self.receiving.push(chain);
        self.receiving.evict();
        self.root = root;
        self.sending = sending;
        self.pending = None;
        Ok(plaintext)
    }

    /// Our answer to a new ratchet key: one of our own, and the chain that begins with it.
    fn next_sending(
        &self,
        root: &RootKey,
        message: &Message,
        rng: &dyn Rng,
    ) -> Result<(RootKey, Sending), DecryptError> {
        let ratchet = Pair::<role::Ratchet>::generate(rng);
        let (root, chain) = root.step(&ratchet.secret().agree(message.ratchet_key())?)?;
        // The counter of the last message sent; 0 also when none was.
        let previous_counter = self.sending.counter.max(1).saturating_sub(1);
        Ok((root, Sending { ratchet, chain, counter: 0, previous_counter }))
    }

    /// The MAC first, then the cipher. The identities are the peer's and ours: it is receiving.
    fn open(&self, message: &Message, seed: &MessageSeed) -> Result<Plaintext, DecryptError> {
        let keys = seed.keys()?;
        message.authenticate(&keys, &self.peer, &self.own)?;
        Ok(Plaintext(cipher::decrypt(&keys, message.ciphertext())?))
    }
}
