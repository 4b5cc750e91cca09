//! The operating system's clock, randomness and environment: made once in each `main`.

use contract::{Clock, Rng};
use ring::rand::{SecureRandom, SystemRandom};

/// Wall-clock time of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_ms(&self) -> i64 {
        #[expect(clippy::disallowed_methods, reason = "the one real clock")]
        let now = std::time::SystemTime::now();
        // Before 1970 the machine's clock is plainly not set: 0 makes every check of ages fail safe.
        now.duration_since(std::time::UNIX_EPOCH)
            .ok()
            .and_then(|since| i64::try_from(since.as_millis()).ok())
            .unwrap_or(0)
    }
}

/// The operating system's random numbers.
#[derive(Clone, Debug)]
pub struct SystemRng(SystemRandom);

impl SystemRng {
    /// A handle; cheap.
    #[must_use]
    pub fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one real source of randomness")]
        Self(SystemRandom::new())
    }
}

impl Default for SystemRng {
    fn default() -> Self {
        Self::new()
    }
}

impl Rng for SystemRng {
    fn fill(&self, out: &mut [u8]) {
        if self.0.fill(out).is_err() {
            // Message ids and tokens without randomness are worse than no service, and no caller
            // could do anything else. Linux fails here only without getrandom *and* /dev/urandom.
            tracing::error!("the operating system gives no random numbers: stopping");
            std::process::abort();
        }
    }
}

/// The process environment, for [`crate::config::Sources::env`]. Names and values that are not
/// UTF-8 are left out.
#[must_use]
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
