//! What waits for a lane, and who owns the lane's shards. The lock is held for moves only, never
//! across I/O.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use contract::ShardId;
use tokio::sync::{Notify, mpsc, watch};

use crate::{
    batch::{BATCH_BYTES, Epochs, Item, Owned},
    lanes::answer::Answers,
    write::{Answer, Class, Write, WriteError},
};

/// While hot writes wait, the others get 1/4 of a batch: enough not to starve.
pub(crate) const BULK_SHARE: usize = 4;

pub(crate) struct Inbox {
    state: Mutex<State>,
    wake: Notify,
    /// Batches that were begun, and whose fate is known.
    begun: AtomicU64,
    done: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    hot: VecDeque<Item>,
    cursor: VecDeque<Item>,
    bulk: VecDeque<Item>,
    /// At most one entry a shard, kept when it is disowned.
    shards: HashMap<ShardId, Slot>,
    /// Batches taken; spreads the share of the others when a batch is too small to be divided.
    turn: usize,
    closed: bool,
    fenced: bool,
    /// The database is not reached.
    away: bool,
}

struct Slot {
    /// `None`: not owned.
    epochs: Option<Epochs>,
    next_seq: i64,
    answers: mpsc::UnboundedSender<Vec<Answer>>,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            wake: Notify::new(),
            begun: AtomicU64::new(0),
            done: watch::Sender::new(0),
        }
    }
}

impl Inbox {
    /// A batch is being built: what is disowned from now on may be in it or not.
    pub(crate) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
    }

    /// The fate of every batch so far is known, and told.
    pub(crate) fn finished(&self) {
        self.done.send_replace(self.begun.load(Ordering::SeqCst));
    }

    /// No batch will follow.
    pub(crate) fn ended(&self) {
        self.done.send_replace(u64::MAX);
    }

    /// Waits for the batch that is under way.
    pub(crate) async fn settled(&self) {
        let begun = self.begun.load(Ordering::SeqCst);
        // The sender lives as long as the inbox.
        let mut done = self.done.subscribe();
        let _done = done.wait_for(|done| *done >= begun).await;
    }

    pub(crate) fn own(
        &self,
        shard: ShardId,
        epoch: i64,
        next_seq: i64,
        answers: mpsc::UnboundedSender<Vec<Answer>>,
    ) {
        let mut state = self.lock();
        // What this lane has committed itself may be newer than what the caller has read.
        let known = state.shards.get(&shard).map_or(0, |slot| slot.next_seq);
        let next_seq = next_seq.max(known);
        let epochs = Some(Epochs { first: epoch, last: epoch });
        state.shards.insert(shard, Slot { epochs, next_seq, answers });
    }

    pub(crate) fn disown(&self, shard: ShardId) {
        if let Some(slot) = self.lock().shards.get_mut(&shard) {
            slot.epochs = None;
        }
    }

    pub(crate) fn renew(&self, shard: ShardId, epoch: i64, next_seq: i64) {
        if let Some(slot) = self.lock().shards.get_mut(&shard) {
            slot.next_seq = slot.next_seq.max(next_seq);
            if let Some(epochs) = &mut slot.epochs {
                epochs.last = epochs.last.max(epoch);
            }
        }
    }

    pub(crate) fn committed_seq(&self, shard: ShardId) -> i64 {
        self.lock().shards.get(&shard).map_or(0, |slot| slot.next_seq - 1)
    }

    pub(crate) fn submit(&self, writes: impl IntoIterator<Item = Write>) {
        let mut refused = Answers::default();
        {
            let mut state = self.lock();
            for write in writes {
                let slot = state.shards.get(&write.shard);
                let owned = slot
                    .is_some_and(|slot| slot.epochs.is_some_and(|epochs| epochs.hold(write.epoch)));
                let class = write.class;
                let item = Item::new(write, slot.map(|slot| slot.answers.clone()));
                if state.fenced {
                    refused.refuse(item, WriteError::Fenced);
                } else if state.closed || !owned {
                    refused.refuse(item, WriteError::NotOwned);
                } else if state.away && item.intake {
                    refused.refuse(item, WriteError::Away);
                } else {
                    match class {
                        Class::Intake | Class::Hot => state.hot.push_back(item),
                        Class::Cursor => state.cursor.push_back(item),
                        Class::Bulk => state.bulk.push_back(item),
                    }
                }
            }
        }
        self.wake.notify_one();
        refused.send();
    }

    pub(crate) fn hot_waiting(&self) -> usize {
        self.lock().hot.len()
    }

    pub(crate) fn bulk_waiting(&self) -> usize {
        self.lock().bulk.len()
    }

    /// The database is not reached: refuses intake until it is, what waits of it included. What was in
    /// a batch is not here.
    pub(crate) fn leave(&self) {
        let mut refused = Answers::default();
        {
            let mut state = self.lock();
            state.away = true;
            let waiting = std::mem::take(&mut state.hot);
            let (intake, hot): (VecDeque<_>, _) = waiting.into_iter().partition(|item| item.intake);
            state.hot = hot;
            for item in intake {
                refused.refuse(item, WriteError::Away);
            }
        }
        refused.send();
    }

    /// The database is reached again.
    pub(crate) fn back(&self) {
        self.lock().away = false;
    }

    pub(crate) fn is_away(&self) -> bool {
        self.lock().away
    }

    /// How each shard is owned now.
    pub(crate) fn owned(&self) -> HashMap<ShardId, Owned> {
        let state = self.lock();
        let owned = state.shards.iter().filter_map(|(shard, slot)| {
            slot.epochs.map(|epochs| (*shard, Owned { epochs, next_seq: slot.next_seq }))
        });
        owned.collect()
    }

    /// The numbers up to these are committed.
    pub(crate) fn advance(&self, next_seqs: &HashMap<ShardId, i64>) {
        let mut state = self.lock();
        for (shard, next_seq) in next_seqs {
            if let Some(slot) = state.shards.get_mut(shard) {
                slot.next_seq = slot.next_seq.max(*next_seq);
            }
        }
    }

    /// What the next batch is to hold; waits for something. `None`: closed and empty, or fenced.
    pub(crate) async fn next(&self, batch_max: usize) -> Option<Vec<Item>> {
        loop {
            {
                let mut state = self.lock();
                if state.fenced {
                    return None;
                }
                let items = state.take(batch_max);
                if !items.is_empty() {
                    return Some(items);
                }
                if state.closed {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    pub(crate) fn is_fenced(&self) -> bool {
        self.lock().fenced
    }

    /// Refuses everything from now on and gives what waits.
    pub(crate) fn fence(&self) -> Vec<Item> {
        let mut state = self.lock();
        state.fenced = true;
        let State { hot, cursor, bulk, .. } = &mut *state;
        let items = hot.drain(..).chain(cursor.drain(..)).chain(bulk.drain(..)).collect();
        self.wake.notify_one();
        items
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Hot first, then cursors, then bulk.
    fn take(&mut self, batch_max: usize) -> Vec<Item> {
        self.turn = self.turn.wrapping_add(1);
        let others = self.cursor.len() + self.bulk.len();
        let hot_waits = !self.hot.is_empty();
        let share = match batch_max / BULK_SHARE {
            0 => usize::from(self.turn.is_multiple_of(BULK_SHARE)),
            share => share,
        };
        let reserved = if hot_waits { share.min(others) } else { 0 };
        let mut items = Vec::new();
        let mut bytes = 0;
        let reserved_bytes = if reserved > 0 { BATCH_BYTES / BULK_SHARE } else { 0 };
        let hot_max = batch_max - reserved;
        move_up_to(&mut self.hot, &mut items, hot_max, &mut bytes, BATCH_BYTES - reserved_bytes);
        move_up_to(&mut self.cursor, &mut items, batch_max, &mut bytes, BATCH_BYTES);
        let bulk_max = if hot_waits { (items.len() + share).min(batch_max) } else { batch_max };
        move_up_to(&mut self.bulk, &mut items, bulk_max, &mut bytes, BATCH_BYTES);
        items
    }
}

/// Moves items until there are `len` or `most` bytes; the first item of a batch always fits.
fn move_up_to(
    from: &mut VecDeque<Item>,
    to: &mut Vec<Item>,
    len: usize,
    bytes: &mut usize,
    most: usize,
) {
    while to.len() < len
        && from.front().is_some_and(|item| to.is_empty() || *bytes + item.bytes <= most)
        && let Some(item) = from.pop_front()
    {
        *bytes += item.bytes;
        to.push(item);
    }
}
