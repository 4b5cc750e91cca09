//! How often somebody may call: by source address, by user, logins by address, failed logins by
//! name. The figures come from the coreapp and change while we run; 0 switches one off.
//!
//! The address limit is tower_governor's layer, whose limiter is exchanged when its figure changes.
//! The others cannot be layers, because their key (who is logged in, did the login fail) is known
//! only inside the request: they ask governor directly.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    num::{NonZeroU32, NonZeroUsize},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use contract::{ApiError, Code};
use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use http::Request;
use lru::LruCache;
use rpc::coreapp::Limits as Figures;
use tokio::time::{Duration, Instant};
use tower_governor::{GovernorError, key_extractor::KeyExtractor};

use super::request::Context;

/// Callers a limiter remembers between two sweeps; beyond it forgets all of them.
const MAX_CALLERS: usize = 65_536;
/// Names with failed logins that are remembered; beyond, the one longest untouched is forgotten.
const MAX_NAMES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(16_383);
const MINUTE: Duration = Duration::from_secs(60);
/// How often limiters forget callers that have their whole quota again.
pub(crate) const SWEEP: Duration = Duration::from_secs(10);

/// The limiter of an address limit.
pub(super) type ByAddress = DefaultKeyedRateLimiter<IpAddr>;

/// All limits in force.
pub(crate) struct Limits {
    enabled: bool,
    address: Limit<IpAddr>,
    user: Limit<Arc<str>>,
    login: Limit<IpAddr>,
    failures: Mutex<Failures>,
    hasher: RandomState,
}

/// So many calls a second for each key, and as many at once.
struct Limit<K: Hash + Eq + Clone>(RwLock<(u32, Option<Arc<DefaultKeyedRateLimiter<K>>>)>);

/// Failed logins by name, as the moment at which the last of them is forgotten.
struct Failures {
    a_minute: u32,
    forgotten: LruCache<u64, Instant>,
}

/// The source address of a request, for tower_governor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceAddress;

impl KeyExtractor for SourceAddress {
    type Key = IpAddr;

    fn extract<T>(&self, request: &Request<T>) -> Result<IpAddr, GovernorError> {
        let context = request.extensions().get::<Context>();
        context.map(|context| context.source).ok_or(GovernorError::UnableToExtractKey)
    }
}

impl Limits {
    pub(crate) fn new(enabled: bool, figures: &Figures) -> Self {
        let limits = Self {
            enabled,
            address: Limit::off(),
            user: Limit::off(),
            login: Limit::off(),
            failures: Mutex::new(Failures { a_minute: 0, forgotten: LruCache::new(MAX_NAMES) }),
            hasher: RandomState::new(),
        };
        limits.set(figures);
        limits
    }

    /// Puts other figures in force. A limit whose figure stays keeps what it counted.
    pub(crate) fn set(&self, figures: &Figures) {
        if !self.enabled {
            return;
        }
        self.address.set(figures.per_address);
        self.user.set(figures.per_user);
        self.login.set(figures.login_per_address);
        self.failures().a_minute = figures.login_failures_per_name;
    }

    /// Forgets callers that have their whole quota again.
    pub(crate) fn sweep(&self) {
        self.address.sweep();
        self.user.sweep();
        self.login.sweep();
    }

    /// For the layer; `None`: off.
    pub(super) fn address(&self) -> Option<Arc<ByAddress>> {
        self.address.limiter()
    }

    /// # Errors
    /// 429/1015 when this user called too often.
    pub(crate) fn user(&self, user: &Arc<str>) -> Result<(), ApiError> {
        self.user.check(user)
    }

    /// # Errors
    /// 429/1015 when this address logged in too often.
    pub(crate) fn login(&self, context: &Context) -> Result<(), ApiError> {
        self.login.check(&context.source)
    }

    /// May this name try to log in?
    ///
    /// # Errors
    /// 429/1015 after too many failures.
    pub(crate) fn may_try(&self, name: &str) -> Result<(), ApiError> {
        let key = self.hasher.hash_one(name);
        match self.failures().wait(key, Instant::now()) {
            None => Ok(()),
            Some(wait) => Err(too_many(wait)),
        }
    }

    /// This name failed to log in.
    pub(crate) fn failed(&self, name: &str) {
        let key = self.hasher.hash_one(name);
        self.failures().add(key, Instant::now());
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Limit ===

impl<K: Hash + Eq + Clone> Limit<K> {
    fn off() -> Self {
        Self(RwLock::new((0, None)))
    }

    fn set(&self, a_second: u32) {
        let mut limit = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if limit.0 != a_second {
            *limit = (a_second, limiter(a_second));
        }
    }

    fn limiter(&self) -> Option<Arc<DefaultKeyedRateLimiter<K>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    fn check(&self, key: &K) -> Result<(), ApiError> {
        let Some(limiter) = self.limiter() else { return Ok(()) };
        limiter
            .check_key(key)
            .map_err(|not_until| too_many(not_until.wait_time_from(DefaultClock::default().now())))
    }

    fn sweep(&self) {
        let Some(limiter) = self.limiter() else { return };
        limiter.retain_recent();
        limiter.shrink_to_fit();
        if limiter.len() > MAX_CALLERS {
            let mut limit = self.0.write().unwrap_or_else(PoisonError::into_inner);
            limit.1 = self::limiter(limit.0);
        }
    }
}

fn limiter<K: Hash + Eq + Clone>(a_second: u32) -> Option<Arc<DefaultKeyedRateLimiter<K>>> {
    let quota = Quota::per_second(NonZeroU32::new(a_second)?);
    Some(Arc::new(RateLimiter::keyed(quota)))
}

// === impl Failures ===

impl Failures {
    /// How long the name must wait.
    fn wait(&mut self, name: u64, now: Instant) -> Option<Duration> {
        let step = MINUTE.checked_div(self.a_minute)?;
        let forgotten = *self.forgotten.get(&name)?;
        // With one more failure the last of them may be forgotten a minute from now at the latest.
        (forgotten + step).checked_duration_since(now + MINUTE).filter(|wait| !wait.is_zero())
    }

    fn add(&mut self, name: u64, now: Instant) {
        let Some(step) = MINUTE.checked_div(self.a_minute) else { return };
        let before = self.forgotten.get(&name).copied().unwrap_or(now);
        self.forgotten.put(name, before.max(now) + step);
    }
}

pub(super) fn too_many(wait: Duration) -> ApiError {
    let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    ApiError::new(Code::TOO_MANY_REQUESTS, "Too many requests; slow down and repeat later")
        .retry_after_ms(ms.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(figures: Figures) -> Limits {
        Limits::new(true, &figures)
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_may_fail_five_times_a_minute() {
        let limits = limits(Figures { login_failures_per_name: 5, ..Figures::default() });
        for _ in 0..5 {
            assert_eq!(limits.may_try("clerk_7"), Ok(()));
            limits.failed("clerk_7");
        }
        let refused = limits.may_try("clerk_7").unwrap_err();
        assert_eq!((refused.code, refused.retry_after_ms), (Code::TOO_MANY_REQUESTS, Some(12_000)));
        assert_eq!(limits.may_try("clerk_8"), Ok(()), "another name is not concerned");
        tokio::time::advance(Duration::from_secs(12)).await;
        assert_eq!(limits.may_try("clerk_7"), Ok(()));
        limits.failed("clerk_7");
        assert!(limits.may_try("clerk_7").is_err());
    }

    #[test]
    fn figures_change_while_running_and_zero_is_off() {
        let user: Arc<str> = "clerk_7".into();
        let limits = limits(Figures { per_user: 2, ..Figures::default() });
        assert!(limits.address().is_none());
        assert!((0..2).all(|_| limits.user(&user).is_ok()));
        assert_eq!(limits.user(&user).unwrap_err().code, Code::TOO_MANY_REQUESTS);
        limits.set(&Figures { per_user: 0, ..Figures::default() });
        assert!((0..10).all(|_| limits.user(&user).is_ok()));
        let off = Limits::new(false, &Figures { per_user: 1, ..Figures::default() });
        assert!((0..10).all(|_| off.user(&user).is_ok()));
    }
}
