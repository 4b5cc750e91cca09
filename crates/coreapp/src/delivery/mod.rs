//! The link: one stream to the network for all shards of the process.

mod flights;
pub(crate) mod greeting;
mod line;
mod link;
mod logged;
mod outage;
mod renewal;

pub(crate) use flights::Flights;
pub(crate) use line::Line;
pub(crate) use link::{Claims, Link, run};
pub(crate) use logged::Logged;
pub(crate) use outage::Outages;
pub(crate) use renewal::Renewal;
