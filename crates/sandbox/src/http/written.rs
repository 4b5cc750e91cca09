//! What a customer may write: each type as webhooks show it, checked so that a test's slip of the pen
//! is told here and not missed at the webhook.

use contract::Number;
use serde_json::{Map, Value};

use super::Problem;

/// What a body asks for.
pub(super) enum Asked {
    /// A message.
    Message,
    /// The customer moves to another number.
    Number(Number),
    /// The phone is set up anew.
    Identity,
}

/// Types, and what must be in the object named like each: a path, and what it is.
const TYPES: [(&str, &[(&str, Kind)]); 15] = [
    ("text", &[("/body", Kind::Text)]),
    ("image", MEDIA),
    ("video", MEDIA),
    ("audio", MEDIA),
    ("voice", MEDIA),
    ("document", MEDIA),
    ("sticker", MEDIA),
    ("location", &[("/latitude", Kind::Number), ("/longitude", Kind::Number)]),
    ("contacts", &[("/0/name", Kind::Object)]),
    ("button", &[("/text", Kind::Text), ("/payload", Kind::Text)]),
    ("interactive", &[("/type", Kind::Text)]),
    ("order", &[("/catalog_id", Kind::Text), ("/product_items/0", Kind::Object)]),
    ("reaction", &[("/message_id", Kind::Text)]),
    ("ephemeral", &[]),
    ("unknown", &[]),
];
/// And `data`, see `attached`.
const MEDIA: &[(&str, Kind)] = &[("/mime_type", Kind::Text)];
/// The same for each `interactive.type`.
const INTERACTIVE: [(&str, &[(&str, Kind)]); 3] = [
    ("button_reply", &[("/id", Kind::Text), ("/title", Kind::Text)]),
    ("list_reply", &[("/id", Kind::Text), ("/title", Kind::Text)]),
    ("nfm_reply", &[("/response_json", Kind::Text)]),
];

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    Object,
}

impl Kind {
    fn is(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Number => value.is_number(),
            Self::Object => value.is_object(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Number => "a number",
            Self::Object => "an object",
        }
    }
}

/// Checks a message.
pub(super) fn check(message: &Map<String, Value>) -> Result<Asked, Problem> {
    let kind = message.get("type").and_then(Value::as_str).unwrap_or_default();
    if kind == "system" {
        return system(message.get("system").unwrap_or(&Value::Null));
    }
    let Some((_, fields)) = TYPES.iter().find(|(known, _)| *known == kind) else {
        let known: Vec<&str> = TYPES.iter().map(|(known, _)| *known).chain(["system"]).collect();
        return Err(Problem::bad(format!("\"type\" is one of {}", known.join(", "))));
    };
    object(kind, message.get(kind).unwrap_or(&Value::Null), fields)?;
    if kind == "interactive" {
        let reply = &message[kind];
        let kind = reply["type"].as_str().unwrap_or_default();
        let Some((_, fields)) = INTERACTIVE.iter().find(|(known, _)| *known == kind) else {
            let known = INTERACTIVE.map(|(known, _)| known).join(", ");
            return Err(Problem::bad(format!("\"interactive.type\" is one of {known}")));
        };
        object(&format!("interactive.{kind}"), &reply[kind], fields)?;
    }
    Ok(Asked::Message)
}

fn object(name: &str, value: &Value, fields: &[(&str, Kind)]) -> Result<(), Problem> {
    for (path, kind) in fields {
        if !value.pointer(path).is_some_and(|value| kind.is(value)) {
            let path = path.replace('/', ".");
            return Err(Problem::bad(format!("\"{name}{path}\" is {}", kind.name())));
        }
    }
    Ok(())
}

/// What no phone can write, but the network tells.
fn system(system: &Value) -> Result<Asked, Problem> {
    match system["type"].as_str() {
        Some("user_changed_number") => {
            let number = system["new_wa_id"].as_str().and_then(|text| Number::parse(text).ok());
            number.map(Asked::Number).ok_or_else(|| {
                Problem::bad("\"system.new_wa_id\" is the customer's number from now on")
            })
        }
        Some("user_identity_changed") => Ok(Asked::Identity),
        _ => Err(Problem::bad("\"system.type\" is user_changed_number or user_identity_changed")),
    }
}
