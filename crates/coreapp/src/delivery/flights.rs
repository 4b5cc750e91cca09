//! How long the network takes to answer each message: from the link to its answer, shown as the
//! operation `SendMessage` beside the batched calls.

use std::collections::HashMap;

use contract::Key;
use telemetry::metrics::Histogram;
use tokio::time::Instant;
use upstream::{Item, Outgoing};

/// Messages of a driver whose start is remembered. The link's window is far smaller; what was
/// dropped with its shard and never answered must not add up, so at the limit all are forgotten.
const MAX: usize = 65_536;

/// The unanswered messages of one driver.
pub(crate) struct Flights {
    since: HashMap<Key, Instant>,
    taken: Histogram,
    refused: Histogram,
}

impl Flights {
    pub(crate) fn new(taken: Histogram, refused: Histogram) -> Self {
        Self { since: HashMap::new(), taken, refused }
    }

    /// These go to the link.
    pub(crate) fn begin(&mut self, sends: &[Outgoing], now: Instant) {
        for send in sends {
            if let Outgoing::Send(item) = send {
                if self.since.len() >= MAX {
                    self.since.clear();
                }
                self.since.insert(item.key, now);
            }
        }
    }

    /// The network sent this.
    pub(crate) fn item(&mut self, item: &Item, now: Instant) {
        if let Item::Answer { key, result } = item
            && let Some(since) = self.since.remove(key)
        {
            let histogram = if result.is_ok() { &self.taken } else { &self.refused };
            histogram.observe(now.saturating_duration_since(since).as_secs_f64() * 1_000.0);
        }
    }

    /// The link is gone: nothing that was transmitted will be answered.
    pub(crate) fn reset(&mut self) {
        self.since.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use contract::{Number, ShardId};
    use prometheus::HistogramOpts;
    use upstream::SendItem;

    use super::*;

    fn histogram() -> Histogram {
        Histogram::with_opts(HistogramOpts::new("took_ms", "Time.")).unwrap()
    }

    fn send(key: Key) -> Outgoing {
        Outgoing::Send(SendItem {
            shard: ShardId::CONTROL,
            epoch: 1,
            key,
            to: Number::parse("4915112345678").unwrap(),
            category: "text",
            envelopes: Vec::new(),
            left_out: Vec::new(),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_timed_once_and_a_broken_link_not_at_all() {
        let (taken, refused) = (histogram(), histogram());
        let mut flights = Flights::new(taken.clone(), refused.clone());
        let [a, b] = [1, 2].map(|n| Key::from_bytes(&[n; 9]).unwrap());
        let answer = |key| Item::Answer {
            key,
            result: Ok(upstream::Sent { timestamp_ms: 0, conversation: None }),
        };
        flights.begin(&[send(a), send(b)], Instant::now());
        tokio::time::advance(Duration::from_millis(100)).await;
        flights.item(&answer(a), Instant::now());
        flights.item(&answer(a), Instant::now());
        flights.reset();
        flights.item(&answer(b), Instant::now());
        assert_eq!((taken.get_sample_count(), refused.get_sample_count()), (1, 0));
        assert!((taken.get_sample_sum() - 100.0).abs() < 0.1, "{}", taken.get_sample_sum());
    }
}
