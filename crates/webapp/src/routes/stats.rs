//! `GET /v1/stats/app`: the coreapps' metrics, `GET /v1/stats/db`: what the database holds; as JSON or
//! for Prometheus. Their `internal` variants, which the original did not document, are the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
    time::Duration,
};

use axum::{extract::State, response::Response};
use contract::{
    ApiError, answer,
    monitoring::{DatabaseStatsAnswer, StatsAnswer},
};
use http::{StatusCode, Uri};
use rpc::coreapp::{
    Count, DatabaseRequest, Metric, Sample, StatsRequest, StatsResponse,
    monitoring_client::MonitoringClient, ops_client::OpsClient,
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

/// Metrics by name; in a cluster each sample says of which coreapp it is.
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
    let merged = together(app.cores.cluster(), answers)?;
    Ok(figures("app", &merged, &uri))
}

/// Of a lone coreapp its own, of a cluster those of each node.
///
/// # Errors
/// What one failed with, when none has answered.
fn together(
    cluster: bool,
    answers: Vec<(String, Result<StatsResponse, ApiError>)>,
) -> Result<Merged, ApiError> {
    let (mut merged, mut nodes, mut failed) = (Merged::new(), BTreeSet::new(), None);
    for (address, answer) in answers {
        match answer {
            Ok(StatsResponse { metrics, node }) => {
                // One of an earlier version says no name.
                let node = if node.is_empty() { address } else { node };
                if nodes.contains(&node) || (!cluster && !nodes.is_empty()) {
                    continue;
                }
                merge(&mut merged, metrics, cluster.then_some(&node));
                nodes.insert(node);
            }
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if nodes.is_empty() => Err(error),
        _ => Ok(merged),
    }
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
    use contract::Code;

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

    fn stats(address: &str, node: &str, value: f64) -> (String, Result<StatsResponse, ApiError>) {
        let stats = StatsResponse { metrics: vec![metric(value)], node: node.to_owned() };
        (address.to_owned(), Ok(stats))
    }

    #[test]
    fn nodes_are_told_apart_by_name_and_labels_escaped() {
        let answers = vec![stats("a:6252", "one", 1.0), stats("b:6252", "two", 2.5)];
        let merged = together(true, answers).unwrap();
        assert_eq!(
            exposition(&merged),
            "# HELP callback_requests Requests.\n# TYPE callback_requests counter\n\
             callback_requests{node=\"one\",result=\"a \\\"b\\\"\"} 1\n\
             callback_requests{node=\"two\",result=\"a \\\"b\\\"\"} 2.5\n"
        );
        let (_, json) = merged.iter().map(shown).next().unwrap();
        assert_eq!(json["data"][0]["labels"]["node"], "one");
        assert_eq!(json["data"][0]["value"], 1);
    }

    #[test]
    fn each_node_counts_once_and_is_named_in_a_cluster_only() {
        let twice = || vec![stats("a:6252", "one", 1.0), stats("any:6252", "one", 1.0)];
        let samples = |merged: Merged| merged.into_values().next().unwrap().samples;
        let of_cluster = samples(together(true, twice()).unwrap());
        assert_eq!((of_cluster.len(), &*of_cluster[0].labels["node"]), (1, "one"));
        let alone = samples(together(false, twice()).unwrap());
        assert_eq!((alone.len(), alone[0].labels.get("node")), (1, None));
    }

    #[test]
    fn who_does_not_answer_is_left_out_unless_nobody_does() {
        let down = || ("b:6252".to_owned(), Err(ApiError::new(Code::NOT_READY, "down")));
        assert!(together(true, vec![stats("a:6252", "one", 1.0), down()]).is_ok());
        assert_eq!(together(true, vec![down()]).err().map(|e| e.code), Some(Code::NOT_READY));
    }
}
