//! From the commit to the dispatcher: how far each shard's log reaches, and the events themselves
//! while they are still in memory.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use contract::{ShardId, callback::EventKind};
use store::rows::Event;
use tokio::sync::{Notify, watch};

/// Bytes of events that wait to be picked up. Beyond, only [`Feed::committed_to`] moves and the
/// dispatcher reads the rest from the database.
pub(super) const FEED_BYTES: usize = 4 << 20;
/// What an event costs beside its body, bytes.
pub(super) const EVENT_COST: usize = 208;
const PLACES: usize = 65;

/// Told of every commit by the lanes; read by the dispatcher, and watched by those who wait for events.
pub struct Feed {
    committed: [AtomicI64; PLACES],
    /// Customers' messages among what was committed.
    inbound: AtomicU64,
    waiting: Mutex<Waiting>,
    arrived: Notify,
    watchers: watch::Sender<()>,
}

#[derive(Default)]
struct Waiting {
    events: Vec<Event>,
    bytes: usize,
    /// Bit per shard whose log has moved on, in case its events found no place.
    moved: u128,
}

/// What has happened since the last look.
#[derive(Default)]
pub(super) struct Arrived {
    /// In order within each shard; some may be missing.
    pub(super) events: Vec<Event>,
    moved: u128,
}

// === impl Feed ===

impl Feed {
    /// A feed that nobody has told anything yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            committed: [const { AtomicI64::new(0) }; PLACES],
            inbound: AtomicU64::new(0),
            waiting: Mutex::default(),
            arrived: Notify::new(),
            watchers: watch::Sender::new(()),
        }
    }

    /// Highest sequence number of the shard that was committed by this process; 0 before the first.
    pub(super) fn committed_to(&self, shard: ShardId) -> i64 {
        self.committed.get(shard.index()).map_or(0, |place| place.load(Ordering::Acquire))
    }

    /// Customers' messages committed since the last time this was asked.
    pub(crate) fn take_inbound(&self) -> u64 {
        self.inbound.swap(0, Ordering::Relaxed)
    }

    /// Changes with every commit of events.
    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.watchers.subscribe()
    }

    /// Waits until there is something to [`Self::take`].
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Empties the feed into `into`, whose allocation is used again.
    pub(super) fn take(&self, into: &mut Arrived) {
        into.events.clear();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut waiting.events, &mut into.events);
        into.moved = std::mem::take(&mut waiting.moved);
        waiting.bytes = 0;
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self::new()
    }
}

impl store::Feed for Feed {
    fn committed(&self, events: &[Event]) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            let place = event.shard.index();
            if let Some(committed) = self.committed.get(place) {
                committed.fetch_max(event.seq, Ordering::AcqRel);
            }
            if event.event.kind == EventKind::Inbound.get() {
                self.inbound.fetch_add(1, Ordering::Relaxed);
            }
            waiting.moved |= 1 << place;
            let bytes = event.event.body.len() + EVENT_COST;
            if waiting.bytes + bytes <= FEED_BYTES {
                waiting.bytes += bytes;
                waiting.events.push(event.clone());
            }
        }
        drop(waiting);
        self.arrived.notify_one();
        if self.watchers.receiver_count() > 0 {
            self.watchers.send_replace(());
        }
    }
}

// === impl Arrived ===

impl Arrived {
    /// Shards whose log has moved on.
    pub(super) fn moved(&self) -> impl Iterator<Item = ShardId> + use<> {
        let moved = self.moved;
        ShardId::all().filter(move |shard| moved >> shard.index() & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use contract::Route;
    use store::{Feed as _, rows::NewEvent};

    use super::*;

    fn event(seq: i64, body: usize) -> Event {
        let event = NewEvent {
            kind: 0,
            route: Route::from_i64(1),
            key: None,
            held: false,
            created_ms: 0,
            body: Bytes::from(vec![b' '; body]),
            trace: None,
        };
        Event { shard: ShardId::CONTROL, seq, event }
    }

    #[tokio::test]
    async fn beyond_the_budget_only_the_number_moves() {
        let feed = Feed::new();
        feed.committed(&[event(1, 10), event(2, FEED_BYTES), event(3, 10)]);
        feed.arrived().await;
        let mut arrived = Arrived::default();
        feed.take(&mut arrived);
        assert_eq!(arrived.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(arrived.moved().collect::<Vec<_>>(), [ShardId::CONTROL]);
        assert_eq!(feed.committed_to(ShardId::CONTROL), 3);

        feed.committed(&[event(4, FEED_BYTES / 2)]);
        feed.take(&mut arrived);
        assert_eq!(arrived.events.len(), 1, "what was taken makes room");
    }
}
