//! The edge over real sockets, in front of a coreapp that does what the test says.

#![expect(clippy::unwrap_used, clippy::panic, reason = "all of it is a test")]

mod client;
mod core;

mod auth;
mod documentation;
mod hop;
mod input;
mod intake;
mod listen;
mod monitoring;
mod resources;
mod walk;
