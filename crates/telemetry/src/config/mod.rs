//! Where a setting comes from: option > `WA_*` > `HELIOGRAPH_<SECTION>__<KEY>` > file > default.
//!
//! A caller says which sections it wants and as what type; what other roles read from the same
//! file or environment is left alone, what nobody knows is refused. Values are text until the
//! wanted type asks for a number, a flag or a list (items parted by commas), so that a password of
//! digits stays a password. `#[serde(flatten)]` and untagged enums lose that and are not for
//! configuration types.

use std::path::PathBuf;

use figment::{
    Figment,
    providers::{Format, Toml},
    value::Dict,
};
use serde::de::DeserializeOwned;

mod database;
mod de;
mod error;
mod internal;
mod layers;
mod secret;
mod wa;

pub use database::{Database, Engine, SslMode};
pub use error::ConfigError;
pub use internal::Internal;
pub use secret::Secret;
pub use wa::{named, without_effect};

/// The file that is read when it exists and no other is named.
pub const DEFAULT_FILE: &str = "heliograph.toml";

/// Every section there is. One file serves all roles, so each must know the others' names.
pub const SECTIONS: &[&str] = &[
    "account",
    "coreapp",
    "database",
    "egress",
    "internal",
    "log",
    "media",
    "node",
    "sandbox",
    "settings",
    "telemetry",
    "upstream",
    "webapp",
];

/// What configuration is made of. Nothing else is read.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--config`: must exist. `None`: [`DEFAULT_FILE`], if it exists.
    pub file: Option<PathBuf>,
    /// Options of the command line that stand for a setting.
    pub flags: Vec<Flag>,
    /// The environment; [`crate::system::environment`] in a `main`.
    pub env: Vec<(String, String)>,
}

/// An option that was given on the command line.
#[derive(Clone, Debug)]
pub struct Flag {
    /// As the user wrote it: `--https`.
    pub option: &'static str,
    /// `section.key`.
    pub setting: &'static str,
    pub value: String,
}

impl Sources {
    /// The file and the environment, no options yet.
    #[must_use]
    pub fn new(file: Option<PathBuf>, env: Vec<(String, String)>) -> Self {
        Self { file, flags: Vec::new(), env }
    }

    /// The same with an option that was given.
    #[must_use]
    pub fn flag(
        mut self,
        option: &'static str,
        setting: &'static str,
        value: impl Into<String>,
    ) -> Self {
        self.flags.push(Flag { option, setting, value: value.into() });
        self
    }
}

/// Reads `sections` into `T`, a struct with one field a section (each with `#[serde(default)]` if
/// it may be absent). Give the structs of sections `#[serde(deny_unknown_fields)]`.
///
/// # Errors
/// [`ConfigError`], naming the setting, where its value came from, and what to do.
pub fn load<T: DeserializeOwned>(sources: &Sources, sections: &[&str]) -> Result<T, ConfigError> {
    let mut figment = Figment::new();
    if let Some(path) = &sources.file {
        if let Err(error) = std::fs::metadata(path) {
            return Err(ConfigError::File { path: path.clone(), reason: error.to_string() });
        }
        figment = figment.merge(Toml::file_exact(path));
    } else if std::path::Path::new(DEFAULT_FILE).exists() {
        figment = figment.merge(Toml::file_exact(DEFAULT_FILE));
    }
    for layer in layers::own(&sources.env, sections)? {
        figment = figment.merge(layer);
    }
    let mut settings = merged(&figment)?;
    let wa = layers::wa(&sources.env, sections)?;
    // A whole address of a lower layer must not win over the parts of a higher one.
    if wa.iter().any(layers::Layer::names_a_database)
        && let Some(figment::value::Value::Dict(_, database)) = settings.get_mut("database")
    {
        database.remove("url");
    }
    // The tags of what is kept stay known to `figment`; what comes on top brings its own.
    let mut top = Figment::new();
    for layer in wa {
        top = top.merge(layer);
    }
    for flag in &sources.flags {
        top = top.merge(layers::flag(flag));
    }
    let top_settings = merged(&top)?;
    overlay(&mut settings, top_settings);
    let origin = |tag| {
        let metadata = top.get_metadata(tag).or_else(|| figment.get_metadata(tag));
        metadata.map_or_else(|| "a default".to_owned(), layers::origin)
    };
    layers::expand_secret_files(&mut settings, &origin)?;
    de::read(settings, sections, &origin)
}

fn merged(figment: &Figment) -> Result<Dict, ConfigError> {
    use figment::Provider;
    let data = figment.data().map_err(|error| ConfigError::Syntax(error.to_string()))?;
    Ok(data
        .into_iter()
        .find(|(profile, _)| profile == "default")
        .map(|(_, d)| d)
        .unwrap_or_default())
}

fn overlay(below: &mut Dict, above: Dict) {
    use figment::value::Value;
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Dict(_, below)), Value::Dict(_, above)) => overlay(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
