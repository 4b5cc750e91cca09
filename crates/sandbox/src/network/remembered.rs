//! What the network holds only so that it can be written to the journal: messages on their way to
//! virtual phones, letters not sealed yet, the phones' sessions. Empty without a journal.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use contract::Key;
use rpc::upstream as wire;

use super::{dedup::Name, send::LaneId, writing::Letter};
use crate::sessions::{Advanced, Between, worker::SESSIONS_MAX};

#[derive(Default)]
pub(super) struct Remembered {
    /// Messages on their way, and when they were taken; bounded as those are.
    pub(super) undelivered: HashMap<Name, (i64, wire::Send)>,
    /// Letters that are not posted, in the order written; bounded by the desk.
    pub(super) letters: BTreeMap<u64, (LaneId, Letter)>,
    last_letter: u64,
    sessions: HashMap<Between, (u32, Bytes)>,
    /// Oldest first.
    order: VecDeque<Between>,
}

impl Remembered {
    pub(super) fn written(&mut self, lane: LaneId, letter: Letter) {
        self.last_letter += 1;
        self.letters.insert(self.last_letter, (lane, letter));
    }

    /// True when it was there.
    pub(super) fn posted(&mut self, lane: LaneId, key: Key) -> bool {
        let mut letters = self.letters.iter();
        let found = letters.find(|(_, (of, letter))| *of == lane && letter.key == key);
        let n = found.map(|(n, _)| *n);
        n.and_then(|n| self.letters.remove(&n)).is_some()
    }

    /// The oldest session is forgotten at the bound of a thread, which then forgets it, too.
    pub(super) fn advanced(&mut self, advanced: Advanced) {
        let Advanced { between, identity, record } = advanced;
        if self.sessions.insert(between, (identity, record)).is_none() {
            self.order.push_back(between);
        }
        if self.sessions.len() > SESSIONS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.sessions.remove(&oldest);
        }
    }

    /// Oldest first.
    pub(super) fn sessions(&self) -> impl Iterator<Item = Advanced> {
        self.order.iter().filter_map(|between| {
            let (identity, record) = self.sessions.get(between)?;
            Some(Advanced { between: *between, identity: *identity, record: record.clone() })
        })
    }
}
