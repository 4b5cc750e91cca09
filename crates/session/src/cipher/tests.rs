use super::{decrypt, encrypt, mac, verify};
use crate::kdf::MessageKeys;
use crate::keys::{IdentityKey, Pair};
use crate::testing::{Dice, hex, hex32};

fn keys() -> MessageKeys {
    MessageKeys {
        cipher: hex32("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"),
        mac: [3; 32],
        iv: hex("000102030405060708090a0b0c0d0e0f").try_into().unwrap(),
    }
}

/// NIST SP 800-38A, F.2.5 and F.2.6; the padding block follows the vector's four.
#[test]
fn the_cipher_is_that_of_sp_800_38a() {
    let plaintext = hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51
                         30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710");
    let ciphertext = hex("f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d
                          39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b");
    let found = encrypt(&keys(), &plaintext).unwrap();
    assert_eq!(found[..64], ciphertext);
    assert_eq!(found.len(), 80);
    assert_eq!(*decrypt(&keys(), &found).unwrap(), plaintext);
}

#[test]
fn every_length_comes_back_and_is_padded() {
    for len in 0..100 {
        let plaintext = vec![0x5a; len];
        let ciphertext = encrypt(&keys(), &plaintext).unwrap();
        assert_eq!(ciphertext.len(), len / 16 * 16 + 16);
        assert_eq!(*decrypt(&keys(), &ciphertext).unwrap(), plaintext);
    }
}

#[test]
fn the_mac_binds_who_wrote_to_whom() {
    let key = |seed| -> IdentityKey { *Pair::generate(&Dice::new(seed)).public() };
    let (alice, bob) = (key(1), key(2));
    let found = mac(&keys(), &alice, &bob, b"body").unwrap();
    assert!(verify(&keys(), &alice, &bob, b"body", &found).is_ok());
    assert!(verify(&keys(), &bob, &alice, b"body", &found).is_err());
    assert!(verify(&keys(), &alice, &bob, b"bode", &found).is_err());
}
