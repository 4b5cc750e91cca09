//! Carries the drivers' messages to the network and the network's items to the drivers.

use std::sync::Arc;

use contract::ShardId;
use tokio::sync::{mpsc, watch};
use upstream::{Incoming, Outgoing, Upstream};

use crate::shard::task::{Drivers, LinkInput};

/// Lists of items the link may hand over ahead of the drivers.
const INCOMING: usize = 16;

/// What a link carries, and for whom.
pub(crate) struct Link {
    pub outgoing: mpsc::Receiver<Outgoing>,
    /// The other end of `outgoing`, for the greeting.
    pub sender: mpsc::Sender<Outgoing>,
    pub shards: Vec<(ShardId, i64)>,
    pub generation: u64,
    pub connected: watch::Sender<bool>,
}

/// Runs until the process ends.
pub(crate) async fn run<U: Upstream>(upstream: Arc<U>, link: Link, drivers: Drivers) {
    let Link { outgoing, sender, shards, generation, connected } = link;
    let (incoming_tx, mut incoming) = mpsc::channel::<Vec<Incoming>>(INCOMING);
    let carry = upstream.link(outgoing, incoming_tx);
    let dispatch = async {
        let mut items: Vec<Vec<_>> = (0..drivers.count()).map(|_| Vec::new()).collect();
        while let Some(list) = incoming.recv().await {
            for item in list {
                match item {
                    Incoming::Item { shard, seq, item } => {
                        if let Some(items) = items.get_mut(drivers.index(shard)) {
                            items.push((shard, seq, item));
                        }
                    }
                    other => {
                        flush(&drivers, &mut items).await;
                        for driver in 0..drivers.count() {
                            let input = match &other {
                                Incoming::Busy(delay) => LinkInput::Busy(*delay),
                                _ => LinkInput::Reset,
                            };
                            drivers.link(driver, input).await;
                        }
                        match other {
                            Incoming::Connected => {
                                connected.send_replace(true);
                                tracing::info!("connected to the network");
                                let hello = Outgoing::Hello { generation, shards: shards.clone() };
                                // Closed only when the process ends.
                                let _ended = sender.send(hello).await;
                            }
                            Incoming::Disconnected(reason) if connected.send_replace(false) => {
                                tracing::warn!(reason, "the connection to the network is gone");
                            }
                            _ => {}
                        }
                    }
                }
            }
            flush(&drivers, &mut items).await;
        }
    };
    tokio::join!(carry, dispatch);
}

async fn flush(drivers: &Drivers, items: &mut [Vec<(ShardId, u64, upstream::Item)>]) {
    for (driver, items) in items.iter_mut().enumerate() {
        if !items.is_empty() {
            drivers.link(driver, LinkInput::Items(std::mem::take(items))).await;
        }
    }
}
