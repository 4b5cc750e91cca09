//! What belongs to the account as a whole: settings, users, revoked tokens, the token key, the
//! authorities of webhooks.
//!
//! Written by the owner of shard -1 alone, through that shard's lane; read from memory. A change is
//! in force everywhere in this process when the call that made it returns.

mod directory;
mod state;
mod trust;

pub(crate) use directory::{Directory, role};
pub use state::ControlError;
pub(crate) use state::{Control, Deps, Fixed};
