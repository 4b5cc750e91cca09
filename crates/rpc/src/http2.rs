//! HTTP/2 settings of every gRPC connection, named for both ends because tonic's defaults differ
//! by side.
//!
//! h2 ends a connection that holds too many small unread DATA frames; its budget is half the
//! connection window, and the window is the only lever that hyper and tonic expose. 4 MiB leave
//! room for about 9,000 unread replies. Adaptive windows start at 64 KiB and are never used.

use std::{sync::Arc, time::Duration};

use tonic::transport::{Channel, Endpoint, Server};

use crate::{
    gated::{self, Permit},
    identity::Identity,
    io::Connector,
};

/// Flow-control window of one stream, bytes.
pub const STREAM_WINDOW: u32 = 1 << 20;
/// Flow-control window of one connection, bytes.
pub const CONNECTION_WINDOW: u32 = 4 << 20;
/// Requests a client channel may queue.
pub const CLIENT_BUFFER: usize = 1_024;
/// A dead peer is noticed after ping interval + ping timeout.
pub const PING_INTERVAL: Duration = Duration::from_secs(10);
/// See [`PING_INTERVAL`].
pub const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest gRPC message either side accepts, bytes: a 1 MiB REST body and its framing.
pub const MAX_MESSAGE: usize = 2 << 20;

/// A server with the windows, keep-alive and TCP settings of this module.
#[must_use]
pub fn server(max_concurrent_streams: u32) -> Server {
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_adaptive_window(Some(false))
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .max_concurrent_streams(max_concurrent_streams)
}

/// A channel that connects on first use and reconnects by itself; with an identity, to coreapps of
/// ours alone.
///
/// # Errors
/// When `url` is not a URL.
pub fn channel(
    url: &str,
    identity: Option<&Arc<Identity>>,
) -> Result<Channel, tonic::transport::Error> {
    let endpoint = endpoint(url)?;
    Ok(match identity {
        None => endpoint.connect_lazy(),
        Some(identity) => endpoint.connect_with_connector_lazy(Connector(identity.clone())),
    })
}

/// The same in clear text, for an owner who may not always speak: what it may not say waits.
///
/// # Errors
/// As [`channel`].
pub fn gated(url: &str, permit: &Permit) -> Result<Channel, tonic::transport::Error> {
    Ok(endpoint(url)?.connect_with_connector_lazy(gated::Connector(permit.clone())))
}

fn endpoint(url: &str) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(url.to_owned())?
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_adaptive_window(false)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .buffer_size(CLIENT_BUFFER)
        .connect_timeout(Duration::from_secs(5)))
}
