//! The control listener before the coreapp serves: health says how far it is, everything else is told to
//! come back, so that whoever asks turns to another coreapp at once instead of waiting for this one.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ::rpc::{
    coreapp::{
        HealthRequest, HealthResponse, NodeHealth, StatsRequest, StatsResponse,
        ops_server::{Ops, OpsServer},
    },
    http2,
    identity::Identity,
    io::incoming,
};
use axum::Router;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, service::Routes};

use super::serve::{CONTROL_STREAMS, Ports};

const COMES: &str = "the coreapp is starting";
/// For connections to notice that they are to be made anew.
const PARTING: Duration = Duration::from_millis(500);

/// Answers until it is dropped or told to end.
pub(crate) struct Starting {
    opened: Arc<AtomicBool>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Starting {
    /// Begins.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub(crate) fn serve(
        ports: &Ports,
        node: String,
        identity: Option<&Arc<Identity>>,
    ) -> io::Result<Self> {
        let listener = ports.control_again()?;
        let (opened, stop) = (Arc::<AtomicBool>::default(), CancellationToken::new());
        let ops = OpsServer::new(Service { opened: opened.clone(), node });
        let otherwise = async || Status::unavailable(COMES).into_http::<axum::body::Body>();
        let routes = Routes::from(Router::new().fallback(otherwise)).add_service(ops);
        let incoming = incoming(listener, identity.cloned());
        let stopped = stop.clone().cancelled_owned();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut server = http2::server(CONTROL_STREAMS);
            let served =
                server.add_routes(routes).serve_with_incoming_shutdown(incoming, stopped).await;
            if let Err(error) = served {
                tracing::warn!(%error, "health cannot be asked for while the coreapp starts");
            }
        });
        Ok(Self { opened, stop, tasks })
    }

    /// The database is open, its schema up to date.
    pub(crate) fn opened(&self) {
        self.opened.store(true, Ordering::Relaxed);
    }

    /// Leaves the listener to who comes.
    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(PARTING, ended).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

struct Service {
    opened: Arc<AtomicBool>,
    node: String,
}

#[tonic::async_trait]
impl Ops for Service {
    async fn health(&self, _: Request<HealthRequest>) -> Result<Response<HealthResponse>, Status> {
        let status =
            if self.opened.load(Ordering::Relaxed) { "connecting" } else { "uninitialized" };
        let node = NodeHealth {
            node: self.node.clone(),
            gateway_status: status.to_owned(),
            role: "coreapp".to_owned(),
        };
        Ok(Response::new(HealthResponse { nodes: vec![node] }))
    }

    async fn stats(&self, _: Request<StatsRequest>) -> Result<Response<StatsResponse>, Status> {
        Err(Status::unavailable(COMES))
    }
}
