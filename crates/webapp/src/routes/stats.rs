//! `GET /v1/stats/app`: the coreapps' metrics, `GET /v1/stats/db`: what the database holds; as JSON or
//! for Prometheus. Their `internal` variants, which the original did not document, are the same.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use contract::{
    answer,
    monitoring::{DatabaseStatsAnswer, StatsAnswer},
};
use http::{StatusCode, Uri};
use rpc::coreapp::{
    Count, DatabaseRequest, Metric, Sample, StatsRequest, monitoring_client::MonitoringClient,
    ops_client::OpsClient,
};
use serde_json::{Map, Value, json};

use super::wants_prometheus;
use crate::{
    app::App,
    auth::Monitor,
    edge::{self, Consulted, Refusal, text},
    metrics::number,
};

/// Of one node; the slowest decides when the answer comes.
const CALL: Duration = Duration::from_secs(5);

/// Metrics by name; with several coreapps each sample says which.
type Merged = BTreeMap<String, Metric>;

/// Shows the coreapps' figures.
///
/// Those that do not answer are left out; if none does, it is an error.
#[utoipa::path(
    get, path = "/v1/stats/app", tag = "Monitoring", security(("Bearer" = []), ("Apikey" = [])),
    params(("format" = Option<String>, Query, description = "`prometheus`: text exposition format 0.0.4; else JSON."),),
    responses((status = 200, description = "The figures.", content((StatsAnswer = "application/json"), (String = "text/plain")))),
)]
pub(super) async fn app(
    State(app): State<Arc<App>>,
    _: Monitor,
    uri: Uri,
) -> Result<Response, Refusal> {
    let answers = app
        .cores
        .every(CALL, |channel| async move { OpsClient::new(channel).stats(StatsRequest {}).await })
        .await;
    let several = answers.len() > 1;
    let (mut merged, mut failed, mut answered) = (Merged::new(), None, false);
    for (address, answer) in answers {
        match answer {
            Ok(stats) => {
                answered = true;
                merge(&mut merged, stats.metrics, several.then_some(&address));
            }
            Err(error) => failed = Some(error),
        }
    }
    if let Some(error) = failed.filter(|_| !answered) {
        return Err(error.into());
    }
    Ok(figures("app", &merged, &uri))
}

/// Shows what the database holds.
///
/// Counted page by page beside the traffic, at most once a minute and only when somebody asks; until a new
/// count has ended the last one is shown.
#[utoipa::path(
    get, path = "/v1/stats/db", tag = "Monitoring", security(("Bearer" = []), ("Apikey" = [])),
    params(("format" = Option<String>, Query, description = "`prometheus`: text exposition format 0.0.4; else JSON."),),
    responses((status = 200, description = "The counts.", content((DatabaseStatsAnswer = "application/json"), (String = "text/plain")))),
)]
pub(super) async fn db(
    State(app): State<Arc<App>>,
    _: Monitor,
    uri: Uri,
) -> Result<Response, Refusal> {
    let call =
        |channel| async move { MonitoringClient::new(channel).database(DatabaseRequest {}).await };
    let answer = app.cores.writer(CALL, call).await?;
    let mut merged = Merged::new();
    merge(&mut merged, answer.counts.into_iter().map(counted).collect(), None);
    Ok(figures("db", &merged, &uri))
}

fn counted(count: Count) -> Metric {
    let help = match count.name.as_str() {
        "db_contacts" => "Numbers whose account the network was asked for.",
        "db_messages" => "Messages that are kept.",
        "db_message_receipts" => "Statuses that the event log keeps.",
        _ => "Rows.",
    };
    let labels = Some(("type".to_owned(), count.r#type)).filter(|(_, value)| !value.is_empty());
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 rows")]
    let sample = Sample { labels: labels.into_iter().collect(), value: count.rows as f64 };
    Metric {
        name: count.name,
        r#type: "gauge".to_owned(),
        help: help.to_owned(),
        samples: vec![sample],
    }
}

fn figures(group: &str, merged: &Merged, uri: &Uri) -> Response {
    let mut response = if wants_prometheus(uri) {
        text(exposition(merged))
    } else {
        let shown = Value::Object(merged.iter().map(shown).collect());
        edge::json(StatusCode::OK, answer::resource("stats", &json!({ group: shown })))
    };
    response.extensions_mut().insert(Consulted(None));
    response
}

fn merge(merged: &mut Merged, metrics: Vec<Metric>, node: Option<&String>) {
    for mut metric in metrics {
        if let Some(node) = node {
            for sample in &mut metric.samples {
                sample.labels.entry("node".to_owned()).or_insert_with(|| node.clone());
            }
        }
        match merged.get_mut(&metric.name) {
            Some(known) => known.samples.append(&mut metric.samples),
            None => {
                merged.insert(metric.name.clone(), metric);
            }
        }
    }
}

fn shown((name, metric): (&String, &Metric)) -> (String, Value) {
    let data: Vec<_> = metric
        .samples
        .iter()
        .map(|sample| {
            let mut entry = Map::new();
            if !sample.labels.is_empty() {
                let labels: BTreeMap<_, _> = sample.labels.iter().collect();
                entry.insert("labels".to_owned(), json!(labels));
            }
            entry.insert("value".to_owned(), number(sample.value));
            Value::Object(entry)
        })
        .collect();
    (name.clone(), json!({"type": metric.r#type, "help": metric.help, "data": data}))
}

/// Text exposition format 0.0.4.
fn exposition(merged: &Merged) -> String {
    let mut out = String::new();
    for (name, metric) in merged {
        let help = metric.help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {}", metric.r#type);
        for sample in &metric.samples {
            out.push_str(name);
            let labels: BTreeMap<_, _> = sample.labels.iter().collect();
            for (at, (label, value)) in labels.into_iter().enumerate() {
                let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                let _ = write!(out, "{}{label}=\"{value}\"", if at == 0 { '{' } else { ',' });
            }
            let close = if sample.labels.is_empty() { "" } else { "}" };
            let _ = writeln!(out, "{close} {}", sample.value);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use rpc::coreapp::Sample;

    use super::*;

    fn metric(value: f64) -> Metric {
        Metric {
            name: "callback_requests".to_owned(),
            r#type: "counter".to_owned(),
            help: "Requests.".to_owned(),
            samples: vec![Sample {
                labels: [("result".to_owned(), "a \"b\"".to_owned())].into(),
                value,
            }],
        }
    }

    #[test]
    fn nodes_are_told_apart_and_labels_escaped() {
        let mut merged = Merged::new();
        merge(&mut merged, vec![metric(1.0)], Some(&"a:6252".to_owned()));
        merge(&mut merged, vec![metric(2.5)], Some(&"b:6252".to_owned()));
        assert_eq!(
            exposition(&merged),
            "# HELP callback_requests Requests.\n# TYPE callback_requests counter\n\
             callback_requests{node=\"a:6252\",result=\"a \\\"b\\\"\"} 1\n\
             callback_requests{node=\"b:6252\",result=\"a \\\"b\\\"\"} 2.5\n"
        );
        let (_, json) = merged.iter().map(shown).next().unwrap();
        assert_eq!(json["data"][0]["labels"]["node"], "a:6252");
        assert_eq!(json["data"][0]["value"], 1);
    }
}
