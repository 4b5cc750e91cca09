//! A session's place in a record: a fixed layout.
//!
//! flags 1 ‖ peer registration id 4 ‖ own identity 32 ‖ peer identity 32 ‖ base key 32 ‖ root 32 ‖
//! ratchet secret 32 ‖ ratchet public 32 ‖ sending chain 32 ‖ sent 4 ‖ previous 4
//! ‖ if pending: registration id 4 ‖ signed id 4 ‖ since 8 ‖ if flagged: one-time id 4
//! ‖ chains 1 ‖ each: ratchet public 32 ‖ chain 32 ‖ counter 4 ‖ skipped 2 ‖ each: counter 4 ‖
//! seed 32.

use std::collections::VecDeque;

use super::chains::{Chain, Chains, Skipped};
use super::{Pending, Sending, Session, State};
use crate::codec::{Reader, Writer};
use crate::error::RecordError;
use crate::kdf::{ChainKey, MessageSeed, RootKey};
use crate::keys::PreKeyId;
use crate::limits::{RECEIVER_CHAINS, SKIPPED_KEYS};

const PENDING: u8 = 1;
const WITH_ONE_TIME: u8 = 2;

/// Bytes of a session without its skipped keys, at most.
const LEN: usize = 258 + RECEIVER_CHAINS * CHAIN_LEN;
const CHAIN_LEN: usize = 70;
const SKIPPED_LEN: usize = 36;

const _: () = assert!(RECEIVER_CHAINS <= u8::MAX as usize && SKIPPED_KEYS <= u16::MAX as usize);

impl Session {
    /// Bytes [`Session::write`] appends, at most.
    pub(crate) fn stored_len(&self) -> usize {
        let skipped: usize = self.0.receiving.0.iter().map(|chain| chain.skipped.len()).sum();
        LEN.saturating_add(skipped.saturating_mul(SKIPPED_LEN))
    }

    /// Appends the layout above.
    pub(crate) fn write(&self, out: &mut Writer) {
        let state = &self.0;
        let one_time_id = state.pending.and_then(|set_up| set_up.one_time_id);
        let pending = if state.pending.is_some() { PENDING } else { 0 };
        out.u8(pending | if one_time_id.is_some() { WITH_ONE_TIME } else { 0 });
        out.u32(state.peer_registration_id);
        out.public(&state.own);
        out.public(&state.peer);
        out.public(&state.base);
        out.bytes(state.root.as_bytes());
        out.pair(&state.sending.ratchet);
        out.bytes(state.sending.chain.as_bytes());
        out.u32(state.sending.counter);
        out.u32(state.sending.previous_counter);
        if let Some(set_up) = &state.pending {
            out.u32(set_up.registration_id);
            out.u32(set_up.signed_id.get());
            out.u64(set_up.since_s);
        }
        if let Some(id) = one_time_id {
            out.u32(id.get());
        }
        state.receiving.write(out);
    }

    /// Takes the layout above off a record.
    pub(crate) fn read(from: &mut Reader<'_>) -> Result<Self, RecordError> {
        let flags = from.u8()?;
        if flags & !(PENDING | WITH_ONE_TIME) != 0 || flags == WITH_ONE_TIME {
            return Err(RecordError::Damaged);
        }
        let peer_registration_id = from.u32()?;
        let (own, peer, base) = (from.public()?, from.public()?, from.public()?);
        let root = RootKey::from_bytes(from.array()?);
        let sending = Sending {
            ratchet: from.pair()?,
            chain: ChainKey::from_bytes(from.array()?),
            counter: from.u32()?,
            previous_counter: from.u32()?,
        };
        let pending = if flags & PENDING == 0 { None } else { Some(Pending::read(from, flags)?) };
        let receiving = Chains::read(from)?;
        Ok(Self(Box::new(State {
            own,
            peer,
            peer_registration_id,
            base,
            root,
            sending,
            receiving,
            pending,
        })))
    }
}

impl Pending {
    fn read(from: &mut Reader<'_>, flags: u8) -> Result<Self, RecordError> {
        let registration_id = from.u32()?;
        let signed_id = PreKeyId::new(from.u32()?)?;
        let since_s = from.u64()?;
        let one_time_id = match flags & WITH_ONE_TIME {
            0 => None,
            _ => Some(PreKeyId::new(from.u32()?)?),
        };
        Ok(Self { registration_id, signed_id, one_time_id, since_s })
    }
}

impl Chains {
    // Both counts are held to their limits by `push` and `evict`.
    fn write(&self, out: &mut Writer) {
        out.u8(u8::try_from(self.0.len()).unwrap_or(u8::MAX));
        for chain in &self.0 {
            out.public(&chain.ratchet);
            out.bytes(chain.key.as_bytes());
            out.u32(chain.counter);
            out.u16(u16::try_from(chain.skipped.len()).unwrap_or(u16::MAX));
            for skipped in &chain.skipped {
                out.u32(skipped.counter);
                out.bytes(skipped.seed.as_bytes());
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, RecordError> {
        let count = usize::from(from.u8()?);
        if count > RECEIVER_CHAINS {
            return Err(RecordError::Damaged);
        }
        let mut room = SKIPPED_KEYS;
        let mut chains = VecDeque::with_capacity(RECEIVER_CHAINS);
        for _ in 0..count {
            let ratchet = from.public()?;
            let key = ChainKey::from_bytes(from.array()?);
            let counter = from.u32()?;
            let held = usize::from(from.u16()?);
            room = room.checked_sub(held).ok_or(RecordError::Damaged)?;
            let mut skipped = VecDeque::with_capacity(held);
            for _ in 0..held {
                let counter = from.u32()?;
                skipped
                    .push_back(Skipped { counter, seed: MessageSeed::from_bytes(from.array()?) });
            }
            chains.push_back(Chain { ratchet, key, counter, skipped });
        }
        Ok(Self(chains))
    }
}
