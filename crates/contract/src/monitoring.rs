//! What `GET /v1/health`, `/v1/stats/app`, `/metrics` and `PUT /v1/services/…` answer, as shapes: the
//! webapp fills them.

use std::collections::BTreeMap;

use utoipa::ToSchema;

use crate::answer::Meta;

/// The state of every coreapp.
#[derive(ToSchema)]
pub struct HealthAnswer {
    /// With one coreapp `{"gateway_status":…}`; with several a map of node to
    /// `{"gateway_status":…,"role":…}`. What does not answer has `errors` in its place.
    /// `gateway_status` is `connected`, `connecting`, `disconnected`, `unregistered` or
    /// `uninitialized`.
    #[schema(value_type = Object, example = json!({"gateway_status": "connected"}))]
    pub health: (),
    /// As in every answer.
    pub meta: Meta,
}

/// The coreapps' metrics.
#[derive(ToSchema)]
pub struct StatsAnswer {
    /// By group.
    #[schema(inline)]
    pub stats: Stats,
    /// As in every answer.
    pub meta: Meta,
}

/// `stats`.
#[derive(ToSchema)]
pub struct Stats {
    /// By name.
    pub app: BTreeMap<String, Metric>,
}

/// This webapp's metrics.
#[derive(ToSchema)]
pub struct MetricsAnswer {
    /// By name.
    pub metrics: BTreeMap<String, Metric>,
    /// As in every answer.
    pub meta: Meta,
}

/// One metric.
#[derive(ToSchema)]
pub struct Metric {
    /// `counter` or `gauge`.
    pub r#type: String,
    /// What it is, with its unit.
    pub help: String,
    /// Its samples.
    pub data: Vec<Sample>,
}

/// One sample.
#[derive(ToSchema)]
pub struct Sample {
    /// What tells it from the others; with several coreapps also `node`.
    #[schema(required = false)]
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// A collection has begun.
#[derive(ToSchema)]
pub struct GcAnswer {
    /// `{"message":{"gc":{"status":"processing"}}}`, of files `media`; where messages are collected by
    /// several coreapps `gc` is a map by node.
    #[schema(value_type = Object)]
    pub services: (),
    /// As in every answer.
    pub meta: Meta,
}
