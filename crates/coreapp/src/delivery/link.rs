//! Carries the drivers' messages to the network and the network's items to the drivers.

use std::sync::Arc;

use contract::ShardId;
use tokio::sync::{mpsc, watch};
use upstream::{Incoming, Outgoing, Upstream};

use super::{
    greeting::{Arrival, Greeting, Verdict},
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
    pub shards: Vec<(ShardId, i64)>,
    pub renewal: Renewal,
    pub connected: watch::Sender<bool>,
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
    connected: watch::Sender<bool>,
}

/// Runs until the process ends.
pub(crate) async fn run<U: Upstream>(upstream: Arc<U>, link: Link, drivers: Drivers) {
    let Link { outgoing, sender, shards, renewal, connected } = link;
    let (incoming_tx, mut incoming) = mpsc::channel::<Vec<Incoming>>(INCOMING);
    let carry = upstream.link(outgoing, incoming_tx);
    let items = (0..drivers.count()).map(|_| Vec::new()).collect();
    let greeting = Greeting::default();
    let mut dispatch = Dispatch { drivers, items, greeting, sender, shards, renewal, connected };
    let dispatch = async {
        while let Some(list) = incoming.recv().await {
            for item in list {
                dispatch.take(item).await;
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
                self.connected.send_replace(true);
                tracing::info!("connected to the network");
                self.greet().await;
            }
            Incoming::Disconnected(reason) => {
                self.tell_all(|| LinkInput::Reset).await;
                if self.connected.send_replace(false) {
                    tracing::warn!(reason, "the connection to the network is gone");
                }
            }
        }
    }

    async fn item(&mut self, arrival: Arrival) {
        let lanes = &self.renewal.lanes;
        match self.greeting.take(arrival, |shard| lanes.committed_seq(shard)) {
            Verdict::Wait => {}
            Verdict::Pass(arrivals) => {
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
        let generation = self.renewal.generations.current().unsigned_abs();
        let hello = Outgoing::Hello { generation, shards: self.shards.clone() };
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
