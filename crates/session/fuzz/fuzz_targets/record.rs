//! A stored record: what reads is written back byte for byte, and does not panic when used.
#![no_main]

use std::sync::OnceLock;

use fuzzing::{Counting, Scene};
use libfuzzer_sys::fuzz_target;
use session::{Message, Record};

fuzz_target!(|data: &[u8]| {
    static MESSAGES: OnceLock<Vec<Message>> = OnceLock::new();
    let messages = MESSAGES.get_or_init(|| {
        let scene = Scene::new();
        let bytes = scene.into_iter().flat_map(|scene| scene.next);
        bytes.filter_map(|bytes| Message::decode(&bytes).ok()).collect()
    });
    let Ok(record) = Record::from_bytes(data) else { return };
    assert_eq!(record.to_bytes().as_slice(), data);
    let mut record = match record.encrypt(b"text") {
        Ok((record, _)) | Err((record, _)) => record,
    };
    for message in messages {
        record = match record.decrypt(message, &Counting::from(99)) {
            Ok((record, _)) | Err((record, _)) => record,
        };
    }
    assert!(Record::from_bytes(&record.to_bytes()).is_ok());
});
