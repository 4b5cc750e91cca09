//! The REST edge: who may call, how often, with what; and the hop to the coreapp that does the work.
//!
//! No state of its own: users, revocations, limits and the shard map are a copy that the coreapp
//! keeps fresh, and a copy that is not fresh answers nothing. Any number of these may run.
//!
//! `edge` is what every request passes, `auth` who it comes from, `routes` what each path does,
//! `directory` the copy, `hop` the way to the coreapps, `listen` sockets and TLS.

mod app;
mod auth;
mod config;
mod directory;
mod edge;
mod hop;
mod listen;
mod metrics;
mod multipart;
mod network;
mod openapi;
mod picture;
mod routes;
mod run;
mod start;

pub use config::{Args, Config, CoreAddress, DEFAULT_HTTPS};
pub use listen::TlsError;
pub use network::{Network, NetworkError};
pub use run::{RunError, run};
pub use start::{Env, Running, StartError, start};
