//! What this coreapp's shards want to know of numbers: asked of whoever owns shard -1 at the moment.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use contract::Number;
use rpc::coreapp::{Looked, looked};
use telemetry::Traces;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep},
};
use upstream::{ContactResult, ContactStatus};

use super::{
    PENDING_MAX,
    sync::{Central, OPERATION, Word},
};
use crate::{cluster::Peers, shard::task::Drivers};

/// Questions under way; what comes meanwhile goes into the next.
const CALLS: usize = 16;
/// Numbers of one: what the network takes at once.
const PIECE: usize = 2_000;
/// An owner that cannot be reached, or is not the owner, is looked for again for so long: a
/// take-over and its load. Then the numbers have failed, and whoever waits for them asks again.
const PATIENCE: Duration = Duration::from_secs(12);
const AGAIN: Duration = Duration::from_millis(250);

/// What it works with.
#[derive(Clone)]
pub(crate) struct Asker {
    pub central: Arc<Central>,
    pub peers: Arc<Peers>,
    pub drivers: Drivers,
    /// Numbers under way, for others to see.
    pub waiting: Arc<AtomicUsize>,
    pub traces: Traces,
}

impl Asker {
    /// Runs until `asked` is closed.
    pub(crate) async fn run(self, mut asked: mpsc::UnboundedReceiver<Vec<Number>>) {
        let mut calls = JoinSet::new();
        let mut next: Vec<Number> = Vec::new();
        loop {
            tokio::select! {
                numbers = asked.recv() => match numbers {
                    Some(numbers) => self.take_in(&mut next, numbers).await,
                    None => return,
                },
                Some(_) = calls.join_next(), if !calls.is_empty() => {}
            }
            while let Ok(numbers) = asked.try_recv() {
                self.take_in(&mut next, numbers).await;
            }
            while calls.len() < CALLS && !next.is_empty() {
                let piece = next.drain(..next.len().min(PIECE)).collect();
                calls.spawn(self.clone().ask(piece));
            }
        }
    }

    /// What has no room is refused.
    async fn take_in(&self, next: &mut Vec<Number>, mut numbers: Vec<Number>) {
        let room = PENDING_MAX.saturating_sub(self.waiting.load(Ordering::Relaxed));
        let refused = numbers.split_off(numbers.len().min(room));
        self.waiting.fetch_add(numbers.len(), Ordering::Relaxed);
        next.extend(numbers);
        if !refused.is_empty() {
            tracing::warn!(numbers = refused.len(), "too many wait for a contact sync");
            self.drivers.contacts_refused(refused).await;
        }
    }

    async fn ask(self, numbers: Vec<Number>) {
        let until = Instant::now() + PATIENCE;
        let count = numbers.len();
        let words = loop {
            if let Some(words) = self.once(&numbers).await {
                break words;
            }
            if Instant::now() >= until {
                tracing::warn!(numbers = count, "nobody who asks the network was found in time");
                let failed = |number| ContactResult { number, status: ContactStatus::Failed };
                break numbers.into_iter().map(failed).map(Word::Result).collect();
            }
            sleep(AGAIN).await;
        };
        let (mut results, mut refused) = (Vec::new(), Vec::new());
        for word in words {
            match word {
                Word::Result(result) => results.push(result),
                Word::Refused(number) => refused.push(number),
            }
        }
        if !refused.is_empty() {
            self.drivers.contacts_refused(refused).await;
        }
        self.drivers.contacts(results).await;
        self.waiting.fetch_sub(count, Ordering::Relaxed);
    }

    async fn once(&self, numbers: &[Number]) -> Option<Vec<Word>> {
        match self.central.ask(numbers.to_vec()).await {
            Ok(words) => Some(words),
            Err(_) => {
                let (traced, began) = (self.traces.calls(OPERATION, numbers), Instant::now());
                let looked = self.peers.sync_contacts(numbers).await;
                let error = looked.as_ref().err().map(|_| "the owner of shard -1 did not answer");
                self.traces.called(OPERATION, &traced, numbers.len(), began, error);
                let looked = looked.ok()?;
                Some(looked.iter().filter_map(heard).collect())
            }
        }
    }
}

/// As it is told to a peer.
pub(crate) fn told(word: Word) -> Looked {
    use looked::State;
    let (number, state, wa_id) = match word {
        Word::Refused(number) => (number, State::Overloaded, None),
        Word::Result(ContactResult { number, status }) => match status {
            ContactStatus::Registered { wa_id } => (number, State::Valid, Some(wa_id)),
            ContactStatus::NotRegistered => (number, State::Invalid, None),
            ContactStatus::Failed => (number, State::Failed, None),
        },
    };
    let wa_id = wa_id.map(|wa_id| wa_id.to_string()).unwrap_or_default();
    Looked { number: number.to_string(), state: state.into(), wa_id }
}

/// As a peer has told it; `None` for what makes no sense.
fn heard(looked: &Looked) -> Option<Word> {
    use looked::State;
    let number = Number::from_digits(looked.number.as_bytes()).ok()?;
    let status = match looked.state() {
        State::Overloaded => return Some(Word::Refused(number)),
        State::Valid => {
            ContactStatus::Registered { wa_id: Number::from_digits(looked.wa_id.as_bytes()).ok()? }
        }
        State::Invalid => ContactStatus::NotRegistered,
        State::Failed | State::Processing | State::Unspecified => ContactStatus::Failed,
    };
    Some(Word::Result(ContactResult { number, status }))
}
