//! The way in: what a frame must be before a shard sees it, and the gates that refuse.

mod frame;
mod gate;
mod handing;
pub(crate) mod pipe;
mod quota;

pub(crate) use frame::Intake;
pub(crate) use gate::{Gate, Standing};
pub(crate) use handing::Handing;
pub(crate) use quota::Quota;
