//! `POST /v1/contacts`: the request and the answer.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::{
    answer,
    error::ApiError,
    fields::{self, Fields},
    message::MAX_INPUT,
    number::Number,
};

/// Most numbers in one call. More → 1009.
pub const MAX_CONTACTS: usize = 10_000;

/// A contact check.
pub struct CheckRequest {
    /// Numbers as the caller wrote them, answered in this order.
    pub inputs: Vec<String>,
    /// Answer only when all are known.
    pub wait: bool,
    /// Ask the network even when the answer is cached.
    pub force: bool,
}

impl CheckRequest {
    /// Reads the body of `POST /v1/contacts`. What is no number is no error here: it is answered
    /// as `invalid` in its place.
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
        let inputs = contacts
            .into_iter()
            .enumerate()
            .map(|(at, value)| match value {
                Value::String(text) if text.chars().nth(MAX_INPUT).is_none() => Ok(text),
                other => Err(fields.invalid(
                    &format!("contacts[{at}]"),
                    fields::shown(&other),
                    format_args!("a text of at most {MAX_INPUT} characters"),
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
        Ok(Self { inputs, wait, force })
    }
}

/// What is known of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
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
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct ContactEntry {
    /// As the caller wrote it.
    pub input: String,
    /// What is known.
    pub status: ContactStatus,
    /// The number's id on the network, when known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wa_id: Option<Number>,
}

/// `{"contacts":[…],"meta":…}`, one entry per input in the order of the inputs.
#[must_use]
pub fn answer(entries: &[ContactEntry]) -> Bytes {
    answer::resource("contacts", &entries)
}
