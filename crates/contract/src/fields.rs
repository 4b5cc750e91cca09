//! Reads the fields of a JSON object one by one; every refusal names the parameter with its path,
//! what was given and what is allowed. `null` counts as absent, as generated clients send it.

use std::{fmt, ops::RangeInclusive};

use serde_json::{Map, Value};

use crate::{
    error::{ApiError, Code},
    json,
};

/// Most characters of a given value that a refusal repeats.
pub const MAX_SHOWN: usize = 100;

/// The fields of one object that nobody has asked for yet.
pub struct Fields {
    map: Map<String, Value>,
    /// `""` at the top, `"webhooks.message."` inside.
    path: String,
}

impl Fields {
    /// Reads a request body, which must be an object.
    ///
    /// # Errors
    /// As [`json::parse`]; 400/1025 when it is something else than an object.
    pub fn of_body(body: &[u8]) -> Result<Self, ApiError> {
        Self::of_body_within(body, json::MAX_BODY)
    }

    /// The same for a body of another length.
    ///
    /// # Errors
    /// As [`Fields::of_body`], for more than `max_body` bytes.
    pub fn of_body_within(body: &[u8], max_body: usize) -> Result<Self, ApiError> {
        match json::parse_within(body, max_body)? {
            Value::Object(map) => Ok(Self::new(map, String::new())),
            other => Err(ApiError::new(
                Code::INVALID_REQUEST,
                format!("The body must be a JSON object, given was {}", kind(&other)),
            )),
        }
    }

    /// Fields that are no body of their own.
    pub(crate) fn of_map(map: Map<String, Value>) -> Self {
        Self::new(map, String::new())
    }

    fn new(mut map: Map<String, Value>, path: String) -> Self {
        map.retain(|_, value| !value.is_null());
        Self { map, path }
    }

    /// Nothing left, or nothing given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Whether it is given, and was not taken yet.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// Takes a value as it is.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name)
    }

    /// Some clients write the words of a field in capitals.
    pub(crate) fn lower(&mut self, name: &str) {
        if let Some(Value::String(word)) = self.map.get_mut(name) {
            word.make_ascii_lowercase();
        }
    }

    /// Takes a text.
    ///
    /// # Errors
    /// 1009 when it is no text.
    pub fn optional_str(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        self.typed(name, "a text", |value| match value {
            Value::String(text) => Ok(text),
            other => Err(other),
        })
    }

    /// Takes a text that must be there.
    ///
    /// # Errors
    /// 1008 when it is absent, 1009 when it is no text.
    pub fn required_str(&mut self, name: &str) -> Result<String, ApiError> {
        self.optional_str(name)?.ok_or_else(|| self.missing(name))
    }

    /// Takes a text of at most `max` characters; an empty one counts as absent.
    ///
    /// # Errors
    /// 1009 when it is no text or longer.
    pub fn optional_text(&mut self, name: &str, max: usize) -> Result<Option<String>, ApiError> {
        let text = self.optional_str(name)?.filter(|text| !text.is_empty());
        if let Some(text) = &text
            && let Some(chars) = longer_than(text, max)
        {
            return Err(self.wrong_length(name, chars, max));
        }
        Ok(text)
    }

    /// Takes a text of 1 to `max` characters that must be there.
    ///
    /// # Errors
    /// 1008 when it is absent, 1009 when it is no text, empty or longer.
    pub fn required_text(&mut self, name: &str, max: usize) -> Result<String, ApiError> {
        let text = self.required_str(name)?;
        if text.is_empty() {
            return Err(self.wrong_length(name, 0, max));
        }
        match longer_than(&text, max) {
            None => Ok(text),
            Some(chars) => Err(self.wrong_length(name, chars, max)),
        }
    }

    fn wrong_length(&self, name: &str, chars: usize, max: usize) -> ApiError {
        let given = format_args!("a text of {chars} characters").to_string();
        self.invalid(name, given, format_args!("a text of 1 to {max} characters"))
    }

    /// Takes one of some words; gives its place among them.
    ///
    /// # Errors
    /// 1009 when it is another one.
    pub fn optional_word(&mut self, name: &str, words: &[&str]) -> Result<Option<usize>, ApiError> {
        self.typed(name, Words(words), |value| {
            let place = value.as_str().and_then(|text| words.iter().position(|word| *word == text));
            place.ok_or(value)
        })
    }

    /// The same for one that must be there.
    ///
    /// # Errors
    /// 1008 when it is absent, 1009 when it is another one.
    pub fn required_word(&mut self, name: &str, words: &[&str]) -> Result<usize, ApiError> {
        self.optional_word(name, words)?.ok_or_else(|| self.missing(name))
    }

    /// Takes a text that no refusal may repeat.
    ///
    /// # Errors
    /// 1009 when it is no text.
    pub fn optional_secret(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.invalid(name, kind(&other), "a text")),
        }
    }

    /// Takes a boolean.
    ///
    /// # Errors
    /// 1009 when it is none.
    pub fn optional_bool(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        self.typed(name, "true or false", |value| value.as_bool().ok_or(value))
    }

    /// Takes an integer within `range`.
    ///
    /// # Errors
    /// 1009 when it is none or outside.
    pub fn optional_int(
        &mut self,
        name: &str,
        range: &RangeInclusive<u32>,
    ) -> Result<Option<u32>, ApiError> {
        self.typed(name, IntegerIn(range), |value| within(value.as_u64(), range).ok_or(value))
    }

    /// Takes an integer within `range` that may also be written as a text.
    ///
    /// # Errors
    /// 1009 when it is none or outside.
    pub fn optional_int_or_text(
        &mut self,
        name: &str,
        range: &RangeInclusive<u32>,
    ) -> Result<Option<u32>, ApiError> {
        self.typed(name, IntegerIn(range), |value| {
            let number = match &value {
                Value::String(text) => text.parse().ok(),
                other => other.as_u64(),
            };
            within(number, range).ok_or(value)
        })
    }

    /// Takes a number within `range` that may also be written as a text.
    ///
    /// # Errors
    /// 1009 when it is none or outside.
    pub fn optional_decimal(
        &mut self,
        name: &str,
        range: &RangeInclusive<f64>,
    ) -> Result<Option<f64>, ApiError> {
        let allowed = format!("a number from {} to {}", range.start(), range.end());
        self.typed(name, allowed, |value| {
            let number = match &value {
                Value::String(text) => text.trim().parse().ok(),
                other => other.as_f64(),
            };
            number.filter(|number| range.contains(number)).ok_or(value)
        })
    }

    /// Takes an array.
    ///
    /// # Errors
    /// 1009 when it is none.
    pub fn optional_array(&mut self, name: &str) -> Result<Option<Vec<Value>>, ApiError> {
        self.typed(name, "an array", |value| match value {
            Value::Array(items) => Ok(items),
            other => Err(other),
        })
    }

    /// Takes an array of objects, each to be read the same way and refused alone: 1009 for what is
    /// no object.
    ///
    /// # Errors
    /// 1009 when it is no array.
    pub fn optional_items(
        &mut self,
        name: &str,
    ) -> Result<Option<Vec<Result<Self, ApiError>>>, ApiError> {
        let items = self.optional_array(name)?;
        let read = |(n, value)| match value {
            Value::Object(map) => Ok(Self::new(map, format!("{}{name}[{n}].", self.path))),
            other => Err(self.invalid(&format!("{name}[{n}]"), shown(&other), "an object")),
        };
        Ok(items.map(|items| items.into_iter().enumerate().map(read).collect()))
    }

    /// Takes an object, to be read the same way.
    ///
    /// # Errors
    /// 1009 when it is none.
    pub fn optional_object(&mut self, name: &str) -> Result<Option<Self>, ApiError> {
        let path = format!("{}{name}.", self.path);
        let object = self.typed(name, "an object", |value| match value {
            Value::Object(map) => Ok(map),
            other => Err(other),
        })?;
        Ok(object.map(|map| Self::new(map, path)))
    }

    /// The same for an object that must be there.
    ///
    /// # Errors
    /// 1008 when it is absent, 1009 when it is none.
    pub fn required_object(&mut self, name: &str) -> Result<Self, ApiError> {
        self.optional_object(name)?.ok_or_else(|| self.missing(name))
    }

    /// Takes an array of objects that must be there; the first that is none refuses it.
    ///
    /// # Errors
    /// 1008 when it is absent, 1009 when it, or an item, is of another type.
    pub fn required_items(&mut self, name: &str) -> Result<Vec<Self>, ApiError> {
        let items = self.optional_items(name)?.ok_or_else(|| self.missing(name))?;
        items.into_iter().collect()
    }

    /// `name` with its path.
    #[must_use]
    pub fn path_of(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// Refuses whatever was not taken.
    ///
    /// # Errors
    /// 1010 naming the first such field.
    pub fn finish(self) -> Result<(), ApiError> {
        self.map.keys().next().map_or(Ok(()), |name| {
            let name = Shown(&format!("{}{name}", self.path)).to_string();
            Err(ApiError::new(Code::NOT_REQUIRED, format!("Parameter '{name}' is not known here")))
        })
    }

    /// 1008 for `name`.
    #[must_use]
    pub fn missing(&self, name: &str) -> ApiError {
        ApiError::new(Code::MISSING, format!("Parameter '{}{name}' is mandatory", self.path))
    }

    /// 1009 for `name`.
    pub fn invalid(
        &self,
        name: &str,
        given: impl fmt::Display,
        allowed: impl fmt::Display,
    ) -> ApiError {
        invalid(format_args!("{}{name}", self.path), given, allowed)
    }

    fn typed<T>(
        &mut self,
        name: &str,
        allowed: impl fmt::Display,
        read: impl FnOnce(Value) -> Result<T, Value>,
    ) -> Result<Option<T>, ApiError> {
        self.take(name)
            .map(|value| read(value).map_err(|value| self.invalid(name, shown(&value), allowed)))
            .transpose()
    }
}

/// 1009: what was given, what is allowed.
pub(crate) fn invalid(
    name: impl fmt::Display,
    given: impl fmt::Display,
    allowed: impl fmt::Display,
) -> ApiError {
    ApiError::new(
        Code::INVALID,
        format!("Parameter '{name}': given was {given}, allowed is {allowed}"),
    )
}

/// A refusal in the words of 1009 under another code.
pub(crate) fn refused(
    code: Code,
    name: impl fmt::Display,
    given: impl fmt::Display,
    allowed: impl fmt::Display,
) -> ApiError {
    ApiError { code, ..invalid(name, given, allowed) }
}

/// A given value as a refusal repeats it: JSON, at most [`MAX_SHOWN`] characters.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => kind(value).to_owned(),
        Value::String(text) => quoted(text),
        other => Shown(&other.to_string()).to_string(),
    }
}

/// A given text as a refusal repeats it: in quotation marks, control characters escaped.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", Shown(text))
}

struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.chars();
        for char in rest.by_ref().take(MAX_SHOWN) {
            if char.is_control() {
                write!(f, "{}", char.escape_default())?;
            } else {
                write!(f, "{char}")?;
            }
        }
        if rest.next().is_some() { f.write_str("…") } else { Ok(()) }
    }
}

/// How many characters, when they are more than `max`.
pub(crate) fn longer_than(text: &str, max: usize) -> Option<usize> {
    // A text has at most as many characters as bytes.
    if text.len() <= max {
        return None;
    }
    let chars = text.chars().count();
    (chars > max).then_some(chars)
}

/// Quoted, with commas and an "or".
struct Words<'a>(&'a [&'a str]);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.0.len().saturating_sub(1);
        for (n, word) in self.0.iter().enumerate() {
            let before = if n == 0 {
                ""
            } else if n == last {
                " or "
            } else {
                ", "
            };
            write!(f, "{before}'{word}'")?;
        }
        Ok(())
    }
}

struct IntegerIn<'a>(&'a RangeInclusive<u32>);

impl fmt::Display for IntegerIn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an integer from {} to {}", self.0.start(), self.0.end())
    }
}

fn within(number: Option<u64>, range: &RangeInclusive<u32>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok()).filter(|number| range.contains(number))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
