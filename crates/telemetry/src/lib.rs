//! Configuration layers, logs, metrics, traces and signals: what every binary sets up before it works.
//!
//! The real clock, the real randomness and the process environment are touched here and nowhere
//! else; everybody above takes them as parameters.

pub mod config;
pub mod logs;
pub mod metrics;
pub mod shutdown;
pub mod system;
pub mod traces;

pub use metrics::Metrics;
pub use system::{SystemClock, SystemRng};
pub use traces::Traces;
