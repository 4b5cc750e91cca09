//! The master keys that seal rows at rest, from the configuration.

use std::sync::Arc;

use session::sealing::MasterKeys;
use telemetry::config::ConfigError;

use crate::config::Coreapp;

/// Bytes of a master key.
const KEY_LEN: usize = 32;

/// The keys of `coreapp.master_key` and `coreapp.retired_master_keys`; `None` when none is set:
/// rows are then stored as they are.
pub(crate) fn master_keys(config: &Coreapp) -> Result<Option<Arc<MasterKeys>>, ConfigError> {
    let Some(newest) = &config.master_key else {
        tracing::warn!(
            "no master key: sessions, messages and events are stored unsealed; set \
             coreapp.master_key or HELIOGRAPH_COREAPP__MASTER_KEY_FILE"
        );
        return Ok(None);
    };
    let key = read("coreapp.master_key", newest.expose())?;
    let mut keys = MasterKeys::new(config.master_key_id, &key);
    for retired in &config.retired_master_keys {
        let setting = "coreapp.retired_master_keys";
        let invalid = || ConfigError::invalid(setting, "give each as ID:KEY, the id as it was");
        let (id, key) = retired.expose().split_once(':').ok_or_else(invalid)?;
        let id = id.parse().map_err(|_| invalid())?;
        keys = keys
            .with_retired(id, &read(setting, key)?)
            .map_err(|error| ConfigError::invalid(setting, error.to_string()))?;
    }
    Ok(Some(Arc::new(keys)))
}

fn read(setting: &str, hex: &str) -> Result<[u8; KEY_LEN], ConfigError> {
    let invalid =
        || ConfigError::invalid(setting, "give 64 hexadecimal digits: `openssl rand -hex 32`");
    let hex = hex.trim();
    if hex.len() != 2 * KEY_LEN || !hex.is_ascii() {
        return Err(invalid());
    }
    let mut key = [0; KEY_LEN];
    for (n, byte) in key.iter_mut().enumerate() {
        let digits = hex.get(2 * n..2 * n + 2).ok_or_else(invalid)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| invalid())?;
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_key_is_64_hexadecimal_digits_and_nothing_else() {
        let hex = "00ff".repeat(16);
        assert_eq!(read("x", &hex).unwrap()[..2], [0, 255]);
        for bad in ["", "00", &"0g".repeat(32), &"00".repeat(33), &"é".repeat(32)] {
            let error = read("coreapp.master_key", bad).unwrap_err().to_string();
            assert!(error.contains("coreapp.master_key"), "{error}");
        }
    }
}
