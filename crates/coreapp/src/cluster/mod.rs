//! Membership: any number of coreapps share the shards of one database.
//!
//! `machine` decides (no I/O; `suspicion` who is dead, `placement` what belongs to whom), `task`
//! carries out, `holdings` takes shards up and lets them go, `duties` is what shard -1 brings with
//! it, `follow` goes by what others have written, `map` shows who owns what, `peers` calls the other
//! nodes. docs/decisions/013.

pub(crate) mod beat;
mod boot;
mod bury;
mod duties;
mod follow;
mod holdings;
mod join;
mod machine;
mod map;
mod peers;
mod placement;
#[cfg(test)]
mod sim;
mod suspicion;
mod task;

pub use boot::BootError;
pub(crate) use boot::{Booted, boot};
pub(crate) use bury::{BuryError, bury};
pub(crate) use duties::Duties;
pub(crate) use follow::Followers;
pub use holdings::HoldError;
pub(crate) use holdings::{Holdings, LOADS};
pub(crate) use join::{Me, join};
pub(crate) use map::{Map, MapRx};
pub(crate) use peers::Peers;
pub use task::Lost;
pub(crate) use task::{Deps, Members, Progress, start};
