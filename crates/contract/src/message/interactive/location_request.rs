//! Asks for the customer's place.

use serde_json::Value;

use crate::{error::ApiError, fields::Fields, message::object::Object};

pub(super) fn read(fields: Fields) -> Result<Value, ApiError> {
    let mut action = Object::new(fields);
    action.required_word("name", &["send_location"])?;
    action.finish()
}
