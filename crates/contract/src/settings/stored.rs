//! The settings document as the `config` row keeps it: `{"schema":1,"application":{…}}`.
//!
//! A key that this version does not know is carried along (a newer version wrote it, and both run
//! during an upgrade). A higher `schema` means that a known key changed its meaning: refused.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Application;

const SCHEMA: u32 = 1;

/// A stored settings document cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Of a newer version that changed what keys mean.
    #[error("the settings document has schema {0}, this version knows 1")]
    Schema(u32),
    /// Not JSON, or a known key has another type. The message names no value.
    #[error("the settings document is damaged at line {line}, column {column}")]
    Damaged {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
}

#[derive(Serialize, Deserialize)]
struct Document {
    schema: u32,
    application: Map<String, Value>,
}

impl From<serde_json::Error> for SettingsError {
    fn from(error: serde_json::Error) -> Self {
        Self::Damaged { line: error.line(), column: error.column() }
    }
}

impl Application {
    /// The stored form.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut application = known(self);
        merge(&mut application, &self.newer);
        serde_json::to_vec(&Document { schema: SCHEMA, application }).unwrap_or_default()
    }

    /// Reads the stored form. Keys that are missing have their defaults.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, SettingsError> {
        let Document { schema, application: mut document } = serde_json::from_slice(bytes)?;
        if schema > SCHEMA {
            return Err(SettingsError::Schema(schema));
        }
        let mut application = Self::deserialize(&document)?;
        subtract(&mut document, &known(&application));
        application.newer = document;
        Ok(application)
    }
}

/// Every key this version knows and has a value for.
fn known(application: &Application) -> Map<String, Value> {
    match serde_json::to_value(application) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// Adds what `to` lacks. As deep as our own document is.
fn merge(to: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (name, value) in more {
        match (to.get_mut(name), value) {
            (Some(Value::Object(to)), Value::Object(more)) => merge(to, more),
            (Some(_), _) => {}
            (None, _) => {
                to.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Removes what `known` has. As deep as our own document is.
fn subtract(from: &mut Map<String, Value>, known: &Map<String, Value>) {
    from.retain(|name, value| match (known.get(name), value) {
        (Some(Value::Object(known)), Value::Object(inner)) => {
            subtract(inner, known);
            !inner.is_empty()
        }
        (known, _) => known.is_none(),
    });
}
