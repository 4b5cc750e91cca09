//! The key that seals rows at rest: made at the first start, kept beside the data, readable by its
//! owner alone. Without it what is sealed is lost.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use contract::Rng;
use telemetry::config::Secret;

/// Name of the file in the data directory.
const FILE: &str = "master.key";

/// Reads the key, or makes one: 64 hexadecimal digits. It is on disk before it is given out.
pub(super) fn load_or_make(dir: &Path, rng: &impl Rng) -> io::Result<Secret> {
    let path = dir.join(FILE);
    match fs::read_to_string(&path) {
        Ok(hex) => return Ok(Secret::new(hex.trim())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fs::create_dir_all(dir)?;
    let mut key = [0; 32];
    rng.fill(&mut key);
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(hex.as_bytes())?;
    file.sync_all()?;
    File::open(dir)?.sync_all()?;
    Ok(Secret::new(hex))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use telemetry::SystemRng;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let made = load_or_make(&data, &SystemRng::new()).unwrap();
        assert_eq!(made.expose().len(), 64);
        let mode = fs::metadata(data.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(load_or_make(&data, &SystemRng::new()).unwrap().expose(), made.expose());
    }
}
