//! Random schedules between two devices: send, drop, reorder, duplicate, crash at every step of
//! persistence, both sides setting up at once. What must hold in all of them:
//!
//! 1. no (chain, counter) ever leaves twice with different bytes;
//! 2. every message that is delivered decrypts, and decrypts once;
//! 3. a refused message leaves the stored record as it was.

#![expect(clippy::unwrap_used, reason = "all of it is a test")]

#[path = "../src/testing/dice.rs"]
mod dice;

use std::collections::{BTreeMap, HashMap};

use dice::Dice;
use proptest::prelude::*;
use session::limits::{PREVIOUS_SESSIONS, RECEIVER_CHAINS};
use session::{
    Identity, Kind, LoadedKeys, Message, OneTimePreKey, PreKeyId, PreKeyMessage, Record,
    SignedPreKey,
};

/// Where a machine dies while it sends.
#[derive(Debug, Clone, Copy)]
enum SendCrash {
    Never,
    /// State and bytes are lost together; sealed again later.
    BeforeCommit,
    /// The bytes are in the outbox and leave after the restart.
    BeforeTransmit,
    /// The bytes left, the outbox row is still there, and they leave once more.
    BeforeDelete,
}

#[derive(Debug, Clone, Copy)]
enum ReceiveCrash {
    Never,
    /// Nothing was stored; the network delivers again.
    BeforeCommit,
    /// All was stored but not acknowledged; the network delivers again.
    BeforeAck,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Send {
        side: usize,
        crash: SendCrash,
    },
    /// The `pick`-th packet on the wire, modulo how many there are.
    Deliver {
        pick: usize,
        crash: ReceiveCrash,
    },
    Drop {
        pick: usize,
    },
    Duplicate {
        pick: usize,
    },
    /// A side sets up a session although it may have one.
    Initiate {
        side: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let send_crash = prop_oneof![
        6 => Just(SendCrash::Never),
        1 => Just(SendCrash::BeforeCommit),
        1 => Just(SendCrash::BeforeTransmit),
        1 => Just(SendCrash::BeforeDelete),
    ];
    let receive_crash = prop_oneof![
        6 => Just(ReceiveCrash::Never),
        1 => Just(ReceiveCrash::BeforeCommit),
        1 => Just(ReceiveCrash::BeforeAck),
    ];
    prop_oneof![
        8 => (0..2usize, send_crash).prop_map(|(side, crash)| Step::Send { side, crash }),
        // Half of the deliveries in order, half in any.
        4 => receive_crash.clone().prop_map(|crash| Step::Deliver { pick: 0, crash }),
        4 => (any::<usize>(), receive_crash)
            .prop_map(|(pick, crash)| Step::Deliver { pick, crash }),
        1 => any::<usize>().prop_map(|pick| Step::Drop { pick }),
        1 => any::<usize>().prop_map(|pick| Step::Duplicate { pick }),
        1 => (0..2usize).prop_map(|side| Step::Initiate { side }),
    ]
}

#[derive(Clone)]
struct Packet {
    to: usize,
    /// Which text is inside.
    text: u64,
    kind: Kind,
    bytes: Vec<u8>,
}

impl Packet {
    fn message(&self) -> Message {
        match self.kind {
            Kind::Message => Message::decode(&self.bytes).unwrap(),
            Kind::PreKey => PreKeyMessage::decode(&self.bytes).unwrap().message().clone(),
        }
    }
}

/// One machine: only what is in here survives a crash.
struct Side {
    identity: Identity,
    signed: SignedPreKey,
    one_time: BTreeMap<u32, OneTimePreKey>,
    record: Vec<u8>,
    /// Texts stored as received.
    inbox: HashMap<u64, u32>,
    /// By session: ratchet keys of the peer's in the order they were first stored.
    chains: HashMap<[u8; 33], Vec<[u8; 33]>>,
}

impl Side {
    fn new(rng: &Dice) -> Self {
        let identity = Identity::generate(rng);
        let signed = SignedPreKey::generate(&identity, PreKeyId::new(1).unwrap(), rng);
        let one_time =
            (1..=3).map(|id| (id, OneTimePreKey::generate(PreKeyId::new(id).unwrap(), rng)));
        Self {
            signed,
            one_time: one_time.collect(),
            record: Record::default().to_bytes().to_vec(),
            inbox: HashMap::new(),
            chains: HashMap::new(),
            identity,
        }
    }

    fn load(&self) -> Record {
        Record::from_bytes(&self.record).unwrap()
    }

    fn keys(&self, message: &PreKeyMessage) -> LoadedKeys {
        let one_time = message.one_time_id().and_then(|id| self.one_time.get(&id.get()));
        LoadedKeys {
            signed: SignedPreKey::from_bytes(&self.signed.to_bytes()).ok(),
            one_time: one_time.and_then(|key| OneTimePreKey::from_bytes(&key.to_bytes()).ok()),
        }
    }
}

struct World {
    rng: Dice,
    sides: [Side; 2],
    wire: Vec<Packet>,
    texts: u64,
    set_ups: usize,
    /// One-time keys given out, so that each is in one bundle only.
    given: [u32; 2],
    /// Everything that ever left, by sender, chain and counter.
    left: HashMap<(usize, [u8; 33], u32), Vec<u8>>,
}

impl World {
    fn new(seed: u64) -> Self {
        let rng = Dice::new(seed);
        let sides = [Side::new(&rng), Side::new(&rng)];
        Self {
            rng,
            sides,
            wire: Vec::new(),
            texts: 0,
            set_ups: 0,
            given: [0; 2],
            left: HashMap::new(),
        }
    }

    /// A set-up in memory. Sessions beyond the record's limit would be evicted, so there are no
    /// more of them than fit.
    fn set_up(&mut self, side: usize, record: Record) -> Option<Record> {
        if self.set_ups > PREVIOUS_SESSIONS {
            return None;
        }
        self.set_ups += 1;
        let peer = &self.sides[1 - side];
        self.given[1 - side] += 1;
        let one_time = peer.one_time.get(&self.given[1 - side]);
        let bundle = peer.identity.bundle(&peer.signed, one_time);
        Some(record.initiate(&self.sides[side].identity, &bundle, 0, &self.rng).unwrap())
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send { side, crash } => self.send(side, crash),
            Step::Initiate { side } => {
                let record = self.sides[side].load();
                if let Some(record) = self.set_up(side, record) {
                    self.sides[side].record = record.to_bytes().to_vec();
                }
            }
            _ if self.wire.is_empty() => {}
            Step::Deliver { pick, crash } => self.deliver(pick % self.wire.len(), crash),
            Step::Drop { pick } => drop(self.wire.remove(pick % self.wire.len())),
            Step::Duplicate { pick } => {
                let copy = self.wire[pick % self.wire.len()].clone();
                self.wire.push(copy);
            }
        }
    }

    fn send(&mut self, side: usize, crash: SendCrash) {
        let mut record = self.sides[side].load();
        if record.current().is_none() {
            match self.set_up(side, record) {
                Some(set_up) => record = set_up,
                None => return,
            }
        }
        let text = self.texts;
        let (record, sealed) = record.encrypt(&text.to_be_bytes()).unwrap();
        if matches!(crash, SendCrash::BeforeCommit) {
            return;
        }
        // Committed together: the state and the bytes.
        self.sides[side].record = record.to_bytes().to_vec();
        self.texts += 1;
        let packet = Packet { to: 1 - side, text, kind: sealed.kind, bytes: sealed.bytes };
        self.transmit(packet.clone());
        if matches!(crash, SendCrash::BeforeDelete) {
            self.transmit(packet);
        }
    }

    /// The first invariant is checked where bytes leave.
    fn transmit(&mut self, packet: Packet) {
        let message = packet.message();
        let position = (1 - packet.to, message.ratchet_key().to_wire(), message.counter());
        let bytes = self.left.entry(position).or_insert_with(|| packet.bytes.clone());
        assert_eq!(*bytes, packet.bytes, "one key sealed two messages");
        self.wire.push(packet);
    }

    fn deliver(&mut self, at: usize, crash: ReceiveCrash) {
        let packet = self.wire[at].clone();
        let side = &mut self.sides[packet.to];
        let message = packet.message();
        let known = side.inbox.contains_key(&packet.text);
        let outcome = match packet.kind {
            Kind::Message => side
                .load()
                .decrypt(&message, &self.rng)
                .map(|(record, plaintext)| (record, plaintext, None)),
            Kind::PreKey => {
                let pre_key = PreKeyMessage::decode(&packet.bytes).unwrap();
                let keys = side.keys(&pre_key);
                side.load().accept(&side.identity, &pre_key, &keys, &self.rng).map(|accepted| {
                    let used = accepted.used.and_then(|used| used.one_time);
                    (accepted.record, accepted.plaintext, used)
                })
            }
        };
        let ratchet = message.ratchet_key().to_wire();
        match outcome {
            Ok((record, plaintext, used)) => {
                assert!(!known, "decrypted twice");
                assert_eq!(plaintext.as_bytes(), packet.text.to_be_bytes());
                if matches!(crash, ReceiveCrash::BeforeCommit) {
                    return;
                }
                // Committed together: state, message, deletion of the one-time key.
                side.record = record.to_bytes().to_vec();
                *side.inbox.entry(packet.text).or_default() += 1;
                if let Some(id) = used {
                    side.one_time.remove(&id.get());
                }
                // What decrypted is current now.
                let session = record.current().unwrap().base_key().to_wire();
                let chains = side.chains.entry(session).or_default();
                if !chains.contains(&ratchet) {
                    chains.push(ratchet);
                }
            }
            Err((record, error)) => {
                assert_eq!(*record.to_bytes(), *side.record, "refused, yet changed");
                // Five newer chains evict one, with the keys of its overtaken messages.
                let excused = side.chains.values().any(|chains| {
                    chains.iter().rev().skip(RECEIVER_CHAINS).any(|chain| *chain == ratchet)
                });
                assert!(known || excused, "refused a first delivery: {:?}", error.reason());
            }
        }
        if !matches!(crash, ReceiveCrash::BeforeAck) {
            self.wire.remove(at);
        }
    }

    /// After the storm each side must reach the other.
    fn settle(&mut self) {
        while !self.wire.is_empty() {
            self.deliver(0, ReceiveCrash::Never);
        }
        for side in [0, 1, 0, 1] {
            let text = self.texts;
            self.send(side, SendCrash::Never);
            while !self.wire.is_empty() {
                self.deliver(0, ReceiveCrash::Never);
            }
            if self.texts > text {
                assert_eq!(self.sides[1 - side].inbox.get(&text), Some(&1));
            }
        }
        assert!(self.sides.iter().all(|side| side.inbox.values().all(|times| *times == 1)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_key_is_used_twice_and_every_delivered_message_decrypts_once(
        seed: u64,
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new(seed);
        for step in steps {
            world.step(step);
        }
        world.settle();
    }
}

/// The invariant must be able to fail: a machine that sends before it commits breaks it.
#[test]
#[should_panic(expected = "one key sealed two messages")]
fn a_lost_state_write_would_be_seen() {
    let mut world = World::new(1);
    world.send(0, SendCrash::Never);
    let stale = world.sides[0].record.clone();
    world.send(0, SendCrash::Never);
    world.sides[0].record = stale;
    world.send(0, SendCrash::Never);
}

/// Restored from a backup the peer refuses our next message for ever, which is why sessions die
/// with a restore.
#[test]
fn a_restored_session_is_refused_by_the_peer() {
    let mut world = World::new(2);
    world.send(0, SendCrash::Never);
    world.deliver(0, ReceiveCrash::Never);
    let backup = world.sides[0].load();
    world.send(0, SendCrash::Never);
    world.deliver(0, ReceiveCrash::Never);
    let (_, sealed) = backup.encrypt(b"after the restore").unwrap();
    let message = PreKeyMessage::decode(&sealed.bytes).unwrap();
    assert!(world.sides[1].load().decrypt(message.message(), &world.rng).is_err());
}
