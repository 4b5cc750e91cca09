//! The environment names of the original, and the setting each one means.

/// One `WA_*` name.
pub(super) struct Name {
    pub(super) variable: &'static str,
    pub(super) setting: &'static str,
    pub(super) read: fn(&str) -> Result<String, &'static str>,
}

/// In the order of the original's table. Its other names have no effect here and are ignored, so
/// that an environment file of the original works unchanged.
pub(super) const NAMES: &[Name] = &[
    text("WA_DB_ENGINE", "database.engine"),
    text("WA_DB_HOSTNAME", "database.host"),
    text("WA_DB_PORT", "database.port"),
    text("WA_DB_USERNAME", "database.username"),
    text("WA_DB_PASSWORD", "database.password"),
    text("WA_DB_NAME_PREFIX", "database.name_prefix"),
    text("COREAPP_HOSTNAME", "coreapp.hostname"),
    Name { variable: "WA_TCP_LISTEN_ADDRESS", setting: "coreapp.listen", read: listen },
    text("WACORE_HOSTNAME", "webapp.coreapps"),
    text("WA_WEB_JWT_CRYPTO_KEY", "webapp.token_key"),
    Name { variable: "WA_API_KEY", setting: "webapp.api_key", read: api_key },
];

const fn text(variable: &'static str, setting: &'static str) -> Name {
    Name { variable, setting, read: |value| Ok(value.to_owned()) }
}

fn listen(value: &str) -> Result<String, &'static str> {
    Ok(if value == "any" { "0.0.0.0" } else { value }.to_owned())
}

fn api_key(value: &str) -> Result<String, &'static str> {
    if (12..=128).contains(&value.chars().count()) {
        Ok(value.to_owned())
    } else {
        Err("give 12 to 128 characters")
    }
}

/// How to set a setting, for an error message.
pub(super) fn remedy(setting: &str) -> String {
    let own = format!("HELIOGRAPH_{}", setting.replace('.', "__").to_uppercase());
    let file = super::DEFAULT_FILE;
    match NAMES.iter().find(|name| name.setting == setting) {
        Some(name) => format!("in {file}, with {own} or with {}", name.variable),
        None => format!("in {file} or with {own}"),
    }
}
