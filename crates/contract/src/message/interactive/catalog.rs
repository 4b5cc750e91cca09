//! A whole catalogue, perhaps with the picture of one product.

use serde_json::Value;

use super::product::MAX_ID;
use crate::{error::ApiError, fields::Fields, message::object::Object};

pub(super) fn read(fields: Fields) -> Result<Value, ApiError> {
    let mut action = Object::new(fields);
    action.required_word("name", &["catalog_message"])?;
    action.object("parameters", |fields| {
        let mut parameters = Object::new(fields);
        parameters.text("thumbnail_product_retailer_id", MAX_ID)?;
        parameters.finish()
    })?;
    action.finish()
}
