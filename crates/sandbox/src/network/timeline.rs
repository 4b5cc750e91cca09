//! What happens later: a bucket a millisecond, first in, first out within it, so that the order of
//! things due at once is the order they were planned in.

use std::collections::{BTreeMap, VecDeque};

pub(super) struct Timeline<E> {
    buckets: BTreeMap<u64, VecDeque<E>>,
}

impl<E> Default for Timeline<E> {
    fn default() -> Self {
        Self { buckets: BTreeMap::new() }
    }
}

impl<E> Timeline<E> {
    pub(super) fn at(&mut self, ms: u64, event: E) {
        self.buckets.entry(ms).or_default().push_back(event);
    }

    /// When the next event is due.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.buckets.first_key_value().map(|(ms, _)| *ms)
    }

    /// The next event due at `now_ms`. Events planned meanwhile for `now_ms` come too.
    pub(super) fn pop(&mut self, now_ms: u64) -> Option<E> {
        loop {
            let mut first = self.buckets.first_entry().filter(|entry| *entry.key() <= now_ms)?;
            match first.get_mut().pop_front() {
                Some(event) => return Some(event),
                None => drop(first.remove()),
            }
        }
    }
}
