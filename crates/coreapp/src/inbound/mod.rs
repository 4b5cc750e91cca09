//! What the business does with customers' messages. Their way in is the shards'.

mod reading;

pub(crate) use reading::{Reading, unknown};
