use super::*;
use crate::error::KeyError;
use crate::keys::{LoadedKeys, OneTimePreKey, SignedKey, SignedPreKey};
use crate::limits::{MESSAGE_GAP, PLAINTEXT_LEN, RECEIVER_CHAINS, SKIPPED_KEYS};
use crate::testing::Dice;
use crate::wire::Kind;
use crate::xeddsa::Signature;

struct Side {
    identity: Identity,
    keys: LoadedKeys,
}

impl Side {
    fn new(rng: &Dice) -> Self {
        let identity = Identity::generate(rng);
        let signed = Some(SignedPreKey::generate(&identity, PreKeyId::new(1).unwrap(), rng));
        let one_time = Some(OneTimePreKey::generate(PreKeyId::new(2).unwrap(), rng));
        Self { identity, keys: LoadedKeys { signed, one_time } }
    }

    fn bundle(&self) -> Bundle {
        self.identity.bundle(self.keys.signed.as_ref().unwrap(), self.keys.one_time.as_ref())
    }
}

/// Alice and Bob after her first message reached him.
fn pair(rng: &Dice) -> (Session, Session) {
    let (alice, bob) = (Side::new(rng), Side::new(rng));
    let session = Session::initiate(&alice.identity, &bob.bundle(), 0, rng).unwrap();
    let (session, sealed) = session.encrypt(b"first").unwrap();
    let message = PreKeyMessage::decode(&sealed.bytes).unwrap();
    let (theirs, plaintext, used) =
        Session::accept(&bob.identity, &message, &bob.keys, rng).unwrap();
    assert_eq!(plaintext.as_bytes(), b"first");
    assert_eq!(used.one_time, PreKeyId::new(2).ok());
    (session, theirs)
}

fn send(session: Session, text: &[u8]) -> (Session, Message) {
    let (session, sealed) = session.encrypt(text).unwrap();
    let message = match sealed.kind {
        Kind::Message => Message::decode(&sealed.bytes).unwrap(),
        Kind::PreKey => PreKeyMessage::decode(&sealed.bytes).unwrap().message().clone(),
    };
    (session, message)
}

/// Sends from one to the other and gives both back.
fn exchange(from: Session, to: Session, rng: &Dice) -> (Session, Session) {
    let (from, message) = send(from, b"turn");
    let (to, plaintext) = to.decrypt(&message, rng).unwrap();
    assert_eq!(plaintext.as_bytes(), b"turn");
    (from, to)
}

#[test]
fn the_set_up_is_repeated_until_the_first_answer() {
    let rng = Dice::new(1);
    let (alice, bob) = pair(&rng);
    let (alice, sealed) = alice.encrypt(b"second").unwrap();
    assert_eq!(sealed.kind, Kind::PreKey);
    assert!(alice.is_pending());
    let (bob, sealed) = bob.encrypt(b"answer").unwrap();
    assert_eq!(sealed.kind, Kind::Message);
    let (alice, _) = alice.decrypt(&Message::decode(&sealed.bytes).unwrap(), &rng).unwrap();
    assert!(!alice.is_pending() && !bob.is_pending());
    assert_eq!(alice.encrypt(b"third").unwrap().1.kind, Kind::Message);
}

#[test]
fn an_unanswered_set_up_grows_stale_after_30_days() {
    let rng = Dice::new(2);
    let (alice, bob) = (Side::new(&rng), Side::new(&rng));
    let session = Session::initiate(&alice.identity, &bob.bundle(), 1_000, &rng).unwrap();
    assert!(!session.is_stale(1_000 + 30 * 86_400));
    assert!(session.is_stale(1_001 + 30 * 86_400));
    assert!(!session.is_stale(0), "a clock that went back");
}

#[test]
fn a_bundle_whose_signature_does_not_verify_is_refused() {
    let rng = Dice::new(3);
    let (alice, bob) = (Side::new(&rng), Side::new(&rng));
    let refused =
        |bundle: &Bundle| Session::initiate(&alice.identity, bundle, 0, &rng).unwrap_err();

    let mut forged = bob.bundle();
    forged.signed.key = *Pair::generate(&rng).public();
    assert_eq!(refused(&forged), BundleError::Signature);

    let mut other = bob.bundle();
    other.identity = *alice.identity.key();
    assert_eq!(refused(&other), BundleError::Signature);

    let mut damaged = bob.bundle();
    let mut signature = *damaged.signed.signature.as_bytes();
    signature[40] ^= 1;
    damaged.signed.signature = Signature::from_bytes(&signature);
    assert_eq!(refused(&damaged), BundleError::Signature);
}

#[test]
fn an_all_zero_signed_pre_key_is_refused_whoever_signed_it() {
    assert_eq!(SignedKey::from_wire(&[vec![5], vec![0; 32]].concat()), Err(KeyError::LowOrder));
}

/// Every bit of a message on a known chain, and of one that begins a chain.
#[test]
fn a_forged_message_changes_nothing() {
    let rng = Dice::new(4);
    let (alice, bob) = pair(&rng);
    let (bob, alice) = exchange(bob, alice, &rng);
    let (alice, on_a_new_chain) = alice.encrypt(b"genuine").unwrap();
    let unread = bob.into_record().to_bytes();
    let message = Message::decode(&on_a_new_chain.bytes).unwrap();
    let (bob, _) = Record::from_bytes(&unread).unwrap().decrypt(&message, &rng).unwrap();
    let read = bob.to_bytes();
    let (_, on_a_known_chain) = alice.encrypt(b"genuine").unwrap();

    for (before, bytes) in [(unread, on_a_new_chain.bytes), (read, on_a_known_chain.bytes)] {
        let load = || Record::from_bytes(&before).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let Ok(message) = Message::decode(&forged) else { continue };
            let (record, error) = load().decrypt(&message, &rng).unwrap_err();
            assert_eq!(*record.to_bytes(), *before, "bit {bit}");
            let expected = [Reason::Refused, Reason::TooFarAhead, Reason::Duplicate];
            assert!(expected.contains(&error.reason()), "bit {bit}: {:?}", error.reason());
        }
        assert!(load().decrypt(&Message::decode(&bytes).unwrap(), &rng).is_ok());
    }
}

#[test]
fn a_message_decrypts_once() {
    let rng = Dice::new(5);
    let (alice, bob) = pair(&rng);
    let (alice, late) = send(alice, b"late");
    let (_, message) = send(alice, b"message");
    let (bob, _) = bob.decrypt(&message, &rng).unwrap();
    let (bob, error) = bob.decrypt(&message, &rng).unwrap_err();
    assert_eq!(error.reason(), Reason::Duplicate);
    let (bob, plaintext) = bob.decrypt(&late, &rng).unwrap();
    assert_eq!(plaintext.as_bytes(), b"late");
    assert_eq!(bob.decrypt(&late, &rng).unwrap_err().1.reason(), Reason::Duplicate);
}

#[test]
fn a_gap_is_bridged_up_to_its_limit_and_refused_beyond() {
    let rng = Dice::new(6);
    let (mut alice, mut bob) = pair(&rng);
    // Bob expects counter 1.
    for _ in 1..=MESSAGE_GAP {
        alice = send(alice, b"lost").0;
    }
    let (alice, at_limit) = send(alice, b"at the limit");
    let (_, beyond) = send(alice, b"beyond");
    let error;
    (bob, error) = bob.decrypt(&beyond, &rng).unwrap_err();
    assert_eq!(error.reason(), Reason::TooFarAhead);
    (bob, _) = bob.decrypt(&at_limit, &rng).unwrap();
    // The gap is closed now.
    assert!(bob.decrypt(&beyond, &rng).is_ok());
}

fn skipped(session: &Session) -> Vec<usize> {
    session.0.receiving.0.iter().map(|chain| chain.skipped.len()).collect()
}

#[test]
fn five_chains_are_kept_and_the_sixth_evicts_the_oldest() {
    let rng = Dice::new(7);
    let (mut alice, mut bob) = pair(&rng);
    let mut overtaken = Vec::new();
    // The chain of the set-up, and five more.
    for _ in 0..=RECEIVER_CHAINS {
        let message;
        (alice, message) = send(alice, b"overtaken");
        overtaken.push(message);
        (alice, bob) = exchange(alice, bob, &rng);
        (bob, alice) = exchange(bob, alice, &rng);
    }
    assert_eq!(skipped(&bob), [1; RECEIVER_CHAINS]);
    // A message of an evicted chain looks like the beginning of a new one, and is refused.
    let (mut bob, error) = bob.decrypt(&overtaken[0], &rng).unwrap_err();
    assert_eq!(error.reason(), Reason::Refused);
    for message in &overtaken[1..] {
        (bob, _) = bob.decrypt(message, &rng).unwrap();
    }
    assert_eq!(skipped(&bob), [0; RECEIVER_CHAINS]);
}

#[test]
fn skipped_keys_are_bounded_over_all_chains_and_the_oldest_go_first() {
    const PER_CHAIN: usize = 1_500;
    let rng = Dice::new(8);
    let (mut alice, mut bob) = pair(&rng);
    let mut oldest = None;
    for held in [&[PER_CHAIN][..], &[PER_CHAIN, 500], &[PER_CHAIN, 500, 0]] {
        for _ in 0..PER_CHAIN {
            let message;
            (alice, message) = send(alice, b"overtaken");
            oldest.get_or_insert(message);
        }
        (alice, bob) = exchange(alice, bob, &rng);
        assert_eq!(skipped(&bob), held);
        (bob, alice) = exchange(bob, alice, &rng);
    }
    let (bob, error) = bob.decrypt(&oldest.unwrap(), &rng).unwrap_err();
    assert_eq!(error.reason(), Reason::Duplicate);
    drop(bob);
}

#[test]
fn skipped_keys_are_bounded_within_one_chain() {
    let rng = Dice::new(9);
    let (mut alice, mut bob) = pair(&rng);
    for held in [1_500, SKIPPED_KEYS] {
        for _ in 0..1_500 {
            alice = send(alice, b"overtaken").0;
        }
        (alice, bob) = exchange(alice, bob, &rng);
        assert_eq!(skipped(&bob), [held]);
    }
}

#[test]
fn a_plaintext_beyond_the_limit_leaves_the_session_as_it_was() {
    let rng = Dice::new(8);
    let (alice, bob) = pair(&rng);
    let (alice, error) = alice.encrypt(&vec![0; PLAINTEXT_LEN + 1]).unwrap_err();
    assert_eq!(error, EncryptError::TooLong);
    let (alice, sealed) = alice.encrypt(&vec![0; PLAINTEXT_LEN]).unwrap();
    let message = PreKeyMessage::decode(&sealed.bytes).unwrap();
    let (bob, plaintext) = bob.decrypt(message.message(), &rng).unwrap();
    assert_eq!(plaintext.as_bytes().len(), PLAINTEXT_LEN);
    exchange(alice, bob, &rng);
}

#[test]
fn an_exhausted_chain_is_refused_and_its_counter_does_not_wrap() {
    let rng = Dice::new(9);
    let (mut alice, bob) = pair(&rng);
    alice.0.sending.counter = u32::MAX;
    let (alice, error) = alice.encrypt(b"one too many").unwrap_err();
    assert_eq!(error, EncryptError::Exhausted);
    // An answer begins a new chain.
    let (_, alice) = exchange(bob, alice, &rng);
    let (_, message) = send(alice, b"again");
    assert_eq!((message.counter(), message.previous_counter()), (0, u32::MAX - 1));
}

#[test]
fn a_pre_key_that_is_gone_is_named_as_the_cause() {
    let rng = Dice::new(10);
    let (alice, bob) = (Side::new(&rng), Side::new(&rng));
    let session = Session::initiate(&alice.identity, &bob.bundle(), 0, &rng).unwrap();
    let (_, sealed) = session.encrypt(b"first").unwrap();
    let message = PreKeyMessage::decode(&sealed.bytes).unwrap();
    let Side { identity, keys } = bob;
    let without_one_time = LoadedKeys { one_time: None, ..keys };
    let error = Session::accept(&identity, &message, &without_one_time, &rng).unwrap_err();
    assert_eq!(error.reason(), Reason::UnknownPreKey);
    let error = Session::accept(&identity, &message, &LoadedKeys::default(), &rng).unwrap_err();
    assert_eq!(error.reason(), Reason::UnknownPreKey);
}

#[test]
fn previous_counters_tell_the_last_position_of_the_chain_before() {
    let rng = Dice::new(11);
    let (mut alice, bob) = pair(&rng);
    for _ in 0..4 {
        alice = send(alice, b"more").0;
    }
    let (bob, alice) = exchange(bob, alice, &rng);
    // Alice sent five; Bob had sent nothing on his signed pre-key's chain.
    let (alice, message) = send(alice, b"next chain");
    assert_eq!(message.previous_counter(), 4);
    assert_eq!(bob.0.sending.previous_counter, 0);
    drop(alice);
}
