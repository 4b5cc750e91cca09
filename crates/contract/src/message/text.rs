//! `text`: words, 1 to [`MAX_TEXT`] characters.

use serde_json::Value;

use super::{MAX_TEXT, object::Object};
use crate::{
    error::{ApiError, Code},
    fields::{Fields, longer_than},
};

/// The wording of the original, which its clients show to people.
pub(super) fn missing() -> ApiError {
    ApiError::new(Code::MISSING, "Parameter 'body' is mandatory for type 'text'")
}

pub(super) fn read(fields: Fields) -> Result<Value, ApiError> {
    let mut text = Object::new(fields);
    let body = text.fields.optional_str("body")?.ok_or_else(missing)?;
    if body.is_empty() {
        return Err(text.fields.invalid(
            "body",
            "an empty text",
            format_args!("a text of 1 to {MAX_TEXT} characters"),
        ));
    }
    if let Some(chars) = longer_than(&body, MAX_TEXT) {
        return Err(ApiError::new(
            Code::TOO_LONG,
            format!("Parameter 'text.body' has {chars} characters, allowed are 1 to {MAX_TEXT}"),
        ));
    }
    text.put("body", body);
    text.finish()
}
