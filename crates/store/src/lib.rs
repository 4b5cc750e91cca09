//! Everything durable: schema and queries, lanes and fence, migrations.
//!
//! The coreapp writes through [`Lanes`] only (group commit behind a fence), reads through
//! [`Reader`] (grouped) and manages membership through [`Cluster`]. Nothing here knows what a
//! message means. Why it is built so, and what a message costs: `docs/decisions/001-*`.

mod backoff;
mod batch;
pub mod census;
pub mod cluster;
mod codec;
mod engine;
pub mod error;
pub mod fault;
mod history;
mod idle;
pub mod lanes;
mod migrate;
mod mysql;
mod open;
mod postgres;
mod probe;
pub mod reader;
mod reads;
pub mod rows;
mod schema;
pub mod settings;
mod sqlite;
pub mod tls;
mod unions;
mod vault;
mod wait;
pub mod write;

pub use cluster::{Claim, Cluster, Tick};
pub use error::{Closed, StoreError};
pub use fault::{Fault, Unsaid};
pub use history::{AT_MAX, MARKS_MAX, Mark, Reach, Stretch};
pub use lanes::{Feed, Lanes};
pub use migrate::Migrating;
pub use open::{Facts, Store};
pub use reader::{DeadPage, File, Found, Read, ReadAnswer, ReadRequest, Reader, ShardLoad};
pub use settings::{DatabaseUrl, Pools, Settings};
pub use tls::TlsSettings;
