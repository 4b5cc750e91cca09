//! Files that customers send: what their messages say of them, and what callbacks do.
//!
//! In an envelope such a file is an object with `handle`, `mime_type`, `sha256` and `size`, as in those that
//! we send; in a callback it has an `id` of ours in the place of the handle.

use serde_json::{Map, Value};

use super::{MAX_TYPE, MediaId, hex};
use crate::settings::MediaType;

/// Longest name of a file at the network, bytes.
const MAX_HANDLE: usize = 255;
/// Of a file whose own type is none.
const BYTES: &str = "application/octet-stream";
/// Fields that are between phones and the network; an `id` of the customer's would be no file of ours.
const THEIRS: [&str; 4] = ["id", "link", "handle", "size"];

/// A file as a customer's message names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// What it was sent as.
    pub kind: MediaType,
    /// What the network calls it.
    pub handle: String,
    /// Content type; one that a header can carry.
    pub mime: String,
    /// Of its bytes.
    pub sha256: [u8; 32],
    /// Bytes.
    pub size: u64,
}

impl Received {
    /// Where it is to be had, in the form that is stored.
    #[must_use]
    pub fn source(&self) -> String {
        source(self.kind, &self.handle)
    }

    /// Takes what a message says of a file, and leaves what callbacks show of it. `None`: it names no file,
    /// or one that is larger than its type may be.
    pub(crate) fn take(kind: MediaType, object: &mut Map<String, Value>) -> Option<Self> {
        let [_, _, handle, size] = THEIRS.map(|name| object.remove(name));
        let handle = handle.as_ref().and_then(Value::as_str).filter(|handle| is_handle(handle))?;
        let size = size.as_ref().and_then(Value::as_u64)?;
        let sha256 = object.get("sha256").and_then(Value::as_str).and_then(digest)?;
        object.insert("sha256".to_owned(), hex(&sha256).into());
        let mime = object.get("mime_type").and_then(Value::as_str).filter(|mime| is_mime(mime));
        let fits = (1..=kind.max_bytes()).contains(&size);
        fits.then(|| Self {
            kind,
            handle: handle.to_owned(),
            mime: mime.unwrap_or(BYTES).to_owned(),
            sha256,
            size,
        })
    }
}

fn source(kind: MediaType, handle: &str) -> String {
    format!("{} {handle}", kind.as_str())
}

/// What [`Received::source`] gave: the type and the network's name of the file. `None`: it was uploaded.
#[must_use]
pub fn received(source: &[u8]) -> Option<(MediaType, &str)> {
    let (kind, handle) = std::str::from_utf8(source).ok()?.split_once(' ')?;
    Some((MediaType::named(kind)?, handle))
}

/// The files that the callback of a customer's message names: of the message, then of its `referral`.
#[must_use]
pub fn files_of(callback: &[u8]) -> Vec<MediaId> {
    let Ok(callback) = serde_json::from_slice::<Value>(callback) else { return Vec::new() };
    let message = &callback["messages"][0];
    let id = |object: &Value| object["id"].as_str()?.parse().ok();
    let kind = message["type"].as_str().filter(|kind| MediaType::named(kind).is_some());
    let referral = message["referral"].as_object();
    let shown = referral.into_iter().flatten().filter(|(name, _)| MediaType::named(name).is_some());
    let own = kind.and_then(|kind| id(&message[kind]));
    own.into_iter().chain(shown.filter_map(|(_, object)| id(object))).collect()
}

fn is_handle(handle: &str) -> bool {
    (1..=MAX_HANDLE).contains(&handle.len()) && handle.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_mime(mime: &str) -> bool {
    (1..=MAX_TYPE).contains(&mime.len()) && mime.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn take(kind: MediaType, object: &Value) -> (Option<Received>, Value) {
        let mut object = object.as_object().unwrap().clone();
        (Received::take(kind, &mut object), object.into())
    }

    #[test]
    fn a_file_is_taken_and_what_callbacks_show_stays() {
        let sha256 = "0A".repeat(32);
        let (file, left) = take(
            MediaType::Document,
            &json!({"handle": "h-1", "mime_type": "application/pdf", "sha256": sha256, "size": 9,
                "caption": "c", "filename": "f.pdf", "id": "forged", "link": "https://forged"}),
        );
        let file = file.unwrap();
        assert_eq!((&*file.handle, &*file.mime, file.size), ("h-1", "application/pdf", 9));
        assert_eq!((file.sha256, file.kind), ([10; 32], MediaType::Document));
        let shown = json!({"mime_type": "application/pdf", "sha256": "0a".repeat(32),
            "caption": "c", "filename": "f.pdf"});
        assert_eq!(left, shown);
        assert_eq!(received(file.source().as_bytes()), Some((MediaType::Document, "h-1")));
        assert_eq!(received(b""), None);
    }

    #[test]
    fn what_names_no_file_is_none_and_no_word_of_the_customer_is_taken_for_an_id() {
        let good =
            json!({"handle": "h", "mime_type": "image/png", "sha256": "00".repeat(32), "size": 1});
        assert!(take(MediaType::Image, &good).0.is_some());
        for (name, value) in [
            ("handle", json!("")),
            ("handle", json!("a b")),
            ("handle", json!("h".repeat(256))),
            ("handle", Value::Null),
            ("sha256", json!("e8e8ff")),
            ("sha256", json!("+0".repeat(32))),
            ("sha256", json!("ü".repeat(32))),
            ("size", json!(0)),
            ("size", json!(-1)),
            ("size", json!("1")),
            ("size", json!(5 * 1024 * 1024 + 1)),
        ] {
            let mut bad = good.clone();
            bad[name] = value;
            bad["id"] = json!("f043afd0-f0ae-4b9c-ab3d-696fb4c8cd68");
            let (file, left) = take(MediaType::Image, &bad);
            assert_eq!(file, None, "{name}: {bad}");
            assert!(left.get("id").is_none() && left.get("handle").is_none(), "{left}");
        }
        let odd =
            json!({"handle": "h", "mime_type": "image/\n", "sha256": "00".repeat(32), "size": 1});
        assert_eq!(take(MediaType::Image, &odd).0.unwrap().mime, BYTES);
    }
}
