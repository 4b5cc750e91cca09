//! The engine: queue, contacts, delivery, event log and callbacks. One folder a concern.
//!
//! [`start`] puts the parts together and gives them to each other; nothing else here knows more
//! than its neighbours.

mod account;
mod batcher;
pub mod callbacks;
mod census;
mod cluster;
mod collection;
mod config;
mod contacts;
mod control;
mod database;
mod delivery;
pub mod egress;
mod events;
mod gauges;
mod generation;
mod inbound;
mod intake;
mod log;
mod media;
mod metrics;
mod migrate;
mod prekeys;
mod rpc;
mod run;
#[cfg(test)]
mod seeds;
mod settings;
mod shard;
mod start;
mod stickers;
mod support;
mod templates;
mod upkeep;
mod vault;

pub use cluster::{BootError, HoldError, Lost};
pub use config::{Args, Config, PORT};
pub use media::FilesError;
pub use migrate::{MigrateError, Migrated, migrate};
pub use run::main;
pub use start::{Env, Running, StartError, start};
