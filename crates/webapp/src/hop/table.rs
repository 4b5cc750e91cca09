//! Which pipe a shard's messages take. Follows the shard map: a new owner's pipe is opened before
//! the old one is given up.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use contract::ShardId;
use rpc::identity::Identity;
use tokio::sync::{Semaphore, watch};

use super::{live::MAX_PENDING, pipe::Pipe};
use crate::metrics::Web;

/// Messages on their way over all pipes, those included that wait for a pipe to open; one more is
/// refused with 1016.
const MAX_IN_FLIGHT: usize = 4 * MAX_PENDING;
/// Requests with many messages that are sent at once; further ones wait for their turn. Together
/// with what each has on the way they leave half of a pipe to single messages.
const MAX_BATCHES: usize = 2;
/// Coreapps talked to at once; shards of further ones have no pipe until others leave.
const MAX_PIPES: usize = 256;

type Table = Arc<[Option<Arc<Pipe>>]>;

/// Sends messages to the coreapps that own them.
pub(crate) struct Hop {
    table: watch::Sender<Table>,
    pipes: Mutex<HashMap<Arc<str>, Arc<Pipe>>>,
    identity: Option<Arc<Identity>>,
    pub(super) in_flight: Semaphore,
    /// Of requests that carry many messages.
    pub(crate) batches: Semaphore,
    pub(super) metrics: Arc<Web>,
}

/// State of the hop, for readiness and metrics.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts {
    /// Open pipes.
    pub(crate) open: usize,
    /// Messages without an answer.
    pub(crate) unanswered: usize,
}

fn same(one: &Table, other: &Table) -> bool {
    let same = |(one, other): (&Option<Arc<Pipe>>, &Option<Arc<Pipe>>)| match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    };
    one.len() == other.len() && one.iter().zip(other.iter()).all(same)
}

impl Hop {
    pub(crate) fn new(metrics: Arc<Web>, identity: Option<Arc<Identity>>) -> Self {
        Self {
            table: watch::Sender::new(Arc::new([])),
            pipes: Mutex::new(HashMap::new()),
            identity,
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
            batches: Semaphore::new(MAX_BATCHES),
            metrics,
        }
    }

    /// Follows a shard map: address of the owner by shard.
    pub(crate) fn follow(&self, owners: &[Option<Arc<str>>]) {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        for address in owners.iter().flatten() {
            if !pipes.contains_key(address) && pipes.len() < MAX_PIPES {
                let pipe = Pipe::start(Arc::clone(address), self.identity.clone());
                pipes.insert(Arc::clone(address), pipe);
            }
        }
        let pipe = |address: &Option<Arc<str>>| pipes.get(address.as_ref()?).cloned();
        let table: Table = owners.iter().map(pipe).collect();
        // Whoever waits for a change is woken by one alone.
        self.table.send_if_modified(|before| {
            let changed = !same(before, &table);
            *before = table;
            changed
        });
        pipes.retain(|address, pipe| {
            let needed = owners.iter().flatten().any(|owner| owner == address);
            if !needed {
                pipe.retire();
            }
            needed
        });
    }

    /// Gives all pipes up.
    pub(crate) fn close(&self) {
        self.follow(&[]);
    }

    pub(crate) fn parts(&self) -> Parts {
        let pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        pipes.values().fold(Parts::default(), |parts, pipe| Parts {
            open: parts.open + usize::from(pipe.is_live()),
            unanswered: parts.unanswered + pipe.unanswered(),
        })
    }

    /// The pipe of a shard's owner; `None` when nobody owns it.
    pub(super) fn pipe(&self, shard: ShardId) -> Option<Arc<Pipe>> {
        // Entry 0 of the map is shard 0; the control shard takes no messages.
        let place = usize::try_from(shard.get()).ok()?;
        self.table.borrow().get(place)?.clone()
    }

    /// An open pipe to a coreapp that does not own the shard, and is not this one.
    pub(super) fn another(&self, shard: ShardId, not: Option<&Arc<Pipe>>) -> Option<Arc<Pipe>> {
        let owner = self.pipe(shard)?;
        let pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        let is = |pipe: &Arc<Pipe>, one: &Arc<Pipe>| Arc::ptr_eq(pipe, one);
        let others = pipes
            .values()
            .filter(|pipe| !is(pipe, &owner) && !not.is_some_and(|not| is(pipe, not)));
        others.filter(|pipe| pipe.is_live()).min_by_key(|pipe| pipe.unanswered()).cloned()
    }

    /// Changes of the table.
    pub(super) fn changes(&self) -> watch::Receiver<Table> {
        self.table.subscribe()
    }
}
