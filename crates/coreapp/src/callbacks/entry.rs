//! One unsettled event of a window: where it stands, and how long it holds its conversation up.

use bytes::Bytes;
use contract::{Key, Route, TraceContext, events::Why};
use store::rows::Tried;

use super::{lot::Parked, schedule::Outcome};

/// Longest an event holds the later ones of its conversation up while the endpoint is up,
/// milliseconds from its first POST.
pub(super) const HOLD_MS: u64 = 60_000;
/// Failures, while the endpoint is up, after which it holds nothing up any longer.
pub(super) const HOLD_TRIES: u32 = 5;

#[derive(Debug)]
pub(super) struct Entry {
    /// Not known while `Unloaded`.
    pub(super) route: Route,
    pub(super) kind: i16,
    pub(super) key: Option<Key>,
    pub(super) created_ms: i64,
    /// Its message's place in its trace, if it is traced.
    pub(super) trace: Option<TraceContext>,
    /// Given up when memory is short; read again before the next POST.
    pub(super) body: Option<Bytes>,
    /// Failures so far.
    pub(super) tries: u32,
    /// How they went, as far as it is known.
    pub(super) tried: Tried,
    pub(super) hold: Hold,
    pub(super) state: State,
    /// Next POST, while `Waiting`.
    pub(super) due: u64,
    /// Asked for by `Retry-After`; even a recovered endpoint is not called before.
    pub(super) not_before: u64,
    /// Has a row in `dead_event`, so the cursor does not count it.
    pub(super) parked: bool,
    /// Was parked for its refusals: the next one sends it back at once.
    pub(super) returned: bool,
    /// Was in a POST of several that failed; goes alone from now on.
    pub(super) alone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A hole of the saved cursor; nothing but its number is known.
    Unloaded,
    /// Its media is still being fetched.
    Held,
    /// May start when it is its conversation's turn.
    Behind,
    /// It is its turn, or it may be no longer held; its row is being read.
    Reading,
    /// Has its conversation's slot, waits for one of the endpoint's.
    Ready,
    /// In a POST: its own, or one of several.
    Flying,
    /// Failed; due later.
    Waiting,
}

/// What is left of the right to hold later events up. Failures of an endpoint that is down do not
/// count, or a dead minute would cost every conversation its order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hold {
    pub(super) tries: u32,
    since: Option<u64>,
    spent: bool,
}

// === impl Hold ===

impl Hold {
    /// Of an event whose patience was spent before.
    const SPENT: Self = Self { tries: 0, since: None, spent: true };

    /// A POST starts while the endpoint is up.
    pub(super) fn begin(&mut self, now: u64) {
        self.since.get_or_insert(now);
    }

    /// A POST failed while the endpoint is up. Gives when to look again, if time alone will tell.
    pub(super) fn failed(&mut self, outcome: Outcome) -> Option<u64> {
        self.tries += 1;
        if self.tries >= HOLD_TRIES || outcome.is_permanent() {
            self.spent = true;
        }
        let since = self.since.filter(|_| !self.spent && self.tries == 1)?;
        Some(since.saturating_add(HOLD_MS))
    }

    /// Whether it was refused often enough to be parked. `tries` of a hold are those that say
    /// something about the event.
    pub(super) fn is_parking(&self) -> bool {
        self.tries >= HOLD_TRIES
    }

    pub(super) fn is_spent(&self, now: u64) -> bool {
        self.spent || self.since.is_some_and(|since| now >= since.saturating_add(HOLD_MS))
    }

    /// The endpoint went down: what counted so far was its doing. What is spent stays so, later
    /// events having started already.
    pub(super) fn reset(&mut self, now: u64) {
        *self = Self { tries: 0, since: None, spent: self.is_spent(now) };
    }
}

// === impl Entry ===

impl Entry {
    pub(super) fn unloaded(tries: u32) -> Self {
        Self {
            route: Route::from_i64(0),
            kind: 0,
            key: None,
            created_ms: i64::MAX,
            trace: None,
            body: None,
            tries,
            tried: Tried::default(),
            hold: Hold::default(),
            state: State::Unloaded,
            due: 0,
            not_before: 0,
            parked: false,
            returned: false,
            alone: false,
        }
    }

    /// An event of the lot that comes back into the window.
    pub(super) fn returned(row: &Parked) -> Self {
        Self {
            route: row.route,
            created_ms: row.created_ms,
            hold: if row.tries > 0 { Hold::SPENT } else { Hold::default() },
            state: State::Behind,
            parked: true,
            returned: row.tries > 0,
            ..Self::unloaded(row.tries)
        }
    }

    /// A POST of it failed.
    pub(super) fn failed(&mut self, outcome: Outcome, unix_ms: i64) {
        self.tries = self.tries.saturating_add(1);
        let second = unix_ms.div_euclid(1_000);
        let first_s = if self.tried.first_s == 0 { second } else { self.tried.first_s };
        let why = outcome.why().map_or(0, Why::to_i16);
        self.tried = Tried { why, first_s, last_s: second };
    }

    /// Whether it may share a POST: nothing is known against it.
    pub(super) fn is_sociable(&self) -> bool {
        self.tries == 0 && !self.alone
    }
}
