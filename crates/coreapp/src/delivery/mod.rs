//! The link: one stream to the network for all shards of the process.

pub(crate) mod greeting;
mod link;
mod renewal;

pub(crate) use link::{Link, run};
pub(crate) use renewal::Renewal;
