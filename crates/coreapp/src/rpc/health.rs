//! Port 6253: `grpc.health.v1`, and `/livez`, `/readyz`, `/metrics` for whoever speaks HTTP.

use std::sync::Arc;

use axum::{Router, http::StatusCode, response::IntoResponse, routing::get};
use tokio::sync::watch;

use crate::{cluster::beat::Beat, delivery::Line, gauges::Gauges};

/// What the probes look at.
#[derive(Clone)]
pub(crate) struct Probes {
    pub beat: Arc<Beat>,
    pub line: watch::Receiver<Line>,
    pub gauges: Arc<Gauges>,
}

/// The HTTP routes. Ready: the database answers. An upstream that is away is no reason to send
/// traffic elsewhere: messages are accepted all the same.
pub(crate) fn routes(probes: Probes) -> Router {
    let ready = probes.clone();
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route(
            "/readyz",
            get(async move || match ready.beat.answers() {
                Ok(()) => {
                    let upstream = if ready.line.borrow().connected { "connected" } else { "away" };
                    (StatusCode::OK, format!("ready; upstream {upstream}\n"))
                }
                Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", error.details)),
            }),
        )
        .route(
            "/metrics",
            get(async move || {
                let text = probes.gauges.render();
                ([("content-type", "text/plain; version=0.0.4")], text).into_response()
            }),
        )
}
