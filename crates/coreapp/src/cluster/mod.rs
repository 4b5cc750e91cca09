//! Membership: one coreapp owns all shards for now; a live one of another name refuses to share.

pub(crate) mod beat;
mod join;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod placement;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod suspicion;
mod tick;

pub use join::JoinError;
pub(crate) use join::{Me, bury, join};
pub(crate) use tick::{Lost, tick};
