//! `POST /v1/contacts` and what is below `/v1/contacts/{number}`: the requests and the answers.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    answer::{self, Meta},
    error::ApiError,
    fields::{self, Fields, longer_than},
    message::MAX_INPUT,
    number::Number,
};

mod standing;

pub use standing::{BlockBody, MAX_REASON, ReportBody, ReportRequest, block, unblock};

/// Most numbers in one call. More → 1009.
pub const MAX_CONTACTS: usize = 10_000;
/// Most characters of an entry that is answered, as `invalid` beyond [`MAX_INPUT`]. More → 1009.
pub const MAX_ENTRY: usize = 1_024;
/// Most characters of an identity's hash. More → 1009.
pub const MAX_HASH: usize = 64;

/// The body of a contact check.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckBody {
    /// Numbers in any notation, with country code. What is no number is answered as `invalid`.
    #[schema(min_items = 1, max_items = 10_000, example = json!(["+1 631 555 1001"]))]
    pub contacts: Vec<String>,
    /// `wait`: answer when all are known, after 30 s at the latest; `no_wait` (the default): at once.
    #[schema(inline)]
    pub blocking: Option<Blocking>,
    /// Ask the network even when the answer is cached. Default: false.
    pub force_check: Option<bool>,
}

/// When a contact check answers.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Blocking {
    /// When all are known.
    Wait,
    /// At once.
    NoWait,
}

/// The answer to a contact check.
#[derive(ToSchema)]
pub struct CheckAnswer {
    /// One entry per number, in the order of the request.
    pub contacts: Vec<ContactEntry>,
    /// As in every answer.
    pub meta: Meta,
}

/// A contact check.
pub struct CheckRequest {
    /// Numbers as the caller wrote them, answered in this order. An empty text, which is no number,
    /// stands for what is in `too_long`.
    pub inputs: Vec<String>,
    /// What is longer than a number may be, with its place among the inputs: nobody need be asked.
    pub too_long: Vec<(usize, String)>,
    /// Answer only when all are known.
    pub wait: bool,
    /// Ask the network even when the answer is cached.
    pub force: bool,
}

impl CheckRequest {
    /// Reads the body of `POST /v1/contacts`. What is no number, or too long to be one, is no error
    /// here: it is answered as `invalid` in its place.
    ///
    /// # Errors
    /// 1008 without `contacts`, 1009 type, value or length, 1010 unknown field, 1025 no JSON.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let contacts =
            fields.optional_array("contacts")?.ok_or_else(|| fields.missing("contacts"))?;
        if !(1..=MAX_CONTACTS).contains(&contacts.len()) {
            return Err(fields.invalid(
                "contacts",
                format_args!("an array of {} entries", contacts.len()),
                format_args!("an array of 1 to {MAX_CONTACTS} entries"),
            ));
        }
        let mut too_long = Vec::new();
        let inputs = contacts
            .into_iter()
            .enumerate()
            .map(|(at, value)| match value {
                Value::String(text) if longer_than(&text, MAX_INPUT).is_none() => Ok(text),
                Value::String(text) if longer_than(&text, MAX_ENTRY).is_none() => {
                    too_long.push((at, text));
                    Ok(String::new())
                }
                other => Err(fields.invalid(
                    &format!("contacts[{at}]"),
                    fields::shown(&other),
                    format_args!("a text of at most {MAX_ENTRY} characters"),
                )),
            })
            .collect::<Result<_, _>>()?;
        let wait = match fields.optional_str("blocking")?.as_deref() {
            None | Some("no_wait") => false,
            Some("wait") => true,
            Some(other) => {
                return Err(fields.invalid(
                    "blocking",
                    fields::quoted(other),
                    "'wait' or 'no_wait'",
                ));
            }
        };
        let force = fields.optional_bool("force_check")?.unwrap_or(false);
        fields.finish()?;
        Ok(Self { inputs, too_long, wait, force })
    }
}

/// What is known of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ContactStatus {
    /// It has an account.
    Valid,
    /// It has none, or is no number.
    Invalid,
    /// Asked for; ask again.
    Processing,
    /// The look-up failed.
    Failed,
}

/// One entry of the answer.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ContactEntry {
    /// As the caller wrote it.
    pub input: String,
    /// What is known.
    pub status: ContactStatus,
    /// The number's id on the network, when known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "16315551001")]
    pub wa_id: Option<Number>,
}

/// `{"contacts":[…],"meta":…}`, one entry per input in the order of the inputs.
#[must_use]
pub fn answer(entries: &[ContactEntry]) -> Bytes {
    answer::resource("contacts", &entries)
}

/// Reads the number of a path, in any notation; `name` is what the path calls it.
///
/// # Errors
/// 1009 when it is no number or longer than [`MAX_INPUT`].
pub fn of_path(name: &str, text: &str) -> Result<Number, ApiError> {
    let refused = |allowed: &dyn std::fmt::Display| {
        fields::invalid(name, fields::quoted(text), format_args!("a phone number {allowed}"))
    };
    if text.chars().nth(MAX_INPUT).is_some() {
        return Err(refused(&format_args!("of at most {MAX_INPUT} characters")));
    }
    Number::parse(text).map_err(|error| refused(&format_args!("with country code ({error})")))
}

/// The body of an acknowledgement.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AckBody {
    /// The latest hash, as `GET` or the callback gave it.
    #[schema(max_length = 64, example = "UKD6Y/5SqDU=")]
    pub hash: String,
}

/// What is known of a contact's identity.
#[derive(ToSchema)]
pub struct IdentityAnswer {
    /// An object here, where the contact check has an array.
    pub contacts: Identity,
    /// As in every answer.
    pub meta: Meta,
}

/// An acknowledgement of a contact's identity.
pub struct AckRequest {
    /// The hash that was seen.
    pub hash: String,
}

impl AckRequest {
    /// Reads the body of `PUT /v1/contacts/{wa_id}/identity`.
    ///
    /// # Errors
    /// 1008 without `hash`, 1009 type or length, 1010 unknown field, 1025 no JSON.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let hash = fields.required_str("hash")?;
        if hash.chars().nth(MAX_HASH).is_some() {
            return Err(fields.invalid(
                "hash",
                fields::quoted(&hash),
                format_args!("a text of at most {MAX_HASH} characters"),
            ));
        }
        fields.finish()?;
        Ok(Self { hash })
    }
}

/// What is known of a contact's identity key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Identity {
    /// Of the latest key.
    pub hash: String,
    /// When it was first seen, Unix milliseconds.
    #[serde(rename = "created_timestamp")]
    pub created_ms: i64,
    /// Has the business acknowledged it?
    pub acknowledged: bool,
}

/// `{"contacts":{…},"meta":…}`: an object here, where the check has an array.
#[must_use]
pub fn identity(identity: &Identity) -> Bytes {
    answer::resource("contacts", identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_an_object_with_milliseconds_and_a_boolean() {
        let known = Identity {
            hash: "UKD6Y/5SqDU=".to_owned(),
            created_ms: 1_600_132_094_000,
            acknowledged: true,
        };
        let body = concat!(
            r#"{"contacts":{"hash":"UKD6Y/5SqDU=","created_timestamp":1600132094000,"#,
            r#""acknowledged":true},"meta":{"version":"2.53.0","api_status":"stable"}}"#
        );
        assert_eq!(identity(&known), body);
    }

    #[test]
    fn an_acknowledgement_is_refused_by_field() {
        let long = format!(r#"{{"hash":"{}"}}"#, "x".repeat(MAX_HASH + 1));
        for (body, code, word) in [
            ("", 1025, "JSON"),
            ("{}", 1008, "'hash'"),
            (r#"{"hash":null}"#, 1008, "'hash'"),
            (r#"{"hash":7}"#, 1009, "a text"),
            (&*long, 1009, "at most 64"),
            (r#"{"hash":"x","surplus":1}"#, 1010, "'surplus'"),
        ] {
            let error = AckRequest::parse(body.as_bytes()).err().unwrap();
            assert_eq!((error.code.get(), error.status()), (code, 400), "{body}: {error}");
            assert!(error.details.contains(word), "{body}: {error}");
        }
        let longest = "é".repeat(MAX_HASH);
        let parsed = AckRequest::parse(format!(r#"{{"hash":"{longest}"}}"#).as_bytes());
        assert_eq!(parsed.unwrap().hash, longest);
    }

    #[test]
    fn a_wa_id_comes_in_any_notation_and_is_named_when_it_is_none() {
        assert_eq!(of_path("wa_id", "+1 (631) 555-1004").unwrap().as_str(), "16315551004");
        let long = " ".repeat(MAX_INPUT) + "16315551004";
        for (text, word) in [("customer", "'customer'"), ("12", "5 to 15"), (&long, "at most 64")] {
            let error = of_path("wa_id", text).unwrap_err();
            assert_eq!((error.code.get(), error.status()), (1009, 400));
            assert!(error.details.contains("'wa_id'") && error.details.contains(word), "{error}");
        }
    }
}
