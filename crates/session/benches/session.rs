//! What a session costs. `cargo bench -p session` measures with dalek, `--features graviola` with
//! graviola where the CPU allows it; the first line says which ran.

#[path = "../src/testing/dice.rs"]
mod dice;

use dice::Dice;
use divan::{Bencher, black_box};
use session::sealing::{MasterKeys, Place};
use session::{
    Bundle, Identity, LoadedKeys, Message, OneTimePreKey, PreKeyId, PreKeyMessage, Record,
    SignedPreKey, dh,
};

/// A message of the usual size, in bytes.
const TEXT: [u8; 200] = [b'x'; 200];

fn main() {
    println!("key agreement by {}", dh::backend());
    println!("record sizes in bytes: {:?}", sizes());
    divan::main();
}

struct Device {
    identity: Identity,
    keys: LoadedKeys,
}

impl Device {
    fn new(rng: &Dice) -> Self {
        let identity = Identity::generate(rng);
        let id = |n| PreKeyId::new(n).unwrap_or(PreKeyId::MAX);
        let signed = Some(SignedPreKey::generate(&identity, id(1), rng));
        let one_time = Some(OneTimePreKey::generate(id(2), rng));
        Self { identity, keys: LoadedKeys { signed, one_time } }
    }

    fn bundle(&self) -> Option<Bundle> {
        let signed = self.keys.signed.as_ref()?;
        Some(self.identity.bundle(signed, self.keys.one_time.as_ref()))
    }
}

/// Two devices, the initiator's record after its first message, and that message.
fn pending(rng: &Dice) -> Option<(Device, Device, Record, PreKeyMessage)> {
    let (alice, bob) = (Device::new(rng), Device::new(rng));
    let record = Record::default().initiate(&alice.identity, &bob.bundle()?, 0, rng).ok()?;
    let (record, sealed) = record.encrypt(&TEXT).ok()?;
    let message = PreKeyMessage::decode(&sealed.bytes).ok()?;
    Some((alice, bob, record, message))
}

/// Both records once the first answer arrived.
fn established(rng: &Dice) -> Option<(Record, Record)> {
    let (_, bob, record, message) = pending(rng)?;
    let accepted = Record::default().accept(&bob.identity, &message, &bob.keys, rng).ok()?;
    let (theirs, answer) = accepted.record.encrypt(&TEXT).ok()?;
    let (ours, _) = record.decrypt(&Message::decode(&answer.bytes).ok()?, rng).ok()?;
    Some((ours, theirs))
}

fn sizes() -> Option<[(&'static str, usize); 2]> {
    let rng = Dice::new(1);
    let (_, _, pending, _) = pending(&rng)?;
    let (established, _) = established(&rng)?;
    Some([("pending", pending.to_bytes().len()), ("established", established.to_bytes().len())])
}

/// A stranger: bundle verified, session made, first message sealed.
#[divan::bench]
fn set_up(bencher: Bencher) {
    let rng = Dice::new(2);
    let (alice, bundle) = (Device::new(&rng), Device::new(&rng).bundle());
    bencher.bench(|| {
        let record = Record::default().initiate(&alice.identity, bundle.as_ref()?, 0, &rng);
        record.ok()?.encrypt(black_box(&TEXT)).ok()
    });
}

/// The other side of a set-up.
#[divan::bench]
fn accept(bencher: Bencher) {
    let rng = Dice::new(3);
    let set_up = pending(&rng);
    bencher.bench(|| {
        let (_, bob, _, message) = set_up.as_ref()?;
        Record::default().accept(&bob.identity, black_box(message), &bob.keys, &rng).ok()
    });
}

/// An established message as the engine makes it: read the record, seal 200 bytes, write it.
#[divan::bench]
fn load_seal_store(bencher: Bencher) {
    let rng = Dice::new(4);
    let stored = established(&rng).map(|(ours, _)| ours.to_bytes());
    bencher.bench(|| {
        let record = Record::from_bytes(stored.as_ref()?).ok()?;
        let (record, sealed) = record.encrypt(black_box(&TEXT)).ok()?;
        Some((record.to_bytes(), sealed))
    });
}

/// A message on a known chain: read the record, decode, open, write it.
#[divan::bench]
fn load_open_store(bencher: Bencher) {
    let rng = Dice::new(5);
    let ready = established(&rng).and_then(|(ours, theirs)| {
        let (theirs, first) = theirs.encrypt(&TEXT).ok()?;
        let (_, second) = theirs.encrypt(&TEXT).ok()?;
        let (ours, _) = ours.decrypt(&Message::decode(&first.bytes).ok()?, &rng).ok()?;
        Some((ours.to_bytes(), second.bytes))
    });
    bencher.bench(|| {
        let (stored, bytes) = ready.as_ref()?;
        let message = Message::decode(black_box(bytes)).ok()?;
        let (record, text) = Record::from_bytes(stored).ok()?.decrypt(&message, &rng).ok()?;
        Some((record.to_bytes(), text))
    });
}

const PLACE: Place<'_> =
    Place::Session { account: "15550100100", wa_id: "16315551000", device: 0, generation: 1 };

/// A record sealed for its row.
#[divan::bench]
fn seal_at_rest(bencher: Bencher) {
    let (masters, rng) = (MasterKeys::new(1, &[7; 32]), Dice::new(6));
    bencher.bench(|| masters.seal(&PLACE, black_box(&[5; 311]), &rng));
}

/// A record opened from its row.
#[divan::bench]
fn open_at_rest(bencher: Bencher) {
    let (masters, rng) = (MasterKeys::new(1, &[7; 32]), Dice::new(6));
    let sealed = masters.seal(&PLACE, &[5; 311], &rng);
    bencher.bench(|| masters.open(&PLACE, black_box(sealed.as_ref().ok()?)).ok());
}
