//! What is wrong with a configuration, in a form that says what to do.

use std::path::PathBuf;

/// A configuration that cannot be used. Each message names the setting, its source, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `--config` names a file that cannot be read.
    #[error("failed to read the configuration file {}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    /// The file is no TOML.
    #[error("failed to understand the configuration file: {0}")]
    Syntax(String),
    /// The file of a `…_FILE` variable cannot be read.
    #[error(
        "failed to read {}, which {origin} names as the file of {setting}: {reason}",
        path.display()
    )]
    SecretFile { setting: String, origin: String, path: PathBuf, reason: String },
    /// A name nobody knows.
    #[error("the setting {setting} (from {origin}) does not exist; {hint}")]
    Unknown { setting: String, origin: String, hint: String },
    /// A value of the wrong shape.
    #[error("the setting {setting} (from {origin}) is not valid: {reason}")]
    Invalid { setting: String, origin: String, reason: String },
    /// Needed and absent.
    #[error("the setting {setting} is missing; set it {remedy}")]
    Missing { setting: String, remedy: String },
}

impl ConfigError {
    /// A value that has the right type and is wrong all the same, found after loading.
    pub fn invalid(setting: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid {
            setting: setting.into(),
            origin: "the configuration".to_owned(),
            reason: reason.into(),
        }
    }

    /// A setting that turned out to be needed after loading.
    pub fn missing(setting: &str) -> Self {
        Self::Missing { setting: setting.to_owned(), remedy: super::wa::remedy(setting) }
    }
}

/// "did you mean …?" when a known name is near, else the list.
pub(super) fn hint<'a>(name: &str, prefix: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let nearest = known.iter().map(|k| (distance(name, k), *k)).min();
    match nearest {
        Some((distance, near)) if distance <= 2 && distance < near.len() => {
            format!("did you mean {prefix}{near}?")
        }
        _ if known.is_empty() => "nothing can be set here".to_owned(),
        _ => format!("known here: {}", known.join(", ")),
    }
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_proposed_and_a_far_one_lists_what_there_is() {
        let known = || ["hostname", "port", "password"].into_iter();
        assert_eq!(hint("prot", "database.", known()), "did you mean database.port?");
        assert_eq!(hint("passwrd", "database.", known()), "did you mean database.password?");
        assert_eq!(hint("colour", "", known()), "known here: hostname, port, password");
    }
}
