//! A stand-in for the vendor's servers, with virtual phones.
//!
//! [`start`] opens two ports: gRPC for coreapps, and a control API for tests and integrators. The
//! network itself is a state machine without I/O; everything around it only carries items and lets
//! time pass.

mod bodies;
mod config;
mod countries;
mod driver;
mod faults;
mod grpc;
mod http;
mod journal;
mod media;
mod network;
mod numbering;
mod random;
mod sessions;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use contract::{Clock, Rng};
use rpc::{http2, io::incoming, upstream::upstream_server::UpstreamServer};
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{error, info};

pub use self::{
    config::{Args, Config, LATENCY_MS, Phones, Range, RangeError},
    faults::{Faults, MAX_MS, MediaFault, Refuse, RefuseClass},
    journal::JournalError,
    network::Stats,
};
use self::{driver::Shared, faults::Faults as Plan};

/// Calls and streams of one connection that may be open at once.
const STREAMS_PER_CONNECTION: u32 = 64;
/// How long open connections may take to end; then they are cut.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the sandbox does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The control API can do everything and asks for no login.
    #[error("use {0} as --http: the control API listens on loopback addresses only")]
    NotLoopback(SocketAddr),
    /// Usually somebody else has the port.
    #[error("listen on {address} ({option}): {source}")]
    Bind {
        /// The option to change.
        option: &'static str,
        /// What it says now.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// A value is out of range.
    #[error("use the configuration: {0}")]
    Config(String),
    /// What was to be remembered cannot be.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The operating system gives no threads.
    #[error("start the threads of the phones: {0}")]
    Threads(io::Error),
}

/// A sandbox that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct Running {
    /// Where coreapps connect.
    pub grpc: SocketAddr,
    /// Where the control API listens.
    pub http: SocketAddr,
    shared: Arc<Shared>,
    stop: DropGuard,
    tasks: JoinSet<()>,
}

/// Starts a sandbox. Needs a tokio runtime. `rng` makes the phones' session keys; all else follows
/// the configuration's seed.
///
/// # Errors
/// [`StartError`] names the option that is in the way.
pub async fn start(
    config: Config,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
) -> Result<Running, StartError> {
    if !config.http.ip().is_loopback() {
        return Err(StartError::NotLoopback(config.http));
    }
    Plan::none(config.seed, config.latency_ms).check().map_err(StartError::Config)?;
    let (grpc_listener, grpc) = bind(config.listen, "--listen").await?;
    let (http_listener, http) = bind(config.http, "--http").await?;

    let shared = Shared::new(&config, clock, &rng)?;
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();

    let driven = driver::run(shared.clone(), stop.clone());
    tasks.spawn(driven);

    let service = UpstreamServer::new(grpc::Service::new(shared.clone()))
        .max_decoding_message_size(http2::MAX_MESSAGE)
        .max_encoding_message_size(http2::MAX_MESSAGE);
    let serve = http2::server(STREAMS_PER_CONNECTION).add_service(service);
    let serve = serve.serve_with_incoming_shutdown(
        incoming(grpc_listener, None),
        stop.clone().cancelled_owned(),
    );
    tasks.spawn(async move {
        if let Err(error) = serve.await {
            error!(error = %error, "The sandbox's gRPC server failed");
        }
    });

    let serve = axum::serve(http_listener, http::router(shared.clone()))
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    tasks.spawn(async move {
        if let Err(error) = serve.await {
            error!(error = %error, "The sandbox's control API failed");
        }
    });

    info!(grpc.address = %grpc, http.address = %http, "The sandbox is ready");
    Ok(Running { grpc, http, shared, stop: stop.drop_guard(), tasks })
}

impl Running {
    /// Ends all streams and both servers; connections that do not end within five seconds are cut.
    pub async fn stop(self) {
        let Self { shared, stop, mut tasks, .. } = self;
        shared.with(|network, _| network.stop());
        shared.stop_waiting();
        drop(stop);
        let ended = async { while tasks.join_next().await.is_some() {} };
        if timeout(STOP_TIMEOUT, ended).await.is_err() {
            tasks.shutdown().await;
        }
        shared.close().await;
        shared.media().close().await;
    }

    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.with(|network, _| network.stats())
    }
}

async fn bind(
    address: SocketAddr,
    option: &'static str,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let local = listener.local_addr()?;
        Ok((listener, local))
    };
    bound.await.map_err(|source| StartError::Bind { option, address, source })
}
