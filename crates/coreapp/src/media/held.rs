//! Events that wait for their files: fetched as soon as the event is committed, then released together with
//! the rows of the files, in one write.
//!
//! Nothing of this is a row of its own: what is held can be seen from the log. Whoever takes a shard over looks
//! for what its last owner left, and begins anew. An event that nobody releases goes out at its time
//! ([`HELD_MS`]) as it was inserted: with an error, its files not fetched.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use contract::{
    Clock, ShardId, callback,
    media::{files_of, unfetched},
};
use store::{
    AT_MAX, Lanes, MARKS_MAX, Reader, StoreError, Stretch,
    rows::{Event, MediaState, Release},
    write::{Class, Op},
};
use tokio::sync::{Semaphore, mpsc};
use upstream::Upstream;

use super::fetch::Fetch;
use crate::{
    callbacks::{Callbacks, Feed, HELD_MS},
    cluster::MapRx,
};

/// Files fetched at once; with a window and two pieces each at most 24 MiB. Further events wait.
const DOWNLOADS: usize = 16;
/// Events that wait for a download; further ones go out at their time, without their files.
const QUEUE: usize = 4_096;
/// An event is released this long before its time at the latest: so long has the write.
const WRITE_MS: i64 = 2_000;
/// The latest events of a shard among which a new owner looks for held ones: 30 s of them at 136/s.
const LOOK_BACK: i64 = MARKS_MAX as i64;

/// Tells of what is committed: everything to the dispatcher, what is held to [`Held`] as well.
pub(crate) struct Watched {
    feed: Arc<Feed>,
    held: mpsc::Sender<Event>,
}

/// What the module lives on.
pub(crate) struct Held<U> {
    pub fetch: Arc<Fetch<U>>,
    pub reader: Reader,
    pub lanes: Lanes,
    pub map: MapRx,
    pub clock: Arc<dyn Clock>,
    pub callbacks: Arc<Callbacks>,
}

impl Watched {
    /// The other end is for [`Held::run`].
    pub(crate) fn new(feed: Arc<Feed>) -> (Self, mpsc::Receiver<Event>) {
        let (held, waiting) = mpsc::channel(QUEUE);
        (Self { feed, held }, waiting)
    }
}

impl store::Feed for Watched {
    fn committed(&self, events: &[Event]) {
        self.feed.committed(events);
        for event in events.iter().filter(|event| event.event.held) {
            if self.held.try_send(event.clone()).is_err() {
                tracing::warn!("{QUEUE} messages wait for their files already; one goes without");
            }
        }
    }
}

impl<U: Upstream> Held<U> {
    /// Releases what is held in the shards of this coreapp.
    pub(crate) async fn run(self: Arc<Self>, mut waiting: mpsc::Receiver<Event>) {
        let places = Arc::new(Semaphore::new(DOWNLOADS));
        let mut map = self.map.clone();
        let (mut known, mut left) = (BTreeMap::new(), VecDeque::new());
        loop {
            let mine = map.borrow_and_update().mine.clone();
            let is_new = |shard: &ShardId| known.get(shard) != mine.get(shard);
            let new: Vec<_> = mine.keys().copied().filter(is_new).collect();
            match self.left_over(&new).await {
                Ok(events) => left.extend(events),
                Err(error) => tracing::warn!(
                    %error, "messages that waited for files go without them: the log was not read"
                ),
            }
            known = mine;
            // First the place, so that what waits waits in the queue.
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let event = match left.pop_front() {
                Some(event) => event,
                None => tokio::select! {
                    event = waiting.recv() => match event {
                        Some(event) => event,
                        None => return,
                    },
                    changed = map.changed() => match changed {
                        Ok(()) => continue,
                        Err(_) => return,
                    },
                },
            };
            let held = self.clone();
            tokio::spawn(async move {
                held.settle(event).await;
                drop(place);
            });
        }
    }

    /// What is held in shards that were another's, or ours before a restart.
    async fn left_over(&self, shards: &[ShardId]) -> Result<Vec<Event>, StoreError> {
        if shards.is_empty() {
            return Ok(Vec::new());
        }
        let now_ms = self.clock.unix_ms();
        let mut at = Vec::new();
        for reach in self.reader.reaches().await? {
            let after = reach.floor.max(reach.head - LOOK_BACK);
            if after >= reach.head || !shards.contains(&reach.shard) {
                continue;
            }
            let stretch = Stretch { shard: reach.shard, after, to: reach.head };
            let marks = self.reader.marks(&[stretch], u32::MAX).await?;
            let held = marks.iter().filter(|mark| mark.held && now_ms - mark.created_ms < HELD_MS);
            at.extend(held.map(|mark| (mark.shard, mark.seq)));
        }
        let mut events = Vec::new();
        for page in at.chunks(AT_MAX) {
            events.extend(self.reader.events_at(page).await?);
        }
        Ok(events)
    }

    async fn settle(&self, Event { shard, seq, event }: Event) {
        let left_ms = event.created_ms + HELD_MS - WRITE_MS - self.clock.unix_ms();
        let Ok(patience @ 1..) = u64::try_from(left_ms) else { return };
        let ends = tokio::time::Instant::now() + Duration::from_millis(patience);
        let (mut ops, mut error) = (Vec::new(), None);
        for id in files_of(&event.body) {
            let fetched = match self.fetch.shelf.find(id).await {
                Ok(file) if file.media.state == MediaState::Stored => continue,
                Ok(file) => {
                    let patience = ends.saturating_duration_since(tokio::time::Instant::now());
                    self.fetch.within(patience, &file.media).await
                }
                Err(error) => Err(unfetched(error.to_string())),
            };
            match fetched {
                Ok(row) => ops.push(Op::PutMedia(row)),
                Err(why) => error = Some(why),
            }
        }
        let Some(body) = callback::with_error(&event.body, error.as_ref()) else {
            tracing::error!(shard = shard.get(), seq, "a held event is no message");
            return;
        };
        let created_ms = event.created_ms;
        ops.push(Op::ReleaseEvent(Release { seq, created_ms, body: Bytes::from(body) }));
        // Another one's by now: that one looks for it.
        let Some(epoch) = self.map.borrow().mine.get(&shard).copied() else { return };
        match self.lanes.commit(shard, epoch, Class::Hot, ops).await {
            Ok(_) => self.callbacks.released(shard, seq),
            Err(error) => tracing::warn!(
                shard = shard.get(), seq, %error, "a message goes without its files at its time"
            ),
        }
    }
}
