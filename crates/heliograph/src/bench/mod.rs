//! `heliograph bench`: drives a stack, its own or a running one, and says what it did.
//!
//! The stack consists of separate processes, so that each one's CPU time can be told. Warm-up is in
//! no figure. End-to-end latency counts from the moment the load *meant* to send a message to the
//! arrival of its `delivered` callback.

use std::{io, sync::Arc, time::Duration};

use clap::Args;
use contract::Rng;
use serde_json::json;
use telemetry::SystemRng;

mod api;
mod cpu;
mod load;
mod machine;
mod progress;
mod queue;
mod recipients;
mod report;
mod sink;
mod stack;
mod tally;

use crate::client::Client;
use cpu::Watched;
use load::Plan;
use recipients::Recipients;
use sink::Sink;
use tally::Tally;

/// Connections of a warm-up.
const WARM_UP_CLIENTS: usize = 16;
/// Messages of a warm-up among strangers.
const WARM_UP_STRANGERS: u64 = 500;
/// Nothing arrived for so long after everything was settled: late `read`s are in.
const QUIET: Duration = Duration::from_secs(2);
/// Nothing arrived for so long though messages are open: they count as lost.
const GIVE_UP: Duration = Duration::from_secs(30);

/// Options of `heliograph bench`.
#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// Connections that send; each waits for its answer before the next message.
    /// Default: 4, or 64 with --rate
    #[arg(long, value_name = "N")]
    clients: Option<usize>,
    /// How many messages to send
    #[arg(long, value_name = "M", default_value_t = 10_000, conflicts_with = "seconds")]
    messages: u64,
    /// Each client sends as soon as it has its answer (the default)
    #[arg(long, conflicts_with = "rate")]
    closed_loop: bool,
    /// Send so many messages a second whatever the answers do; latency counts from the moment a
    /// message should have left
    #[arg(long, value_name = "N", requires = "seconds")]
    rate: Option<f64>,
    /// For how long to send
    #[arg(long, value_name = "S", requires = "rate")]
    seconds: Option<u64>,
    /// Every message goes to a number never seen before
    #[arg(long, conflicts_with = "known")]
    strangers: bool,
    /// Messages go to recipients that the gateway knows already (the default)
    #[arg(long)]
    known: bool,
    /// How many known recipients; the warm-up sends one message to each
    #[arg(long, value_name = "N", default_value_t = 1_000,
        value_parser = clap::value_parser!(u64).range(1..=100_000_000), conflicts_with = "strangers")]
    recipients: u64,
    /// Switch the quotas and the limits of the REST edge off first
    #[arg(long)]
    no_limits: bool,
    /// Database of the stack that is started: sqlite:PATH, postgres://… or mysql://…,
    /// empty or new.
    /// Default: a new SQLite file
    #[arg(long, value_name = "URL", conflicts_with = "url")]
    database: Option<String>,
    /// Process id of the database server (PostgreSQL: the postmaster), to count the CPU time of the database
    #[arg(long, value_name = "PID")]
    database_pid: Option<u32>,
    /// Most writes the coreapp puts into one transaction
    #[arg(long, value_name = "N", conflicts_with = "url")]
    batch_max: Option<u32>,
    /// Callbacks in flight (webhooks.max_concurrent_requests)
    #[arg(long, value_name = "N", default_value_t = 24)]
    callback_connections: u32,
    /// Drive a stack that runs already, at this http:// address, instead of starting one
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Who to log in as on a running stack
    #[arg(long, default_value = "admin", requires = "url")]
    user: String,
    /// Password for a running stack
    #[arg(long, env = "HELIOGRAPH_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Print the summary as one JSON object on the last line of stdout
    #[arg(long)]
    json: bool,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error("failed to start the webhook of the run: {0}")]
    Sink(io::Error),
    #[error("failed to catch signals: {0}")]
    Signals(io::Error),
    #[error("interrupted")]
    Interrupted,
    #[error("failed to start the stack: {0}")]
    Stack(#[from] stack::StackError),
    #[error("failed at {0}")]
    Api(#[from] api::ApiError),
    #[error("the option --url needs an address like http://127.0.0.1:9091")]
    Url,
    #[error("the option --url needs the password in $HELIOGRAPH_PASSWORD or --password")]
    Password,
    #[error("failed to prepare the histograms: {0}")]
    Histogram(#[from] hdrhistogram::CreationError),
    #[error("failed to send a single message: {0}")]
    NothingAccepted(String),
}

/// Runs until the end or the first signal, which ends the stack too.
pub(crate) async fn main(args: BenchArgs) -> Result<(), BenchError> {
    let stop = telemetry::shutdown::on_signals().map_err(BenchError::Signals)?;
    tokio::select! {
        result = run(args) => result,
        () = stop.cancelled() => Err(BenchError::Interrupted),
    }
}

async fn run(args: BenchArgs) -> Result<(), BenchError> {
    let tally = Arc::new(Tally::new()?);
    let sink = Sink::start(tally.clone()).await.map_err(BenchError::Sink)?;
    let mut stack = None;
    let (authority, user, password, new_password) = if let Some(url) = &args.url {
        let authority = url.strip_prefix("http://").ok_or(BenchError::Url)?.trim_end_matches('/');
        let password = args.password.clone().ok_or(BenchError::Password)?;
        (authority.to_owned(), args.user.clone(), password, None)
    } else {
        let started = stack::start(args.database.as_deref(), args.batch_max).await?;
        let authority = started.authority.clone();
        stack = Some(started);
        (authority, "admin".to_owned(), "secret".to_owned(), Some(api::NEW_PASSWORD))
    };

    let mut client = Client::new(authority.clone());
    let authorization = api::login(&mut client, &user, &password, new_password).await?;
    let before = api::settings(&mut client, &authorization).await?;
    let limits = if args.no_limits {
        json!({
            "quotas": {"messages_per_second": 0, "contacts_per_second": 0},
            "web": {"per_user": 0, "per_address": 0},
        })
    } else {
        json!({})
    };
    let patch = json!({
        "webhooks": {
            "url": sink.url,
            "max_concurrent_requests": args.callback_connections,
            "message": {"sent": true, "delivered": true, "read": true},
        },
        "heliograph": limits,
    });
    api::patch_settings(&mut client, &authorization, &patch).await?;

    let result = measure(&args, &authority, &authorization, stack.as_ref(), &tally).await;
    if args.url.is_some() {
        let patch = json!({
            "webhooks": before.get("webhooks"),
            "heliograph": before.get("heliograph"),
        });
        api::patch_settings(&mut client, &authorization, &patch).await?;
    }
    if let Some(stack) = stack {
        stack.stop().await;
    }
    report::print(&result?, args.json);
    Ok(())
}

async fn measure(
    args: &BenchArgs,
    authority: &str,
    authorization: &str,
    stack: Option<&stack::Stack>,
    tally: &Arc<Tally>,
) -> Result<report::Report, BenchError> {
    let known = !args.strangers;
    let messages = match (args.rate, args.seconds) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a count of messages"
        )]
        (Some(rate), Some(seconds)) => (rate * seconds as f64) as u64,
        _ => args.messages,
    };
    let warm_up = if known { args.recipients } else { WARM_UP_STRANGERS };
    let clients = args.clients.unwrap_or(if args.rate.is_some() { 64 } else { 4 });
    let mut plan = Plan {
        authority: authority.to_owned(),
        authorization: authorization.to_owned(),
        clients: WARM_UP_CLIENTS,
        messages: warm_up,
        // A stack with its quotas on is warmed at their pace.
        rate: (!args.no_limits).then_some(60.0),
        recipients: Recipients::new(known.then_some(args.recipients), SystemRng::new().next_u64()),
        first: 0,
    };
    let mut bar = progress::Bar::new(messages);
    bar.say("warming up");
    load::run(&plan, tally).await;
    settle(tally).await;
    let (accepted, ..) = tally.progress();
    if accepted == 0 {
        let failed = tally.summary().failed.into_keys().collect::<Vec<_>>();
        return Err(BenchError::NothingAccepted(failed.join(", ")));
    }
    tally.reset();

    plan.first = if known { 0 } else { warm_up };
    plan.messages = messages;
    plan.clients = clients;
    plan.rate = args.rate;
    let mut watched = stack.map(stack::Stack::watched).unwrap_or_default();
    watched.push(Watched { name: "bench", pid: std::process::id(), children: false });
    if let Some(pid) = args.database_pid {
        watched.push(Watched { name: "database", pid, children: true });
    }
    let queue = queue::Peak::watch(authority.to_owned(), authorization.to_owned());
    bar.follow(tally);
    let cpu_before = cpu::sample(&watched);
    let duration = load::run(&plan, tally).await;
    let drained = settle(tally).await;
    let cpu_after = cpu::sample(&watched);
    bar.finish();
    Ok(report::Report {
        summary: tally.summary(),
        duration,
        drained: duration + drained,
        queue_peak: queue.get(),
        cpu: report::cpu_per_message(&cpu_before, &cpu_after, tally.progress().0),
        loop_kind: if args.rate.is_some() { "open" } else { "closed" },
        rate: args.rate,
        clients,
        known,
        limits: !args.no_limits,
        phones: stack.map_or("unknown", |_| "count"),
        callback_connections: args.callback_connections,
        batch_max: args.batch_max,
        database: stack.map(stack::Stack::database_facts).unwrap_or_default(),
    })
}

/// Waits until every accepted message is settled and late callbacks are in, or until nothing moves
/// any more. Gives the time until the last callback.
async fn settle(tally: &Tally) -> Duration {
    let start = tokio::time::Instant::now();
    loop {
        let (accepted, settled, quiet) = tally.progress();
        let patience = if settled >= accepted { QUIET } else { GIVE_UP };
        if quiet >= patience {
            return start.elapsed().saturating_sub(quiet);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
