//! One session: the Double Ratchet between two devices.
//!
//! A [`Session`] is consumed by every use and handed back advanced, or unchanged with an error, so
//! that an old state cannot be used again by accident. Its state lives in one heap block: moving a
//! session leaves no copies of its keys on the stack.

mod chains;
mod ratchet;
mod stored;

use std::fmt;

use zeroize::Zeroizing;

use crate::bundle::Bundle;
use crate::error::{BundleError, DecryptError, EncryptError, Reason};
use crate::kdf::{ChainKey, RootKey};
use crate::keys::{BaseKey, Identity, IdentityKey, OwnKeys, Pair, PreKeyId, UsedKeys, role};
use crate::limits::UNACKNOWLEDGED_MAX_AGE_S;
use crate::record::Record;
use crate::wire::{Message, PreKeyMessage, Sealed};
use crate::{Rng, x3dh};

use chains::Chains;

/// A session with one device of a peer.
pub struct Session(Box<State>);

struct State {
    /// Whose identities every MAC covers.
    own: IdentityKey,
    peer: IdentityKey,
    /// The peer's registration id; 0 if never told.
    peer_registration_id: u32,
    /// The initiator's base key: the session's name on both sides.
    base: BaseKey,
    root: RootKey,
    sending: Sending,
    receiving: Chains,
    /// Set until the peer's first answer: every message carries the set-up along.
    pending: Option<Pending>,
}

/// Our current chain.
struct Sending {
    ratchet: Pair<role::Ratchet>,
    chain: ChainKey,
    /// The counter of the next message.
    counter: u32,
    /// What the next message tells of the chain before this one.
    previous_counter: u32,
}

/// What a pre-key message repeats.
#[derive(Clone, Copy)]
struct Pending {
    registration_id: u32,
    signed_id: PreKeyId,
    one_time_id: Option<PreKeyId>,
    /// Unix seconds of the set-up.
    since_s: u64,
}

/// A decrypted message, wiped when dropped.
#[derive(PartialEq, Eq)]
pub struct Plaintext(Zeroizing<Vec<u8>>);

impl Plaintext {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, for whoever goes on with them; they are still wiped when dropped.
    #[must_use]
    pub fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plaintext({} bytes)", self.0.len())
    }
}

// === impl Session ===

impl Session {
    /// Sets up a session from a stranger's bundle, verifying its signature first. `now_s` (Unix
    /// seconds) is kept until the peer answers. Draws the base key, then the first ratchet key:
    /// twice 32 bytes.
    ///
    /// # Errors
    /// [`BundleError`]; nothing was used up.
    pub fn initiate(
        me: &Identity,
        bundle: &Bundle,
        now_s: u64,
        rng: &dyn Rng,
    ) -> Result<Self, BundleError> {
        bundle.verify()?;
        let base = Pair::generate(rng);
        let (root, _) = x3dh::initiate(me, &base, bundle)?;
        let ratchet = Pair::<role::Ratchet>::generate(rng);
        let (root, chain) = root.step(&ratchet.secret().agree(&bundle.signed.key.as_ratchet())?)?;
        Ok(Self(Box::new(State {
            own: *me.key(),
            peer: bundle.identity,
            peer_registration_id: bundle.registration_id,
            base: *base.public(),
            root,
            sending: Sending { ratchet, chain, counter: 0, previous_counter: 0 },
            receiving: Chains::default(),
            pending: Some(Pending {
                registration_id: me.registration_id(),
                signed_id: bundle.signed.id,
                one_time_id: bundle.one_time.map(|key| key.id),
                since_s: now_s,
            }),
        })))
    }

    /// Sets up the session a stranger has begun and decrypts its first message. Draws 32 bytes.
    ///
    /// The sender's identity is proven, not known: comparing it with the one on file is the
    /// caller's (or [`Record::accept`]'s) part.
    ///
    /// # Errors
    /// [`DecryptError`]; nothing was used up.
    pub fn accept(
        me: &Identity,
        message: &PreKeyMessage,
        keys: &(impl OwnKeys + ?Sized),
        rng: &dyn Rng,
    ) -> Result<(Self, Plaintext, UsedKeys), DecryptError> {
        let signed = keys.signed(message.signed_id()).ok_or(Reason::UnknownPreKey)?;
        let one_time = match message.one_time_id() {
            Some(id) => Some(keys.one_time(id).ok_or(Reason::UnknownPreKey)?),
            None => None,
        };
        let (peer, base) = (message.identity_key(), message.base_key());
        let (root, chain) = x3dh::accept(me, signed, one_time, peer, base)?;
        // As if we had sent nothing yet on a chain that starts with the signed pre-key; the
        // message's own ratchet key then moves both sides on.
        let mut session = Self(Box::new(State {
            own: *me.key(),
            peer: *peer,
            peer_registration_id: message.registration_id(),
            base: *base,
            root,
            sending: Sending {
                ratchet: signed.pair().as_ratchet(),
                chain,
                counter: 0,
                previous_counter: 0,
            },
            receiving: Chains::default(),
            pending: None,
        }));
        let plaintext = session.0.decrypt(message.message(), rng)?;
        let used = UsedKeys { one_time: message.one_time_id(), signed: message.signed_id() };
        Ok((session, plaintext, used))
    }

    /// Seals a message. Until the peer's first answer it is a pre-key message.
    ///
    /// # Errors
    /// The unchanged session, and [`EncryptError`].
    pub fn encrypt(mut self, plaintext: &[u8]) -> Result<(Self, Sealed), (Self, EncryptError)> {
        match self.0.encrypt(plaintext) {
            Ok(sealed) => Ok((self, sealed)),
            Err(error) => Err((self, error)),
        }
    }

    /// Decrypts a message. Draws 32 bytes when the peer's ratchet key is new.
    ///
    /// # Errors
    /// The unchanged session, and [`DecryptError`].
    pub fn decrypt(
        mut self,
        message: &Message,
        rng: &dyn Rng,
    ) -> Result<(Self, Plaintext), (Self, DecryptError)> {
        match self.0.decrypt(message, rng) {
            Ok(plaintext) => Ok((self, plaintext)),
            Err(error) => Err((self, error)),
        }
    }

    /// The session as the only one of a record.
    #[must_use]
    pub fn into_record(self) -> Record {
        Record::new(self)
    }

    /// The identity of the device this session is with.
    #[must_use]
    pub fn peer(&self) -> &IdentityKey {
        &self.0.peer
    }

    /// The registration id that device told; 0 if none.
    #[must_use]
    pub fn peer_registration_id(&self) -> u32 {
        self.0.peer_registration_id
    }

    /// The initiator's base key: the session's name on both sides.
    #[must_use]
    pub fn base_key(&self) -> &BaseKey {
        &self.0.base
    }

    /// Whether the peer has not answered yet.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.0.pending.is_some()
    }

    /// Whether nobody answered for so long that the set-up should be done afresh.
    #[must_use]
    pub fn is_stale(&self, now_s: u64) -> bool {
        self.0
            .pending
            .is_some_and(|set_up| now_s.saturating_sub(set_up.since_s) > UNACKNOWLEDGED_MAX_AGE_S)
    }

    /// Whether the message belongs to a chain this session has already received on.
    pub(crate) fn knows_chain(&self, message: &Message) -> bool {
        self.0.receiving.contains(message.ratchet_key())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = &self.0;
        f.debug_struct("Session")
            .field("peer", &state.peer)
            .field("base", &state.base)
            .field("pending", &state.pending.is_some())
            .field("sent", &state.sending.counter)
            .field("receiving", &state.receiving)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
