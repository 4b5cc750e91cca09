//! One parameter of a template: which kinds there are, where each may stand, and what its texts may
//! be.

use serde_json::Value;

use crate::{
    error::{ApiError, Code},
    fields::{self, Fields, longer_than},
    message::{
        date_time, location, media,
        object::{Object, refused},
    },
};

/// Most spaces in a row.
pub(super) const MAX_SPACES: usize = 4;
/// Most characters of what a quick reply gives back.
pub(super) const MAX_PAYLOAD: usize = 1_024;
/// Most characters of what is appended to a button's link.
pub(super) const MAX_SUFFIX: usize = 2_000;
/// Most characters of a code to copy.
pub(super) const MAX_COUPON: usize = 15;

/// Where a parameter stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Header,
    Body,
    QuickReply,
    Url,
    CopyCode,
    /// Catalogue, product list, flow.
    Action,
}

/// Most characters.
#[derive(Clone, Copy)]
pub(super) struct Lengths {
    /// Of each text.
    pub(super) each: usize,
    /// Of all of a component together.
    pub(super) all: usize,
}

/// All kinds.
const KINDS: [&str; 10] = [
    "text",
    "currency",
    "date_time",
    "image",
    "video",
    "document",
    "location",
    "payload",
    "coupon_code",
    "action",
];

impl Place {
    fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Header => &["text", "image", "video", "document", "location"],
            Self::Body => &["text", "currency", "date_time"],
            Self::QuickReply => &["payload"],
            Self::Url => &["text"],
            Self::CopyCode => &["coupon_code"],
            Self::Action => &["action"],
        }
    }
}

/// Reads a parameter whose texts have at most `max` characters.
pub(super) fn read(fields: Fields, place: Place, max: usize) -> Result<Value, ApiError> {
    let mut parameter = Object::new(fields);
    let kind = parameter.fields.required_word("type", &KINDS)?;
    let kind = KINDS.get(kind).copied().unwrap_or_default();
    if !place.kinds().contains(&kind) {
        let path = parameter.fields.path_of("type");
        let allowed = format!("'{}'", place.kinds().join("' or '"));
        let given = fields::quoted(kind);
        return Err(refused(Code::TEMPLATE_PARAM_FORMAT, path, given, allowed));
    }
    parameter.put("type", kind);
    match kind {
        "text" => text(&mut parameter, "text", max)?,
        "payload" => parameter.required_text("payload", MAX_PAYLOAD)?,
        "coupon_code" => text(&mut parameter, "coupon_code", MAX_COUPON)?,
        "currency" => parameter.required_object(kind, |fields| {
            let mut currency = Object::new(fields);
            text(&mut currency, "fallback_value", max)?;
            super::currency_code(&mut currency, "code")?;
            currency.required_amount("amount_1000")?;
            currency.finish()
        })?,
        "date_time" => parameter.required_object(kind, |fields| date(fields, max))?,
        "document" => parameter.required_object(kind, |fields| media::read(fields, media::NAME))?,
        "location" => parameter.required_object(kind, location::read)?,
        "action" => {
            if !parameter.any_object("action")? {
                return Err(parameter.fields.missing("action"));
            }
        }
        _ => parameter.required_object(kind, |fields| media::read(fields, media::NOTHING))?,
    }
    parameter.finish()
}

/// Characters of its text, or of the one shown where the phone cannot do better.
pub(super) fn chars(parameter: &Value) -> usize {
    let text = parameter.get("text").or_else(|| {
        let kind = parameter.get("type")?.as_str()?;
        parameter.get(kind)?.get("fallback_value")
    });
    text.and_then(Value::as_str).map_or(0, |text| text.chars().count())
}

/// The parts beside the fallback, or in one of the two objects older clients used.
fn date(fields: Fields, max: usize) -> Result<Value, ApiError> {
    let mut date = Object::new(fields);
    text(&mut date, "fallback_value", max)?;
    match date.fields.optional_object("component")? {
        Some(component) => {
            if let Value::Object(parts) = date_time::component(component)? {
                for (name, value) in parts {
                    date.put(&name, value);
                }
            }
        }
        None => {
            if !date.object("unix_epoch", date_time::unix_epoch)? {
                date_time::parts(&mut date)?;
            }
        }
    }
    date.finish()
}

/// A text that goes into the template's own.
fn text(of: &mut Object, name: &str, max: usize) -> Result<(), ApiError> {
    let text = of.fields.required_str(name)?;
    let path = || of.fields.path_of(name);
    if text.is_empty() {
        return Err(of.fields.invalid(
            name,
            "an empty text",
            format_args!("1 to {max} characters"),
        ));
    }
    if let Some(chars) = longer_than(&text, max) {
        let given = format!("a text of {chars} characters");
        let allowed = format_args!("a text of 1 to {max} characters");
        return Err(refused(Code::TEMPLATE_PARAM_TOO_LONG, path(), given, allowed));
    }
    let spaces = " ".repeat(MAX_SPACES + 1);
    if text.contains(['\n', '\r', '\t']) || text.contains(&spaces) {
        let allowed = format_args!("no line breaks, no tabs, at most {MAX_SPACES} spaces in a row");
        let given = fields::quoted(&text);
        return Err(refused(Code::TEMPLATE_WHITE_SPACE, path(), given, allowed));
    }
    of.put(name, text);
    Ok(())
}
