//! Whether the endpoint as a whole is up: counts failures, spaces probes, starts slowly again.

use contract::Route;

use super::schedule::{Outcome, Pace};

/// Failures in a row, over at least [`DOWN_CONVERSATIONS`], that take the endpoint down.
pub(super) const DOWN_FAILURES: u32 = 10;
/// One conversation's bad event must not look like a dead endpoint.
pub(super) const DOWN_CONVERSATIONS: usize = 3;
/// Failed connections in a row that take the endpoint down.
pub(super) const DOWN_CONNECTS: u32 = 3;

/// The endpoint went down or came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Down,
    /// It was down for so long.
    Up {
        down_ms: u64,
    },
}

#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    failures: u32,
    connects: u32,
    /// Distinct conversations among the failures in a row.
    failed: [Option<Route>; DOWN_CONVERSATIONS],
    /// POSTs in flight while the endpoint recovers; `None`: as many as the pace says.
    ramp: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Up,
    Down { since: u64, probes: u32, next: u64, probing: bool },
}

// === impl Breaker ===

impl Breaker {
    pub(super) fn new() -> Self {
        Self { state: State::Up, failures: 0, connects: 0, failed: [None; 3], ramp: None }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
    }

    /// Whether so much was refused in a row that a success is news, though too few conversations
    /// were asked for to call the endpoint down.
    pub(super) fn is_refused(&self) -> bool {
        self.failures >= DOWN_FAILURES
    }

    /// When the endpoint went down, if it is.
    pub(super) fn down_since(&self) -> Option<u64> {
        match self.state {
            State::Up => None,
            State::Down { since, .. } => Some(since),
        }
    }

    /// When the next probe is due, while the endpoint is down.
    pub(super) fn next_probe(&self) -> Option<u64> {
        match self.state {
            State::Up => None,
            State::Down { next, .. } => Some(next),
        }
    }

    /// Whether one more POST may start beside `flying` others.
    pub(super) fn admits(&self, flying: usize, pace: &Pace, now: u64) -> bool {
        match self.state {
            State::Up => flying < self.ramp.unwrap_or(usize::MAX).min(pace.concurrency),
            // Not beside what began before it went down either.
            State::Down { next, .. } => flying == 0 && now >= next,
        }
    }

    /// A POST starts.
    pub(super) fn started(&mut self) {
        if let State::Down { probing, .. } = &mut self.state {
            *probing = true;
        }
    }

    /// A POST was answered with 200.
    pub(super) fn success(&mut self, pace: &Pace, now: u64) -> Option<Change> {
        (self.failures, self.connects, self.failed) = (0, 0, [None; 3]);
        if let State::Down { since, .. } = self.state {
            self.state = State::Up;
            self.ramp = Some(1);
            return Some(Change::Up { down_ms: now.saturating_sub(since) });
        }
        self.ramp = self.ramp.map(|ramp| ramp + 1).filter(|ramp| *ramp < pace.concurrency);
        None
    }

    /// A POST failed.
    pub(super) fn failure(
        &mut self,
        route: Route,
        outcome: Outcome,
        pace: &Pace,
        now: u64,
    ) -> Option<Change> {
        if let State::Down { probes, next, probing, .. } = &mut self.state {
            // A POST from before it went down says nothing about now, but for what it asks.
            let mut wait = outcome.pause_ms();
            if std::mem::take(probing) {
                *probes = probes.saturating_add(1);
                wait = wait.max(pace.probe_ms(probes.saturating_add(1)));
            }
            *next = (*next).max(now.saturating_add(wait));
            return None;
        }
        self.ramp = self.ramp.map(|ramp| (ramp / 2).max(1));
        self.failures = self.failures.saturating_add(1);
        self.connects = match outcome {
            Outcome::Unreachable => self.connects.saturating_add(1),
            _ => 0,
        };
        if !self.failed.contains(&Some(route))
            && let Some(place) = self.failed.iter_mut().find(|place| place.is_none())
        {
            *place = Some(route);
        }
        let everywhere = self.failures >= DOWN_FAILURES && self.failed.iter().all(Option::is_some);
        if !everywhere && self.connects < DOWN_CONNECTS {
            return None;
        }
        let wait = pace.probe_ms(1).max(outcome.pause_ms());
        self.state =
            State::Down { since: now, probes: 0, next: now.saturating_add(wait), probing: false };
        Some(Change::Down)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace =
        Pace { concurrency: 6, step_ms: 3_000, cap_ms: 900_000, max_age_ms: 1, batch_max: 1 };
    const ERROR: Outcome = Outcome::Refused { status: 500, retry_after_ms: None };

    fn fail(breaker: &mut Breaker, route: i64, outcome: Outcome, now: u64) -> Option<Change> {
        breaker.failure(Route::from_i64(route), outcome, &PACE, now)
    }

    #[test]
    fn ten_failures_of_three_conversations_take_the_endpoint_down() {
        let mut breaker = Breaker::new();
        for n in 0..9 {
            assert_eq!(fail(&mut breaker, n % 3, ERROR, 0), None);
        }
        assert_eq!(fail(&mut breaker, 0, ERROR, 5), Some(Change::Down));
        assert!(!breaker.admits(0, &PACE, 3_004) && breaker.admits(0, &PACE, 3_005));
        assert!(!breaker.admits(1, &PACE, 3_005), "one probe at a time");
    }

    #[test]
    fn two_bad_conversations_do_not_take_the_endpoint_down() {
        let mut breaker = Breaker::new();
        for n in 0..1_000 {
            assert_eq!(fail(&mut breaker, n % 2, ERROR, 0), None);
        }
    }

    #[test]
    fn a_success_in_between_keeps_the_endpoint_up() {
        let mut breaker = Breaker::new();
        for n in 0..100 {
            assert_eq!(fail(&mut breaker, n, ERROR, 0), None);
            if n % 9 == 8 {
                assert_eq!(breaker.success(&PACE, 0), None);
            }
        }
    }

    #[test]
    fn three_failed_connections_take_the_endpoint_down() {
        let mut breaker = Breaker::new();
        assert_eq!(fail(&mut breaker, 1, Outcome::Unreachable, 0), None);
        assert_eq!(fail(&mut breaker, 1, Outcome::Unreachable, 0), None);
        assert_eq!(fail(&mut breaker, 1, ERROR, 0), None, "an answer: something listens");
        for expected in [None, None, Some(Change::Down)] {
            assert_eq!(fail(&mut breaker, 1, Outcome::Unreachable, 0), expected);
        }
    }

    #[test]
    fn probes_are_spaced_and_respect_retry_after() {
        let mut breaker = Breaker::new();
        for _ in 0..3 {
            fail(&mut breaker, 1, Outcome::Unreachable, 0);
        }
        fail(&mut breaker, 1, ERROR, 1_000);
        assert_eq!(breaker.next_probe(), Some(3_000), "the late failure was no probe");
        breaker.started();
        fail(&mut breaker, 1, ERROR, 3_000);
        assert_eq!(breaker.next_probe(), Some(9_000));
        breaker.started();
        let busy = Outcome::Refused { status: 503, retry_after_ms: Some(120_000) };
        fail(&mut breaker, 1, busy, 9_000);
        assert_eq!(breaker.next_probe(), Some(129_000));
    }

    #[test]
    fn recovery_starts_slowly() {
        let mut breaker = Breaker::new();
        for _ in 0..3 {
            fail(&mut breaker, 1, Outcome::Unreachable, 1_000);
        }
        assert_eq!(breaker.success(&PACE, 61_000), Some(Change::Up { down_ms: 60_000 }));
        for in_flight in 1..6 {
            assert!(breaker.admits(in_flight - 1, &PACE, 61_000));
            assert!(!breaker.admits(in_flight, &PACE, 61_000));
            assert_eq!(breaker.success(&PACE, 61_000), None);
        }
        assert!(breaker.admits(5, &PACE, 61_000) && !breaker.admits(6, &PACE, 61_000));
    }
}
