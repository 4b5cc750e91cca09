//! `contacts`: address cards.

use serde_json::Value;

use super::object::Object;
use crate::{
    error::{ApiError, Code},
    fields::{self, Fields},
    number::Number,
};

/// Most cards of a message.
pub const MAX_CARDS: usize = 257;
/// Most entries of a kind on a card.
pub const MAX_ENTRIES: usize = 100;
/// Most characters of anything on a card.
pub const MAX_ENTRY: usize = 1_000;

/// A card names at least one of these beside `formatted_name`.
const NAMES: [&str; 5] = ["first_name", "last_name", "middle_name", "prefix", "suffix"];

pub(super) fn read(cards: Vec<Fields>) -> Result<Value, ApiError> {
    if cards.is_empty() || cards.len() > MAX_CARDS {
        let given = format!("{} contacts", cards.len());
        return Err(fields::invalid("contacts", given, format_args!("1 to {MAX_CARDS} contacts")));
    }
    cards.into_iter().map(card).collect()
}

fn card(fields: Fields) -> Result<Value, ApiError> {
    let mut card = Object::new(fields);
    card.required_object("name", name)?;
    card.items("phones", MAX_ENTRIES, phone)?;
    card.items("emails", MAX_ENTRIES, |entry| texts(entry, &["email", "type"]))?;
    card.items("addresses", MAX_ENTRIES, |entry| {
        texts(entry, &["street", "city", "state", "zip", "country", "country_code", "type"])
    })?;
    card.items("urls", MAX_ENTRIES, |entry| texts(entry, &["url", "type"]))?;
    card.object("org", |org| texts(org, &["company", "department", "title"]))?;
    birthday(&mut card)?;
    ims(&mut card)?;
    card.finish()
}

fn name(fields: Fields) -> Result<Value, ApiError> {
    let mut name = Object::new(fields);
    name.required_text("formatted_name", MAX_ENTRY)?;
    let mut given = false;
    for part in NAMES {
        given |= name.text(part, MAX_ENTRY)?;
    }
    if !given {
        let path = name.fields.path_of("first_name");
        let details =
            format!("Parameter '{path}' is mandatory, or one of {}", NAMES[1..].join(", "));
        return Err(ApiError::new(Code::MISSING, details));
    }
    name.finish()
}

/// `type` is any word: the listed ones are what phones show in their own language.
fn texts(fields: Fields, names: &[&str]) -> Result<Value, ApiError> {
    let mut entry = Object::new(fields);
    for name in names {
        entry.text(name, MAX_ENTRY)?;
    }
    entry.finish()
}

/// `wa_id` makes it a button that opens a chat.
fn phone(fields: Fields) -> Result<Value, ApiError> {
    let mut phone = Object::new(fields);
    phone.text("phone", MAX_ENTRY)?;
    phone.text("type", MAX_ENTRY)?;
    if let Some(wa_id) = phone.fields.optional_text("wa_id", MAX_ENTRY)? {
        let number = Number::parse(&wa_id).map_err(|error| {
            let allowed = format_args!("digits with country code ({error})");
            phone.fields.invalid("wa_id", fields::quoted(&wa_id), allowed)
        })?;
        phone.put("wa_id", number.as_str());
    }
    phone.finish()
}

fn birthday(card: &mut Object) -> Result<(), ApiError> {
    let Some(day) = card.fields.optional_text("birthday", MAX_ENTRY)? else { return Ok(()) };
    if day.len() != "YYYY-MM-DD".len() || day.parse::<jiff::civil::Date>().is_err() {
        return Err(card.fields.invalid("birthday", fields::quoted(&day), "a date, YYYY-MM-DD"));
    }
    card.put("birthday", day);
    Ok(())
}

/// Older clients wrote these as texts.
fn ims(card: &mut Object) -> Result<(), ApiError> {
    let Some(ims) = card.fields.optional_array("ims")? else { return Ok(()) };
    if ims.len() > MAX_ENTRIES {
        let given = format!("{} entries", ims.len());
        let allowed = format_args!("at most {MAX_ENTRIES} entries");
        return Err(card.fields.invalid("ims", given, allowed));
    }
    for (n, entry) in ims.iter().enumerate() {
        let known = |(name, value): (&String, &Value)| {
            matches!(name.as_str(), "service" | "user_id") && value.is_string()
        };
        if !(entry.is_string() || entry.as_object().is_some_and(|entry| entry.iter().all(known))) {
            let name = format!("ims[{n}]");
            let allowed = "{\"service\":\"…\",\"user_id\":\"…\"} or a text";
            return Err(card.fields.invalid(&name, fields::shown(entry), allowed));
        }
    }
    if !ims.is_empty() {
        card.put("ims", ims);
    }
    Ok(())
}
