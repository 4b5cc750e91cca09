//! A pre-key message from the network, for a device with a session and for one without.
#![no_main]

use std::sync::OnceLock;

use fuzzing::{Counting, Scene};
use libfuzzer_sys::fuzz_target;
use session::{PreKeyMessage, Record};

fuzz_target!(|data: &[u8]| {
    static SCENE: OnceLock<Option<Scene>> = OnceLock::new();
    let Some(scene) = SCENE.get_or_init(Scene::new) else { return };
    let Ok(message) = PreKeyMessage::decode(data) else { return };
    for record in [Some(Record::default()), scene.record()].into_iter().flatten() {
        let before = record.to_bytes();
        match record.accept(&scene.bob, &message, &scene.keys, &Counting::from(99)) {
            Ok(accepted) => assert_eq!(accepted.plaintext.as_bytes(), b"first"),
            Err((record, _)) => assert_eq!(record.to_bytes(), before),
        }
    }
});
