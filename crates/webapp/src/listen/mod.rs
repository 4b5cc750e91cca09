//! Sockets: accepting, TLS, HTTP/1.1, draining.

mod accept;
mod certificates;
mod connection;
mod external;
mod patience;
mod tls;

pub(crate) use accept::{Listener, serve};
pub(crate) use certificates::Certificates;
pub(crate) use connection::Server;
pub(crate) use external::checked;
pub use tls::TlsError;
pub(crate) use tls::{acceptor, own_certificate};
