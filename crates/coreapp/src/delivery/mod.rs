//! The link: one stream to the network for all shards of the process.

mod link;

pub(crate) use link::{Link, run};
