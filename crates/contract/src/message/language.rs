//! `language` of a template.

use serde_json::Value;

use super::object::Object;
use crate::{
    error::ApiError,
    fields::{self, Fields},
};

/// `{"policy":…,"code":"en_US"}`; the first of `policies` when none is given.
pub(super) fn read(fields: Fields, policies: &[&str]) -> Result<Value, ApiError> {
    let mut language = Object::new(fields);
    language.word_or_first("policy", policies)?;
    let code = language.fields.required_str("code")?;
    if !is_code(&code) {
        let allowed = "a language, such as 'en' or 'en_US'";
        return Err(language.fields.invalid("code", fields::quoted(&code), allowed));
    }
    language.put("code", code);
    language.finish()
}

/// A language, or one of a country.
pub(crate) fn is_code(code: &str) -> bool {
    let (language, country) = code.split_once('_').unwrap_or((code, "XX"));
    matches!(language.len(), 2 | 3)
        && language.bytes().all(|byte| byte.is_ascii_lowercase())
        && country.len() == 2
        && country.bytes().all(|byte| byte.is_ascii_uppercase())
}
