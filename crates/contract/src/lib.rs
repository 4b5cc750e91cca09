//! What integrators see: REST and callback JSON, validation, the error catalogue, message ids.
//!
//! No I/O, no clock, no randomness of its own: [`Clock`] and [`Rng`] are parameters everywhere and
//! the real ones are made in each `main`.

pub mod account;
pub mod answer;
pub mod backup;
pub mod batch;
pub mod callback;
pub mod catalogue;
pub mod clock;
pub mod contacts;
pub mod envelope;
pub mod error;
pub mod events;
pub mod fields;
pub mod id;
pub mod idempotency;
pub mod json;
mod link;
pub mod login;
pub mod media;
pub mod message;
pub mod monitoring;
pub mod number;
pub mod profile;
pub mod rng;
pub mod route;
pub mod settings;
pub mod stickers;
pub mod trace;
pub mod users;
pub mod varint;

pub use clock::Clock;
pub use error::{ApiError, Code};
pub use fields::Fields;
pub use id::{Direction, Key, MessageId};
pub use idempotency::IdempotencyKey;
pub use media::MediaId;
pub use number::Number;
pub use rng::Rng;
pub use route::{Route, ShardId};
pub use trace::{TraceContext, Traceparent};
