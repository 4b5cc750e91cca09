//! The sessions with one device, as one row stores them: the current one, and up to four before
//! it for messages still in flight.
//!
//! We send on the current session. A message may belong to any; the one that decrypted it becomes
//! the current one, which is how two sides that set up at the same moment come to agree. Sessions
//! under an identity that was replaced still decrypt, but are never sent on again.

use std::fmt;

use zeroize::Zeroizing;

use crate::Rng;
use crate::bundle::Bundle;
use crate::codec::{Reader, Writer};
use crate::error::{BundleError, DecryptError, EncryptError, Reason, RecordError};
use crate::keys::{Identity, IdentityKey, OwnKeys, UsedKeys};
use crate::limits::PREVIOUS_SESSIONS;
use crate::session::{Plaintext, Session};
use crate::wire::{Message, PreKeyMessage, Sealed};

/// The version byte of the stored form.
const VERSION: u8 = 1;

const HAS_CURRENT: u8 = 1;
const RETIRED: u8 = 1;

/// The sessions with one device of a peer. Consumed by every step, like [`Session`].
#[derive(Default)]
pub struct Record {
    current: Option<Session>,
    /// Newest first, at most [`PREVIOUS_SESSIONS`].
    previous: Vec<Previous>,
}

struct Previous {
    session: Session,
    /// Under an identity that was replaced: decrypts, is never made current.
    retired: bool,
}

/// What a pre-key message brought.
#[derive(Debug)]
pub struct Accepted {
    /// The record, to be stored in the transaction that stores the message.
    pub record: Record,
    /// The message.
    pub plaintext: Plaintext,
    /// Our keys a new session used up; none if the session was known by its base key.
    pub used: Option<UsedKeys>,
    /// The identity of a new session differs from that of the sessions before.
    pub identity_changed: bool,
}

// === impl Record ===

impl Record {
    /// A record of one session.
    #[must_use]
    pub fn new(session: Session) -> Self {
        Self { current: Some(session), previous: Vec::new() }
    }

    /// Sets up a session from a bundle and makes it the current one; the others are kept behind
    /// it, and retired if the bundle shows another identity. See [`Session::initiate`].
    ///
    /// # Errors
    /// The unchanged record, and [`BundleError`].
    pub fn initiate(
        mut self,
        me: &Identity,
        bundle: &Bundle,
        now_s: u64,
        rng: &dyn Rng,
    ) -> Result<Self, (Self, BundleError)> {
        match Session::initiate(me, bundle, now_s, rng) {
            Ok(session) => {
                self.adopt(session);
                Ok(self)
            }
            Err(error) => Err((self, error)),
        }
    }

    /// Takes a pre-key message: on the session its base key names, if we have it, else by setting
    /// that session up, which then becomes the current one. See [`Session::accept`].
    ///
    /// # Errors
    /// The unchanged record, and [`DecryptError`].
    pub fn accept(
        mut self,
        me: &Identity,
        message: &PreKeyMessage,
        keys: &(impl OwnKeys + ?Sized),
        rng: &dyn Rng,
    ) -> Result<Accepted, (Self, DecryptError)> {
        // A known session is never set up twice: its one-time key is gone.
        if let Some(at) = self.position(|session| is_named(session, message)) {
            return match self.decrypt_at(at, message.message(), rng) {
                Ok((record, plaintext)) => {
                    Ok(Accepted { record, plaintext, used: None, identity_changed: false })
                }
                Err(failed) => Err(failed),
            };
        }
        match Session::accept(me, message, keys, rng) {
            Ok((session, plaintext, used)) => {
                let identity_changed = self.adopt(session);
                Ok(Accepted { record: self, plaintext, used: Some(used), identity_changed })
            }
            Err(error) => Err((self, error)),
        }
    }

    /// Seals a message on the current session.
    ///
    /// # Errors
    /// The unchanged record, and [`EncryptError`]; [`EncryptError::NoSession`] if a bundle has to
    /// be fetched first.
    pub fn encrypt(mut self, plaintext: &[u8]) -> Result<(Self, Sealed), (Self, EncryptError)> {
        let Some(session) = self.current.take() else {
            return Err((self, EncryptError::NoSession));
        };
        match session.encrypt(plaintext) {
            Ok((session, sealed)) => {
                self.current = Some(session);
                Ok((self, sealed))
            }
            Err((session, error)) => {
                self.current = Some(session);
                Err((self, error))
            }
        }
    }

    /// Decrypts a message with whichever session it belongs to.
    ///
    /// A session that has received on the message's chain is asked alone; else all are, which
    /// costs at most five key agreements.
    ///
    /// # Errors
    /// The unchanged record, and [`DecryptError`].
    pub fn decrypt(
        self,
        message: &Message,
        rng: &dyn Rng,
    ) -> Result<(Self, Plaintext), (Self, DecryptError)> {
        if let Some(at) = self.position(|session| session.knows_chain(message)) {
            return self.decrypt_at(at, message, rng);
        }
        let mut record = self;
        let mut last = DecryptError::from(Reason::NoSession);
        for at in record.positions() {
            match record.decrypt_at(at, message, rng) {
                Ok(done) => return Ok(done),
                Err((unchanged, error)) => {
                    record = unchanged;
                    last = error;
                }
            }
        }
        Err((record, last))
    }

    /// Puts the current session behind, so that the next message needs a bundle. For a peer that
    /// cannot decrypt and shows another registration id.
    pub fn archive(&mut self) {
        if let Some(session) = self.current.take() {
            self.keep(Previous { session, retired: false });
        }
    }

    /// Puts the current session behind and retires all: the device's identity was replaced.
    pub fn retire(&mut self) {
        self.archive();
        for previous in &mut self.previous {
            previous.retired = true;
        }
    }

    /// Whether the message's session is here already: then no key of ours is needed for it, and
    /// [`LoadedKeys::default`](crate::LoadedKeys) will do.
    #[must_use]
    pub fn knows(&self, message: &PreKeyMessage) -> bool {
        self.position(|session| is_named(session, message)).is_some()
    }

    /// The session we send on.
    #[must_use]
    pub fn current(&self) -> Option<&Session> {
        self.current.as_ref()
    }

    /// The identity in force: that of the current session, or of the last one not retired.
    #[must_use]
    pub fn identity(&self) -> Option<&IdentityKey> {
        let last = || self.previous.iter().find(|previous| !previous.retired);
        self.current
            .as_ref()
            .or_else(|| last().map(|previous| &previous.session))
            .map(Session::peer)
    }

    /// Whether a message can be sealed now, on a session that is not
    /// [stale](Session::is_stale).
    #[must_use]
    pub fn can_send(&self, now_s: u64) -> bool {
        self.current.as_ref().is_some_and(|session| !session.is_stale(now_s))
    }

    /// The stored form, 257 bytes for a session nobody answered and 311 for an established one:
    /// version ‖ flags ‖ previous sessions ‖ the sessions, newest first, each
    /// previous one after a flag. To be sealed.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let all = self.current.iter().chain(self.previous.iter().map(|previous| &previous.session));
        let len: usize = all.map(Session::stored_len).sum();
        let mut out = Writer::with_version(VERSION, len.saturating_add(2 + PREVIOUS_SESSIONS));
        out.u8(if self.current.is_some() { HAS_CURRENT } else { 0 });
        out.u8(u8::try_from(self.previous.len()).unwrap_or(u8::MAX));
        if let Some(session) = &self.current {
            session.write(&mut out);
        }
        for previous in &self.previous {
            out.u8(if previous.retired { RETIRED } else { 0 });
            previous.session.write(&mut out);
        }
        out.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`RecordError`] if this is not what [`Record::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::with_version(VERSION, bytes)?;
        let flags = from.u8()?;
        let count = usize::from(from.u8()?);
        if flags & !HAS_CURRENT != 0 || count > PREVIOUS_SESSIONS {
            return Err(RecordError::Damaged);
        }
        let current = if flags & HAS_CURRENT == 0 { None } else { Some(Session::read(&mut from)?) };
        let mut previous = Vec::with_capacity(PREVIOUS_SESSIONS);
        for _ in 0..count {
            let retired = match from.u8()? {
                0 => false,
                RETIRED => true,
                _ => return Err(RecordError::Damaged),
            };
            previous.push(Previous { session: Session::read(&mut from)?, retired });
        }
        from.end()?;
        Ok(Self { current, previous })
    }

    /// Makes a new session, set up elsewhere, the current one; the others are kept behind it. Tells
    /// whether its identity is another one, which retires them.
    pub fn adopt(&mut self, session: Session) -> bool {
        let changed = self.identity().is_some_and(|identity| identity != session.peer());
        if changed {
            self.retire();
        } else {
            self.archive();
        }
        self.current = Some(session);
        changed
    }

    fn keep(&mut self, previous: Previous) {
        self.previous.insert(0, previous);
        self.previous.truncate(PREVIOUS_SESSIONS);
    }

    /// Where a session is: the current one, or the n-th before it.
    fn position(&self, wanted: impl Fn(&Session) -> bool) -> Option<Position> {
        if self.current.as_ref().is_some_and(&wanted) {
            return Some(Position::Current);
        }
        self.previous.iter().position(|previous| wanted(&previous.session)).map(Position::Previous)
    }

    fn positions(&self) -> impl Iterator<Item = Position> + use<> {
        let current = self.current.as_ref().map(|_| Position::Current);
        current.into_iter().chain((0..self.previous.len()).map(Position::Previous))
    }

    /// Decrypts with one session and makes it the current one, unless it is retired.
    fn decrypt_at(
        mut self,
        at: Position,
        message: &Message,
        rng: &dyn Rng,
    ) -> Result<(Self, Plaintext), (Self, DecryptError)> {
        let Some(taken) = self.take(at) else {
            return Err((self, Reason::NoSession.into()));
        };
        match taken.session.decrypt(message, rng) {
            Ok((session, plaintext)) if taken.retired => {
                self.put_back(at, Previous { session, retired: true });
                Ok((self, plaintext))
            }
            Ok((session, plaintext)) => {
                self.archive();
                self.current = Some(session);
                Ok((self, plaintext))
            }
            Err((session, error)) => {
                self.put_back(at, Previous { session, retired: taken.retired });
                Err((self, error))
            }
        }
    }

    fn take(&mut self, at: Position) -> Option<Previous> {
        match at {
            Position::Current => {
                self.current.take().map(|session| Previous { session, retired: false })
            }
            Position::Previous(n) if n < self.previous.len() => Some(self.previous.remove(n)),
            Position::Previous(_) => None,
        }
    }

    fn put_back(&mut self, at: Position, taken: Previous) {
        match at {
            Position::Current => self.current = Some(taken.session),
            Position::Previous(n) => self.previous.insert(n.min(self.previous.len()), taken),
        }
    }
}

/// Whether the message belongs to this session: its base key names it, under one identity.
fn is_named(session: &Session, message: &PreKeyMessage) -> bool {
    session.base_key() == message.base_key() && session.peer() == message.identity_key()
}

#[derive(Clone, Copy)]
enum Position {
    Current,
    Previous(usize),
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("current", &self.current)
            .field("previous", &self.previous)
            .finish()
    }
}

impl fmt::Debug for Previous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Previous")
            .field("session", &self.session)
            .field("retired", &self.retired)
            .finish()
    }
}

#[cfg(test)]
mod tests;
