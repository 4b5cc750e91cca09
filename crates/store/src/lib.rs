//! Everything durable: schema and queries, lanes and fence, migrations.
//!
//! The coreapp writes through [`Lanes`] only (group commit behind a fence), reads through
//! [`Reader`] (grouped) and manages membership through [`Cluster`]. Nothing here knows what a
//! message means.

pub mod rows;
pub mod write;
