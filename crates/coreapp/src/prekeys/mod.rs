//! Pre-keys: fetching other people's and setting sessions up with them, keeping our own.

mod fetch;
mod pool;
mod ring;
mod upkeep;

pub(crate) use fetch::{Fetch, OPERATION as FETCH};
pub(crate) use pool::{Deps as PoolDeps, Pool, Sessions, SetUp, SetUpError, retries};
#[cfg(test)]
pub(crate) use ring::Keys;
pub(crate) use ring::Ring;
pub use upkeep::KeyError;
pub(crate) use upkeep::{Known, ONE_TIME, Upkeep, VERSION, exist, open, refresh};
