//! The other end of the sessions in simulated histories: phones that really decrypt and answer, and
//! notice when a message key is used twice.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use contract::{Key, Number, Rng};
use session::{
    Bundle, Identity, IdentityKey, Kind, LoadedKeys, Message, PreKeyId, PreKeyMessage, Record,
    Session, SignedPreKey,
};
use upstream::{Envelope, EnvelopeKind, Retry};

use crate::prekeys::Ring;

/// Random numbers from a seed.
pub(super) struct Seeded(Mutex<u64>);

impl Seeded {
    pub(super) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Rng for Seeded {
    fn fill(&self, out: &mut [u8]) {
        let mut state = self.0.lock().unwrap();
        for byte in out {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (*state >> 56) as u8;
        }
    }
}

/// One device of a customer.
pub(super) struct Phone {
    me: Identity,
    signed: SignedPreKey,
    record: Record,
}

/// All of them, and what they saw.
pub(super) struct Phones {
    phones: HashMap<Number, Phone>,
    rng: Arc<Seeded>,
    /// What each message said.
    pub(super) read: HashMap<Key, Vec<u8>>,
    /// By ratchet key and counter.
    seen: HashMap<([u8; 33], u32), Bytes>,
}

impl Phones {
    pub(super) fn new(rng: Arc<Seeded>) -> Self {
        Self { phones: HashMap::new(), rng, read: HashMap::new(), seen: HashMap::new() }
    }

    fn phone(&mut self, number: Number) -> &mut Phone {
        let rng = self.rng.clone();
        self.phones.entry(number).or_insert_with(|| {
            let me = Identity::generate(&*rng);
            let signed = SignedPreKey::generate(&me, PreKeyId::new(1).unwrap(), &*rng);
            Phone { me, signed, record: Record::default() }
        })
    }

    /// The phone is set up anew.
    pub(super) fn new_identity(&mut self, number: Number) -> IdentityKey {
        self.phones.remove(&number);
        *self.phone(number).me.key()
    }

    /// A session of the business with the phone.
    pub(super) fn session(&mut self, ring: &Ring, number: Number, now_ms: i64) -> Session {
        let now_s = now_ms.unsigned_abs() / 1_000;
        let rng = self.rng.clone();
        let phone = self.phone(number);
        let bundle = phone.me.bundle(&phone.signed, None);
        Session::initiate(ring.me(), &bundle, now_s, &*rng).unwrap()
    }

    /// Bytes came over the network, wherever they go.
    pub(super) fn saw(&mut self, envelope: &Envelope) {
        let bytes = &envelope.ciphertext;
        let message = match envelope.kind {
            EnvelopeKind::PreKey => {
                PreKeyMessage::decode(bytes).expect("a pre-key message").message().clone()
            }
            _ => Message::decode(bytes).expect("a message"),
        };
        let place = (message.ratchet_key().to_wire(), message.counter());
        let before = self.seen.insert(place, bytes.clone());
        assert!(before.is_none_or(|before| before == bytes), "a message key was used twice");
    }

    /// The phone takes a message that is new to it; `false`: it cannot decrypt it.
    pub(super) fn take(&mut self, number: Number, key: Key, envelope: &Envelope) -> bool {
        let bytes = &envelope.ciphertext;
        let prekey = (envelope.kind == EnvelopeKind::PreKey)
            .then(|| PreKeyMessage::decode(bytes).expect("a pre-key message"));
        let inner = match &prekey {
            Some(message) => message.message().clone(),
            None => Message::decode(bytes).expect("a message"),
        };
        let rng = self.rng.clone();
        let phone = self.phone(number);
        let record = std::mem::take(&mut phone.record);
        let opened = match prekey {
            Some(message) => {
                let signed = SignedPreKey::from_bytes(&phone.signed.to_bytes()).unwrap();
                let keys = LoadedKeys { signed: Some(signed), one_time: None };
                let accepted = record.accept(&phone.me, &message, &keys, &*rng);
                accepted.map(|accepted| (accepted.record, accepted.plaintext))
            }
            None => record.decrypt(&inner, &*rng),
        };
        match opened {
            Ok((record, plaintext)) => {
                phone.record = record;
                let twice = self.read.insert(key, plaintext.as_bytes().to_vec());
                assert!(twice.is_none(), "a message was decrypted twice");
                true
            }
            Err((record, _)) => {
                phone.record = record;
                false
            }
        }
    }

    /// What the phone sends with a request for another envelope.
    pub(super) fn retry(&mut self, number: Number, count: u32) -> Retry {
        let phone = self.phone(number);
        let bundle = Some(Box::new(phone.me.bundle(&phone.signed, None)));
        Retry { count, registration_id: phone.me.registration_id(), bundle }
    }

    /// The business could not decrypt and gives a bundle to begin anew with.
    pub(super) fn begin_anew(&mut self, number: Number, bundle: &Bundle) {
        let rng = self.rng.clone();
        let phone = self.phone(number);
        let mut record = std::mem::take(&mut phone.record);
        record.archive();
        let begun = record.initiate(&phone.me, bundle, 0, &*rng);
        phone.record = begun.map_err(|(_, error)| error).unwrap();
    }

    /// The customer writes.
    pub(super) fn write(&mut self, ring: &Ring, number: Number, text: &[u8]) -> Envelope {
        let rng = self.rng.clone();
        let phone = self.phone(number);
        let mut record = std::mem::take(&mut phone.record);
        if !record.can_send(0) {
            let bundle = ring.bundle().unwrap();
            record =
                record.initiate(&phone.me, &bundle, 0, &*rng).map_err(|(_, error)| error).unwrap();
        }
        let (record, sealed) = record.encrypt(text).map_err(|(_, error)| error).unwrap();
        phone.record = record;
        let kind = match sealed.kind {
            Kind::PreKey => EnvelopeKind::PreKey,
            Kind::Message => EnvelopeKind::Message,
        };
        Envelope { device: 0, kind, ciphertext: sealed.bytes.into() }
    }
}
