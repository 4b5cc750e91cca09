//! The `[webapp]` section and the options of the `webapp` command.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use serde::{Deserialize, Deserializer};
use telemetry::config::{Secret, Sources};

use crate::network::Network;

/// Where REST is served over TLS unless told otherwise.
pub const DEFAULT_HTTPS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9090);
/// Port of the messages listener of a coreapp; contacts and control are the next two.
const BASE_PORT: u16 = 6250;
/// Fewest bytes of a configured token key: the output of the hash it is used with.
pub(crate) const MIN_TOKEN_KEY: usize = 32;

/// The `[webapp]` section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where REST is served over TLS.
    pub https: Option<SocketAddr>,
    /// Where REST is served in clear text: a loopback address or nothing.
    pub http: Option<SocketAddr>,
    /// Coreapps to begin with; the others are learned from these.
    pub coreapps: Vec<CoreAddress>,
    /// Opens health, stats and metrics without a login. 12 to 128 characters.
    pub api_key: Option<Secret>,
    /// Signs tokens; at least 32 bytes. `None`: the coreapp's.
    pub token_key: Option<Secret>,
    /// Request limits. Off only for measurements.
    pub limits: bool,
    /// Proxies whose `X-Forwarded-For` says where a request came from, for the limits by address.
    pub trusted_proxies: Vec<Network>,
    /// PEM file with the certificate chain. `None`: a self-signed one.
    pub certificate_path: Option<PathBuf>,
    /// PEM file with the private key.
    pub certificate_key_path: Option<PathBuf>,
    /// Names in the self-signed certificate, beside `localhost`.
    pub server_names: Vec<String>,
    /// Keeps the self-signed certificate. `None`: a new one at each start.
    pub data_dir: Option<PathBuf>,
    /// Longest time to an answer, seconds. Contact checks may take 30.
    pub request_timeout_s: u64,
    /// Most connections open at once; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Name of this process in the `node` label of its metrics.
    pub node: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            https: Some(DEFAULT_HTTPS),
            http: None,
            coreapps: vec![CoreAddress::new("127.0.0.1", BASE_PORT)],
            api_key: None,
            token_key: None,
            limits: true,
            trusted_proxies: Vec::new(),
            certificate_path: None,
            certificate_key_path: None,
            server_names: Vec::new(),
            data_dir: None,
            request_timeout_s: 40,
            max_connections: 10_000,
            node: "webapp".to_owned(),
        }
    }
}

/// The three listeners of a coreapp, each `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreAddress {
    /// Messages, 6250 by default.
    pub messages: String,
    /// Contacts, 6251 by default.
    pub contacts: String,
    /// Directory, administration and operation, 6252 by default.
    pub control: String,
}

/// A text is no address of a coreapp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("give a coreapp as host or host:port, with the port of its messages listener")]
pub struct AddressError;

impl CoreAddress {
    /// The usual three ports in a row. IPv6 addresses stand in brackets.
    #[must_use]
    pub fn new(host: &str, messages_port: u16) -> Self {
        let at = |offset: u16| format!("{host}:{}", messages_port.saturating_add(offset));
        Self { messages: at(0), contacts: at(1), control: at(2) }
    }
}

impl FromStr for CoreAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| AddressError)?)
            }
            _ => (text, BASE_PORT),
        };
        let bare_v6 = host.contains(':') && !host.starts_with('[');
        if host.is_empty() || bare_v6 || host.contains(['/', ' ', '@', '?', '#']) {
            return Err(AddressError);
        }
        Ok(Self::new(host, port))
    }
}

impl fmt::Display for CoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.messages)
    }
}

impl<'de> Deserialize<'de> for CoreAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Options of the `webapp` command; each stands above the environment and the file.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Configuration file [default: heliograph.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address for HTTPS [default: 0.0.0.0:9090]
    #[arg(long, value_name = "ADDR")]
    pub https: Option<String>,
    /// Loopback address for plain HTTP [default: none]
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,
    /// Coreapps as host or host:port, separated by commas [default: 127.0.0.1:6250]
    #[arg(long, value_name = "HOSTS")]
    pub coreapps: Option<String>,
    /// Directory that keeps the self-signed certificate
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Switch the request limits off
    #[arg(long)]
    pub no_limits: bool,
}

impl Args {
    /// Everything configuration is made of. `env` is the process environment.
    #[must_use]
    pub fn sources(self, env: Vec<(String, String)>) -> Sources {
        let mut sources = Sources::new(self.config, env);
        for (option, setting, value) in [
            ("--https", "webapp.https", self.https),
            ("--http", "webapp.http", self.http),
            ("--coreapps", "webapp.coreapps", self.coreapps),
            ("--data-dir", "webapp.data_dir", self.data_dir),
            ("--no-limits", "webapp.limits", self.no_limits.then(|| "false".to_owned())),
        ] {
            if let Some(value) = value {
                sources = sources.flag(option, setting, value);
            }
        }
        sources
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coreapp_is_a_host_with_an_optional_port() {
        for (text, control) in [
            ("wacore", "wacore:6252"),
            ("10.0.0.7:7000", "10.0.0.7:7002"),
            ("[::1]", "[::1]:6252"),
            ("[::1]:7000", "[::1]:7002"),
        ] {
            assert_eq!(text.parse::<CoreAddress>().unwrap().control, control, "{text}");
        }
        for text in ["", ":6250", "wacore:port", "http://wacore", "::1", "a b"] {
            assert_eq!(text.parse::<CoreAddress>(), Err(AddressError), "{text}");
        }
    }

    #[test]
    fn trusted_proxies_are_a_list_and_an_entry_that_is_none_is_refused_by_its_setting() {
        #[derive(Debug, Deserialize)]
        struct Sections {
            webapp: Config,
        }
        let load = |value: &str| {
            let env = ("HELIOGRAPH_WEBAPP__TRUSTED_PROXIES".to_owned(), value.to_owned());
            telemetry::config::load::<Sections>(&Sources::new(None, vec![env]), &["webapp"])
        };
        let proxies = load("10.0.0.0/8, ::1").unwrap().webapp.trusted_proxies;
        assert_eq!(proxies, ["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()]);
        let error = load("10.0.0.0/8,10.0.0.0/33").unwrap_err().to_string();
        assert!(
            error.contains("webapp.trusted_proxies") && error.contains("10.0.0.0/8"),
            "{error}"
        );
    }
}
