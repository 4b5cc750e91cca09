use super::*;
use crate::keys::{LoadedKeys, OneTimePreKey, PreKeyId, SignedPreKey};
use crate::testing::Dice;
use crate::wire::Kind;

struct Side {
    identity: Identity,
    signed: SignedPreKey,
    one_time: OneTimePreKey,
}

impl Side {
    fn new(rng: &Dice) -> Self {
        let identity = Identity::generate(rng);
        let signed = SignedPreKey::generate(&identity, PreKeyId::new(1).unwrap(), rng);
        let one_time = OneTimePreKey::generate(PreKeyId::new(2).unwrap(), rng);
        Self { identity, signed, one_time }
    }

    /// Tests set up several sessions with one bundle, which only they may: no one-time key in it.
    fn bundle(&self) -> Bundle {
        self.identity.bundle(&self.signed, None)
    }

    fn keys(&self) -> LoadedKeys {
        LoadedKeys {
            signed: SignedPreKey::from_bytes(&self.signed.to_bytes()).ok(),
            one_time: OneTimePreKey::from_bytes(&self.one_time.to_bytes()).ok(),
        }
    }

    fn initiate(&self, record: Record, peer: &Side, rng: &Dice) -> Record {
        record.initiate(&self.identity, &peer.bundle(), 0, rng).unwrap()
    }

    fn accept(&self, record: Record, sealed: &Sealed, rng: &Dice) -> Accepted {
        assert_eq!(sealed.kind, Kind::PreKey);
        let message = PreKeyMessage::decode(&sealed.bytes).unwrap();
        record.accept(&self.identity, &message, &self.keys(), rng).unwrap()
    }
}

fn decrypt(record: Record, sealed: &Sealed, rng: &Dice) -> (Record, Plaintext) {
    assert_eq!(sealed.kind, Kind::Message);
    record.decrypt(&Message::decode(&sealed.bytes).unwrap(), rng).unwrap()
}

#[test]
fn a_repeated_pre_key_message_is_recognised_by_its_base_key() {
    let rng = Dice::new(1);
    let (alice, bob) = (Side::new(&rng), Side::new(&rng));
    let bundle = bob.identity.bundle(&bob.signed, Some(&bob.one_time));
    let record = Record::default().initiate(&alice.identity, &bundle, 0, &rng).unwrap();
    let (record, first) = record.encrypt(b"first").unwrap();
    let (_, second) = record.encrypt(b"second").unwrap();

    let accepted = bob.accept(Record::default(), &first, &rng);
    assert_eq!(accepted.used.unwrap().one_time, Some(bob.one_time.id()));
    // Its one-time key is deleted now; the second message needs none.
    let message = PreKeyMessage::decode(&second.bytes).unwrap();
    assert!(accepted.record.knows(&message) && !Record::default().knows(&message));
    let accepted =
        accepted.record.accept(&bob.identity, &message, &LoadedKeys::default(), &rng).unwrap();
    assert_eq!(accepted.plaintext.as_bytes(), b"second");
    assert_eq!(accepted.used, None);
    assert!(accepted.record.previous.is_empty());

    // The first again is a duplicate, not a new session.
    let message = PreKeyMessage::decode(&first.bytes).unwrap();
    let (_, error) =
        accepted.record.accept(&bob.identity, &message, &bob.keys(), &rng).unwrap_err();
    assert_eq!(error.reason(), Reason::Duplicate);
}

#[test]
fn both_sides_initiate_at_once_and_come_to_agree() {
    let rng = Dice::new(2);
    let (alice, bob) = (Side::new(&rng), Side::new(&rng));
    let (of_alice, from_alice) =
        alice.initiate(Record::default(), &bob, &rng).encrypt(b"from alice").unwrap();
    let (of_bob, from_bob) =
        bob.initiate(Record::default(), &alice, &rng).encrypt(b"from bob").unwrap();
    let of_alice = alice.accept(of_alice, &from_bob, &rng).record;
    let of_bob = bob.accept(of_bob, &from_alice, &rng).record;
    assert_eq!((of_alice.previous.len(), of_bob.previous.len()), (1, 1));

    // Each sends on the session that decrypted last: the other's. The one who reads goes over.
    let (of_alice, sealed) = of_alice.encrypt(b"on bob's").unwrap();
    let (of_bob, _) = decrypt(of_bob, &sealed, &rng);
    let base = |record: &Record| *record.current().unwrap().base_key();
    assert_eq!(base(&of_alice), base(&of_bob));
    let (_, sealed) = of_bob.encrypt(b"on bob's too").unwrap();
    decrypt(of_alice, &sealed, &rng);
}

#[test]
fn four_previous_sessions_still_decrypt_and_the_fifth_is_gone() {
    let rng = Dice::new(3);
    let (alice, bob) = (Side::new(&rng), Side::new(&rng));
    let (mut of_alice, mut of_bob) = (Record::default(), Record::default());
    let mut in_flight = Vec::new();
    for _ in 0..PREVIOUS_SESSIONS + 2 {
        let sealed;
        (of_alice, sealed) = alice.initiate(of_alice, &bob, &rng).encrypt(b"set up").unwrap();
        of_bob = bob.accept(of_bob, &sealed, &rng).record;
        let answer;
        (of_bob, answer) = of_bob.encrypt(b"in flight").unwrap();
        in_flight.push(answer);
    }
    assert_eq!(of_alice.previous.len(), PREVIOUS_SESSIONS);
    let evicted = Message::decode(&in_flight[0].bytes).unwrap();
    let (mut of_alice, error) = of_alice.decrypt(&evicted, &rng).unwrap_err();
    assert_eq!(error.reason(), Reason::Refused);
    for sealed in in_flight.iter().skip(1) {
        (of_alice, _) = decrypt(of_alice, sealed, &rng);
    }
}

#[test]
fn a_new_identity_retires_the_sessions_before_it() {
    let rng = Dice::new(4);
    let (alice, old, new) = (Side::new(&rng), Side::new(&rng), Side::new(&rng));
    let (record, sealed) = alice.initiate(Record::default(), &old, &rng).encrypt(b"hi").unwrap();
    let (_, late) = old.accept(Record::default(), &sealed, &rng).record.encrypt(b"late").unwrap();

    let (of_new, sealed) =
        new.initiate(Record::default(), &alice, &rng).encrypt(b"reinstalled").unwrap();
    let accepted = alice.accept(record, &sealed, &rng);
    assert!(accepted.identity_changed);
    assert_eq!(accepted.record.current().unwrap().peer(), new.identity.key());

    // What was in flight from the old one is read, but never answered on.
    let (record, plaintext) = decrypt(accepted.record, &late, &rng);
    assert_eq!(plaintext.as_bytes(), b"late");
    assert_eq!(record.current().unwrap().peer(), new.identity.key());
    let stored = Record::from_bytes(&record.to_bytes()).unwrap();
    assert!(stored.previous[0].retired);
    let (_, sealed) = stored.encrypt(b"to the new one").unwrap();
    decrypt(of_new, &sealed, &rng);
}

#[test]
fn an_archived_session_reads_but_a_bundle_is_needed_to_send() {
    let rng = Dice::new(5);
    let (alice, bob) = (Side::new(&rng), Side::new(&rng));
    let (mut record, sealed) =
        alice.initiate(Record::default(), &bob, &rng).encrypt(b"hi").unwrap();
    assert!(record.can_send(0));
    record.archive();
    assert!(!record.can_send(0));
    let (record, error) = record.encrypt(b"nothing").unwrap_err();
    assert_eq!(error, EncryptError::NoSession);
    let (_, answer) = bob.accept(Record::default(), &sealed, &rng).record.encrypt(b"yes").unwrap();
    let (record, _) = decrypt(record, &answer, &rng);
    assert!(record.can_send(0), "the peer still has it");
}

#[test]
fn a_stale_session_is_not_for_sending() {
    let rng = Dice::new(6);
    let (alice, bob) = (Side::new(&rng), Side::new(&rng));
    let made = Record::default().initiate(&alice.identity, &bob.bundle(), 1_000, &rng).unwrap();
    let record = Record::from_bytes(&made.to_bytes()).unwrap();
    assert!(record.can_send(1_000 + 30 * 86_400));
    assert!(!record.can_send(1_001 + 30 * 86_400));
}

#[test]
fn an_empty_record_decrypts_nothing() {
    let rng = Dice::new(7);
    let (alice, bob) = (Side::new(&rng), Side::new(&rng));
    let (_, sealed) = alice.initiate(Record::default(), &bob, &rng).encrypt(b"hi").unwrap();
    let message = PreKeyMessage::decode(&sealed.bytes).unwrap();
    let (record, error) = Record::default().decrypt(message.message(), &rng).unwrap_err();
    assert_eq!(error.reason(), Reason::NoSession);
    assert_eq!(record.to_bytes().as_slice(), [VERSION, 0, 0]);
}

#[test]
fn the_stored_form_is_fixed_and_damage_is_seen() {
    let rng = Dice::new(8);
    let (alice, bob) = (Side::new(&rng), Side::new(&rng));
    let (record, sealed) = alice.initiate(Record::default(), &bob, &rng).encrypt(b"hi").unwrap();
    let pending = record.to_bytes();
    assert_eq!(pending.len(), 257, "docs and capacity plans rest on this");
    let (_, answer) = bob.accept(Record::default(), &sealed, &rng).record.encrypt(b"yes").unwrap();
    let (established, _) = decrypt(record, &answer, &rng);
    assert_eq!(established.to_bytes().len(), 311);

    let two = alice.initiate(established, &bob, &rng).to_bytes();
    assert_eq!(*Record::from_bytes(&two).unwrap().to_bytes(), *two);
    for len in 0..two.len() {
        assert!(Record::from_bytes(&two[..len]).is_err(), "{len} bytes");
    }
    assert_eq!(
        Record::from_bytes(&[two.as_slice(), &[0]].concat()).unwrap_err(),
        RecordError::Damaged
    );
    let mut other_version = two.to_vec();
    other_version[0] = 2;
    assert_eq!(Record::from_bytes(&other_version).unwrap_err(), RecordError::Version);
}
