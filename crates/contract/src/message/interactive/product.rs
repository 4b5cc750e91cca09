//! Products of a catalogue: one, or a list of up to 30.

use serde_json::Value;

use super::{
    counted,
    list::{MAX_SECTIONS, titled},
};
use crate::{
    error::{ApiError, Code},
    fields::Fields,
    message::object::Object,
};

/// Most products of all sections together.
pub const MAX_PRODUCTS: usize = 30;
/// Most characters of the id of a catalogue or a product.
pub const MAX_ID: usize = 256;

pub(super) fn read(fields: Fields) -> Result<Value, ApiError> {
    let mut action = Object::new(fields);
    action.required_text("catalog_id", MAX_ID)?;
    action.required_text("product_retailer_id", MAX_ID)?;
    action.finish()
}

pub(super) fn read_list(fields: Fields) -> Result<Value, ApiError> {
    let mut action = Object::new(fields);
    action.required_text("catalog_id", MAX_ID)?;
    let sections = action.fields.required_items("sections")?;
    let count = sections.len();
    counted(&action.fields, "sections", "sections", count, MAX_SECTIONS, Code::SECTIONS)?;
    let mut products = 0;
    let mut taken = Vec::with_capacity(count);
    for fields in sections {
        let mut section = titled(fields, count)?;
        let name = "product_items";
        let items = section.fields.required_items(name)?;
        products += items.len();
        let code = Code::PRODUCTS;
        let here = "products in a section";
        counted(&section.fields, name, here, items.len(), MAX_PRODUCTS, code)?;
        counted(&section.fields, name, "products in all sections", products, MAX_PRODUCTS, code)?;
        let items: Result<Vec<_>, _> = items.into_iter().map(item).collect();
        section.put(name, items?);
        taken.push(section.finish()?);
    }
    action.put("sections", taken);
    action.finish()
}

fn item(fields: Fields) -> Result<Value, ApiError> {
    let mut item = Object::new(fields);
    item.required_text("product_retailer_id", MAX_ID)?;
    item.finish()
}
