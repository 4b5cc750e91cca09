use super::*;
use crate::error::RecordError;
use crate::testing::Dice;

#[test]
fn only_the_wire_form_of_a_key_is_read() {
    let key = *Pair::<role::Ratchet>::generate(&Dice::new(1)).public();
    let wire = key.to_wire();
    assert_eq!(RatchetKey::from_wire(&wire), Ok(key));
    assert_eq!(RatchetKey::from_wire(&wire[..32]), Err(KeyError::Length));
    assert_eq!(RatchetKey::from_wire(&[wire.as_slice(), &[0]].concat()), Err(KeyError::Length));
    assert_eq!(RatchetKey::from_wire(&[]), Err(KeyError::Length));
    let mut other_type = wire;
    other_type[0] = 0x06;
    assert_eq!(RatchetKey::from_wire(&other_type), Err(KeyError::Type));
}

#[test]
fn a_second_encoding_of_a_key_is_refused() {
    let key = *Pair::<role::Identity>::generate(&Dice::new(2)).public();
    let mut top_bit = key.to_wire();
    top_bit[32] |= 0x80;
    assert_eq!(IdentityKey::from_wire(&top_bit), Err(KeyError::NonCanonical));

    // 2^255 − 19 + 9 names the base point a second time.
    let mut second = [0xff; 32];
    second[0] = 0xed + 9;
    second[31] = 0x7f;
    assert_eq!(IdentityKey::from_stored(&second), Err(KeyError::NonCanonical));
    // The highest canonical value is p − 1, refused for its order alone; p − 2 is fine.
    second[0] = 0xec;
    assert_eq!(IdentityKey::from_stored(&second), Err(KeyError::LowOrder));
    second[0] = 0xeb;
    assert!(IdentityKey::from_stored(&second).is_ok());
}

#[test]
fn own_keys_survive_their_stored_form_and_damage_is_seen() {
    let rng = Dice::new(3);
    let me = Identity::generate(&rng);
    let signed = SignedPreKey::generate(&me, PreKeyId::new(5).unwrap(), &rng);
    let one_time = OneTimePreKey::generate(PreKeyId::MAX, &rng);

    let again = Identity::from_bytes(&me.to_bytes()).unwrap();
    assert_eq!(again.key(), me.key());
    assert_eq!(again.registration_id(), me.registration_id());
    assert_eq!(again.pair().secret().as_bytes(), me.pair().secret().as_bytes());
    assert_eq!(SignedPreKey::from_bytes(&signed.to_bytes()).unwrap().public(), signed.public());
    let again = OneTimePreKey::from_bytes(&one_time.to_bytes()).unwrap();
    assert_eq!(again.public(), one_time.public());

    let stored = one_time.to_bytes();
    let damaged = |bytes: &[u8]| OneTimePreKey::from_bytes(bytes).unwrap_err();
    assert_eq!(damaged(&stored[..stored.len() - 1]), RecordError::Damaged);
    assert_eq!(damaged(&[stored.as_slice(), &[0]].concat()), RecordError::Damaged);
    assert_eq!(damaged(&[]), RecordError::Damaged);
    assert_eq!(damaged(&[2]), RecordError::Version);
}

#[test]
fn registration_ids_are_from_1_to_14_bits() {
    for seed in 0..200 {
        let id = Identity::generate(&Dice::new(seed)).registration_id();
        assert!((1..=Identity::REGISTRATION_ID_MAX).contains(&id));
    }
}
