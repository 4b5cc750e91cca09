//! When a shard's cursor is written: often enough that a crash repeats little, seldom enough that
//! the log stays cheaper than rows that are deleted one by one.

/// Settled events that are saved at once.
pub(super) const SAVE_SETTLED: u32 = 256;
/// Longest a settled event waits to be saved, milliseconds; also the least time between two saves
/// of a shard that keeps running empty.
pub(super) const SAVE_AFTER_MS: u64 = 200;
/// Wait after a save that failed, milliseconds.
pub(super) const SAVE_RETRY_MS: u64 = 1_000;

#[derive(Debug, Default)]
pub(super) struct Save {
    settled: u32,
    /// First change that is not saved.
    since: Option<u64>,
    /// Tries were counted; worth saving only with the rest, or at the end.
    counted: bool,
    last: Option<u64>,
    in_flight: bool,
    not_before: u64,
}

// === impl Save ===

impl Save {
    /// An event was settled.
    pub(super) fn settled(&mut self, now: u64) {
        self.settled = self.settled.saturating_add(1);
        self.since.get_or_insert(now);
    }

    /// An event was tried in vain.
    pub(super) fn counted(&mut self) {
        self.counted = true;
    }

    pub(super) fn in_flight(&self) -> bool {
        self.in_flight
    }

    /// When to save, if there is anything to save. `empty`: nothing of the shard is unsettled.
    pub(super) fn due(&self, empty: bool) -> Option<u64> {
        if self.in_flight {
            return None;
        }
        let since = self.since?;
        let at = if self.settled >= SAVE_SETTLED {
            since
        } else if empty {
            self.last.map_or(since, |last| since.max(last.saturating_add(SAVE_AFTER_MS)))
        } else {
            since.saturating_add(SAVE_AFTER_MS)
        };
        Some(at.max(self.not_before))
    }

    /// Whether a last save is due before the shard is let go.
    pub(super) fn is_due_at_end(&self) -> bool {
        self.since.is_some() || self.counted
    }

    /// The cursor as it stands is on its way.
    pub(super) fn begin(&mut self, now: u64) {
        *self = Self { last: Some(now), in_flight: true, ..Self::default() };
    }

    /// It is stored, or it is not.
    pub(super) fn finish(&mut self, stored: bool, now: u64) {
        self.in_flight = false;
        if !stored {
            self.since.get_or_insert(now);
            self.not_before = now.saturating_add(SAVE_RETRY_MS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_event_is_saved_at_once_and_a_busy_shard_five_times_a_second() {
        let mut save = Save::default();
        assert_eq!(save.due(true), None, "nothing to save");
        save.settled(1_000);
        assert_eq!(save.due(true), Some(1_000));
        assert_eq!(save.due(false), Some(1_200));
        save.begin(1_000);
        save.settled(1_001);
        assert_eq!(save.due(true), None, "one at a time");
        save.finish(true, 1_002);
        assert_eq!(save.due(true), Some(1_200));
        for _ in 0..255 {
            save.settled(1_003);
        }
        assert_eq!(save.due(false), Some(1_001));
    }

    #[test]
    fn a_failed_save_is_repeated_later() {
        let mut save = Save::default();
        save.settled(0);
        save.begin(0);
        save.finish(false, 50);
        assert_eq!(save.due(true), Some(1_050));
    }
}
