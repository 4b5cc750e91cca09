//! A bundle from the network: fields cut from the input in the order of their wire forms.
#![no_main]

use std::sync::OnceLock;

use fuzzing::{Counting, Scene};
use libfuzzer_sys::fuzz_target;
use session::{Bundle, IdentityKey, OneTimePublic, Session, SignedPublic};

fn take<'a>(data: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (head, rest) = data.split_at(len.min(data.len()));
    *data = rest;
    head
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fuzz_target!(|data: &[u8]| {
    static SCENE: OnceLock<Option<Scene>> = OnceLock::new();
    let Some(scene) = SCENE.get_or_init(Scene::new) else { return };
    let mut data = data;
    let registration_id = number(take(&mut data, 4));
    let Ok(identity) = IdentityKey::from_wire(take(&mut data, 33)) else { return };
    let id = number(take(&mut data, 4));
    let (key, signature) = (take(&mut data, 33), take(&mut data, 64));
    let Ok(signed) = SignedPublic::from_wire(id, key, signature) else { return };
    let id = number(take(&mut data, 4));
    let one_time = OneTimePublic::from_wire(id, take(&mut data, 33)).ok();
    let bundle = Bundle { registration_id, identity, signed, one_time };
    let made = Session::initiate(&scene.bob, &bundle, 0, &Counting::from(99));
    // Whatever one-time key comes with it: only the genuine signature is good.
    assert_eq!(made.is_ok(), bundle.verify().is_ok());
    assert!(made.is_err() || bundle.signed.key == scene.bundle.signed.key);
});
