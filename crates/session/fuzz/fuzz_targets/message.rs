//! A message from the network, for an established session.
#![no_main]

use std::sync::OnceLock;

use fuzzing::{Counting, Scene};
use libfuzzer_sys::fuzz_target;
use session::Message;

fuzz_target!(|data: &[u8]| {
    static SCENE: OnceLock<Option<Scene>> = OnceLock::new();
    let Some(scene) = SCENE.get_or_init(Scene::new) else { return };
    let Ok(message) = Message::decode(data) else { return };
    let Some(record) = scene.record() else { return };
    match record.decrypt(&message, &Counting::from(99)) {
        Ok(_) => assert!(scene.next.iter().any(|genuine| genuine == data)),
        Err((record, _)) => assert_eq!(record.to_bytes().as_slice(), scene.established),
    }
});
