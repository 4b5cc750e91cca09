//! The link: one stream to the network for all shards of the process.

mod flights;
mod link;

pub(crate) use flights::Flights;
pub(crate) use link::{Link, run};
