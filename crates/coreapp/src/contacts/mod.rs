//! Contact sync: one call to the network in flight, everything that arrives meanwhile goes into the
//! next.

mod sync;

pub(crate) use sync::sync;
