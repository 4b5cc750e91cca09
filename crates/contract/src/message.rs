//! `POST /v1/messages`: the request, the canonical message made from it, and how both are stored.
//!
//! The canonical message is the REST object without `to` and `recipient_type` and without what is
//! ignored, in a fixed order of keys: equal requests give equal bytes.

use bytes::Bytes;
use ring::digest;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use crate::{
    error::{ApiError, Code},
    fields::{self, Fields},
    id::MessageId,
    json,
    number::Number,
    route::Route,
};

mod body;
mod category;
mod contacts;
mod date_time;
mod hsm;
mod interactive;
mod language;
mod location;
mod media;
mod object;
mod reaction;
mod read_mark;
mod stored;
mod template;
mod text;

pub use body::{MessageBody, ReadMarkBody};
pub use category::Category;
pub use media::MAX_MEDIA_ID;
pub use read_mark::check_read_mark;
pub use stored::{Stored, StoredError};

pub(crate) use language::is_code as is_language;
pub(crate) use template::{
    MAX_BODY_ALONE as MAX_TEMPLATE_BODY, MAX_HEADER as MAX_TEMPLATE_HEADER,
    MAX_NAME as MAX_TEMPLATE_NAME, MAX_NAMESPACE as MAX_TEMPLATE_NAMESPACE,
    MAX_PARAMETER as MAX_TEMPLATE_PARAMETER, is_name as is_template_name,
};

/// Most characters (Unicode scalar values) of a text.
pub const MAX_TEXT: usize = 4_096;
/// Longest canonical message, bytes: a phone's devices get it in one frame. Longer → 1001.
pub const MAX_MESSAGE: usize = 128 << 10;
/// Most characters of a number as the caller writes it.
pub const MAX_INPUT: usize = 64;

/// Fields clients send that change nothing here: the first is history, the others belong to another
/// API of the same vendor.
const IGNORED: [&str; 3] = ["ttl", "messaging_product", "biz_opaque_callback_data"];

/// A message to be sent, checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The recipient as dialled.
    pub to: Number,
    /// `to` as the caller wrote it; callbacks repeat it.
    pub input: String,
    /// What kind of message it is.
    pub category: Category,
    /// The canonical message.
    pub message: Bytes,
}

/// The canonical message. The order of fields is part of the form.
struct Canonical {
    category: Category,
    /// What the field named like the type holds.
    object: Value,
    preview_url: bool,
    /// Id of the quoted message.
    context: Option<String>,
}

impl Serialize for Canonical {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kind = self.category.as_str();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", kind)?;
        map.serialize_entry(kind, &self.object)?;
        if self.preview_url {
            map.serialize_entry("preview_url", &true)?;
        }
        if let Some(message_id) = &self.context {
            map.serialize_entry("context", &Context { message_id })?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Context<'a> {
    message_id: &'a str,
}

impl Outgoing {
    /// Reads the body of `POST /v1/messages`.
    ///
    /// # Errors
    /// 1001 too long, 1002 recipient type, 1008 something is missing, 1009 type or value (also a `to`
    /// that is no number), 1010 unknown field, 1025 no JSON; of templates and interactive messages
    /// those of the 2000 family.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        Self::read(Fields::of_body(body)?)
    }

    /// Reads a message from its fields.
    ///
    /// # Errors
    /// As [`Outgoing::parse`].
    pub(crate) fn read(mut fields: Fields) -> Result<Self, ApiError> {
        for name in IGNORED {
            fields.take(name);
        }
        recipient_type(&mut fields)?;
        let input = fields.required_str("to")?;
        let to = number(&fields, &input)?;
        let canonical = content(fields, Some(&to))?;
        let message = json::bytes(&canonical)
            .ok_or_else(|| ApiError::new(Code::INTERNAL, "The message could not be stored"))?;
        bounded(message.len())?;
        Ok(Self { to, input, category: canonical.category, message })
    }
}

/// Checks a canonical message that came from elsewhere, by the rules of [`Outgoing::parse`].
///
/// # Errors
/// As there; `to`, `recipient_type` and ignored fields have no place in it (1010).
pub fn validate(message: &[u8]) -> Result<Category, ApiError> {
    bounded(message.len())?;
    content(Fields::of_body(message)?, None).map(|canonical| canonical.category)
}

fn bounded(bytes: usize) -> Result<(), ApiError> {
    if bytes <= MAX_MESSAGE {
        return Ok(());
    }
    let details = format!("The message has {bytes} bytes, allowed are {MAX_MESSAGE}");
    Err(ApiError::new(Code::TOO_LONG, details))
}

/// SHA-256 of a stored message: tells a repeated call from a clash of keys.
#[must_use]
pub fn body_hash(stored: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, stored).as_ref());
    out
}

fn recipient_type(fields: &mut Fields) -> Result<(), ApiError> {
    match fields.take("recipient_type") {
        None => Ok(()),
        Some(value) if value == "individual" => Ok(()),
        Some(value) => Err(ApiError::new(
            Code::RECIPIENT_TYPE,
            format!(
                "Parameter 'recipient_type': given was {}, allowed is 'individual'",
                fields::shown(&value)
            ),
        )),
    }
}

fn number(fields: &Fields, input: &str) -> Result<Number, ApiError> {
    if input.chars().nth(MAX_INPUT).is_some() {
        return Err(fields.invalid(
            "to",
            fields::quoted(input),
            format_args!("a phone number of at most {MAX_INPUT} characters"),
        ));
    }
    Number::parse(input).map_err(|error| {
        fields.invalid(
            "to",
            fields::quoted(input),
            format_args!("a phone number with country code ({error})"),
        )
    })
}

/// Everything of a message but its recipient, who is only looked at, where known.
fn content(mut fields: Fields, to: Option<&Number>) -> Result<Canonical, ApiError> {
    let names = Category::ALL.map(Category::as_str);
    let category = match fields.optional_word("type", &names)? {
        None => Category::Text,
        Some(place) => Category::ALL.get(place).copied().unwrap_or(Category::Text),
    };
    let object = object(category, &mut fields)?;
    // Only texts have previews; other types may say so.
    let preview_url = fields.optional_bool("preview_url")?.unwrap_or(false);
    let preview_url = preview_url && category == Category::Text;
    let context = context(&mut fields, to)?;
    fields.finish()?;
    Ok(Canonical { category, object, preview_url, context })
}

/// The field named like the type.
fn object(category: Category, fields: &mut Fields) -> Result<Value, ApiError> {
    let name = category.as_str();
    let missing = || match category {
        Category::Text => text::missing(),
        _ => {
            let details = format!("Parameter '{name}' is mandatory for type '{name}'");
            ApiError::new(Code::MISSING, details)
        }
    };
    if category == Category::Contacts {
        let cards = fields.optional_items(name)?.ok_or_else(missing)?;
        return contacts::read(cards.into_iter().collect::<Result<_, _>>()?);
    }
    let object = fields.optional_object(name)?.ok_or_else(missing)?;
    match category {
        Category::Text => text::read(object),
        Category::Image | Category::Video => media::read(object, media::CAPTION),
        Category::Document => media::read(object, media::CAPTION_AND_NAME),
        Category::Audio | Category::Sticker => media::read(object, media::NOTHING),
        Category::Location => location::read(object),
        Category::Contacts => contacts::read(vec![object]),
        Category::Template => template::read(object),
        Category::Interactive => interactive::read(object),
        Category::Reaction => reaction::read(object),
        Category::Hsm => hsm::read(object),
    }
}

/// A quoted message, unless it cannot be one of this conversation: what is no message id, or is that
/// of a message with somebody else, is left out, and the message is sent unquoted. Whether there is
/// a message with this id is not looked up.
fn context(fields: &mut Fields, to: Option<&Number>) -> Result<Option<String>, ApiError> {
    let Some(mut context) = fields.optional_object("context")? else { return Ok(None) };
    let message_id = context.required_str("message_id")?;
    context.finish()?;
    let id = message_id.parse::<MessageId>();
    let theirs = id.is_ok_and(|id| to.is_none_or(|to| Route::of(to) == Route::of(&id.number)));
    Ok(theirs.then_some(message_id))
}
