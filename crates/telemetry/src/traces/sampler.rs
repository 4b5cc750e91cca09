//! Which requests are recorded: as the caller does, within a limit, else a share of them.

use std::sync::{Mutex, PoisonError};

use contract::{TraceContext, Traceparent, trace::scrambled};
use tokio::time::{Duration, Instant};

use super::Sampled;

/// Traces a second that are recorded because their callers say so, however small the share is;
/// beyond, the share decides, so that nobody outside can make us record everything.
const CALLERS_PER_SECOND: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);

pub(super) struct Sampler {
    /// Of the values of the last half of an id, so many are recorded.
    below: u128,
    callers: Mutex<(Option<Instant>, u32)>,
}

impl Sampler {
    /// `None`: that is no share.
    pub(super) fn new(ratio: f64) -> Option<Self> {
        if !(0.0..=1.0).contains(&ratio) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 2^64"
        )]
        let below = (ratio * 2f64.powi(64)) as u128;
        Some(Self { below, callers: Mutex::new((None, 0)) })
    }

    pub(super) fn sample(
        &self,
        traceparent: Option<&str>,
        id: u128,
        now: Instant,
    ) -> Option<Sampled> {
        match traceparent.and_then(Traceparent::parse) {
            Some(Traceparent { sampled: false, .. }) => None,
            Some(Traceparent { context, .. }) => {
                let recorded = self.draws(context.trace_id) || self.may_follow(now);
                // By our own id too: a caller may call twice from one span.
                let context_of = || context.child("request", half(id));
                recorded.then(|| Sampled { context: context_of(), parent: Some(context.span_id) })
            }
            None => self.draws(id).then(|| {
                let context =
                    TraceContext { trace_id: id.max(1), span_id: scrambled(half(id)).max(1) };
                Sampled { context, parent: None }
            }),
        }
    }

    fn draws(&self, id: u128) -> bool {
        u128::from(half(id)) < self.below
    }

    fn may_follow(&self, now: Instant) -> bool {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, followed) = &mut *callers;
        if began.is_none_or(|began| now.saturating_duration_since(began) >= SECOND) {
            (*began, *followed) = (Some(now), 0);
        }
        *followed += 1;
        *followed <= CALLERS_PER_SECOND
    }
}

/// The last half of an id.
fn half(id: u128) -> u64 {
    u64::try_from(id & u128::from(u64::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: &str = "00-4bf92f3577b34da6ffffffffffffffff-00f067aa0ba902b7-01";

    #[tokio::test(start_paused = true)]
    async fn a_share_is_recorded_and_a_caller_is_followed() {
        let now = Instant::now();
        let id = |n: u64| u128::from(scrambled(n)) << 64 | u128::from(scrambled(n ^ 0x55));
        let recorded = |ratio, parent| {
            let sampler = Sampler::new(ratio).unwrap();
            (0..10_000).filter(|n| sampler.sample(parent, id(*n), now).is_some()).count()
        };
        assert_eq!((recorded(0.0, None), recorded(1.0, None)), (0, 10_000));
        let percent = recorded(0.01, None);
        assert!((60..140).contains(&percent), "{percent}");
        let silent = CALLER.replace("-01", "-00");
        assert_eq!(
            (0..100)
                .filter(|n| {
                    Sampler::new(1.0).unwrap().sample(Some(&silent), id(*n), now).is_some()
                })
                .count(),
            0,
            "the caller does not"
        );
        assert_eq!(recorded(0.0, Some("nonsense")), 0);
        for bad in [-0.1, 1.1, f64::NAN] {
            assert!(Sampler::new(bad).is_none(), "{bad}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn callers_alone_cannot_make_us_record_everything() {
        let sampler = Sampler::new(0.01).unwrap();
        let storm = || (0..1_000).filter_map(|n| sampler.sample(Some(CALLER), n, Instant::now()));
        let followed: Vec<_> = storm().collect();
        assert_eq!(followed.len(), CALLERS_PER_SECOND as usize);
        let caller = Traceparent::parse(CALLER).unwrap().context;
        assert!(followed.iter().all(|sampled| sampled.context.trace_id == caller.trace_id));
        assert!(followed.iter().all(|sampled| sampled.parent == Some(caller.span_id)));
        tokio::time::advance(SECOND).await;
        assert_eq!(storm().count(), CALLERS_PER_SECOND as usize);
    }
}
