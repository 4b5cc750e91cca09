//! `POST /v1/messages`: the request, the canonical message made from it, and how both are stored.
//!
//! The canonical message is the REST object without `to` and `recipient_type` and without what is
//! ignored, in a fixed order of keys: equal requests give equal bytes.

use bytes::Bytes;
use ring::digest;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    error::{ApiError, Code},
    fields::{self, Fields},
    id::MessageId,
    json,
    number::Number,
};

mod stored;

pub use stored::{Stored, StoredError};

/// Most characters (Unicode scalar values) of a text.
pub const MAX_TEXT: usize = 4_096;
/// Most characters of a number as the caller writes it.
pub const MAX_INPUT: usize = 64;

/// Types of the contract that this version refuses.
const LATER: [&str; 11] = [
    "image",
    "audio",
    "video",
    "document",
    "sticker",
    "location",
    "contacts",
    "template",
    "interactive",
    "reaction",
    "hsm",
];
/// Fields clients send that change nothing here: the first is history, the others belong to another
/// API of the same vendor.
const IGNORED: [&str; 3] = ["ttl", "messaging_product", "biz_opaque_callback_data"];

/// What a message is, in the clear beside its envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Category {
    /// A free-form text.
    Text,
}

impl Category {
    /// Its name in the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
        }
    }
}

/// The body of `POST /v1/messages`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageBody {
    /// The recipient: a `wa_id`, or a phone number with country code in any notation.
    #[schema(max_length = 64, example = "+1 631 555 1004")]
    pub to: String,
    /// Individual is all there is.
    #[schema(inline)]
    pub recipient_type: Option<RecipientType>,
    /// Default: `text`.
    #[schema(inline)]
    pub r#type: Option<MessageType>,
    /// The text.
    #[schema(inline)]
    pub text: TextBody,
    /// Show a preview of the first link. Default: false.
    pub preview_url: Option<bool>,
    /// The message this one answers; an id that nobody knows is left out.
    #[schema(inline)]
    pub context: Option<ContextBody>,
    /// History; changes nothing.
    #[schema(value_type = Option<Object>)]
    pub ttl: Option<()>,
    /// Of another API; changes nothing.
    pub messaging_product: Option<String>,
    /// Of another API; changes nothing and is not repeated in callbacks.
    pub biz_opaque_callback_data: Option<String>,
}

/// To whom a message goes.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecipientType {
    /// To one person.
    Individual,
}

/// What a message is.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MessageType {
    /// A free-form text.
    Text,
}

/// `text`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TextBody {
    /// What it says.
    #[schema(min_length = 1, max_length = 4096)]
    pub body: String,
}

/// `context`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContextBody {
    /// Of the quoted message.
    pub message_id: String,
}

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
#[derive(Serialize)]
struct Canonical {
    r#type: &'static str,
    text: Text,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    preview_url: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context>,
}

#[derive(Serialize)]
struct Text {
    body: String,
}

#[derive(Serialize)]
struct Context {
    message_id: String,
}

impl Outgoing {
    /// Reads the body of `POST /v1/messages`.
    ///
    /// # Errors
    /// 1001 text too long, 1002 recipient type, 1008 something is missing, 1009 type or value
    /// (also a `to` that is no number), 1010 unknown field, 1025 no JSON.
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
        let (category, canonical) = content(fields)?;
        let message = json::bytes(&canonical)
            .ok_or_else(|| ApiError::new(Code::INTERNAL, "The message could not be stored"))?;
        Ok(Self { to, input, category, message })
    }
}

/// Checks a canonical message that came from elsewhere, by the rules of [`Outgoing::parse`].
///
/// # Errors
/// As there; `to`, `recipient_type` and ignored fields have no place in it (1010).
pub fn validate(message: &[u8]) -> Result<Category, ApiError> {
    content(Fields::of_body(message)?).map(|(category, _)| category)
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

/// Everything of a message but its recipient.
fn content(mut fields: Fields) -> Result<(Category, Canonical), ApiError> {
    let kind = fields.optional_str("type")?;
    match kind.as_deref() {
        None | Some("text") => {}
        Some(kind) if LATER.contains(&kind) => {
            return Err(ApiError::new(
                Code::INVALID,
                format!("Parameter 'type': '{kind}' is not supported by this version, 'text' is"),
            ));
        }
        Some(kind) => {
            return Err(fields.invalid("type", fields::quoted(kind), "'text'"));
        }
    }
    let text = Text { body: text_body(&mut fields)? };
    let preview_url = fields.optional_bool("preview_url")?.unwrap_or(false);
    let context = context(&mut fields)?;
    fields.finish()?;
    Ok((Category::Text, Canonical { r#type: "text", text, preview_url, context }))
}

fn text_body(fields: &mut Fields) -> Result<String, ApiError> {
    // The wording of the original, which its clients show to people.
    let missing = || ApiError::new(Code::MISSING, "Parameter 'body' is mandatory for type 'text'");
    let mut text = fields.optional_object("text")?.ok_or_else(missing)?;
    let body = text.optional_str("body")?.ok_or_else(missing)?;
    if body.is_empty() {
        return Err(text.invalid(
            "body",
            "an empty text",
            format_args!("a text of 1 to {MAX_TEXT} characters"),
        ));
    }
    if body.len() > MAX_TEXT {
        let chars = body.chars().count();
        if chars > MAX_TEXT {
            return Err(ApiError::new(
                Code::TOO_LONG,
                format!(
                    "Parameter 'text.body' has {chars} characters, allowed are 1 to {MAX_TEXT}"
                ),
            ));
        }
    }
    text.finish()?;
    Ok(body)
}

/// A quoted message. What is no message id cannot be known, and unknown ones are sent unquoted.
fn context(fields: &mut Fields) -> Result<Option<Context>, ApiError> {
    let Some(mut context) = fields.optional_object("context")? else { return Ok(None) };
    let message_id = context.required_str("message_id")?;
    context.finish()?;
    Ok(message_id.parse::<MessageId>().is_ok().then_some(Context { message_id }))
}
