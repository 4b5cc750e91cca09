//! An object that is checked and taken over field by field: what was asked for gets into the
//! canonical message, what is left over is refused.
//!
//! The keys of the result are in alphabetical order, so equal objects give equal bytes.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

pub(super) use crate::fields::refused;
use crate::{
    error::ApiError,
    fields::{self, Fields},
};

/// See the module.
pub(super) struct Object {
    pub(super) fields: Fields,
    taken: Map<String, Value>,
}

impl Object {
    pub(super) fn new(fields: Fields) -> Self {
        Self { fields, taken: Map::new() }
    }

    /// Takes over a text of at most `max` characters; an empty one is left out.
    pub(super) fn text(&mut self, name: &str, max: usize) -> Result<bool, ApiError> {
        let text = self.fields.optional_text(name, max)?;
        let given = text.is_some();
        if let Some(text) = text {
            self.put(name, text);
        }
        Ok(given)
    }

    /// Takes over a text of 1 to `max` characters that must be there.
    pub(super) fn required_text(&mut self, name: &str, max: usize) -> Result<(), ApiError> {
        let text = self.fields.required_text(name, max)?;
        self.put(name, text);
        Ok(())
    }

    /// Takes over one of some words.
    pub(super) fn word(&mut self, name: &str, words: &[&str]) -> Result<bool, ApiError> {
        let place = self.fields.optional_word(name, words)?;
        if let Some(word) = place.and_then(|place| words.get(place)) {
            self.put(name, *word);
        }
        Ok(place.is_some())
    }

    /// Takes over one of some words; the first of them when none is given.
    pub(super) fn word_or_first(&mut self, name: &str, words: &[&str]) -> Result<(), ApiError> {
        if !self.word(name, words)? {
            self.put(name, words.first().copied().unwrap_or_default());
        }
        Ok(())
    }

    /// Takes over one of some words that must be there.
    pub(super) fn required_word(&mut self, name: &str, words: &[&str]) -> Result<(), ApiError> {
        if self.word(name, words)? { Ok(()) } else { Err(self.fields.missing(name)) }
    }

    /// Takes over an integer that may be written as a text.
    pub(super) fn integer(
        &mut self,
        name: &str,
        range: &RangeInclusive<u32>,
    ) -> Result<bool, ApiError> {
        let number = self.fields.optional_int_or_text(name, range)?;
        if let Some(number) = number {
            self.put(name, number);
        }
        Ok(number.is_some())
    }

    /// Takes over an integer of any size.
    pub(super) fn required_amount(&mut self, name: &str) -> Result<(), ApiError> {
        let value = self.fields.take(name).ok_or_else(|| self.fields.missing(name))?;
        let amount = match &value {
            Value::String(text) => text.parse().ok(),
            other => other.as_i64(),
        };
        let Some(amount) = amount else {
            return Err(self.fields.invalid(name, fields::shown(&value), "an integer"));
        };
        self.put(name, amount);
        Ok(())
    }

    /// Takes over a number that may be written as a text and must be there.
    pub(super) fn required_decimal(
        &mut self,
        name: &str,
        range: &RangeInclusive<f64>,
    ) -> Result<(), ApiError> {
        let number = self.fields.optional_decimal(name, range)?;
        self.put(name, number.ok_or_else(|| self.fields.missing(name))?);
        Ok(())
    }

    /// Takes over an object as `read` makes it.
    pub(super) fn object(
        &mut self,
        name: &str,
        read: impl FnOnce(Fields) -> Result<Value, ApiError>,
    ) -> Result<bool, ApiError> {
        let Some(object) = self.fields.optional_object(name)? else { return Ok(false) };
        let value = read(object)?;
        self.put(name, value);
        Ok(true)
    }

    /// The same for one that must be there.
    pub(super) fn required_object(
        &mut self,
        name: &str,
        read: impl FnOnce(Fields) -> Result<Value, ApiError>,
    ) -> Result<(), ApiError> {
        let value = read(self.fields.required_object(name)?)?;
        self.put(name, value);
        Ok(())
    }

    /// Takes over an object whatever is in it: only the recipient's side knows what it means.
    pub(super) fn any_object(&mut self, name: &str) -> Result<bool, ApiError> {
        let Some(value) = self.fields.take(name) else { return Ok(false) };
        if !value.is_object() {
            return Err(self.fields.invalid(name, fields::shown(&value), "an object"));
        }
        self.put(name, value);
        Ok(true)
    }

    /// Takes over up to `max` objects, each as `read` makes it. No array is left out.
    pub(super) fn items(
        &mut self,
        name: &str,
        max: usize,
        mut read: impl FnMut(Fields) -> Result<Value, ApiError>,
    ) -> Result<(), ApiError> {
        let Some(items) = self.fields.optional_items(name)? else { return Ok(()) };
        if items.len() > max {
            let given = format!("{} entries", items.len());
            let allowed = format_args!("at most {max} entries");
            return Err(self.fields.invalid(name, given, allowed));
        }
        let items: Result<Vec<_>, _> = items.into_iter().map(|item| read(item?)).collect();
        let items = items?;
        if !items.is_empty() {
            self.put(name, items);
        }
        Ok(())
    }

    pub(super) fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.taken.insert(name.to_owned(), value.into());
    }

    /// A text that was taken over.
    pub(super) fn taken_str(&self, name: &str) -> &str {
        self.taken.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Refuses what was not asked for, and gives what was.
    ///
    /// # Errors
    /// 1010 naming the first such field.
    pub(super) fn finish(self) -> Result<Value, ApiError> {
        self.fields.finish()?;
        Ok(Value::Object(self.taken))
    }
}
