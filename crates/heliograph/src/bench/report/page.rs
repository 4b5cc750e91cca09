//! The page with the graphs: one file that needs nothing else, in light and dark.

use serde_json::Value;

use super::{
    Report,
    chart::{Axis, Chart, Series, number},
    per_second,
};
use crate::bench::{
    machine,
    sampler::{Calls, Sample},
    tally::{Interval, Quantiles, Step},
};

const CSS: &str = include_str!("page.css");
/// Looks closer together are not drawn, for the last one of a run comes when it ends; the second one
/// always is, or a short run had nothing to draw.
const CLOSEST: f64 = 0.25;

impl Report {
    pub(super) fn to_page(&self) -> String {
        let title = "Heliograph bench";
        let samples = drawn(&self.samples);
        let axis = Axis {
            at: samples.iter().map(|sample| sample.at).collect(),
            warmup: self.warmup.as_secs_f64(),
            ended: (self.warmup + self.summary.duration).as_secs_f64(),
        };
        let charts: String = self.charts(&samples).iter().map(|c| c.draw(&axis)).collect();
        let tables = [
            table("Figures", self.rows().into_iter()),
            table("Load", facts(&self.load)),
            table("Database", facts(&Value::Object(self.database.clone()))),
            table("Machine", facts(&machine::facts())),
        ];
        format!(
            "<!doctype html>\n<html lang=en><meta charset=utf-8>\
             <meta name=viewport content='width=device-width, initial-scale=1'>\
             <title>{title}</title><style>\n{CSS}</style>\n<h1>{title}</h1>\n<p>{}</p>\n\
             <ul class=tiles>{}</ul>\n<div class=charts>\n{charts}</div>\n\
             <div class=tables>{}</div>\n</html>\n",
            escaped(&self.headline()),
            self.tiles(),
            tables.concat()
        )
    }

    fn headline(&self) -> String {
        let text = |name: &str| self.load.get(name).and_then(Value::as_str).unwrap_or("");
        let count = |name: &str| self.load.get(name).and_then(Value::as_f64).unwrap_or(0.0);
        let shape = match text("loop") {
            "open" => format!("Open loop, {} messages a second", number(count("rate"))),
            _ => format!("Closed loop, {} clients", number(count("clients"))),
        };
        let contacts = match text("contacts") {
            "" => "",
            "wait" => ", each after a contact check that waits",
            _ => ", each after a contact check that does not wait",
        };
        let limits = match self.load.get("limits").and_then(Value::as_bool) {
            Some(true) => "quotas at work",
            _ => "quotas off",
        };
        let engine = self.database.get("engine").and_then(Value::as_str).unwrap_or("database");
        format!(
            "{shape}{contacts}, to {}; {limits}; {engine}; phones: {}; {}. Lines show each second, \
             means those between warm-up and last 201; what the shaded warm-up did is in no figure.",
            text("recipients"),
            text("phones"),
            text("started")
        )
    }

    fn tiles(&self) -> String {
        let summary = &self.summary;
        let accept = summary.latencies.iter().find(|(step, _)| *step == Step::Accept);
        let rate = |count, time| number(per_second(count, time));
        let duplicated = self.network.map(|network| network.delivered_twice);
        let tile = |name: &str, value: String, bad: bool| {
            let class = if bad { " class=bad" } else { "" };
            format!("<li{class}><b>{value}</b><span>{name}</span></li>")
        };
        [
            tile("accepted a second", rate(summary.accepted, summary.duration), false),
            tile("delivered a second", rate(summary.settled, summary.drained), false),
            tile(
                "until 201, p99",
                accept.map_or("–".to_owned(), |(_, q)| format!("{} ms", number(q.p99))),
                false,
            ),
            tile("lost", self.lost().to_string(), self.lost() > 0),
            tile(
                "twice at a phone",
                duplicated.map_or("–".to_owned(), |n| n.to_string()),
                duplicated.is_some_and(|n| n > 0),
            ),
            tile("job queue, highest", self.queue_peak.map_or("–".to_owned(), number), false),
        ]
        .concat()
    }

    fn charts(&self, samples: &[Sample]) -> Vec<Chart> {
        let each = |name, value: &dyn Fn(&Sample) -> Option<f64>| Series {
            name,
            values: samples.iter().map(value).collect(),
        };
        let rate = |name, total: &dyn Fn(&Sample) -> f64| Series {
            name,
            values: differences(samples, |before, after| Some(total(after) - total(before))),
        };
        let mean = |name, calls: &dyn Fn(&Sample) -> Calls| Series {
            name,
            values: pairs(samples, |before, after, _| {
                let (before, after) = (calls(before), calls(after));
                let count = after.count - before.count;
                (count > 0.0).then(|| (after.ms - before.ms) / count)
            }),
        };
        let counted = |name, count: &dyn Fn(&Sample) -> u64| Series {
            name,
            #[expect(clippy::cast_precision_loss, reason = "a count of one second")]
            values: differences(samples, |_, after| Some(count(after) as f64)),
        };
        let latency = |name, step, of: fn(&Quantiles) -> f64| {
            each(name, &|sample| quantile(&sample.interval, step).map(|q| of(&q)))
        };
        let chart = |title, unit, note: &str, series| Chart {
            title,
            unit,
            note: note.to_owned(),
            series: only_moving(series),
        };
        vec![
            chart(
                "Operations",
                "a second",
                "Calls of the API at the webapps, messages sent to the network and taken by it.",
                vec![
                    rate("API messages", &|s| s.counters.api_messages),
                    rate("SendMessage", &|s| s.counters.send_message.count),
                    rate("API contacts", &|s| s.counters.api_contacts),
                    rate("delivered at phones", &|s| s.counters.delivered),
                ],
            ),
            chart(
                "Batched operations",
                "a second",
                "One call in flight at a time; what is asked meanwhile joins the next.",
                vec![
                    rate("UnifiedSyncResult", &|s| s.counters.contact_sync.count),
                    rate("SendGetPreKeyBatchResult", &|s| s.counters.pre_keys.count),
                ],
            ),
            chart(
                "Latency of the API",
                "ms",
                "Closed loop: from the request. Open loop: from when it was due.",
                vec![
                    latency("until 201, p50", Step::Accept, |q| q.p50),
                    latency("until 201, p95", Step::Accept, |q| q.p95),
                    latency("until 201, p99", Step::Accept, |q| q.p99),
                    latency("contacts, p50", Step::Contacts, |q| q.p50),
                    latency("contacts, p99", Step::Contacts, |q| q.p99),
                ],
            ),
            chart(
                "Numbers in batched operations",
                "a second",
                "Numbers checked and users whose keys were fetched.",
                vec![
                    rate("UnifiedSyncResult", &|s| s.counters.contact_sync_numbers),
                    rate("SendGetPreKeyBatchResult", &|s| s.counters.pre_key_users),
                ],
            ),
            chart(
                "From message to callback",
                "ms",
                "From the moment of the message to the arrival of its callback at the webhook.",
                vec![
                    latency("sent, p50", Step::Sent, |q| q.p50),
                    latency("delivered, p50", Step::Delivered, |q| q.p50),
                    latency("delivered, p99", Step::Delivered, |q| q.p99),
                    latency("last callback, p99", Step::Callback, |q| q.p99),
                ],
            ),
            chart(
                "Latency of the network",
                "ms",
                "Mean of the calls that were answered in each second.",
                vec![
                    mean("SendMessage", &|s| s.counters.send_message),
                    mean("UnifiedSyncResult", &|s| s.counters.contact_sync),
                    mean("SendGetPreKeyBatchResult", &|s| s.counters.pre_keys),
                ],
            ),
            chart(
                "Callback latency",
                "ms",
                "Mean time of a POST to the webhook, which answers at once.",
                vec![mean("callback", &|s| s.counters.callbacks)],
            ),
            chart(
                "Callbacks",
                "a second",
                "Status callbacks taken by the webhook.",
                vec![counted("callbacks", &|s| s.interval.callbacks)],
            ),
            chart(
                "Job queue",
                "messages",
                &self.queue_note(),
                vec![
                    each("waiting, highest", &|s| s.levels.pending_peak),
                    each("waiting", &|s| s.levels.pending),
                ],
            ),
            chart(
                "Callback queue",
                "callbacks",
                "Events that the webhook has not taken yet.",
                vec![each("waiting", &|s| s.levels.callback_queue)],
            ),
            chart(
                "Refusals",
                "a second",
                "Answers 429 and 503; the load repeats them unless --no-retry is given.",
                vec![
                    counted("messages", &|s| s.interval.refused),
                    counted("contact checks", &|s| s.checks.refused),
                ],
            ),
            chart(
                "Contact checks beside the messages",
                "a second",
                "Numbers answered.",
                vec![counted("numbers", &|s| s.checks.contacts)],
            ),
        ]
    }

    fn queue_note(&self) -> String {
        let max = self.load.get("jobs_max").and_then(Value::as_f64);
        match (self.queue_peak, max) {
            (Some(peak), Some(max)) if max > 0.0 => format!(
                "Messages accepted and not settled. Highest: {} of {} that may wait, {} %.",
                number(peak),
                number(max),
                number(peak / max * 100.0)
            ),
            _ => "Messages accepted and not settled.".to_owned(),
        }
    }
}

/// Without looks that are too close to the one before.
fn drawn(samples: &[Sample]) -> Vec<Sample> {
    let mut out: Vec<Sample> = Vec::with_capacity(samples.len());
    for sample in samples {
        let far = out.last().is_none_or(|last| sample.at - last.at >= CLOSEST);
        if far || out.len() < 2 {
            out.push(sample.clone());
        }
    }
    out
}

/// Lines that never leave the floor say nothing.
fn only_moving(series: Vec<Series>) -> Vec<Series> {
    let moves = |series: &Series| series.values.iter().flatten().any(|value| *value > 0.0);
    series.into_iter().filter(moves).collect()
}

/// One value a moment, made of it and the one before; none for the first.
fn pairs(
    samples: &[Sample],
    value: impl Fn(&Sample, &Sample, f64) -> Option<f64>,
) -> Vec<Option<f64>> {
    let later = samples.windows(2).map(|pair| match pair {
        [before, after] => value(before, after, (after.at - before.at).max(CLOSEST)),
        _ => None,
    });
    std::iter::once(None).chain(later).take(samples.len()).collect()
}

/// The same, a second.
fn differences(
    samples: &[Sample],
    value: impl Fn(&Sample, &Sample) -> Option<f64>,
) -> Vec<Option<f64>> {
    pairs(samples, |before, after, time| Some(value(before, after)? / time))
}

fn quantile(interval: &Interval, step: Step) -> Option<Quantiles> {
    interval.latencies.iter().find(|(s, _)| *s == step).map(|(_, quantiles)| *quantiles)
}

fn facts(value: &Value) -> impl Iterator<Item = (String, String)> {
    let fields = value.as_object().into_iter().flatten();
    let known = fields.filter(|(_, value)| !value.is_null());
    known.map(|(name, value)| {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (name.replace('_', " "), shown)
    })
}

fn table(title: &str, rows: impl Iterator<Item = (String, String)>) -> String {
    let rows: String = rows
        .map(|(name, value)| format!("<tr><th>{}<td>{}", escaped(&name), escaped(&value)))
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("<figure><h2>{title}</h2><table>{rows}</table></figure>")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_run_is_drawn_and_a_late_look_is_not() {
        let at = |seconds: &[f64]| -> Vec<f64> {
            let samples = seconds.iter().map(|at| Sample { at: *at, ..Sample::default() });
            drawn(&samples.collect::<Vec<_>>()).iter().map(|sample| sample.at).collect()
        };
        assert_eq!(at(&[0.0, 0.1]), [0.0, 0.1]);
        assert_eq!(at(&[0.0, 1.0, 2.0, 2.1]), [0.0, 1.0, 2.0]);
    }
}
