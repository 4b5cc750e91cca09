//! What belongs to the account as a whole: settings, users, revoked tokens, the token key, the
//! authorities of webhooks, the documents of `account`.
//!
//! Written by the owner of shard -1 alone, through that shard's lane; read from memory. The others
//! follow by the versions that each tick shows. A change is in force in every coreapp that lives when
//! the call that made it returns.

mod directory;
mod documents;
mod rows;
mod state;
#[cfg(test)]
mod tests;
mod trust;
mod users;

pub(crate) use directory::{Directory, role};
pub(crate) use documents::Document;
pub(crate) use rows::exists;
pub use state::ControlError;
pub(crate) use state::{Control, Deps, Fixed, Tell};
