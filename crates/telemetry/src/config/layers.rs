//! The layers as figment providers. Each variable and option is a layer of its own, so that an
//! error can name it.

use std::path::PathBuf;

use figment::{
    Metadata, Profile, Provider, Source,
    value::{Dict, Map, Tag, Value},
};

use super::{ConfigError, Flag, SECTIONS, error::hint, wa};

const OWN: &str = "HELIOGRAPH_";

/// One setting from one place.
pub(super) struct Layer {
    origin: String,
    path: Vec<String>,
    value: String,
}

impl Layer {
    pub(super) fn names_a_database(&self) -> bool {
        matches!(&*self.path, [section, key] if section == "database"
            && (key == "engine" || key == "host"))
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let leaf = Value::from(self.value.clone());
        let value = self.path.iter().rev().fold(leaf, |value, key| {
            Value::from(std::iter::once((key.clone(), value)).collect::<Dict>())
        });
        let dict = value.into_dict().unwrap_or_default();
        Ok(Profile::Default.collect(dict))
    }
}

/// `HELIOGRAPH_<SECTION>__<KEY>`, of the wanted sections. Names without `__` are not settings.
pub(super) fn own(env: &[(String, String)], wanted: &[&str]) -> Result<Vec<Layer>, ConfigError> {
    let mut layers = Vec::new();
    for (name, value) in env {
        let Some(rest) = name.strip_prefix(OWN).filter(|rest| rest.contains("__")) else {
            continue;
        };
        let path: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
        let section = path.first().map_or("", String::as_str);
        let origin = format!("the environment variable {name}");
        if !SECTIONS.contains(&section) {
            return Err(ConfigError::Unknown {
                setting: path.join("."),
                origin,
                hint: hint(section, "the section ", SECTIONS.iter().copied()),
            });
        }
        if wanted.contains(&section) {
            layers.push(Layer { origin, path, value: value.clone() });
        }
    }
    layers.sort_by(|a, b| a.origin.cmp(&b.origin));
    Ok(layers)
}

/// The original's names, of the wanted sections. An empty variable counts as not set, as compose
/// files leave many empty.
pub(super) fn wa(env: &[(String, String)], wanted: &[&str]) -> Result<Vec<Layer>, ConfigError> {
    let mut layers = Vec::new();
    for name in wa::NAMES {
        let (section, key) = name.setting.split_once('.').unwrap_or((name.setting, ""));
        if !wanted.contains(&section) {
            continue;
        }
        for suffix in ["_FILE", ""] {
            let variable = format!("{}{suffix}", name.variable);
            let Some((_, value)) = env.iter().find(|(n, v)| *n == variable && !v.is_empty()) else {
                continue;
            };
            let origin = format!("the environment variable {variable}");
            if suffix.is_empty() {
                let value = (name.read)(value).map_err(|reason| ConfigError::Invalid {
                    setting: name.setting.to_owned(),
                    origin: origin.clone(),
                    reason: reason.to_owned(),
                })?;
                layers.push(Layer { origin, path: path(section, key), value });
            } else if is_secret(key) {
                let path = path(section, &format!("{key}_file"));
                layers.push(Layer { origin, path, value: value.clone() });
            }
        }
    }
    Ok(layers)
}

pub(super) fn flag(flag: &Flag) -> Layer {
    let (section, key) = flag.setting.split_once('.').unwrap_or((flag.setting, ""));
    Layer {
        origin: format!("the option {}", flag.option),
        path: path(section, key),
        value: flag.value.clone(),
    }
}

fn path(section: &str, key: &str) -> Vec<String> {
    vec![section.to_owned(), key.to_owned()]
}

/// May the setting be read from a file, by its name with `_file` behind? A setting that *is* a
/// path is called `…_path`, so the two never meet.
fn is_secret(key: &str) -> bool {
    matches!(key.rsplit('_').next(), Some("password" | "secret" | "key" | "token" | "url"))
}

/// Turns each `x_file = path` into `x = content`, white space around it dropped. The file wins over
/// a plain value of the same name: who mounts a secret means it.
pub(super) fn expand_secret_files(
    settings: &mut Dict,
    origin: &impl Fn(Tag) -> String,
) -> Result<(), ConfigError> {
    for (section, value) in settings {
        let Value::Dict(_, keys) = value else { continue };
        let files: Vec<String> = keys
            .keys()
            .filter(|key| key.strip_suffix("_file").is_some_and(is_secret))
            .cloned()
            .collect();
        for file in files {
            let Some(Value::String(tag, path)) = keys.remove(&file) else { continue };
            let key = file.trim_end_matches("_file");
            let content =
                std::fs::read_to_string(&path).map_err(|error| ConfigError::SecretFile {
                    setting: format!("{section}.{key}"),
                    origin: origin(tag),
                    path: PathBuf::from(&path),
                    reason: error.to_string(),
                })?;
            keys.insert(key.to_owned(), Value::String(tag, content.trim().to_owned()));
        }
    }
    Ok(())
}

/// Where a value came from, for people.
pub(super) fn origin(metadata: &Metadata) -> String {
    match &metadata.source {
        Some(Source::File(path)) => path.display().to_string(),
        _ => metadata.name.to_string(),
    }
}
