//! Looks at gateway and load once a second, for the graphs and for the highest level of the queue.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior},
};

use super::{
    api,
    load::Tallies,
    tally::{Interval, Tally},
};
use crate::client::Client;

const PERIOD: Duration = Duration::from_secs(1);
/// Longest run that is drawn from every sample; of a longer one later samples are left out.
const SAMPLES: usize = 100_000;

/// Whom to ask.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    /// host:port of each webapp.
    pub(crate) webapps: Vec<String>,
    pub(crate) authorization: String,
    /// host:port of the sandbox's control API, if it is known.
    pub(crate) sandbox: Option<String>,
}

/// One look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// Since the load began, seconds.
    pub(crate) at: f64,
    pub(crate) interval: Interval,
    /// Of the contact checks beside the messages.
    pub(crate) checks: Interval,
    pub(crate) levels: Levels,
    pub(crate) counters: Counters,
}

/// As they stand; `None` when nobody said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Levels {
    pub(crate) pending: Option<f64>,
    /// Most since the last look.
    pub(crate) pending_peak: Option<f64>,
    pub(crate) callback_queue: Option<f64>,
}

/// Since the start of each process; never falling.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) send_message: Calls,
    pub(crate) pre_keys: Calls,
    pub(crate) pre_key_users: f64,
    pub(crate) contact_sync: Calls,
    pub(crate) contact_sync_numbers: f64,
    pub(crate) callbacks: Calls,
    pub(crate) api_messages: f64,
    pub(crate) api_contacts: f64,
    /// Messages that reached their phones.
    pub(crate) delivered: f64,
}

/// Of one kind: how many, and their time together in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Calls {
    pub(crate) count: f64,
    pub(crate) ms: f64,
}

/// Runs from the beginning of the load until it is asked for what it saw.
#[derive(Debug)]
pub(crate) struct Sampler {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Vec<Sample>>,
}

// === impl Sampler ===

impl Sampler {
    /// Takes the first look, which ends whatever was before; the load begins when this returns.
    pub(crate) async fn start(sources: Sources, tallies: Tallies) -> Self {
        let mut asked = Asked::new(&sources);
        let mut samples = vec![asked.look(Instant::now(), &tallies).await];
        let (stop, mut stopped) = oneshot::channel();
        let start = Instant::now();
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval_at(start + PERIOD, PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let last = tokio::select! {
                    _ = ticks.tick() => false,
                    _ = &mut stopped => true,
                };
                let sample = asked.look(start, &tallies).await;
                if samples.len() < SAMPLES {
                    samples.push(sample);
                }
                if last {
                    return samples;
                }
            }
        });
        Self { stop, task }
    }

    /// Looks a last time; gives all samples.
    pub(crate) async fn finish(self) -> Vec<Sample> {
        // It waits for this alone.
        let _ = self.stop.send(());
        self.task.await.unwrap_or_default()
    }
}

/// Most messages that waited in the coreapp after the warm-up.
pub(crate) fn queue_peak(samples: &[Sample], warmup: Duration) -> Option<f64> {
    // A look at the end of the warm-up shows its peak.
    let after = warmup.as_secs_f64() + PERIOD.as_secs_f64() / 2.0;
    let counted = samples.iter().filter(|sample| sample.at > after || warmup.is_zero());
    counted.filter_map(|sample| sample.levels.pending_peak).reduce(f64::max)
}

/// Connections to whom is asked.
struct Asked {
    authorization: String,
    webapps: Vec<Client>,
    sandbox: Option<Client>,
}

impl Asked {
    fn new(sources: &Sources) -> Self {
        Self {
            authorization: sources.authorization.clone(),
            webapps: sources.webapps.iter().map(Client::new).collect(),
            sandbox: sources.sandbox.as_ref().map(Client::new),
        }
    }

    async fn look(&mut self, start: Instant, tallies: &Tallies) -> Sample {
        let taken = |tally: &Arc<Tally>| tally.take_interval();
        let mut sample = Sample {
            at: start.elapsed().as_secs_f64(),
            interval: taken(&tallies.messages),
            checks: taken(&tallies.checks),
            ..Sample::default()
        };
        let counters = &mut sample.counters;
        if let Some(webapp) = self.webapps.first_mut()
            && let Some(stats) = api::stats(webapp, &self.authorization).await
        {
            let operation = |name: &str| Calls {
                count: sum(
                    &stats,
                    "internal_server_requests_duration_ms_count",
                    ("operation", name),
                )
                .unwrap_or(0.0),
                ms: sum(&stats, "internal_server_requests_duration_ms_sum", ("operation", name))
                    .unwrap_or(0.0),
            };
            let items = |name: &str| {
                sum(&stats, "internal_server_requests_batch_sum", ("operation", name))
                    .unwrap_or(0.0)
            };
            counters.send_message = operation("SendMessage");
            counters.pre_keys = operation("SendGetPreKeyBatchResult");
            counters.pre_key_users = items("SendGetPreKeyBatchResult");
            counters.contact_sync = operation("UnifiedSyncResult");
            counters.contact_sync_numbers = items("UnifiedSyncResult");
            let all = |name| sum(&stats, name, ANY);
            counters.callbacks = Calls {
                count: all("callback_requests_duration_ms_count").unwrap_or(0.0),
                ms: all("callback_requests_duration_ms_sum").unwrap_or(0.0),
            };
            sample.levels = Levels {
                pending: all("pending_messages"),
                pending_peak: all("pending_messages_peak"),
                callback_queue: all("callback_queue_size"),
            };
        }
        for webapp in &mut self.webapps {
            if let Some(metrics) = api::metrics(webapp, &self.authorization).await {
                let method = |name| {
                    sum(&metrics, "api_requests_duration_ms_count", ("method", name)).unwrap_or(0.0)
                };
                counters.api_messages += method("POST_v1_messages");
                counters.api_contacts += method("POST_v1_contacts");
            }
        }
        if let Some(sandbox) = &mut self.sandbox
            && let Some(stats) = api::sandbox_stats(sandbox).await
        {
            counters.delivered = stats.get("delivered").and_then(Value::as_f64).unwrap_or(0.0);
        }
        sample
    }
}

/// Every sample.
const ANY: (&str, &str) = ("", "");

/// The samples of a metric that carry a label, added up; `None` if there is no such metric.
fn sum(metrics: &Value, name: &str, (label, value): (&str, &str)) -> Option<f64> {
    let samples = metrics.get(name)?.get("data")?.as_array()?.iter();
    let wanted = samples.filter(|sample| {
        label.is_empty() || sample.get("labels").and_then(|l| l.get(label)?.as_str()) == Some(value)
    });
    Some(wanted.filter_map(|sample| sample.get("value")?.as_f64()).sum())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn samples_of_all_nodes_and_results_are_added_up_by_label() {
        let metrics = json!({"calls": {"data": [
            {"labels": {"operation": "a", "node": "1"}, "value": 1},
            {"labels": {"operation": "a", "node": "2"}, "value": 2.5},
            {"labels": {"operation": "b"}, "value": 4},
        ]}});
        assert_eq!(sum(&metrics, "calls", ("operation", "a")), Some(3.5));
        assert_eq!(sum(&metrics, "calls", ANY), Some(7.5));
        assert_eq!(sum(&metrics, "others", ANY), None);
    }

    #[test]
    fn the_peak_of_the_warm_up_is_not_the_peak_of_the_run() {
        let sample = |at, peak| Sample {
            at,
            levels: Levels { pending_peak: Some(peak), ..Levels::default() },
            ..Sample::default()
        };
        let samples = [sample(0.0, 1.0), sample(5.01, 900.0), sample(6.0, 20.0), sample(6.4, 7.0)];
        assert_eq!(queue_peak(&samples, Duration::from_secs(5)), Some(20.0));
        assert_eq!(queue_peak(&samples[..1], Duration::ZERO), Some(1.0));
    }
}
