//! A date in a template's parameter, in each of its spellings.
//!
//! Names of weekdays become numbers, so that equal dates give equal bytes.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::object::Object;
use crate::{
    error::ApiError,
    fields::{self, Fields},
};

/// Bounds of the parts.
const PARTS: [(&str, RangeInclusive<u32>); 5] = [
    ("day_of_month", 1..=31),
    ("year", 0..=9_999),
    ("month", 1..=12),
    ("hour", 0..=23),
    ("minute", 0..=59),
];
const WEEKDAYS: [&str; 7] =
    ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"];
const CALENDARS: [&str; 2] = ["GREGORIAN", "SOLAR_HIJRI"];

/// The parts beside whatever else the object has.
pub(super) fn parts(date: &mut Object) -> Result<(), ApiError> {
    weekday(date)?;
    for (name, range) in PARTS {
        date.integer(name, &range)?;
    }
    date.word("calendar", &CALENDARS)?;
    Ok(())
}

/// `component`: the parts in an object of their own.
pub(super) fn component(fields: Fields) -> Result<Value, ApiError> {
    let mut component = Object::new(fields);
    parts(&mut component)?;
    component.finish()
}

/// `unix_epoch`: a moment.
pub(super) fn unix_epoch(fields: Fields) -> Result<Value, ApiError> {
    let mut epoch = Object::new(fields);
    epoch.required_amount("timestamp")?;
    epoch.finish()
}

/// 1 is Monday.
fn weekday(date: &mut Object) -> Result<(), ApiError> {
    let name = "day_of_week";
    let Some(value) = date.fields.take(name) else { return Ok(()) };
    let number = match &value {
        Value::String(text) => WEEKDAYS
            .iter()
            .position(|day| day.eq_ignore_ascii_case(text))
            .map(|place| place as u64 + 1)
            .or_else(|| text.parse().ok()),
        other => other.as_u64(),
    };
    match number.filter(|number| (1..=7).contains(number)) {
        Some(number) => {
            date.put(name, number);
            Ok(())
        }
        None => {
            let allowed = "an integer from 1 (Monday) to 7, or the name of a day";
            Err(date.fields.invalid(name, fields::shown(&value), allowed))
        }
    }
}
