//! Time as a parameter. Durations are measured with `tokio::time::Instant`, which tests can pause;
//! this trait is for wall-clock time only, which no lease and no ownership may depend on.

use std::sync::Arc;

/// Wall-clock time.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch.
    fn unix_ms(&self) -> i64;

    /// Seconds since the Unix epoch.
    fn unix_s(&self) -> i64 {
        self.unix_ms().div_euclid(1_000)
    }
}

impl<T: Clock + ?Sized> Clock for Arc<T> {
    fn unix_ms(&self) -> i64 {
        (**self).unix_ms()
    }
}
