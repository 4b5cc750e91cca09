//! Carries the drivers' messages to the network and the network's items to the drivers.

use std::sync::Arc;

use contract::ShardId;
use store::Reader;
use tokio::sync::{mpsc, oneshot, watch};
use upstream::{Incoming, Outgoing, Upstream};

use super::{
    greeting::{Arrival, Greeting, Verdict},
    line::Line,
    logged::logged,
    renewal::Renewal,
};
use crate::shard::task::{Drivers, LinkInput};

/// Lists of items the link may hand over ahead of the drivers.
const INCOMING: usize = 16;

/// What a link carries, and for whom.
pub(crate) struct Link {
    pub outgoing: mpsc::Receiver<Outgoing>,
    /// The other end of `outgoing`, for the greeting.
    pub sender: mpsc::Sender<Outgoing>,
    /// Shards that come and go; what is told before the start is there from the start.
    pub changes: mpsc::UnboundedReceiver<Change>,
    pub renewal: Renewal,
    pub reader: Reader,
    pub line: watch::Sender<Line>,
}

/// A shard comes or goes.
pub(crate) enum Change {
    Claim {
        shard: ShardId,
        epoch: i64,
    },
    /// Done when nothing of the shard comes up any more.
    Leave {
        shard: ShardId,
        done: oneshot::Sender<()>,
    },
}

/// Tells the link of shards. What is told is bounded by the shards there are.
#[derive(Clone)]
pub(crate) struct Claims(mpsc::UnboundedSender<Change>);

impl Claims {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Change>) {
        let (changes, told) = mpsc::unbounded_channel();
        (Self(changes), told)
    }

    /// Speaks for a shard from now on.
    pub(crate) fn claim(&self, shard: ShardId, epoch: i64) {
        // The link ends with the process.
        let _ended = self.0.send(Change::Claim { shard, epoch });
    }

    /// Speaks for it no longer.
    pub(crate) async fn leave(&self, shard: ShardId) {
        let (done, left) = oneshot::channel();
        let _ended = self.0.send(Change::Leave { shard, done });
        let _ended = left.await;
    }
}

/// The way from the network to the drivers.
struct Dispatch {
    drivers: Drivers,
    /// By driver.
    items: Vec<Vec<Arrival>>,
    greeting: Greeting,
    sender: mpsc::Sender<Outgoing>,
    shards: Vec<(ShardId, i64)>,
    renewal: Renewal,
    reader: Reader,
    line: watch::Sender<Line>,
}

/// Runs until the process ends.
pub(crate) async fn run<U: Upstream>(upstream: Arc<U>, link: Link, drivers: Drivers) {
    let Link { outgoing, sender, mut changes, renewal, reader, line } = link;
    // Those that are here from the start are greeted and judged together.
    let mut shards = Vec::new();
    while let Ok(change) = changes.try_recv() {
        if let Change::Claim { shard, epoch } = change {
            shards.push((shard, epoch));
        }
    }
    let (incoming_tx, mut incoming) = mpsc::channel::<Vec<Incoming>>(INCOMING);
    let carry = upstream.link(outgoing, incoming_tx);
    let items = (0..drivers.count()).map(|_| Vec::new()).collect();
    let greeting = Greeting::default();
    let mut dispatch = Dispatch { drivers, items, greeting, sender, shards, renewal, reader, line };
    let dispatch = async {
        loop {
            tokio::select! {
                list = incoming.recv() => {
                    let Some(list) = list else { return };
                    for item in list {
                        dispatch.take(item).await;
                    }
                }
                Some(change) = changes.recv() => dispatch.change(change).await,
            }
            dispatch.flush().await;
        }
    };
    tokio::join!(carry, dispatch);
}

impl Dispatch {
    async fn take(&mut self, item: Incoming) {
        match item {
            Incoming::Item { shard, seq, item } => self.item((shard, seq, item)).await,
            Incoming::Busy(delay) => self.tell_all(|| LinkInput::Busy(delay)).await,
            Incoming::Connected => {
                self.line.send_if_modified(|line| line.set(true));
                tracing::info!("connected to the network");
                self.greet().await;
            }
            Incoming::Disconnected(reason) => {
                self.tell_all(|| LinkInput::Reset).await;
                if self.line.send_if_modified(|line| line.set(false)) {
                    tracing::warn!(reason, "the connection to the network is gone");
                }
            }
        }
    }

    async fn change(&mut self, change: Change) {
        match change {
            Change::Claim { shard, epoch } => {
                self.shards.retain(|(known, _)| *known != shard);
                self.shards.push((shard, epoch));
                if self.line.borrow().connected {
                    self.greeting.add(shard, epoch);
                    self.hello(vec![(shard, epoch)]).await;
                }
            }
            Change::Leave { shard, done } => {
                self.shards.retain(|(known, _)| *known != shard);
                let lanes = &self.renewal.lanes;
                let verdict = self.greeting.remove(shard, |shard| lanes.committed_seq(shard));
                self.judged(verdict).await;
                let _gone = done.send(());
            }
        }
    }

    async fn item(&mut self, arrival: Arrival) {
        let lanes = &self.renewal.lanes;
        let verdict = self.greeting.take(arrival, |shard| lanes.committed_seq(shard));
        self.judged(verdict).await;
    }

    async fn judged(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Wait => {}
            Verdict::Pass(arrivals) => {
                for (shard, logged) in logged(&self.reader, &self.renewal.lanes, &arrivals).await {
                    let driver = self.drivers.index(shard);
                    self.drivers.link(driver, LinkInput::Logged(shard, logged)).await;
                }
                for arrival in arrivals {
                    if let Some(items) = self.items.get_mut(self.drivers.index(arrival.0)) {
                        items.push(arrival);
                    }
                }
            }
            Verdict::Behind(behind) => {
                self.tell_all(|| LinkInput::Reset).await;
                self.shards = self.renewal.renew(&self.drivers, &self.shards, &behind).await;
                self.greet().await;
            }
        }
    }

    /// Says Hello; nothing is attached until it is answered.
    async fn greet(&mut self) {
        self.tell_all(|| LinkInput::Reset).await;
        self.greeting = Greeting::of(&self.shards);
        self.hello(self.shards.clone()).await;
    }

    async fn hello(&self, shards: Vec<(ShardId, i64)>) {
        let generation = self.renewal.generations.current().unsigned_abs();
        let hello = Outgoing::Hello { generation, shards };
        // Closed only when the process ends.
        let _ended = self.sender.send(hello).await;
    }

    async fn tell_all(&mut self, input: impl Fn() -> LinkInput) {
        self.flush().await;
        for driver in 0..self.drivers.count() {
            self.drivers.link(driver, input()).await;
        }
    }

    async fn flush(&mut self) {
        for (driver, items) in self.items.iter_mut().enumerate() {
            if !items.is_empty() {
                self.drivers.link(driver, LinkInput::Items(std::mem::take(items))).await;
            }
        }
    }
}
