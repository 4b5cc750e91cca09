//! What tests share.

mod dice;
mod hex;

pub(crate) use dice::Dice;
pub(crate) use hex::{hex, hex32};
