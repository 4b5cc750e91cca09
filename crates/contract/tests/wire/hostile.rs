//! Bytes nobody should send: every parser answers, none panics, the depth scanner agrees with the
//! parser behind it.

use contract::{
    Fields, Number, answer,
    contacts::CheckRequest,
    envelope::InboundContent,
    json,
    login::{self, LoginRequest},
    message::{self, Outgoing, Stored},
    settings::Application,
};
use proptest::prelude::*;
use serde_json::Value;

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Values up to 40 deep whose texts and keys are full of what a naive scanner would count.
fn values() -> impl Strategy<Value = Value> {
    let text = r#"[\[\]{}"\\ax,:]{0,8}"#;
    let leaf = prop_oneof![text.prop_map(Value::from), any::<i64>().prop_map(Value::from)];
    (leaf, prop::collection::vec((any::<bool>(), text), 0..40)).prop_map(|(leaf, wraps)| {
        wraps.into_iter().fold(leaf, |inner, (array, text)| {
            if array {
                Value::from(vec![Value::from(text), inner])
            } else {
                Value::Object([(text, inner)].into_iter().collect())
            }
        })
    })
}

/// JSON in the rough shape of a request: names that parsers know, values of any kind.
fn almost_requests() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "to",
        "type",
        "text",
        "body",
        "context",
        "message_id",
        "preview_url",
        "contacts",
        "blocking",
        "force_check",
        "new_password",
        "webhooks",
        "url",
        "heliograph",
        "jobs",
        "max",
        "media",
        "auto_download",
        "recipient_type",
        "other",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<u32>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["text", "16315551004", "wait", "http://h/"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(names.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn every_parser_answers(bytes: &[u8]) {
    let application = Application::default();
    let refusals = [
        Outgoing::parse(bytes).err(),
        message::validate(bytes).err(),
        CheckRequest::parse(bytes).err(),
        LoginRequest::parse(bytes).err(),
        application.patch(bytes).err(),
        Fields::of_body(bytes).err(),
    ];
    for error in refusals.into_iter().flatten() {
        assert!((1001..=1025).contains(&error.code.get()) || error.code.get() >= 2_000, "{error}");
        assert!(!error.details.is_empty());
        assert!(error.details.chars().count() < 600, "{error}");
        serde_json::from_slice::<Value>(&answer::errors(&[error])).unwrap();
    }
    let _ = Stored::decode(bytes);
    let _ = Application::from_json(bytes);
    let content = InboundContent::parse(bytes);
    assert_eq!(
        content.kind() == "unknown",
        content.object().is_none() && content.kind() != "ephemeral"
    );
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Number::parse(text);
        let _ = login::basic(text);
        let _ = login::basic(&format!("Basic {text}"));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        every_parser_answers(&bytes);
    }

    #[test]
    fn almost_right_requests_never_panic(value in almost_requests()) {
        every_parser_answers(&serde_json::to_vec(&value).unwrap());
    }

    #[test]
    fn cut_requests_never_panic(value in almost_requests(), at in any::<prop::sample::Index>()) {
        let bytes = serde_json::to_vec(&value).unwrap();
        every_parser_answers(&bytes[..at.index(bytes.len())]);
    }

    #[test]
    fn the_depth_scanner_counts_as_the_parser_does(value in values()) {
        let bytes = serde_json::to_vec(&value).unwrap();
        prop_assert_eq!(json::check(&bytes).is_ok(), depth(&value) <= json::MAX_DEPTH);
    }

    #[test]
    fn what_passes_as_canonical_is_what_we_would_write(body in "\\PC{1,40}", preview in any::<bool>()) {
        let request = serde_json::json!({ "to": "16315551004", "text": { "body": body }, "preview_url": preview });
        let outgoing = Outgoing::parse(&serde_json::to_vec(&request).unwrap()).ok().unwrap();
        prop_assert!(message::validate(&outgoing.message).is_ok());
        let stored = Stored::from(outgoing);
        prop_assert!(Stored::decode(&stored.encode()).is_ok_and(|back| back == stored));
    }
}
