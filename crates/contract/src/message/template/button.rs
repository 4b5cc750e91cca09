//! A button of a template: which one, and what its parameter is.

use serde_json::Value;

use super::parameter::{self, MAX_SUFFIX, Place};
use crate::{
    error::{ApiError, Code},
    fields::Fields,
    message::object::{Object, refused},
};

/// Places a button may have.
const INDEX: std::ops::RangeInclusive<u32> = 0..=9;

/// Kinds of buttons, what each takes, and whether it must be there.
const KINDS: [(&str, Place, bool); 6] = [
    ("quick_reply", Place::QuickReply, true),
    ("url", Place::Url, true),
    ("copy_code", Place::CopyCode, true),
    ("catalog", Place::Action, false),
    ("mpm", Place::Action, true),
    ("flow", Place::Action, false),
];

/// `taken`: places of the buttons before it.
pub(super) fn read(fields: Fields, taken: &mut Vec<u32>) -> Result<Value, ApiError> {
    let mut button = Object::new(fields);
    button.put("type", "button");
    button.fields.lower("sub_type");
    let names = KINDS.map(|(name, ..)| name);
    let kind = button.fields.required_word("sub_type", &names)?;
    let (name, place, required) = KINDS.get(kind).copied().unwrap_or(KINDS[0]);
    button.put("sub_type", name);
    let index = button.fields.optional_int_or_text("index", &INDEX)?;
    let index = index.ok_or_else(|| button.fields.missing("index"))?;
    if taken.contains(&index) {
        return Err(button.fields.invalid("index", index, "a place that no other button has"));
    }
    taken.push(index);
    button.put("index", index.to_string());
    let parameters = button.fields.optional_items("parameters")?.unwrap_or_default();
    if parameters.len() > 1 || (required && parameters.is_empty()) {
        let path = button.fields.path_of("parameters");
        let given = format!("{} parameters", parameters.len());
        return Err(refused(Code::TEMPLATE_PARAM_COUNT, path, given, "exactly one parameter"));
    }
    let parameters: Vec<Value> = parameters
        .into_iter()
        .map(|parameter| parameter::read(parameter?, place, MAX_SUFFIX))
        .collect::<Result<_, _>>()?;
    if !parameters.is_empty() {
        button.put("parameters", parameters);
    }
    button.finish()
}
