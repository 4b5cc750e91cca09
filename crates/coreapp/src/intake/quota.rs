//! How many calls a second a listener takes, before any work: GCRA, hot-changeable, 0 = off.

use std::{
    num::NonZeroU32,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
};

use contract::{ApiError, Code};
use governor::{
    Quota as Rate, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};

/// A listener's quota.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    limiter: RwLock<Limiter>,
    /// After the last call.
    remaining: AtomicU32,
}

/// How much of a quota is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub per_second: u32,
    pub remaining: u32,
    /// Until all of it is back, seconds, rounded up.
    pub reset_s: u32,
}

type Bucket = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

#[derive(Debug, Default)]
struct Limiter {
    per_second: u32,
    burst: u32,
    bucket: Option<Bucket>,
}

impl Quota {
    /// Sets rate and burst; unchanged values keep what was used of them.
    pub(crate) fn set(&self, per_second: u32, burst: u32) {
        let mut limiter = self.limiter.write().unwrap_or_else(PoisonError::into_inner);
        if (limiter.per_second, limiter.burst) != (per_second, burst) {
            let bucket = NonZeroU32::new(per_second).map(|rate| {
                let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
                self.remaining.store(burst.get(), Ordering::Relaxed);
                RateLimiter::direct(Rate::per_second(rate).allow_burst(burst)).with_middleware()
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
        let left = bucket.check().map_err(|not_until| {
            self.remaining.store(0, Ordering::Relaxed);
            let wait = not_until.wait_time_from(bucket.clock().now());
            let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            ApiError::new(
                Code::TOO_MANY_REQUESTS,
                format!("more than {} a second", limiter.per_second),
            )
            .retry_after_ms(ms)
        })?;
        self.remaining.store(left.remaining_burst_capacity(), Ordering::Relaxed);
        Ok(())
    }

    /// What the last call left; `None` when the quota is off.
    pub(crate) fn left(&self) -> Option<Left> {
        let limiter = self.limiter.read().unwrap_or_else(PoisonError::into_inner);
        limiter.bucket.as_ref()?;
        let (per_second, remaining) = (limiter.per_second, self.remaining.load(Ordering::Relaxed));
        let used = limiter.burst.max(1).saturating_sub(remaining);
        Some(Left { per_second, remaining, reset_s: used.div_ceil(per_second.max(1)) })
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
        let left = quota.left().unwrap();
        assert_eq!((left.per_second, left.remaining, left.reset_s), (1, 0, 3));
        quota.set(0, 0);
        assert_eq!(quota.left(), None);
        assert!((0..100).all(|_| quota.take().is_ok()));
    }
}
