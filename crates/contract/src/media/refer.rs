//! The files that a message refers to, and the same message as phones get it.
//!
//! Wherever an object called `image`, `audio`, … has an `id` or a `link` it stands for a file: in the
//! message itself, in a header, in a parameter of a template. A phone gets instead what the network calls
//! the file, and what it is.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::settings::MediaType;

/// What flows, catalogues and payments hold is theirs, whatever it is called; it names no file.
const OPAQUE: &str = "action";
/// Texts refer to nothing; most messages are texts, so that is told without reading them.
const TEXT: &[u8] = br#"{"type":"text""#;

/// A file that a message refers to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// What it is sent as.
    pub kind: MediaType,
    /// Where it is.
    pub source: Source,
}

/// Where a file is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Uploaded; the id as it was given.
    Upload(String),
    /// To be fetched.
    Link {
        /// http or https.
        url: String,
        /// Whose credentials it is fetched with.
        provider: Option<String>,
    },
}

/// A file as a phone gets to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What the network calls it.
    pub handle: String,
    /// Content type.
    pub mime: String,
    /// Of its bytes.
    pub sha256: [u8; 32],
    /// Bytes.
    pub size: u64,
}

/// May this message refer to files?
#[must_use]
pub fn may_refer(message: &[u8]) -> bool {
    !message.starts_with(TEXT)
}

/// The files that a canonical message refers to, in its order.
#[must_use]
pub fn references(message: &[u8]) -> Vec<Reference> {
    if !may_refer(message) {
        return Vec::new();
    }
    let mut found = Vec::new();
    if let Ok(mut value) = serde_json::from_slice(message) {
        visit(&mut value, &mut |kind, file| found.extend(reference(kind, file)));
    }
    found
}

/// The message with its files as phones get to know them; `sent` in the order of [`references`].
/// `None` when they are fewer.
#[must_use]
pub fn resolved(message: &[u8], sent: &[Sent]) -> Option<Bytes> {
    let mut value = serde_json::from_slice(message).ok()?;
    let (mut sent, mut all) = (sent.iter(), true);
    visit(&mut value, &mut |kind, file| {
        if reference(kind, file).is_none() {
            return;
        }
        let Some(sent) = sent.next() else {
            all = false;
            return;
        };
        for name in ["id", "link", "provider"] {
            file.remove(name);
        }
        file.insert("handle".to_owned(), sent.handle.as_str().into());
        file.insert("mime_type".to_owned(), sent.mime.as_str().into());
        file.insert("sha256".to_owned(), hex(&sent.sha256).into());
        file.insert("size".to_owned(), sent.size.into());
    });
    let message = serde_json::to_vec(&value).ok()?;
    all.then(|| message.into())
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn visit(value: &mut Value, each: &mut impl FnMut(MediaType, &mut Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                match (MediaType::named(name), value) {
                    (None, _) if name == OPAQUE => {}
                    (Some(kind), Value::Object(file)) if named(file).is_some() => each(kind, file),
                    (_, value) => visit(value, each),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| visit(item, each)),
        _ => {}
    }
}

/// `id` or `link`, whichever there is.
fn named(file: &Map<String, Value>) -> Option<(&'static str, &str)> {
    ["id", "link"].into_iter().find_map(|name| Some((name, file.get(name)?.as_str()?)))
}

fn reference(kind: MediaType, file: &Map<String, Value>) -> Option<Reference> {
    let source = match named(file)? {
        ("id", id) => Source::Upload(id.to_owned()),
        (_, url) => {
            let provider = file.get("provider").and_then(|provider| provider["name"].as_str());
            Source::Link { url: url.to_owned(), provider: provider.map(str::to_owned) }
        }
    };
    Some(Reference { kind, source })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sent(n: u8) -> Sent {
        Sent {
            handle: format!("h{n}"),
            mime: "image/png".to_owned(),
            sha256: [n; 32],
            size: n.into(),
        }
    }

    #[test]
    fn what_a_flow_or_an_order_holds_names_no_file() {
        let message = br#"{"type":"interactive","interactive":{"type":"flow","header":{"type":"image","image":{"id":"1"}},
            "action":{"parameters":{"flow_action_payload":{"data":{"image":{"id":"2"}}}}}}}"#;
        let found = references(message);
        assert!(matches!(&found[..], [Reference { source: Source::Upload(id), .. }] if id == "1"));
    }

    #[test]
    fn files_are_found_wherever_a_message_may_have_them() {
        let message = json!({
            "type": "template",
            "template": {"components": [
                {"type": "header", "parameters": [{"type": "image", "image":
                    {"link": "https://cdn/1.png", "provider": {"name": "cdn"}}}]},
                {"type": "header", "parameters": [{"type": "video", "video": {"id": "v"}}]},
            ]},
        });
        let message = message.to_string();
        let found = references(message.as_bytes());
        let link =
            Source::Link { url: "https://cdn/1.png".to_owned(), provider: Some("cdn".to_owned()) };
        assert_eq!(
            found,
            [
                Reference { kind: MediaType::Image, source: link },
                Reference { kind: MediaType::Video, source: Source::Upload("v".to_owned()) },
            ]
        );
        let resolved = resolved(message.as_bytes(), &[sent(1), sent(2)]).unwrap();
        let resolved: Value = serde_json::from_slice(&resolved).unwrap();
        let image = &resolved["template"]["components"][0]["parameters"][0]["image"];
        assert_eq!(
            image,
            &json!({
                "handle": "h1", "mime_type": "image/png", "sha256": "01".repeat(32), "size": 1,
            })
        );
        assert_eq!(resolved["template"]["components"][1]["parameters"][0]["video"]["handle"], "h2");
    }

    #[test]
    fn what_stands_beside_a_file_stays() {
        let message = br#"{"type":"document","document":{"id":"d","caption":"c","filename":"f"}}"#;
        let resolved = resolved(message, &[sent(3)]).unwrap();
        let resolved: Value = serde_json::from_slice(&resolved).unwrap();
        let document = &resolved["document"];
        assert_eq!((&document["caption"], &document["filename"]), (&json!("c"), &json!("f")));
        assert!(document.get("id").is_none());
        assert_eq!(super::resolved(message, &[]), None);
    }

    #[test]
    fn what_only_looks_like_a_file_is_none() {
        for message in [
            json!({"type": "text", "text": {"body": "{\"image\":{\"id\":\"1\"}}"}}),
            json!({"type": "interactive", "interactive": {"action": {"sections": [
                {"rows": [{"id": "image", "title": "t"}]}]}}}),
            json!({"type": "contacts", "contacts": [{"urls": [{"url": "u"}], "image": "x"}]}),
        ] {
            assert_eq!(references(message.to_string().as_bytes()), [], "{message}");
        }
        assert!(!may_refer(br#"{"type":"text","text":{"body":"x"}}"#));
        assert_eq!(references(b"no json"), []);
    }
}
