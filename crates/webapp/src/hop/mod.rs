//! The way to the coreapps.
//!
//! Messages go over one long-lived stream per coreapp (`pipe`), because a stream costs a twelfth of
//! unary calls; which one is decided by the shard map (`table`), and what to do about breaks and
//! transient refusals by `send`. Contacts and control are unary calls (`unary`, `cores`).

mod backoff;
mod cores;
mod live;
mod outgoing;
mod pipe;
mod send;
mod table;
mod unary;
mod upload;

pub(crate) use backoff::Backoff;
pub(crate) use cores::Cores;
pub(crate) use send::{Failure, Message, Outcome};
pub(crate) use table::Hop;
pub(crate) use unary::{Asker, cause};
pub(crate) use upload::Upload;

#[cfg(test)]
mod tests;
