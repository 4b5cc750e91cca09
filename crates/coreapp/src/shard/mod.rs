//! One shard: its queue, its recipients, its share of the upstream's stream.
//!
//! [`machine::Machine`] decides, without I/O; [`task`] drives the machines of one lane and carries
//! out what they decide. A shard has exactly one machine in the whole cluster, so nothing here
//! locks.

mod accept;
pub(crate) mod block;
pub(crate) mod cancel;
pub(crate) mod effects;
pub(crate) mod elsewhere;
mod files;
pub(crate) mod idempotent;
mod identity;
mod incoming;
pub(crate) mod leave;
pub(crate) mod machine;
mod open;
mod peers;
pub(crate) mod queue;
mod resolve;
mod retry;
#[cfg(test)]
mod scenarios;
mod seal;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod sim_phones;
#[cfg(test)]
mod sim_restore;
mod steps;
pub(crate) mod task;
mod undelivered;
