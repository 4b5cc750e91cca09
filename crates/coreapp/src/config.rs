//! The coreapp's configuration and command line.

use std::{net::IpAddr, path::PathBuf};

use clap::Args as ClapArgs;
use contract::{Number, settings::Application};
use serde::Deserialize;
use telemetry::{
    config::{self, ConfigError, Database, Internal, Secret, Sources},
    logs::Log,
    traces::Telemetry,
};

use crate::support;

/// First of the four ports.
pub const PORT: u16 = 6_250;
/// Sections this role reads.
const SECTIONS: &[&str] = &[
    "account",
    "coreapp",
    "database",
    "egress",
    "internal",
    "log",
    "media",
    "node",
    "settings",
    "telemetry",
    "upstream",
];

/// Options of `coreapp`; each stands for a setting and wins over file and environment.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct Args {
    /// Configuration file [default: heliograph.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address to listen on
    #[arg(long, value_name = "IP")]
    pub listen: Option<String>,
    /// First of four ports: messages, contacts, control, health; 0 takes free ones
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Name of this node; a new start under the same name takes over from the old one at once
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Database: sqlite:PATH, postgres://USER:PASSWORD@HOST:PORT/NAME or mysql://… (MariaDB too)
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// Where the network is: http://HOST:PORT of a sandbox
    #[arg(long, value_name = "URL")]
    pub upstream: Option<String>,
    /// Switch all quotas and rate limits off
    #[arg(long)]
    pub no_limits: bool,
    /// Start even though the database is set to lose what it acknowledged
    #[arg(long)]
    pub unsafe_durability: bool,
}

/// Everything the coreapp is configured with.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    pub account: Account,
    pub coreapp: Coreapp,
    pub database: Database,
    /// What of the environment support information shows.
    #[serde(skip)]
    pub environment: Vec<String>,
    pub egress: Egress,
    pub internal: Internal,
    pub log: Log,
    pub media: Media,
    pub node: Node,
    /// First value of the settings document, in the shape of a PATCH.
    pub settings: serde_json::Map<String, serde_json::Value>,
    pub telemetry: Telemetry,
    pub upstream: Upstream,
}

/// `[account]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Account {
    /// Own number until one is registered through the API.
    pub number: Option<Number>,
}

/// `[coreapp]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Coreapp {
    pub listen: IpAddr,
    pub port: u16,
    /// How webapps and peers reach it. Default: `listen`, or the host's name when that is 0.0.0.0.
    pub hostname: Option<String>,
    pub no_limits: bool,
    /// Seals rows at rest: 64 hexadecimal digits.
    pub master_key: Option<Secret>,
    /// What its rows carry; another one for another key.
    pub master_key_id: u16,
    /// Earlier keys, as ID:KEY: they only open.
    pub retired_master_keys: Vec<Secret>,
}

impl Default for Coreapp {
    fn default() -> Self {
        let listen = IpAddr::from([127, 0, 0, 1]);
        Self {
            listen,
            port: PORT,
            hostname: None,
            no_limits: false,
            master_key: None,
            master_key_id: 1,
            retired_master_keys: Vec::new(),
        }
    }
}

/// `[egress]`: what user-given URLs may point at, beyond public HTTPS.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Egress {
    /// `loopback`, `http`, `private`, `link-local`, networks.
    pub allow: Vec<String>,
    /// `http://USER:PASSWORD@HOST:PORT` of a proxy that tunnels (CONNECT).
    pub proxy: Option<Secret>,
    /// Hosts (`host`, `.suffix`) that are called without it.
    pub no_proxy: Vec<String>,
    /// PEM files: what webhooks that ask for a client certificate are shown.
    pub client_cert: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
}

/// `[media]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Media {
    /// Where files are kept; one that all coreapps share. Default: `media` beside the SQLite file, else
    /// in the working directory.
    pub directory: Option<PathBuf>,
}

/// `[node]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// Default: the host's name.
    pub name: Option<String>,
}

/// `[upstream]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
    pub url: String,
}

impl Default for Upstream {
    fn default() -> Self {
        Self { url: "http://127.0.0.1:9081".to_owned() }
    }
}

impl Config {
    /// From options, environment and file.
    ///
    /// # Errors
    /// [`ConfigError`], naming the setting and the remedy.
    pub fn load(args: &Args, env: Vec<(String, String)>) -> Result<Self, ConfigError> {
        let environment = support::variables(&env);
        let mut sources = Sources::new(args.config.clone(), env);
        let options: [(&'static str, &'static str, Option<String>); 7] = [
            ("--listen", "coreapp.listen", args.listen.clone()),
            ("--port", "coreapp.port", args.port.map(|port| port.to_string())),
            ("--node", "node.name", args.node.clone()),
            ("--database", "database.url", args.database.clone()),
            ("--upstream", "upstream.url", args.upstream.clone()),
            ("--no-limits", "coreapp.no_limits", args.no_limits.then(|| "true".to_owned())),
            (
                "--unsafe-durability",
                "database.unsafe_durability",
                args.unsafe_durability.then(|| "true".to_owned()),
            ),
        ];
        for (option, setting, value) in options {
            if let Some(value) = value {
                sources = sources.flag(option, setting, value);
            }
        }
        Ok(Self { environment, ..config::load(&sources, SECTIONS)? })
    }

    /// The settings document a new database starts with.
    ///
    /// # Errors
    /// What the `[settings]` section says that no PATCH could.
    pub fn initial_settings(&self) -> Result<Application, ConfigError> {
        if self.settings.is_empty() {
            return Ok(Application::default());
        }
        let patch = serde_json::to_vec(&self.settings)
            .map_err(|error| ConfigError::invalid("settings", error.to_string()))?;
        Application::default()
            .patch(&patch)
            .map_err(|error| ConfigError::invalid("settings", error.details))
    }
}
