//! The `[internal]` section: how webapps, coreapps and services know each other.

use std::{net::IpAddr, path::PathBuf};

use rpc::identity::{Files, SECRET_MIN, Secrets, Source};
use serde::Deserialize;

use super::{ConfigError, Secret, named};

/// `[internal]`, the same for every process of a deployment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Internal {
    /// What all of them know and nobody else; certificates are made from it.
    pub secret: Option<Secret>,
    /// Earlier or coming secrets; their certificates are accepted too.
    pub accepted_secrets: Vec<Secret>,
    /// Instead of a secret, PEM files: authorities, our chain, its key. Read again when they change.
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Permits clear text beyond this machine, where something else encrypts it.
    pub clear_text: bool,
}

impl Internal {
    /// Where certificates come from; `None`: clear text.
    ///
    /// # Errors
    /// When a secret is too short, or secret and files are mixed or incomplete.
    pub fn source(&self) -> Result<Option<Source>, ConfigError> {
        let files = [&self.ca, &self.cert, &self.key];
        match (&self.secret, files) {
            (None, [None, None, None]) if self.accepted_secrets.is_empty() => Ok(None),
            (None, [None, None, None]) => Err(ConfigError::missing("internal.secret")),
            (None, [Some(ca), Some(cert), Some(key)]) if self.accepted_secrets.is_empty() => {
                let (ca, cert, key) = (ca.clone(), cert.clone(), key.clone());
                Ok(Some(Source::Files(Files { ca, cert, key })))
            }
            (Some(secret), [None, None, None]) => {
                for one in self.accepted_secrets.iter().chain([secret]) {
                    if one.expose().chars().count() < SECRET_MIN {
                        let reason = format!("a secret has at least {SECRET_MIN} characters");
                        return Err(ConfigError::invalid(named("internal.secret"), reason));
                    }
                }
                let accepted: Vec<_> = self.accepted_secrets.iter().map(Secret::expose).collect();
                Ok(Some(Source::Secrets(Secrets::new(secret.expose(), &accepted))))
            }
            _ => Err(ConfigError::invalid(
                "internal",
                "give either internal.secret (WA_SECRET), or internal.ca, internal.cert and \
                 internal.key",
            )),
        }
    }

    /// # Errors
    /// When there is no identity and `host`, which `setting` names, is not on this machine.
    pub fn check_clear_text(&self, setting: &str, host: &str) -> Result<(), ConfigError> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let here = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        if here || self.clear_text || self.source()?.is_some() {
            return Ok(());
        }
        let reason = format!(
            "{host} is not on this machine, and processes talk to each other in clear text only \
             there: give all of them the same {}, or set internal.clear_text where something else \
             encrypts",
            named("internal.secret")
        );
        Err(ConfigError::invalid(named(setting), reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Option<Secret> {
        Some(Secret::new(text))
    }

    #[test]
    fn either_a_secret_or_three_files_and_nothing_between() {
        let long = "0123456789abcdef0123456789abcdef";
        let file = || Some(PathBuf::from("/etc/heliograph/x.pem"));
        let source = |internal: Internal| internal.source().map(|source| source.is_some());
        assert!(!source(Internal::default()).unwrap());
        assert!(source(Internal { secret: secret(long), ..Internal::default() }).unwrap());
        let files = Internal { ca: file(), cert: file(), key: file(), ..Internal::default() };
        assert!(source(files.clone()).unwrap());
        let wrong = [
            (Internal { secret: secret("short"), ..Internal::default() }, "32 characters"),
            (Internal { secret: secret(long), ..files.clone() }, "either internal.secret"),
            (Internal { key: None, ..files }, "internal.key"),
            (
                Internal { accepted_secrets: vec![Secret::new(long)], ..Internal::default() },
                "WA_SECRET",
            ),
        ];
        for (internal, part) in wrong {
            let message = source(internal).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn clear_text_stays_on_this_machine_unless_it_is_permitted() {
        let clear = Internal::default();
        for host in ["127.0.0.1", "::1", "[::1]", "localhost"] {
            assert!(clear.check_clear_text("webapp.coreapps", host).is_ok(), "{host}");
        }
        let message = clear.check_clear_text("coreapp.listen", "0.0.0.0").unwrap_err().to_string();
        for part in ["coreapp.listen", "WA_TCP_LISTEN_ADDRESS", "WA_SECRET", "internal.clear_text"]
        {
            assert!(message.contains(part), "{message}");
        }
        let permitted = Internal { clear_text: true, ..Internal::default() };
        assert!(permitted.check_clear_text("coreapp.listen", "0.0.0.0").is_ok());
    }
}
