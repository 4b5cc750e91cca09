//! Who owns what, as this process knows it: read by whoever has to find an owner.

use std::{collections::BTreeMap, sync::Arc};

use contract::ShardId;
use rpc::coreapp::ShardMap;
use store::rows::{Node, NodeState, Shard};
use tokio::sync::watch;

const PLACES: usize = 65;

/// One version of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Map {
    /// Sum of the epochs: the same on every node that has read the same rows.
    pub version: u64,
    /// host:port of the owners' messages listeners, by [`ShardId::index`].
    owners: [Option<Arc<str>>; PLACES],
    /// The other nodes that live.
    pub others: Vec<Arc<str>>,
    /// What this process works with, and under which epochs.
    pub mine: BTreeMap<ShardId, i64>,
}

impl Default for Map {
    fn default() -> Self {
        Self {
            version: 0,
            owners: [const { None }; PLACES],
            others: Vec::new(),
            mine: BTreeMap::new(),
        }
    }
}

impl Map {
    /// From rows; `mine` stays.
    pub(super) fn read<'a>(
        &self,
        me: i64,
        nodes: &[Node],
        rows: impl Iterator<Item = &'a Shard>,
    ) -> Self {
        let live = || nodes.iter().filter(|node| node.state != NodeState::Dead);
        let addresses: BTreeMap<i64, Arc<str>> =
            live().map(|node| (node.inc, Arc::from(&*node.addr))).collect();
        let mut map = Self { mine: self.mine.clone(), ..Self::default() };
        for row in rows {
            map.version += row.epoch.unsigned_abs();
            if let Some(owner) = map.owners.get_mut(row.id.index()) {
                *owner = addresses.get(&row.owner_inc).cloned();
            }
        }
        let others = live().filter(|node| node.inc != me);
        map.others = others.filter_map(|node| addresses.get(&node.inc).cloned()).collect();
        map
    }

    /// This process works with every shard.
    pub(crate) fn owns_all(&self) -> bool {
        self.mine.len() == PLACES
    }

    /// This process works with the shard.
    pub(crate) fn owns(&self, shard: ShardId) -> bool {
        self.mine.contains_key(&shard)
    }

    /// Address of a shard's owner.
    pub(crate) fn owner(&self, shard: ShardId) -> Option<&Arc<str>> {
        self.owners.get(shard.index())?.as_ref()
    }

    /// As webapps get it.
    pub(crate) fn shown(&self) -> ShardMap {
        let address = |shard| self.owner(shard).map(ToString::to_string).unwrap_or_default();
        let messages = ShardId::all().filter(|shard| *shard != ShardId::CONTROL);
        ShardMap {
            owners: messages.map(address).collect(),
            control: address(ShardId::CONTROL),
            version: self.version,
        }
    }
}

/// The latest version, for all who follow it.
pub(crate) type MapRx = watch::Receiver<Arc<Map>>;
