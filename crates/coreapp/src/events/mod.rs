//! The Events API: the event log read on from a cursor, what the webhook would not take, and events
//! sent again (docs/decisions/012).
//!
//! `merge.rs` chooses (no I/O), `log.rs` reads and waits, `replay/` sends again.

mod log;
mod merge;
mod replay;

#[cfg(test)]
mod tests;

pub(crate) use log::{Deps, EventLog, Page};
pub(crate) use replay::{Deps as ReplayDeps, Replays};
