use prost::Message as _;

use super::*;
use crate::keys::{Pair, role::Role};
use crate::testing::Dice;

fn wire_key<R: Role>(seed: u64) -> Option<Vec<u8>> {
    Some(Pair::<R>::generate(&Dice::new(seed)).public().to_wire().to_vec())
}

fn message_fields() -> MessageFields {
    MessageFields {
        ratchet_key: wire_key::<crate::keys::role::Ratchet>(1),
        counter: Some(3),
        previous_counter: Some(2),
        ciphertext: Some(vec![9; 32]),
    }
}

fn message_bytes(version: u8, fields: &MessageFields) -> Vec<u8> {
    [&[version], fields.encode_to_vec().as_slice(), &[0; MAC_LEN]].concat()
}

fn pre_key_fields() -> PreKeyFields {
    PreKeyFields {
        one_time_id: Some(0x00ff_ffff),
        base_key: wire_key::<crate::keys::role::Base>(2),
        identity_key: wire_key::<crate::keys::role::Identity>(3),
        message: Some(message_bytes(0x33, &message_fields())),
        registration_id: Some(77),
        signed_id: Some(5),
    }
}

fn pre_key_bytes(fields: &PreKeyFields) -> Vec<u8> {
    [&[0x33], fields.encode_to_vec().as_slice()].concat()
}

#[test]
fn the_high_nibble_of_the_version_counts_and_the_low_one_does_not() {
    for version in 0..=u8::MAX {
        let read = Message::decode(&message_bytes(version, &message_fields()));
        assert_eq!(read.is_ok(), version >> 4 == 3, "{version:#x}");
    }
}

#[test]
fn a_message_without_a_field_or_with_a_wrong_length_is_refused() {
    let broken: [fn(&mut MessageFields); 8] = [
        |fields| fields.ratchet_key = None,
        |fields| fields.ratchet_key = Some(vec![5; 32]),
        |fields| fields.ratchet_key = Some(vec![5; 34]),
        |fields| fields.ratchet_key = Some([vec![5], vec![0; 32]].concat()),
        |fields| fields.counter = None,
        |fields| fields.ciphertext = None,
        |fields| fields.ciphertext = Some(Vec::new()),
        |fields| fields.ciphertext = Some(vec![0; 31]),
    ];
    for (n, damage) in broken.into_iter().enumerate() {
        let mut fields = message_fields();
        damage(&mut fields);
        let error = Message::decode(&message_bytes(0x33, &fields)).unwrap_err();
        assert_eq!(error.reason(), Reason::Malformed, "{n}");
    }
}

#[test]
fn a_pre_key_message_without_a_field_or_with_a_wrong_length_is_refused() {
    let broken: [fn(&mut PreKeyFields); 8] = [
        |fields| fields.one_time_id = Some(1 << 24),
        |fields| fields.base_key = None,
        |fields| fields.base_key = Some(vec![5; 32]),
        |fields| fields.identity_key = None,
        |fields| fields.message = None,
        |fields| fields.message = Some(vec![0x33]),
        |fields| fields.signed_id = None,
        |fields| fields.signed_id = Some(1 << 24),
    ];
    for (n, damage) in broken.into_iter().enumerate() {
        let mut fields = pre_key_fields();
        damage(&mut fields);
        let error = PreKeyMessage::decode(&pre_key_bytes(&fields)).unwrap_err();
        assert_eq!(error.reason(), Reason::Malformed, "{n}");
    }
}

#[test]
fn a_pre_key_message_tells_what_it_was_made_with() {
    let read = PreKeyMessage::decode(&pre_key_bytes(&pre_key_fields())).unwrap();
    assert_eq!(read.one_time_id(), Some(PreKeyId::MAX));
    assert_eq!(read.signed_id().get(), 5);
    assert_eq!(read.registration_id(), 77);
    assert_eq!(read.message().counter(), 3);
    assert_eq!(read.message().previous_counter(), 2);

    let without = PreKeyFields { one_time_id: None, registration_id: None, ..pre_key_fields() };
    let read = PreKeyMessage::decode(&pre_key_bytes(&without)).unwrap();
    assert_eq!(read.one_time_id(), None);
    assert_eq!(read.registration_id(), 0);
}

#[test]
fn a_message_beyond_the_limit_is_refused_unread() {
    let long = vec![0x33; MESSAGE_LEN + 1];
    assert_eq!(Message::decode(&long).unwrap_err().reason(), Reason::Malformed);
    assert_eq!(PreKeyMessage::decode(&long).unwrap_err().reason(), Reason::Malformed);
}
