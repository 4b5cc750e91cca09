//! The fixed devices the targets attack, and their genuine messages.

use contract::Rng;
use session::{
    Bundle, Identity, LoadedKeys, Message, OneTimePreKey, PreKeyId, PreKeyMessage, Record,
    SignedPreKey,
};

/// Counts; a fuzz target needs keys that are the same at every run, not secret ones.
pub struct Counting(std::sync::atomic::AtomicU8);

impl Counting {
    pub fn from(start: u8) -> Self {
        Self(start.into())
    }
}

impl Rng for Counting {
    fn fill(&self, out: &mut [u8]) {
        out.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    }
}

/// Two devices with a session between them, from Bob's side.
pub struct Scene {
    pub bob: Identity,
    pub keys: LoadedKeys,
    pub bundle: Bundle,
    /// Alice's first message, which Bob has not read.
    pub first: Vec<u8>,
    /// Bob's record once he has read it, answered, and been answered.
    pub established: Vec<u8>,
    /// Alice's next messages: one on the chain Bob knows, one that begins a chain.
    pub next: [Vec<u8>; 2],
}

impl Scene {
    /// Always the same.
    pub fn new() -> Option<Self> {
        let rng = Counting::from(1);
        let (alice, bob) = (Identity::generate(&rng), Identity::generate(&rng));
        let signed = SignedPreKey::generate(&bob, PreKeyId::new(1).ok()?, &rng);
        let one_time = OneTimePreKey::generate(PreKeyId::new(2).ok()?, &rng);
        let bundle = bob.bundle(&signed, Some(&one_time));
        let keys = LoadedKeys { signed: Some(signed), one_time: Some(one_time) };

        let ours = Record::default().initiate(&alice, &bundle, 0, &rng).ok()?;
        let (ours, first) = ours.encrypt(b"first").ok()?;
        let message = PreKeyMessage::decode(&first.bytes).ok()?;
        let theirs = Record::default().accept(&bob, &message, &keys, &rng).ok()?.record;
        let turn = |from: Record, to: Record| {
            let (from, sealed) = from.encrypt(b"turn").ok()?;
            let (to, _) = to.decrypt(&Message::decode(&sealed.bytes).ok()?, &rng).ok()?;
            Some((from, to))
        };
        let (theirs, ours) = turn(theirs, ours)?;
        let (ours, theirs) = turn(ours, theirs)?;
        let (ours, known) = ours.encrypt(b"known chain").ok()?;
        let established = theirs.to_bytes().to_vec();
        let (_, ours) = turn(theirs, ours)?;
        let (_, new) = ours.encrypt(b"new chain").ok()?;
        let next = [known.bytes, new.bytes];
        Some(Self { bob, keys, bundle, first: first.bytes, established, next })
    }

    pub fn record(&self) -> Option<Record> {
        Record::from_bytes(&self.established).ok()
    }
}
