//! From the merged layers to a typed value. Text becomes what the type asks for; an error knows
//! the setting it is about.

use std::fmt;

use figment::value::{Dict, Num, Tag, Value};
use serde::{
    Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, Visitor,
        value::{SeqDeserializer, StrDeserializer},
    },
    forward_to_deserialize_any,
};

use super::{ConfigError, SECTIONS, error::hint, wa};

/// Takes the wanted sections out of `settings` and reads them.
pub(super) fn read<T: DeserializeOwned>(
    mut settings: Dict,
    wanted: &[&str],
    origin: &impl Fn(Tag) -> String,
) -> Result<T, ConfigError> {
    for (section, value) in &settings {
        if !SECTIONS.contains(&section.as_str()) {
            return Err(ConfigError::Unknown {
                setting: section.clone(),
                origin: origin(inner_tag(value)),
                hint: hint(section, "the section ", SECTIONS.iter().copied()),
            });
        }
    }
    settings.retain(|section, _| wanted.contains(&section.as_str()));
    let root = Value::Dict(Tag::Default, settings);
    T::deserialize(De { value: &root, path: "" }).map_err(|error| error.told(origin))
}

#[derive(Clone, Copy)]
struct De<'a> {
    value: &'a Value,
    path: &'a str,
}

#[derive(Debug)]
struct Error {
    kind: Kind,
    /// The setting and its value's tag, once known.
    at: Option<(String, Tag)>,
}

#[derive(Debug)]
enum Kind {
    Unknown(String, &'static [&'static str]),
    Missing(&'static str),
    Other(String),
}

impl Error {
    fn at(mut self, path: &str, tag: Tag) -> Self {
        self.at.get_or_insert_with(|| (path.to_owned(), tag));
        self
    }

    fn told(self, origin: &impl Fn(Tag) -> String) -> ConfigError {
        let (path, tag) = self.at.unwrap_or_default();
        match self.kind {
            Kind::Missing(field) => {
                let setting = join(&path, field);
                ConfigError::Missing { remedy: wa::remedy(&setting), setting }
            }
            Kind::Unknown(field, known) => {
                let section = path.strip_suffix(&field).unwrap_or_default();
                let hint = hint(&field, section, known.iter().copied());
                ConfigError::Unknown { setting: path, origin: origin(tag), hint }
            }
            Kind::Other(reason) => {
                ConfigError::Invalid { setting: path, origin: origin(tag), reason }
            }
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { kind: Kind::Other(message.to_string()), at: None }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self { kind: Kind::Unknown(field.to_owned(), expected), at: None }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { kind: Kind::Missing(field), at: None }
    }
}

impl<'a> De<'a> {
    fn wrong(self, wanted: &str) -> Error {
        let error: Error = serde::de::Error::custom(format!("{wanted} is expected"));
        error.at(self.path, self.value.tag())
    }

    fn integer<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let number: Option<i128> = match self.value {
            Value::String(_, text) => text.trim().replace('_', "").parse().ok(),
            Value::Num(_, num) => {
                num.to_i128().or_else(|| num.to_u128().and_then(|n| n.try_into().ok()))
            }
            _ => None,
        };
        let result = match number.map(|n| (u64::try_from(n), i64::try_from(n))) {
            Some((Ok(unsigned), _)) => visitor.visit_u64(unsigned),
            Some((_, Ok(signed))) => visitor.visit_i64(signed),
            _ => return Err(self.wrong("a whole number")),
        };
        result.map_err(|error: Error| error.at(self.path, self.value.tag()))
    }

    fn text(self) -> Option<String> {
        match self.value {
            Value::String(_, text) => Some(text.clone()),
            Value::Char(_, c) => Some(c.to_string()),
            Value::Bool(_, flag) => Some(flag.to_string()),
            Value::Num(_, num) => Some(number_text(num)),
            _ => None,
        }
    }

    fn each(self, values: &'a [Value]) -> impl Iterator<Item = De<'a>> {
        values.iter().map(move |value| De { value, path: self.path })
    }
}

fn number_text(num: &Num) -> String {
    match (num.to_i128(), num.to_u128(), num.to_f64()) {
        (Some(n), ..) => n.to_string(),
        (_, Some(n), _) => n.to_string(),
        (.., Some(n)) => n.to_string(),
        _ => String::new(),
    }
}

impl<'de> IntoDeserializer<'de, Error> for De<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! integers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.integer(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for De<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let result = match self.value {
            Value::String(_, text) => visitor.visit_str(text),
            Value::Char(_, c) => visitor.visit_char(*c),
            Value::Bool(_, flag) => visitor.visit_bool(*flag),
            Value::Num(_, num) if num.to_i128().is_none() && num.to_u128().is_none() => {
                visitor.visit_f64(num.to_f64().unwrap_or_default())
            }
            Value::Num(..) => return self.integer(visitor),
            Value::Empty(..) => visitor.visit_unit(),
            Value::Dict(_, dict) => visitor.visit_map(Entries::new(dict, self.path)),
            Value::Array(_, values) => visitor.visit_seq(SeqDeserializer::new(self.each(values))),
        };
        result.map_err(|error: Error| error.at(self.path, self.value.tag()))
    }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.text().as_deref() {
            Some("true" | "1" | "yes" | "on") => visitor.visit_bool(true),
            Some("false" | "0" | "no" | "off") => visitor.visit_bool(false),
            _ => Err(self.wrong("true or false")),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.text().and_then(|text| text.trim().parse().ok()) {
            Some(number) => visitor.visit_f64(number),
            None => Err(self.wrong("a number")),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Some(text) = self.text() else { return Err(self.wrong("text")) };
        visitor.visit_str(&text).map_err(|error: Error| error.at(self.path, self.value.tag()))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Empty(..) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value::String(tag, text) = self.value else { return self.deserialize_any(visitor) };
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let items: Vec<Value> = items.map(|item| Value::String(*tag, item.to_owned())).collect();
        visitor
            .visit_seq(SeqDeserializer::new(self.each_of(&items)))
            .map_err(|error: Error| error.at(self.path, *tag))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let tag = self.value.tag();
        let Some(text) = self.text() else {
            return Err(self.wrong(&format!("one of {}", variants.join(", "))));
        };
        let de: StrDeserializer<'_, Error> = text.as_str().into_deserializer();
        visitor.visit_enum(de).map_err(|error: Error| error.at(self.path, tag))
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct map struct identifier
        ignored_any
    }
}

impl De<'_> {
    fn each_of<'b>(self, values: &'b [Value]) -> impl Iterator<Item = De<'b>>
    where
        Self: 'b,
    {
        let path = self.path;
        values.iter().map(move |value| De { value, path })
    }
}

/// The keys of a section, one after the other.
struct Entries<'a> {
    entries: std::collections::btree_map::Iter<'a, String, Value>,
    current: Option<(String, &'a Value)>,
    path: &'a str,
}

impl<'a> Entries<'a> {
    fn new(dict: &'a Dict, path: &'a str) -> Self {
        Self { entries: dict.iter(), current: None, path }
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        let path = join(self.path, key);
        let de: StrDeserializer<'_, Error> = key.as_str().into_deserializer();
        let key = seed.deserialize(de).map_err(|error| error.at(&path, inner_tag(value)))?;
        self.current = Some((path, value));
        Ok(Some(key))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        match self.current.take() {
            // A type that checks its own value after reading it knows of no place.
            Some((path, value)) => seed
                .deserialize(De { value, path: &path })
                .map_err(|error| error.at(&path, inner_tag(value))),
            None => Err(serde::de::Error::custom("a value is asked for before its name")),
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A section's own tag is that of whichever layer came last; a value inside says more.
fn inner_tag(value: &Value) -> Tag {
    match value {
        Value::Dict(tag, dict) => dict.values().next().map_or(*tag, inner_tag),
        value => value.tag(),
    }
}
