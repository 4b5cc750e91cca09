//! No secret prints: every type that holds one, in one place.

use std::fmt::Debug;

use crate::kdf::{ChainKey, MessageSeed, RootKey};
use crate::keys::{LoadedKeys, Pair, role};
use crate::sealing::{MasterKeys, Place, Table};
use crate::testing::Dice;
use crate::{Identity, OneTimePreKey, PreKeyId, PreKeyMessage, Record, Rng, Session, SignedPreKey};

/// Hands out one byte, so that every secret drawn from it is recognisable.
struct Same(u8);

impl Rng for Same {
    fn fill(&self, out: &mut [u8]) {
        out.fill(self.0);
    }
}

fn printed(value: &impl Debug) -> String {
    format!("{value:?}\n{value:#?}")
}

#[test]
fn debug_output_of_keys_is_their_role_and_a_few_public_bytes() {
    let me = Identity::from_secret_bytes(&[0xd7; 32], 4242);
    let signed = SignedPreKey::generate(&me, PreKeyId::MAX, &Same(0xd7));
    let one_time = OneTimePreKey::generate(PreKeyId::MAX, &Same(0xd7));
    insta::assert_snapshot!(format!("{me:?}"), @"Identity { key: Identity(864a0928…), .. }");
    insta::assert_snapshot!(format!("{signed:?}"), @"SignedPreKey { id: PreKeyId(16777215), key: Signed(864a0928…) }");
    insta::assert_snapshot!(format!("{one_time:?}"), @"OneTimePreKey { id: PreKeyId(16777215), key: OneTime(864a0928…) }");
    insta::assert_snapshot!(format!("{:?}", Pair::<role::Base>::generate(&Same(0xd7))), @"Pair { secret: BaseSecret(..), public: Base(864a0928…) }");
    insta::assert_snapshot!(format!("{:?}", signed.public()), @"SignedPublic { id: PreKeyId(16777215), key: Signed(864a0928…), signature: Signature(..) }");
    insta::assert_snapshot!(format!("{:?}", RootKey::from_bytes(&[0xd7; 32])), @"RootKey(..)");
    insta::assert_snapshot!(format!("{:?}", ChainKey::from_bytes(&[0xd7; 32])), @"ChainKey(..)");
    insta::assert_snapshot!(format!("{:?}", MessageSeed::from_bytes(&[0xd7; 32])), @"MessageSeed(..)");
    insta::assert_snapshot!(format!("{:?}", MasterKeys::new(3, &[0xd7; 32])), @"MasterKeys { newest: 3, ids: [3], .. }");
    let place = Place::Row { account: "123", table: Table::Event, shard: 1, day: 2, row: b"" };
    insta::assert_snapshot!(format!("{place:?}"), @"event");
}

#[test]
fn debug_output_of_sessions_and_messages_holds_no_secret() {
    let rng = Dice::new(1);
    let (alice, bob) = (Identity::generate(&rng), Identity::generate(&rng));
    let keys = LoadedKeys {
        signed: Some(SignedPreKey::generate(&bob, PreKeyId::new(1).unwrap(), &rng)),
        one_time: None,
    };
    let bundle = bob.bundle(keys.signed.as_ref().unwrap(), None);
    let session = Session::initiate(&alice, &bundle, 0, &rng).unwrap();
    let (session, sealed) = session.encrypt(b"a private text").unwrap();
    let message = PreKeyMessage::decode(&sealed.bytes).unwrap();
    let accepted = Record::default().accept(&bob, &message, &keys, &rng).unwrap();

    insta::assert_snapshot!(format!("{session:?}"), @"Session { peer: Identity(47f3f449…), base: Base(bc910e9b…), pending: true, sent: 1, receiving: [], .. }");
    insta::assert_snapshot!(format!("{accepted:?}"), @"Accepted { record: Record { current: Some(Session { peer: Identity(bcdf98e5…), base: Base(bc910e9b…), pending: false, sent: 0, receiving: [Chain { ratchet: Ratchet(a02de6ea…), counter: 1, skipped: 0, .. }], .. }), previous: [] }, plaintext: Plaintext(14 bytes), used: Some(UsedKeys { one_time: None, signed: PreKeyId(1) }), identity_changed: false }");

    // Whatever is stored of a session and is not a public key is secret: no four bytes of it may
    // be found, in hex or as a list of numbers.
    let mut all = printed(&session) + &printed(&accepted) + &printed(&keys) + &printed(&bundle);
    all.retain(|character| !character.is_whitespace());
    for record in [session.into_record(), accepted.record] {
        for window in record.to_bytes()[3..].windows(4).filter(|window| window[0] != 0) {
            let [a, b, c, d] = window.try_into().unwrap();
            assert!(!all.contains(&format!("{a},{b},{c},{d}")));
            let in_hex = format!("{a:02x}{b:02x}{c:02x}{d:02x}");
            assert!(!all.contains(&in_hex) || all.contains(&format!("({in_hex}…)")));
        }
    }
    assert!(!all.contains("private"));
}
