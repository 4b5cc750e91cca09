//! What the sandbox is started with.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use clap::ValueEnum;

/// Least and most milliseconds of each call, answer and receipt, unless set otherwise: what the
/// vendor's servers took from afar.
pub const LATENCY_MS: (u64, u64) = (80, 150);

/// What the sandbox is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the coreapps connect (gRPC). Port 0: any free one.
    pub listen: SocketAddr,
    /// Where the control API listens; loopback only. Port 0: any free one.
    pub http: SocketAddr,
    /// Least and most milliseconds of each call, answer, receipt and inbound message.
    pub latency_ms: (u64, u64),
    /// Of latencies, faults and the phones' keys.
    pub seed: u64,
    /// What phones do with contents.
    pub phones: Phones,
    /// Where phones' settings and sessions, outside devices, undelivered envelopes and letters,
    /// unacknowledged receipts are remembered across restarts; `None`: nowhere.
    pub data_dir: Option<PathBuf>,
}

/// What phones do with contents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Phones {
    /// Decrypt them and keep them for the control API.
    #[default]
    Keep,
    /// Answer receipts, decrypt and keep nothing, for throughput runs. All phones then share one
    /// identity and one set of pre-keys, so that a bundle costs nothing: they are valid and verify.
    Count,
}

impl Default for Config {
    fn default() -> Self {
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self {
            listen: loopback(9081),
            http: loopback(9080),
            latency_ms: LATENCY_MS,
            seed: 0,
            phones: Phones::Keep,
            data_dir: None,
        }
    }
}

/// The command line of `sandbox`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where coreapps connect (gRPC).
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9081")]
    pub listen: SocketAddr,
    /// Where the control API listens; loopback only.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9080")]
    pub http: SocketAddr,
    /// Least and most milliseconds of each call, answer and receipt.
    #[arg(long, value_name = "MIN-MAX", default_value = "80-150")]
    pub latency_ms: Range,
    /// Seed of latencies, faults and the phones' keys.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// What phones do with contents.
    #[arg(long, value_enum, default_value_t = Phones::Keep)]
    pub phones: Phones,
    /// Where phones' settings and sessions, outside devices, undelivered envelopes and letters,
    /// unacknowledged receipts are remembered across restarts.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl From<Args> for Config {
    fn from(args: Args) -> Self {
        let Args { listen, http, latency_ms: Range(min, max), seed, phones, data_dir } = args;
        Self { listen, http, latency_ms: (min, max), seed, phones, data_dir }
    }
}

/// Two numbers, `80-150`, or one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range(pub u64, pub u64);

/// A text is no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("give milliseconds as MIN-MAX, such as 80-150")]
pub struct RangeError;

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str| text.trim().parse().map_err(|_| RangeError);
        Ok(Self(number(min)?, number(max)?))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}
