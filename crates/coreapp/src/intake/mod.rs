//! The way in: what a frame must be before a shard sees it, and the gates that refuse.

mod frame;
mod gate;
mod handing;
mod handing_on;
pub(crate) mod pipe;
mod quota;

pub(crate) use frame::Intake;
pub(crate) use gate::{Gate, Standing};
pub(crate) use handing::Handing;
pub(crate) use handing_on::HandingOn;
pub(crate) use quota::Quota;
