//! Randomness as a parameter.

use std::sync::Arc;

/// A source of random bytes. The real one is the operating system's.
pub trait Rng: Send + Sync + 'static {
    /// Fills `out`.
    fn fill(&self, out: &mut [u8]);

    /// A random number below 2^64.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_be_bytes(bytes)
    }
}

impl<T: Rng + ?Sized> Rng for Arc<T> {
    fn fill(&self, out: &mut [u8]) {
        (**self).fill(out);
    }
}
