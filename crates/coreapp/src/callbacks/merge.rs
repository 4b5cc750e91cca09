//! The bodies of several events of one kind as one: their arrays joined, their entries untouched.

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The arrays of a body: top-level keys in their order, and the text between the brackets.
struct Arrays<'a>(Vec<(&'a str, &'a str)>);

/// Joins bodies. A key that only some have (`contacts`) has their entries; each array is in the
/// order of the bodies. `None` when one is no object of arrays: it can only be sent as it is.
pub(super) fn merge<'a>(bodies: impl Iterator<Item = &'a Bytes> + Clone) -> Option<Bytes> {
    let size = bodies.clone().map(Bytes::len).sum();
    let mut joined: Vec<(&str, BytesMut)> = Vec::new();
    for body in bodies {
        // To serde an array can be a struct, too.
        body.starts_with(b"{").then_some(())?;
        let Arrays(arrays) = serde_json::from_slice::<Object<'_>>(body).ok()?.arrays()?;
        for (key, entries) in arrays {
            let place = joined.iter().position(|(known, _)| *known == key);
            let (_, text) = match place {
                Some(place) => joined.get_mut(place)?,
                None => {
                    joined.push((key, BytesMut::with_capacity(size)));
                    joined.last_mut()?
                }
            };
            if !text.is_empty() && !entries.is_empty() {
                text.extend_from_slice(b",");
            }
            text.extend_from_slice(entries.as_bytes());
        }
    }
    let mut out = BytesMut::with_capacity(size);
    for (n, (key, entries)) in joined.iter().enumerate() {
        out.extend_from_slice(if n == 0 { b"{\"" } else { b",\"" });
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":[");
        out.extend_from_slice(entries);
        out.extend_from_slice(b"]");
    }
    out.extend_from_slice(if joined.is_empty() { b"{}" } else { b"}" });
    Some(out.freeze())
}

/// The keys that bodies have; all of them are plain words.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    #[serde(borrow, default)]
    contacts: Option<&'a RawValue>,
    #[serde(borrow, default)]
    messages: Option<&'a RawValue>,
    #[serde(borrow, default)]
    statuses: Option<&'a RawValue>,
    #[serde(borrow, default)]
    errors: Option<&'a RawValue>,
    #[serde(borrow, default)]
    services: Option<&'a RawValue>,
    #[serde(borrow, default)]
    media_items: Option<&'a RawValue>,
}

impl<'a> Object<'a> {
    fn arrays(self) -> Option<Arrays<'a>> {
        let Self { contacts, messages, statuses, errors, services, media_items } = self;
        let keys = [
            ("contacts", contacts),
            ("messages", messages),
            ("statuses", statuses),
            ("errors", errors),
            ("services", services),
            ("media_items", media_items),
        ];
        let mut arrays = Vec::with_capacity(2);
        for (key, value) in keys {
            let Some(value) = value else { continue };
            let entries = value.get().strip_prefix('[')?.strip_suffix(']')?;
            arrays.push((key, entries.trim()));
        }
        Some(Arrays(arrays))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(bodies: &[&'static str]) -> Option<String> {
        let bodies: Vec<_> =
            bodies.iter().map(|body| Bytes::from_static(body.as_bytes())).collect();
        merge(bodies.iter()).map(|body| String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn entries_keep_their_order_and_their_bytes() {
        let one = r#"{"statuses":[{"id":"a","x":1.50}]}"#;
        let two = r#"{"statuses":[ {"id":"b","y":"\u00e4"}, {"id":"c"} ]}"#;
        let both = r#"{"statuses":[{"id":"a","x":1.50},{"id":"b","y":"\u00e4"}, {"id":"c"}]}"#;
        assert_eq!(joined(&[one, two]).as_deref(), Some(both));
        assert_eq!(joined(&[one]).as_deref(), Some(one));
    }

    #[test]
    fn a_key_that_only_some_have_is_kept() {
        let system = r#"{"messages":[{"type":"system"}]}"#;
        let text = r#"{"contacts":[{"wa_id":"1"}],"messages":[{"type":"text"}]}"#;
        let both = r#"{"messages":[{"type":"system"},{"type":"text"}],"contacts":[{"wa_id":"1"}]}"#;
        assert_eq!(joined(&[system, text]).as_deref(), Some(both));
        assert_eq!(
            joined(&[r#"{"errors":[]}"#, r#"{"errors":[1]}"#]).as_deref(),
            Some(r#"{"errors":[1]}"#)
        );
    }

    #[test]
    fn what_is_no_object_of_arrays_is_not_joined() {
        let good = r#"{"statuses":[]}"#;
        for bad in ["", "[]", r#"{"statuses":{}}"#, r#"{"others":[]}"#, r#"{"statuses":[}"#] {
            assert_eq!(joined(&[good, bad]), None, "{bad}");
        }
    }
}
