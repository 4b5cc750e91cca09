//! Options of `heliograph bench`.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, ValueEnum};

use super::server::Database;

/// Connections of a closed loop, unless set: the method of the published figures of the original.
const CLOSED_CLIENTS: usize = 4;
/// Most calls of an open loop in flight, unless set.
const OPEN_CLIENTS: usize = 1_000;

/// All of them.
#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) stack: StackArgs,
    /// Print the summary as one JSON object on the last line of stdout
    #[arg(long, help_heading = "Result")]
    pub(crate) json: bool,
    /// Write report.json and index.html, a page with graphs over time, into this directory
    #[arg(long, value_name = "DIR", help_heading = "Result")]
    pub(crate) report: Option<PathBuf>,
}

/// What is sent.
#[derive(Args, Debug)]
#[command(next_help_heading = "Load")]
pub(crate) struct LoadArgs {
    /// Connections. Closed loop (default 4): each sends when it has its answer. Open loop
    /// (default 1000): most calls in flight; a message that finds none free is counted as not
    /// started
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    clients: Option<u32>,
    /// Closed loop: how many messages to send after the warm-up
    #[arg(long, value_name = "M", default_value_t = 10_000, conflicts_with = "seconds")]
    pub(crate) messages: u64,
    /// Each client sends as soon as it has its answer (the default)
    #[arg(long, conflicts_with = "rate")]
    closed_loop: bool,
    /// Open loop: send so many messages a second whatever the answers do. Latency counts from the
    /// moment a message should have left, so that a stall cannot hide
    #[arg(long, value_name = "N", requires = "seconds", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Open loop: for how long to send after the warm-up
    #[arg(long, value_name = "S", requires = "rate")]
    pub(crate) seconds: Option<u64>,
    /// The load runs for so many seconds before anything counts
    #[arg(long, value_name = "S", default_value_t = 5)]
    pub(crate) warmup: u64,
    /// Before each message POST /v1/contacts for its recipient. wait: until the network has
    /// answered. no-wait: the call answers from what is known
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1, require_equals = true,
        default_missing_value = "wait")]
    pub(crate) contacts: Option<Blocking>,
    /// Every message goes to a number never seen before (the default)
    #[arg(long, conflicts_with = "known")]
    strangers: bool,
    /// Messages go to recipients that have got one message each before the load begins
    #[arg(long)]
    pub(crate) known: bool,
    /// How many known recipients
    #[arg(long, value_name = "N", default_value_t = 1_000,
        value_parser = clap::value_parser!(u64).range(1..=100_000_000), requires = "known")]
    pub(crate) recipients: u64,
    /// Besides, check contacts: so many calls a second, each for numbers never seen before
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) contact_rate: Option<f64>,
    /// Numbers in each of those calls
    #[arg(long, value_name = "K", default_value_t = 1, requires = "contact_rate",
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) contact_batch: u32,
    /// Count a 429 or 503 as failed. Without it a refused call is repeated after its Retry-After
    /// and its client slows down, as a well-behaved one does
    #[arg(long)]
    pub(crate) no_retry: bool,
    /// Switch the quotas of the coreapp and the limits of the REST edge off first
    #[arg(long)]
    pub(crate) no_limits: bool,
}

/// What is driven.
#[derive(Args, Debug)]
#[command(next_help_heading = "Gateway")]
pub(crate) struct StackArgs {
    /// sqlite, postgres, mariadb or mysql: a new database on a private server; or the URL of an
    /// empty one: sqlite:PATH, postgres://…, mysql://…
    #[arg(long, value_name = "DB", default_value = "sqlite", conflicts_with = "url")]
    pub(crate) database: Database,
    /// Make each commit so many milliseconds slower (every fsync of the database waits)
    #[arg(long, value_name = "MS", conflicts_with = "url")]
    pub(crate) commit_delay_ms: Option<u32>,
    /// Webapps in front of the coreapp; the clients are spread over them
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "url",
        value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) webapps: u16,
    /// Milliseconds that each call, answer and receipt of the network takes
    #[arg(long, value_name = "MIN..MAX", default_value = "80..150", conflicts_with = "url")]
    pub(crate) upstream_latency: Latency,
    /// decrypt: the phones open every message and keep it. count: they only answer receipts
    #[arg(long, value_enum, default_value_t = Phones::Count, conflicts_with = "url")]
    pub(crate) phones: Phones,
    /// Most writes the coreapp puts into one transaction
    #[arg(long, value_name = "N", conflicts_with = "url")]
    pub(crate) batch_max: Option<u32>,
    /// Callbacks in flight (webhooks.max_concurrent_requests)
    #[arg(long, value_name = "N", default_value_t = 24)]
    pub(crate) callback_connections: u32,
    /// Drive a gateway that runs already, at this http:// address, instead of starting one; give it
    /// again for each further webapp
    #[arg(long, value_name = "URL")]
    pub(crate) url: Vec<String>,
    /// Control API of the running gateway's sandbox: tells what reached the phones
    #[arg(long, value_name = "URL", requires = "url")]
    pub(crate) sandbox: Option<String>,
    /// Who to log in as on a running gateway
    #[arg(long, default_value = "admin", requires = "url")]
    pub(crate) user: String,
    /// Password for a running gateway
    #[arg(long, env = "HELIOGRAPH_PASSWORD", hide_env_values = true)]
    pub(crate) password: Option<String>,
}

/// What the sandbox's phones do with contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Phones {
    Decrypt,
    Count,
}

/// `blocking` of a contact check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Blocking {
    Wait,
    NoWait,
}

/// Least and most milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Latency {
    pub(crate) min: u64,
    pub(crate) max: u64,
}

// === impl LoadArgs ===

impl LoadArgs {
    pub(crate) fn clients(&self) -> usize {
        let default = if self.rate.is_some() { OPEN_CLIENTS } else { CLOSED_CLIENTS };
        self.clients.map_or(default, |clients| clients as usize)
    }

    pub(crate) fn warmup(&self) -> Duration {
        Duration::from_secs(self.warmup)
    }
}

// === impl Blocking ===

impl Blocking {
    /// As the API has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::NoWait => "no_wait",
        }
    }
}

// === impl Phones ===

impl Phones {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Decrypt => "decrypt",
            Self::Count => "count",
        }
    }

    /// The sandbox's word for it.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Decrypt => "keep",
            Self::Count => "count",
        }
    }
}

// === impl Latency ===

impl FromStr for Latency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (min, max) = text.split_once("..").unwrap_or((text, text));
        let number = |text: &str| text.trim().parse::<u64>();
        match (number(min), number(max)) {
            (Ok(min), Ok(max)) if min <= max => Ok(Self { min, max }),
            _ => Err("give milliseconds as MIN..MAX, such as 80..150".to_owned()),
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e6 => Ok(rate),
        _ => Err("give a number above 0, at most 1000000".to_owned()),
    }
}
