//! The transcripts of `golden/make.py`, an implementation that shares nothing with this crate:
//! each side must produce its bytes and read the other's.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "all of it is a test")]

#[path = "../src/testing/hex.rs"]
mod hex;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use hex::{hex, hex32};
use serde::Deserialize;
use session::keys::{Pair, role};
use session::{
    Bundle, Identity, IdentityKey, Kind, LoadedKeys, Message, OneTimePreKey, OneTimePublic,
    PreKeyId, PreKeyMessage, Record, Rng, SignedPreKey, SignedPublic,
};

#[derive(Deserialize)]
struct Golden {
    transcripts: Vec<Transcript>,
    signatures: Vec<Signed>,
}

#[derive(Deserialize)]
struct Transcript {
    name: String,
    sides: Vec<String>,
    alice: Device,
    bob: Device,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Device {
    registration_id: u32,
    identity_secret: String,
    identity_key: String,
    signed: SignedKeys,
    one_time: Option<OneTimeKeys>,
    draws: Vec<String>,
}

#[derive(Deserialize)]
struct SignedKeys {
    id: u32,
    secret: String,
    key: String,
    nonce: String,
    signature: String,
}

#[derive(Deserialize)]
struct OneTimeKeys {
    id: u32,
    secret: String,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Step {
    Initiate { side: String },
    Send { side: String, n: usize, plaintext: String, kind: String, bytes: String },
    Deliver { side: String, n: usize },
}

#[derive(Deserialize)]
struct Signed {
    secret: String,
    key: String,
    message: String,
    random: String,
    signature: String,
    sign_in_s: String,
}

/// Hands out what the transcript says was drawn, whole draws only.
struct Script(Mutex<VecDeque<Vec<u8>>>);

impl Script {
    fn new<'a>(draws: impl IntoIterator<Item = &'a String>) -> Self {
        Self(Mutex::new(draws.into_iter().map(|draw| hex(draw)).collect()))
    }
}

impl Rng for Script {
    fn fill(&self, out: &mut [u8]) {
        let draw = self.0.lock().unwrap().pop_front().expect("more draws than the transcript");
        out.copy_from_slice(&draw);
    }
}

/// One side, played by this crate.
struct Side {
    identity: Identity,
    keys: LoadedKeys,
    rng: Script,
    /// As stored: it goes through its bytes at every step.
    record: Vec<u8>,
}

impl Side {
    fn new(device: &Device) -> Self {
        let identity =
            Identity::from_secret_bytes(&hex32(&device.identity_secret), device.registration_id);
        let pair = Pair::<role::Signed>::from_secret_bytes(&hex32(&device.signed.secret));
        let id = PreKeyId::new(device.signed.id).unwrap();
        let nonce = Script::new([&device.signed.nonce]);
        let signed = SignedPreKey::sign(&identity, id, pair, &nonce);
        assert_eq!(signed.public().signature.as_bytes().to_vec(), hex(&device.signed.signature));
        let one_time = device.one_time.as_ref().map(|key| {
            let pair = Pair::from_secret_bytes(&hex32(&key.secret));
            OneTimePreKey::new(PreKeyId::new(key.id).unwrap(), pair)
        });
        Self {
            identity,
            keys: LoadedKeys { signed: Some(signed), one_time },
            rng: Script::new(&device.draws),
            record: Record::default().to_bytes().to_vec(),
        }
    }

    fn load(&self) -> Record {
        Record::from_bytes(&self.record).unwrap()
    }

    fn store(&mut self, record: &Record) {
        self.record = record.to_bytes().to_vec();
    }

    fn read(&mut self, kind: &str, bytes: &[u8]) -> Vec<u8> {
        let (record, plaintext) = match kind {
            "prekey" => {
                let message = PreKeyMessage::decode(bytes).unwrap();
                let accepted = self
                    .load()
                    .accept(&self.identity, &message, &self.keys, &self.rng)
                    .map_err(|(_, error)| error.reason())
                    .unwrap();
                if accepted.used.is_some_and(|used| used.one_time.is_some()) {
                    self.keys.one_time = None;
                }
                (accepted.record, accepted.plaintext)
            }
            _ => self
                .load()
                .decrypt(&Message::decode(bytes).unwrap(), &self.rng)
                .map_err(|(_, error)| error.reason())
                .unwrap(),
        };
        self.store(&record);
        plaintext.as_bytes().to_vec()
    }
}

/// The bundle from the published bytes alone.
fn bundle(device: &Device) -> Bundle {
    let signed = &device.signed;
    Bundle {
        registration_id: device.registration_id,
        identity: IdentityKey::from_wire(&hex(&device.identity_key)).unwrap(),
        signed: SignedPublic::from_wire(signed.id, &hex(&signed.key), &hex(&signed.signature))
            .unwrap(),
        one_time: device.one_time.as_ref().map(|key| {
            let public = Pair::<role::OneTime>::from_secret_bytes(&hex32(&key.secret));
            OneTimePublic::from_wire(key.id, &public.public().to_wire()).unwrap()
        }),
    }
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/transcripts.json")).unwrap()
}

#[test]
fn both_directions_agree_with_an_independent_implementation_byte_for_byte() {
    let transcripts = golden().transcripts;
    assert_eq!(transcripts.len(), 5);
    for transcript in &transcripts {
        let of = |side: &str| if side == "alice" { &transcript.alice } else { &transcript.bob };
        let other = |side: &str| if side == "alice" { "bob" } else { "alice" };
        let mut sides: BTreeMap<String, Side> =
            transcript.sides.iter().map(|side| (side.clone(), Side::new(of(side)))).collect();
        let mut sent = Vec::new();
        for (at, step) in transcript.steps.iter().enumerate() {
            let here = format!("{}, step {at}", transcript.name);
            match step {
                Step::Initiate { side: name } => {
                    let Some(side) = sides.get_mut(name) else { continue };
                    let peer = bundle(of(other(name)));
                    let record = side.load().initiate(&side.identity, &peer, 0, &side.rng).unwrap();
                    side.store(&record);
                }
                Step::Send { side, n, plaintext, kind, bytes } => {
                    assert_eq!(*n, sent.len());
                    sent.push((kind.clone(), hex(bytes), hex(plaintext)));
                    let Some(side) = sides.get_mut(side) else { continue };
                    let (record, sealed) = side.load().encrypt(&hex(plaintext)).unwrap();
                    side.store(&record);
                    let found = if sealed.kind == Kind::PreKey { "prekey" } else { "message" };
                    assert_eq!((found, &sealed.bytes), (kind.as_str(), &hex(bytes)), "{here}");
                }
                Step::Deliver { side, n } => {
                    let Some(side) = sides.get_mut(side) else { continue };
                    let (kind, bytes, plaintext) = &sent[*n];
                    assert_eq!(side.read(kind, bytes), *plaintext, "{here}");
                }
            }
        }
        for (name, side) in sides {
            assert!(side.rng.0.lock().unwrap().is_empty(), "{name} drew less");
        }
    }
}

#[test]
fn both_forms_of_signature_verify_and_ours_is_the_specification_s() {
    for vector in golden().signatures {
        let secret = hex32(&vector.secret);
        let me = Identity::from_secret_bytes(&secret, 1);
        assert_eq!(me.key().to_wire().to_vec(), hex(&vector.key));
        let random = Script::new([&vector.random]);
        let (message, signature) = (hex(&vector.message), hex(&vector.signature));
        assert_eq!(me.sign(&message, &random).as_bytes().to_vec(), signature);
        for form in [signature, hex(&vector.sign_in_s)] {
            let form = session::Signature::from_bytes(&form.try_into().unwrap());
            assert!(me.key().verify(&message, &form).is_ok());
            assert!(me.key().verify(b"another message", &form).is_err());
        }
    }
}
