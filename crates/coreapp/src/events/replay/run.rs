//! Sends the events of one replay after another, at its rate.
//!
//! An event that is refused is tried a few times and then passed over: it stays in the log, or a dead
//! letter. One that gets no answer at all is tried until there is one: a webhook that is down is
//! waited for.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use contract::{
    ShardId,
    events::{DeadQuery, State},
};
use store::rows::DeadState;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    Replays,
    book::{Entry, Fate, Source},
};
use crate::callbacks::{Again, Repeat, Sent};

/// Events of a page.
const PAGE: usize = 64;
/// Refusals of an event; then it counts as failed.
const TRIES: u32 = 5;
/// How much of a replay a crash repeats at most.
const SAVE_EVERY: Duration = Duration::from_secs(2);
/// How long the dispatcher may take to save what the webhook has just taken.
const SETTLING: Duration = Duration::from_millis(500);
/// Wait after a page that could not be read, or that ends at an event whose media is on its way.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Runner {
    replays: Arc<Replays>,
    again: Again,
    saved: Instant,
    /// When the next event may be sent.
    slot: Instant,
    /// How far the webhook is with the shards of others, as their owners last said: it only goes on.
    settled: BTreeMap<ShardId, i64>,
}

/// A page has come to its end.
enum Page {
    More,
    Last,
    /// What was to be sent is no longer there.
    Gone,
    /// The replay was stopped.
    Stopped,
}

/// One event of a replay.
struct Item {
    shard: ShardId,
    seq: i64,
    kind: i16,
    body: Bytes,
}

// === impl Runner ===

impl Runner {
    pub(super) fn new(replays: Arc<Replays>, again: Again) -> Self {
        let (saved, slot) = (Instant::now(), Instant::now());
        Self { replays, again, saved, slot, settled: BTreeMap::new() }
    }

    pub(super) async fn run(mut self) {
        let mut changed = self.replays.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let next = self.replays.book().next();
            match next {
                Some(entry) => self.go(entry).await,
                // The sender is ours: it never ends before this.
                None => drop(changed.changed().await),
            }
        }
    }

    async fn go(&mut self, mut entry: Entry) {
        let id = entry.progress.id.clone();
        self.slot = Instant::now();
        let state = loop {
            let page = match &entry.source {
                Source::Log { .. } => self.log_page(&mut entry).await,
                Source::Dead { .. } => self.dead_page(&mut entry).await,
            };
            match page {
                Page::More => {}
                Page::Last => break State::Done,
                Page::Gone => break State::Failed,
                Page::Stopped => return,
            }
        };
        self.replays.book().end(&id, state);
        if let Ok(progress) = self.replays.get(&id) {
            let progress = String::from_utf8_lossy(&progress).into_owned();
            tracing::info!(replay = id, progress, "a replay of events has ended");
        }
        self.save().await;
    }

    async fn log_page(&mut self, entry: &mut Entry) -> Page {
        let Source::Log { at, until } = entry.source.clone() else { return Page::Gone };
        let (id, wanted) = (entry.progress.id.clone(), entry.wanted);
        let log = Arc::clone(&self.replays.deps.log);
        let page = log.read(Some(*at), Some(&until), PAGE, &|mark| wanted.marks(mark)).await;
        let page = match page {
            Ok(page) => page,
            Err(error) if error.status() == 410 => return Page::Gone,
            Err(error) => return self.later(&id, &error).await,
        };
        let last = page.events.is_empty() && !page.more && !page.held;
        if page.events.is_empty() && page.held {
            self.rest(&id, Instant::now() + PAUSE).await;
        }
        let (mut at, mut settling) = (page.from, true);
        for event in page.events {
            let (shard, seq) = (event.shard, event.seq);
            let mut pending = self.is_pending(&id, shard, seq).await;
            if settling && pending == Some(true) {
                sleep(SETTLING).await;
                settling = false;
                pending = self.is_pending(&id, shard, seq).await;
            }
            let fate = match pending {
                Some(true) => Some(Fate::Pending),
                Some(false) => {
                    let (kind, body) = (event.event.kind, event.event.body);
                    self.send(entry, Item { shard, seq, kind, body }).await
                }
                None => None,
            };
            let Some(fate) = fate else { return Page::Stopped };
            at.set(shard, seq);
            let source = Source::Log { at: Box::new(at), until: until.clone() };
            self.done(&id, fate, source).await;
        }
        entry.source = Source::Log { at: Box::new(page.to), until };
        self.replays.book().reached(&id, entry.source.clone());
        if !self.replays.book().is_running(&id) {
            return Page::Stopped;
        }
        if last { Page::Last } else { Page::More }
    }

    async fn dead_page(&mut self, entry: &mut Entry) -> Page {
        let Source::Dead { at } = entry.source else { return Page::Gone };
        let (id, wanted) = (entry.progress.id.clone(), entry.wanted);
        let query = DeadQuery { after: at, limit: u32::try_from(PAGE).unwrap_or(1) };
        let (rows, end) = match self.replays.deps.log.dead(query).await {
            Ok(page) => page,
            Err(error) => return self.later(&id, &error).await,
        };
        let last = rows.is_empty();
        for (shard, row) in rows {
            if row.state != DeadState::Dead || !wanted.takes_event(&row.event) {
                continue;
            }
            let (seq, kind, body) = (row.seq, row.event.kind, row.event.body);
            let Some(fate) = self.send(entry, Item { shard, seq, kind, body }).await else {
                return Page::Stopped;
            };
            if fate == Fate::Sent {
                self.bury(shard, seq).await;
            }
            let at = contract::events::DeadCursor { shard, seq };
            self.done(&id, fate, Source::Dead { at }).await;
        }
        entry.source = Source::Dead { at: end };
        self.replays.book().reached(&id, entry.source.clone());
        if !self.replays.book().is_running(&id) {
            return Page::Stopped;
        }
        if last { Page::Last } else { Page::More }
    }

    /// POSTs until something is certain; `None`: the replay was stopped.
    async fn send(&mut self, entry: &Entry, item: Item) -> Option<Fate> {
        let id = &entry.progress.id;
        let Item { shard, seq, kind, body } = item;
        let mut repeat = Repeat { shard, seq, kind, body, attempt: 1 };
        let mut refusals = 0;
        let slot = self.slot;
        self.rest(id, slot).await;
        self.slot = slot.max(Instant::now()) + Duration::from_secs(1) / entry.progress.rate.max(1);
        while self.replays.book().is_running(id) {
            match self.again.post(&repeat).await {
                Sent::Taken => return Some(Fate::Sent),
                Sent::Refused => return Some(Fate::Failed),
                Sent::Later { wait, refused } => {
                    refusals += u32::from(refused);
                    if refusals >= TRIES {
                        return Some(Fate::Failed);
                    }
                    repeat.attempt = repeat.attempt.saturating_add(1);
                    self.rest(id, Instant::now() + wait).await;
                }
            }
        }
        None
    }

    /// Whether the webhook is still to get it from the dispatcher of its shard. An owner that does not
    /// answer is waited for, or for the next; `None`: the replay was stopped meanwhile.
    async fn is_pending(&mut self, id: &str, shard: ShardId, seq: i64) -> Option<bool> {
        while self.replays.book().is_running(id) {
            if let Ok(settled) = self.replays.settled_here(shard) {
                return Some(seq > settled);
            }
            if self.settled.get(&shard).is_some_and(|settled| seq <= *settled) {
                return Some(false);
            }
            if let Ok(settled) = self.replays.deps.peers.settled(shard).await {
                self.settled.insert(shard, settled);
                return Some(seq > settled);
            }
            self.rest(id, Instant::now() + PAUSE).await;
        }
        None
    }

    /// The dead letter was taken after all.
    async fn bury(&self, shard: ShardId, seq: i64) {
        let buried = match self.replays.settled_here(shard) {
            Ok(_) => self.replays.bury_here(shard, seq).await.is_ok(),
            Err(_) => self.replays.deps.peers.bury(shard, seq).await.is_ok(),
        };
        if !buried {
            tracing::warn!(shard = shard.get(), "a dead letter was taken and is still listed");
        }
    }

    async fn done(&mut self, id: &str, fate: Fate, source: Source) {
        match fate {
            Fate::Sent => self.replays.deps.sent.inc(),
            Fate::Failed => self.replays.deps.failed.inc(),
            Fate::Pending => {}
        }
        {
            let mut book = self.replays.book();
            book.count(id, fate);
            book.reached(id, source);
        }
        if self.saved.elapsed() >= SAVE_EVERY {
            self.save().await;
        }
    }

    async fn save(&mut self) {
        self.saved = Instant::now();
        if let Err(error) = self.replays.save().await {
            tracing::warn!(%error, "the progress of a replay was not stored");
        }
    }

    async fn later(&self, id: &str, error: &contract::ApiError) -> Page {
        tracing::warn!(%error, "failed to read events for a replay");
        self.rest(id, Instant::now() + PAUSE).await;
        if self.replays.book().is_running(id) { Page::More } else { Page::Stopped }
    }

    /// Waits until then, or until the replay is stopped.
    async fn rest(&self, id: &str, until: Instant) {
        let mut changed = self.replays.changed.subscribe();
        while self.replays.book().is_running(id) {
            tokio::select! {
                () = sleep_until(until) => return,
                _ = changed.changed() => {}
            }
        }
    }
}
