//! Port 6253: `grpc.health.v1`, and `/livez`, `/readyz`, `/metrics` for whoever speaks HTTP.

use std::{sync::Arc, time::Duration};

use ::rpc::coreapp::messages_server::SERVICE_NAME as MESSAGES;
use axum::{Router, http::StatusCode, response::IntoResponse, routing::get};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{cluster::beat::Beat, delivery::Line, gauges::Gauges};

/// Between two looks at what `grpc.health.v1` says.
const LOOK: Duration = Duration::from_secs(1);

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

/// Keeps `grpc.health.v1` at what `/readyz` says; when the process stops, it serves no more. The reporter
/// begins with SERVING.
pub(super) async fn report(reporter: HealthReporter, beat: Arc<Beat>, stop: CancellationToken) {
    let mut told = ServingStatus::Serving;
    loop {
        let stops = stop.is_cancelled();
        let ready = !stops && beat.answers().is_ok();
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        if status != told {
            // The process as a whole, and by name what it is there for.
            for service in ["", MESSAGES] {
                reporter.set_service_status(service, status).await;
            }
            told = status;
        }
        if stops {
            return;
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            () = stop.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;
    use tonic::Request;
    use tonic_health::{
        pb::{HealthCheckRequest, health_server::Health},
        server::HealthService,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn grpc_health_follows_the_database_within_a_second_and_ends_with_the_process() {
        let (reporter, beat) = (HealthReporter::new(), Arc::new(Beat::new()));
        reporter.set_service_status(MESSAGES, ServingStatus::Serving).await;
        let service = HealthService::from_health_reporter(reporter.clone());
        let stop = CancellationToken::new();
        let reports = tokio::spawn(report(reporter, beat.clone(), stop.clone()));
        let serves = async || {
            let mut said = Vec::new();
            for name in ["", MESSAGES] {
                let request = Request::new(HealthCheckRequest { service: name.to_owned() });
                said.push(service.check(request).await.unwrap().into_inner().status);
            }
            said
        };
        let (yes, no) = ([1, 1], [2, 2]);
        sleep(Duration::from_millis(4_500)).await;
        assert_eq!(serves().await, yes);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(serves().await, no, "the database has not answered for six seconds");
        beat.good(Instant::now());
        sleep(Duration::from_millis(1_100)).await;
        assert_eq!(serves().await, yes);
        stop.cancel();
        reports.await.unwrap();
        assert_eq!(serves().await, no);
    }
}
