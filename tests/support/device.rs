//! Keys and sessions of one device, as a test plays it: of an outside phone or of a business. The
//! sandbox's tests use it, too.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::STANDARD};
use contract::Rng;
use serde_json::{Value, json};
use session::{
    Bundle, Identity, LoadedKeys, Message, OneTimePreKey, PreKeyId, PreKeyMessage, Record,
    SignedPreKey,
};
use upstream::{Envelope, EnvelopeKind, OwnKeys};

/// Bytes that differ from draw to draw and from one counter to the next.
pub struct Counting(AtomicU64);

impl Counting {
    pub fn from(first: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(first << 32)))
    }
}

impl Rng for Counting {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let n = self.0.fetch_add(1, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
            let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            for (place, byte) in chunk.iter_mut().zip((n ^ (n >> 31)).to_le_bytes()) {
                *place = byte;
            }
        }
    }
}

/// Keys and sessions of one device: of the business, or of an outside phone.
pub struct Device {
    pub identity: Identity,
    pub signed: SignedPreKey,
    pub one_time: Vec<OneTimePreKey>,
    rng: Arc<Counting>,
    sessions: HashMap<(String, u32), Record>,
}

impl Device {
    pub fn new(seed: u64, one_time: u32) -> Self {
        let rng = Counting::from(seed);
        let id = |id| PreKeyId::new(id).unwrap();
        let identity = Identity::generate(&rng);
        Self {
            signed: SignedPreKey::generate(&identity, id(1), &rng),
            one_time: (1..=one_time).map(|n| OneTimePreKey::generate(id(n), &rng)).collect(),
            identity,
            rng,
            sessions: HashMap::new(),
        }
    }

    pub fn own_keys(&self) -> OwnKeys {
        OwnKeys {
            registration_id: self.identity.registration_id(),
            identity: *self.identity.key(),
            signed: self.signed.public(),
            one_time: self.one_time.iter().map(OneTimePreKey::public).collect(),
        }
    }

    pub fn begin(&mut self, with: &str, device: u32, bundle: &Bundle) {
        let record = self.sessions.remove(&(with.to_owned(), device)).unwrap_or_default();
        let record = record.initiate(&self.identity, bundle, 0, &self.rng).unwrap();
        self.sessions.insert((with.to_owned(), device), record);
    }

    pub fn seal(&mut self, to: &str, device: u32, text: &str) -> Envelope {
        let record = self.sessions.remove(&(to.to_owned(), device)).expect("a session");
        let (record, sealed) = record.encrypt(text.as_bytes()).unwrap();
        self.sessions.insert((to.to_owned(), device), record);
        let kind = match sealed.kind {
            session::Kind::PreKey => EnvelopeKind::PreKey,
            session::Kind::Message => EnvelopeKind::Message,
        };
        Envelope { device, kind, ciphertext: sealed.bytes.into() }
    }

    pub fn open(&mut self, from: &str, envelope: &Envelope) -> String {
        let at = (from.to_owned(), envelope.device);
        let record = self.sessions.remove(&at).unwrap_or_default();
        let plaintext;
        let record = if envelope.kind == EnvelopeKind::PreKey {
            let message = PreKeyMessage::decode(&envelope.ciphertext).unwrap();
            let place =
                self.one_time.iter().position(|key| Some(key.id()) == message.one_time_id());
            let signed = SignedPreKey::from_bytes(&self.signed.to_bytes()).unwrap();
            let one_time = place.map(|place| self.one_time.remove(place));
            let keys = LoadedKeys { signed: Some(signed), one_time };
            let accepted = record.accept(&self.identity, &message, &keys, &self.rng).unwrap();
            plaintext = accepted.plaintext;
            accepted.record
        } else {
            let message = Message::decode(&envelope.ciphertext).unwrap();
            let (record, text) = record.decrypt(&message, &self.rng).unwrap();
            plaintext = text;
            record
        };
        self.sessions.insert(at, record);
        String::from_utf8(plaintext.as_bytes().to_vec()).unwrap()
    }
}

/// What `POST /devices` takes.
pub fn registration(wa_id: &str, of: &Device, device: u32) -> Value {
    let keys = of.own_keys();
    let one_time: Vec<_> = keys
        .one_time
        .iter()
        .map(|key| json!({"id": key.id.get(), "public": STANDARD.encode(key.key.to_wire())}))
        .collect();
    json!({
        "wa_id": wa_id,
        "device": device,
        "registration_id": keys.registration_id,
        "identity_key": STANDARD.encode(keys.identity.to_wire()),
        "signed_pre_key": {
            "id": keys.signed.id.get(),
            "public": STANDARD.encode(keys.signed.key.to_wire()),
            "signature": STANDARD.encode(keys.signed.signature.as_bytes()),
        },
        "one_time_pre_keys": one_time,
    })
}

/// One of `GET /devices/{wa_id}/envelopes`.
pub fn envelope_of(json: &Value) -> Envelope {
    let kind = match json["kind"].as_str() {
        Some("prekey") => EnvelopeKind::PreKey,
        Some("message") => EnvelopeKind::Message,
        other => panic!("another kind: {other:?}"),
    };
    // One session a peer: the sender has device 0.
    Envelope {
        device: 0,
        kind,
        ciphertext: STANDARD.decode(json["ciphertext"].as_str().unwrap()).unwrap().into(),
    }
}
