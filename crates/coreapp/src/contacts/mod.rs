//! Contacts: what the listener on 6251 works with.
//!
//! `desk` fans a check out over the shards that keep the answers, wherever they are; `late` calls back
//! with what a check did not wait for; `asker` takes
//! what shards want to know to the owner of shard -1, whose `sync` asks the network for all of them
//! together (one call in flight a number of ours); `standing` blocks and reports customers.

mod asker;
mod desk;
mod late;
mod standing;
mod sync;

pub(crate) use asker::{Asker, told};
pub(crate) use desk::{Asked, Desk};
pub(crate) use late::Late;
pub(crate) use standing::Complaints;
pub(crate) use sync::{Central, OPERATION as SYNC, Sync};

/// Numbers that may wait for the network, or for an answer to their callers; beyond, checks are
/// refused with 503/1016, and messages wait.
pub(crate) const PENDING_MAX: usize = 50_000;
