//! How many calls a second a listener takes, before any work: GCRA, hot-changeable, 0 = off.

use std::{
    num::NonZeroU32,
    sync::{PoisonError, RwLock},
};

use contract::{ApiError, Code};
use governor::{DefaultDirectRateLimiter, Quota as Rate, RateLimiter, clock::Clock};

/// A listener's quota.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    limiter: RwLock<Limiter>,
}

#[derive(Debug, Default)]
struct Limiter {
    per_second: u32,
    burst: u32,
    bucket: Option<DefaultDirectRateLimiter>,
}

impl Quota {
    /// Sets rate and burst; unchanged values keep what was used of them.
    pub(crate) fn set(&self, per_second: u32, burst: u32) {
        let mut limiter = self.limiter.write().unwrap_or_else(PoisonError::into_inner);
        if (limiter.per_second, limiter.burst) != (per_second, burst) {
            let bucket = NonZeroU32::new(per_second).map(|rate| {
                let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
                RateLimiter::direct(Rate::per_second(rate).allow_burst(burst))
            });
            *limiter = Limiter { per_second, burst, bucket };
        }
    }

    /// Takes one.
    ///
    /// # Errors
    /// 1015, with the time after which the next one is free.
    pub(crate) fn take(&self) -> Result<(), ApiError> {
        let limiter = self.limiter.read().unwrap_or_else(PoisonError::into_inner);
        let Some(bucket) = &limiter.bucket else { return Ok(()) };
        bucket.check().map_err(|not_until| {
            let wait = not_until.wait_time_from(bucket.clock().now());
            let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            ApiError::new(
                Code::TOO_MANY_REQUESTS,
                format!("more than {} a second", limiter.per_second),
            )
            .retry_after_ms(ms)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_refuses_what_exceeds_its_burst_and_can_be_switched_off() {
        let quota = Quota::default();
        quota.set(1, 3);
        let refused = (0..10).filter_map(|_| quota.take().err()).next().unwrap();
        assert_eq!(refused.code, Code::TOO_MANY_REQUESTS);
        assert!((1..=1_000).contains(&refused.retry_after_ms.unwrap()));
        quota.set(0, 0);
        assert!((0..100).all(|_| quota.take().is_ok()));
    }
}
