//! Asks for an address. What countries ask for differs, so the values are taken as they are.

use serde_json::Value;

use super::action;
use crate::{
    error::ApiError,
    fields::{self, Fields},
    message::object::Object,
};

pub(super) fn read(fields: Fields) -> Result<Value, ApiError> {
    action(fields, "address_message", |fields| {
        let mut address = Object::new(fields);
        let country = address.fields.required_str("country")?;
        if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_uppercase()) {
            let allowed = "a country's two letters, such as 'IN'";
            return Err(address.fields.invalid("country", fields::quoted(&country), allowed));
        }
        address.put("country", country);
        for values in ["values", "validation_errors"] {
            address.any_object(values)?;
        }
        if let Some(saved) = address.fields.optional_array("saved_addresses")? {
            address.put("saved_addresses", saved);
        }
        address.finish()
    })
}
