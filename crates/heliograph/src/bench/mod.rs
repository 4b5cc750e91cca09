//! `heliograph bench`: drives a gateway, its own or a running one, and says what it did.
//!
//! The gateway consists of separate processes, so that each one's CPU time can be told. What is due
//! during the warm-up is in no rate and no latency, but its messages must arrive like all others.

use std::{io, sync::Arc, time::Duration};

use contract::{Clock, Rng};
use serde_json::{Value, json};
use telemetry::{SystemClock, SystemRng};

mod api;
mod args;
mod cpu;
mod load;
mod machine;
mod ports;
mod progress;
mod recipients;
mod report;
mod sampler;
mod server;
mod shim;
mod sink;
mod stack;
mod tally;

use crate::client::Client;
pub(crate) use args::BenchArgs;
use cpu::Watched;
use load::{Checks, Plan, Shape, Tallies, Target};
use recipients::Recipients;
use report::{AtNetwork, Batches, Report};
use sampler::{Sampler, Sources};
use sink::Sink;
use stack::Stack;
use tally::Tally;

/// Connections that introduce known recipients, and their pace while quotas are at work.
const INTRODUCING_CLIENTS: usize = 16;
const INTRODUCING_RATE: f64 = 60.0;
/// Nothing arrived for so long though messages are open: they count as lost.
const GIVE_UP: Duration = Duration::from_secs(30);
/// Nothing arrived for so long after every message had its end: no more callbacks will come.
const QUIET: Duration = Duration::from_secs(5);
/// Between two looks whether all have arrived.
const LOOK: Duration = Duration::from_millis(20);

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error("failed to start the webhook of the run: {0}")]
    Sink(io::Error),
    #[error("failed to catch signals: {0}")]
    Signals(io::Error),
    #[error("interrupted")]
    Interrupted,
    #[error("failed to start the gateway: {0}")]
    Stack(#[from] stack::StackError),
    #[error("failed at {0}")]
    Api(#[from] api::ApiError),
    #[error("{0} is no address like http://127.0.0.1:9091")]
    Url(String),
    #[error("the option --url needs the password in $HELIOGRAPH_PASSWORD or --password")]
    Password,
    #[error("failed to prepare the histograms: {0}")]
    Histogram(#[from] hdrhistogram::CreationError),
    #[error("failed to send a single message: {0}")]
    NothingAccepted(String),
    #[error("failed to write the report: {0}")]
    Report(#[from] report::WriteError),
}

/// Whom a run drives.
struct Gateway {
    webapps: Vec<String>,
    sandbox: Option<String>,
    /// `None`: it ran before.
    stack: Option<Stack>,
    authorization: String,
    /// Messages that may wait (`jobs.max`), as the settings say.
    jobs_max: Value,
}

/// Runs until the end or the first signal, which ends the gateway too.
pub(crate) async fn main(args: BenchArgs) -> Result<(), BenchError> {
    let stop = telemetry::shutdown::on_signals().map_err(BenchError::Signals)?;
    tokio::select! {
        result = run(&args) => result,
        () = stop.cancelled() => Err(BenchError::Interrupted),
    }
}

async fn run(args: &BenchArgs) -> Result<(), BenchError> {
    let tallies = Tallies { messages: Arc::new(Tally::new()?), checks: Arc::new(Tally::new()?) };
    let sink = Sink::start(tallies.messages.clone()).await.map_err(BenchError::Sink)?;
    let (stack, webapps, sandbox, password, new_password) = if args.stack.url.is_empty() {
        let stack = stack::start(&args.stack).await?;
        let (webapps, sandbox) = (stack.webapps.clone(), Some(stack.sandbox.clone()));
        (Some(stack), webapps, sandbox, "secret".to_owned(), Some(api::NEW_PASSWORD))
    } else {
        let password = args.stack.password.clone().ok_or(BenchError::Password)?;
        let webapps = args.stack.url.iter().map(|url| authority(url)).collect::<Result<_, _>>()?;
        let sandbox = args.stack.sandbox.as_deref().map(authority).transpose()?;
        (None, webapps, sandbox, password, None)
    };

    let mut client = Client::new(webapps.first().cloned().unwrap_or_default());
    let authorization = api::login(&mut client, &args.stack.user, &password, new_password).await?;
    let before = api::settings(&mut client, &authorization).await?;
    api::patch_settings(&mut client, &authorization, &settings(args, &sink.url)).await?;
    let jobs_max = before.pointer("/heliograph/jobs/max").cloned().unwrap_or_default();
    let gateway = Gateway { webapps, sandbox, stack, authorization, jobs_max };

    let report = measure(args, &gateway, &tallies).await;
    match gateway.stack {
        Some(stack) => stack.stop().await,
        None => {
            let patch = json!({
                "webhooks": before.get("webhooks"),
                "heliograph": before.get("heliograph"),
            });
            api::patch_settings(&mut client, &gateway.authorization, &patch).await?;
        }
    }
    let report = report?;
    if let Some(directory) = &args.report {
        report.write(directory)?;
        eprintln!("the report is {}", directory.join("index.html").display());
    }
    report.print(args.json);
    Ok(())
}

/// Callbacks come here, all of them; quotas off if asked for.
fn settings(args: &BenchArgs, webhook: &str) -> Value {
    let limits = if args.load.no_limits {
        json!({
            "quotas": {"messages_per_second": 0, "contacts_per_second": 0},
            "web": {"per_user": 0, "per_address": 0},
        })
    } else {
        json!({})
    };
    json!({
        "webhooks": {
            "url": webhook,
            "max_concurrent_requests": args.stack.callback_connections,
            "message": {"sent": true, "delivered": true, "read": true},
        },
        "heliograph": limits,
    })
}

async fn measure(
    args: &BenchArgs,
    gateway: &Gateway,
    tallies: &Tallies,
) -> Result<Report, BenchError> {
    let load = &args.load;
    let target = Target {
        authorities: gateway.webapps.clone().into(),
        authorization: gateway.authorization.as_str().into(),
    };
    let random = SystemRng::new().next_u64();
    let checks =
        |rate| Checks { rate, batch: load.contact_batch, numbers: Recipients::of_checks(random) };
    let plan = Plan {
        target,
        shape: match (load.rate, load.seconds) {
            (Some(rate), Some(seconds)) => Shape::Open { rate, seconds },
            _ => Shape::Closed { messages: load.messages },
        },
        clients: load.clients(),
        warmup: load.warmup(),
        recipients: Recipients::of_messages(load.known.then_some(load.recipients), random),
        contacts: load.contacts,
        retry: !load.no_retry,
        checks: load.contact_rate.map(checks),
    };
    let mut bar = progress::Bar::new(plan.messages());
    if load.known {
        bar.say("introducing the recipients");
        introduce(args, &plan, tallies).await;
    }

    let mut watched = gateway.stack.as_ref().map(Stack::watched).unwrap_or_default();
    watched.push(Watched { name: "load", pid: std::process::id(), children: false });
    let network_before = at_network(gateway).await;
    let sources = Sources {
        webapps: gateway.webapps.clone(),
        authorization: gateway.authorization.clone(),
        sandbox: gateway.sandbox.clone(),
    };
    let started = jiff::Timestamp::from_millisecond(SystemClock.unix_ms()).unwrap_or_default();
    let started = started.strftime("%Y-%m-%d %H:%M UTC").to_string();
    bar.follow(&tallies.messages);
    let cpu_before = cpu::sample(&watched);
    let sampler = Sampler::start(sources, tallies.clone()).await;
    load::run(&plan, tallies).await;
    settle(&tallies.messages).await;
    let cpu_after = cpu::sample(&watched);
    let samples = sampler.finish().await;
    bar.finish();

    let summary = tallies.messages.summary();
    if summary.accepted_all == 0 {
        let reasons = [&summary.failed, &summary.refused].map(|m| m.keys().cloned());
        let reasons: Vec<_> = reasons.into_iter().flatten().collect();
        return Err(BenchError::NothingAccepted(reasons.join(", ")));
    }
    let network = at_network(gateway).await.zip(network_before);
    Ok(Report {
        cpu: report::cpu_per_message(&cpu_before, &cpu_after, summary.accepted_all),
        summary,
        checks: plan.checks.map(|_| tallies.checks.summary()),
        network: network.map(|(after, before)| after.since(&before)),
        queue_peak: sampler::queue_peak(&samples, plan.warmup),
        load: asked_for(args, gateway, &started),
        database: gateway.stack.as_ref().map(Stack::database_facts).unwrap_or_default(),
        warmup: plan.warmup,
        samples,
    })
}

/// One message to each known recipient, as fast as quotas allow; none of it is measured.
async fn introduce(args: &BenchArgs, plan: &Plan, tallies: &Tallies) {
    let plan = Plan {
        shape: match args.load.no_limits {
            true => Shape::Closed { messages: args.load.recipients },
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "seconds"
            )]
            false => Shape::Open {
                rate: INTRODUCING_RATE,
                seconds: (args.load.recipients as f64 / INTRODUCING_RATE).ceil() as u64,
            },
        },
        clients: INTRODUCING_CLIENTS,
        warmup: Duration::ZERO,
        contacts: None,
        retry: true,
        checks: None,
        ..plan.clone()
    };
    load::run(&plan, tallies).await;
    settle(&tallies.messages).await;
}

/// Waits until every accepted message has all of its callbacks, or until nothing moves any more.
async fn settle(tally: &Tally) {
    loop {
        let progress = tally.progress();
        let patience = match progress.accepted {
            accepted if progress.complete >= accepted => return,
            accepted if progress.settled >= accepted => QUIET,
            _ => GIVE_UP,
        };
        if progress.quiet >= patience {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What the sandbox has counted; `None` when it is not known or does not answer.
async fn at_network(gateway: &Gateway) -> Option<AtNetwork> {
    let stats = api::sandbox_stats(&mut Client::new(gateway.sandbox.clone()?)).await?;
    let count = |pointer: &str| stats.pointer(pointer)?.as_u64();
    let batches = |kind: &str, in_flight: &str| {
        Some(Batches {
            calls: count(&format!("/{kind}/count"))?,
            items: count(&format!("/{kind}/sum"))?,
            largest: count(&format!("/{kind}/max"))?,
            in_flight_max: count(&format!("/in_flight/{in_flight}_max"))?,
        })
    };
    Some(AtNetwork {
        delivered: count("/delivered")?,
        delivered_twice: count("/delivered_twice")?,
        contact_syncs: batches("contact_sync", "contact_syncs")?,
        pre_key_fetches: batches("bundle_fetch", "bundle_fetches")?,
    })
}

/// What the figures were measured with.
fn asked_for(args: &BenchArgs, gateway: &Gateway, started: &str) -> Value {
    let (load, stack) = (&args.load, &args.stack);
    let ours = gateway.stack.is_some();
    let latency = stack.upstream_latency;
    json!({
        "started": started,
        "loop": if load.rate.is_some() { "open" } else { "closed" },
        "rate": load.rate,
        "clients": load.clients(),
        "warmup_s": load.warmup,
        "contacts": load.contacts.map(args::Blocking::name),
        "recipients": if load.known { "known recipients" } else { "strangers" },
        "contact_rate": load.contact_rate,
        "contact_batch": load.contact_rate.map(|_| load.contact_batch),
        "retry": !load.no_retry,
        "limits": !load.no_limits,
        "webapps": gateway.webapps.len(),
        "phones": if ours { stack.phones.name() } else { "unknown" },
        "upstream_latency_ms": ours.then_some([latency.min, latency.max]),
        "commit_delay_ms": ours.then_some(stack.commit_delay_ms.unwrap_or(0)),
        "callback_connections": stack.callback_connections,
        "batch_max": stack.batch_max,
        "jobs_max": gateway.jobs_max,
    })
}

fn authority(url: &str) -> Result<String, BenchError> {
    let authority = url.strip_prefix("http://").ok_or_else(|| BenchError::Url(url.to_owned()))?;
    Ok(authority.trim_end_matches('/').to_owned())
}
