//! Sockets: accepting, TLS, HTTP/1.1, draining.

mod accept;
mod connection;
mod patience;
mod tls;

pub(crate) use accept::{Listener, serve};
pub(crate) use connection::Server;
pub use tls::TlsError;
pub(crate) use tls::acceptor;
