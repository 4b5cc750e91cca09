//! How many calls a second a listener takes, before any work: GCRA, hot-changeable, 0 = off.

use std::{
    num::NonZeroU32,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use contract::{ApiError, Code};
use governor::{
    Quota as Rate, RateLimiter,
    clock::Clock,
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};
use tokio::time::Instant;

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

#[derive(Debug, Default)]
struct Limiter {
    per_second: u32,
    burst: u32,
    bucket: Option<Bucket>,
}

type Bucket = RateLimiter<NotKeyed, InMemoryState, Ticking, StateInformationMiddleware>;

/// Time since the bucket was made, as the runtime counts it.
#[derive(Clone, Debug)]
struct Ticking(Instant);

impl Clock for Ticking {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Quota {
    /// Sets rate and burst; unchanged values keep what was used of them.
    pub(crate) fn set(&self, per_second: u32, burst: u32) {
        let mut limiter = self.limiter.write().unwrap_or_else(PoisonError::into_inner);
        if (limiter.per_second, limiter.burst) != (per_second, burst) {
            let bucket = NonZeroU32::new(per_second).map(|rate| {
                let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
                self.remaining.store(burst.get(), Ordering::Relaxed);
                let rate = Rate::per_second(rate).allow_burst(burst);
                RateLimiter::direct_with_clock(rate, Ticking(Instant::now())).with_middleware()
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
            // Rounded up: sooner would be too soon.
            let ms = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1);
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
    use std::sync::Arc;

    use tokio::task::JoinSet;

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

    /// What of ten askers, each with a pipe of its own and five times too fast, is let through in
    /// `seconds`.
    async fn let_through(quota: &Arc<Quota>, seconds: u64) -> u32 {
        let until = Instant::now() + Duration::from_secs(seconds);
        let mut askers = JoinSet::new();
        for n in 0..10 {
            let quota = quota.clone();
            askers.spawn(async move {
                tokio::time::sleep(Duration::from_millis(n)).await;
                let mut passed = 0;
                while Instant::now() < until {
                    passed += u32::from(quota.take().is_ok());
                    tokio::time::sleep(Duration::from_millis(25)).await;
                }
                passed
            });
        }
        askers.join_all().await.into_iter().sum()
    }

    fn within_one_percent(passed: u32, expected: u32) {
        assert!(passed.abs_diff(expected) * 100 <= expected, "{passed} instead of {expected}");
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_ask_the_rate_is_kept_to_one_percent_after_the_burst() {
        let (messages, contacts) = (Arc::new(Quota::default()), Arc::new(Quota::default()));
        messages.set(80, 40);
        contacts.set(40, 40);
        let first = tokio::join!(let_through(&messages, 5), let_through(&contacts, 5));
        assert!((400..=441).contains(&first.0), "the burst comes on top once: {first:?}");
        assert!((200..=241).contains(&first.1), "the burst comes on top once: {first:?}");
        let steady = tokio::join!(let_through(&messages, 60), let_through(&contacts, 60));
        within_one_percent(steady.0, 80 * 60);
        within_one_percent(steady.1, 40 * 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_rate_is_kept_from_then_on() {
        let quota = Arc::new(Quota::default());
        quota.set(80, 40);
        let_through(&quota, 5).await;
        quota.set(20, 1);
        let_through(&quota, 1).await;
        within_one_percent(let_through(&quota, 60).await, 20 * 60);
        // Set again to what it is: nothing is given on top.
        quota.set(20, 1);
        assert!(let_through(&quota, 1).await <= 20);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_as_long_as_told_is_let_through() {
        let quota = Quota::default();
        quota.set(40, 40);
        for _ in 0..40 {
            quota.take().unwrap();
        }
        for _ in 0..100 {
            let refused = quota.take().unwrap_err();
            tokio::time::sleep(Duration::from_millis(refused.retry_after_ms.unwrap())).await;
            quota.take().unwrap();
        }
    }
}
