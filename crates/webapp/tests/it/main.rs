//! The edge over real sockets, in front of a coreapp that does what the test says.

mod client;
mod core;

mod auth;
mod hop;
mod input;
mod listen;
mod monitoring;
mod resources;
