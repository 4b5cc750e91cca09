//! Payments: an order to be paid, and what became of it. The order itself is between the business
//! and the payment's provider and is taken as it is.

use serde_json::Value;

use super::action;
use crate::{error::ApiError, fields::Fields, message::object::Object};

/// Most characters of what the business calls the order.
pub const MAX_REFERENCE: usize = 35;
/// Most characters of a payment's settings.
const MAX_WORD: usize = 128;

pub(super) fn read_details(fields: Fields) -> Result<Value, ApiError> {
    action(fields, "review_and_pay", |fields| {
        let mut details = Object::new(fields);
        details.required_text("reference_id", MAX_REFERENCE)?;
        for name in ["type", "payment_type", "payment_configuration", "currency"] {
            details.text(name, MAX_WORD)?;
        }
        for name in ["total_amount", "order"] {
            if !details.any_object(name)? {
                return Err(details.fields.missing(name));
            }
        }
        for name in ["payment_settings", "beneficiaries"] {
            if let Some(settings) = details.fields.optional_array(name)? {
                details.put(name, settings);
            }
        }
        details.finish()
    })
}

pub(super) fn read_status(fields: Fields) -> Result<Value, ApiError> {
    action(fields, "review_order", |fields| {
        let mut status = Object::new(fields);
        status.required_text("reference_id", MAX_REFERENCE)?;
        if !status.any_object("order")? {
            return Err(status.fields.missing("order"));
        }
        status.any_object("payment")?;
        status.finish()
    })
}
