//! `GET /metrics`, `GET /v1/metrics`: this process' own figures.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use contract::{answer, monitoring::MetricsAnswer};
use http::{StatusCode, Uri};

use super::wants_prometheus;
use crate::{app::App, auth::Monitor, edge};

/// Shows this webapp's figures.
#[utoipa::path(
    get, path = "/v1/metrics", tag = "Monitoring", security(("Bearer" = []), ("Apikey" = [])),
    params(("format" = Option<String>, Query, description = "`prometheus`: text exposition format 0.0.4; else JSON."),),
    responses((status = 200, description = "The figures.", content((MetricsAnswer = "application/json"), (String = "text/plain")))),
)]
pub(super) async fn metrics(State(app): State<Arc<App>>, _: Monitor, uri: Uri) -> Response {
    let unanswered = app.hop.parts().unanswered;
    app.metrics.hop_unanswered.set(i64::try_from(unanswered).unwrap_or(i64::MAX));
    if wants_prometheus(&uri) {
        return edge::text(app.metrics.text());
    }
    edge::json(StatusCode::OK, answer::resource("metrics", &app.metrics.json()))
}
