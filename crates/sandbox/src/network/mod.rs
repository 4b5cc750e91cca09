//! The network as a state machine: items and calls in, items out, time as a parameter.
//!
//! No I/O, no task, no clock in here: `grpc` and `http` call in, `driver` lets time pass. One file
//! an aspect: `send` what happens to a message, `opening` what its phone makes of it, `writing` what
//! customers write, `bundles` and `business` pre-keys of either side, `outside` phones whose keys
//! are elsewhere, `control` what the control API asks, `account` shards and acknowledgements,
//! `registration` what a business is to the network, `counting` conversations, `reading` what
//! businesses have read, `notices` what they are told unasked, `record` what survives a restart,
//! `templates` which message templates there are, `remembered` what is held for that alone; `phones`, `published`, `dedup`, `reuse`, `stream`,
//! `timeline`.
//! What costs CPU leaves as jobs and comes back as [`Done`].

mod account;
mod bundles;
mod business;
mod contacts;
mod control;
mod counting;
mod dedup;
mod notices;
mod opening;
mod outside;
mod phones;
mod published;
mod reading;
mod record;
mod registration;
mod remembered;
mod reuse;
mod send;
mod stats;
mod stream;
mod templates;
#[cfg(test)]
mod tests;
mod timeline;
mod writing;

use std::{
    collections::{HashMap, HashSet},
    mem,
};

use contract::{Key, Number, ShardId, catalogue::Catalogue};
use rpc::upstream as wire;

pub(crate) use bundles::{FetchId, FetchRefused, Gathering};
pub(crate) use business::PUBLISH_MAX;
pub(crate) use contacts::{REPORT_MAX, SyncRefused};
pub(crate) use control::{ControlError, Page, PhonePatch, PhoneView, ReceivedView, Written};
pub(crate) use dedup::Name;
pub(crate) use outside::{Mail, OutsideReceipt};
pub(crate) use record::Record;
pub(crate) use registration::Registration;
use registration::Registrations;
pub(crate) use send::LaneId;
pub use stats::Stats;
pub(crate) use writing::Letter;

use self::{
    account::{Account, Kept},
    dedup::Dedup,
    opening::Asked,
    outside::Outside,
    phones::{Flight, Phones},
    reading::Reading,
    remembered::Remembered,
    reuse::Reuse,
    send::Lane,
    stream::{Ready, Stream, Verdict, not_kept},
    templates::Templates,
    timeline::Timeline,
    writing::Desk,
};
use crate::{
    config::{Config, Phones as Mode},
    faults::Faults,
    random::Dice,
    sessions::{Done, Job, keys::Seed},
};

/// Streams that may be open at once; more are refused.
const STREAMS_MAX: usize = 1_024;
/// Own numbers; more are refused.
const ACCOUNTS_MAX: usize = 1_000;

/// One coreapp's stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct StreamId(u64);

/// Place of an own number in the list.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct AccountId(usize);

/// A moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// Milliseconds since the start.
    pub(crate) ms: u64,
    pub(crate) unix_ms: i64,
}

/// Something planned.
enum Event {
    Welcome { stream: StreamId, account: AccountId, shards: Vec<(ShardId, i64)> },
    Answer { stream: StreamId, shard: ShardId, name: Name, verdict: Verdict },
    Deliver(Flight),
    Read { name: Name, home: ShardId, n: u64 },
    Inbound { account: AccountId, letter: Box<Letter> },
}

/// What a stream has to send.
#[derive(Debug, PartialEq)]
pub(crate) enum Pull {
    Items(Vec<wire::Down>),
    /// Nothing now; the stream is woken when there is something.
    Empty,
    /// The end, and why.
    Closed(&'static str),
}

/// The whole network.
pub(crate) struct Network {
    accounts: Vec<Account>,
    by_number: HashMap<Number, AccountId>,
    registrations: Registrations,
    templates: Templates,
    streams: HashMap<StreamId, Stream>,
    last_stream: u64,
    timeline: Timeline<Event>,
    lanes: HashMap<LaneId, Lane>,
    dedup: Dedup,
    reuse: Reuse,
    phones: Phones,
    seed: Seed,
    /// Set when phones do not decrypt.
    shared_bundle: Option<wire::Bundle>,
    fetching: HashSet<FetchId>,
    asked: Asked,
    desk: Desk,
    outside: Outside,
    reading: Reading,
    /// Work for the threads.
    jobs: Vec<Job>,
    /// `None`: nothing survives a restart.
    records: Option<Vec<Record>>,
    remembered: Remembered,
    dice: Dice,
    faults: Faults,
    configured: Faults,
    next_disconnect_ms: Option<u64>,
    stopping: bool,
    stats: Stats,
    wakes: Vec<StreamId>,
}

impl Network {
    pub(crate) fn new(config: &Config) -> Self {
        let faults = Faults::none(config.seed, config.latency_ms);
        let seed = Seed::new(config.seed);
        let counts = config.phones == Mode::Count;
        Self {
            accounts: Vec::new(),
            by_number: HashMap::new(),
            registrations: Registrations::new(),
            templates: Templates::new(Catalogue::default()),
            streams: HashMap::new(),
            last_stream: 0,
            timeline: Timeline::default(),
            lanes: HashMap::new(),
            dedup: Dedup::default(),
            reuse: Reuse::default(),
            phones: Phones::new(config.phones),
            shared_bundle: counts.then(|| bundles::shared(&seed)).flatten(),
            seed,
            fetching: HashSet::new(),
            asked: Asked::default(),
            desk: Desk::default(),
            outside: Outside::default(),
            reading: Reading::default(),
            jobs: Vec::new(),
            records: None,
            remembered: Remembered::default(),
            dice: Dice::new(config.seed),
            configured: faults.clone(),
            faults,
            next_disconnect_ms: None,
            stopping: false,
            stats: Stats::default(),
            wakes: Vec::new(),
        }
    }

    // === streams ===

    /// A coreapp connects; `None` at [`STREAMS_MAX`] or when stopping.
    pub(crate) fn open_stream(&mut self) -> Option<StreamId> {
        if self.stopping || self.streams.len() >= STREAMS_MAX {
            return None;
        }
        self.stats.calls.attach += 1;
        self.last_stream += 1;
        let id = StreamId(self.last_stream);
        self.streams.insert(id, Stream::default());
        Some(id)
    }

    /// The coreapp is gone; what it held is free for others, what it was owed is dropped or kept.
    pub(crate) fn drop_stream(&mut self, id: StreamId) {
        let Some(stream) = self.streams.remove(&id) else { return };
        if let Some(account) = stream.account.and_then(|account| self.accounts.get_mut(account.0)) {
            account.detach(id);
        }
    }

    /// Ends a stream from this side: what is ready is lost, as on a broken connection.
    fn close_stream(&mut self, id: StreamId, why: &'static str) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.closed.replace(why).is_none() {
            self.stats.disconnects += 1;
        }
        stream.ready = Default::default();
        self.wakes.push(id);
        if let Some(account) = stream.account.and_then(|account| self.accounts.get_mut(account.0)) {
            account.detach(id);
        }
    }

    fn close_all(&mut self, why: &'static str) {
        let ids: Vec<_> = self.streams.keys().copied().collect();
        for id in ids {
            self.close_stream(id, why);
        }
    }

    /// Takes no new stream and ends all others.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
        self.close_all("the sandbox stops");
    }

    /// What came up a stream; false once it is closed.
    pub(crate) fn handle(&mut self, id: StreamId, items: Vec<wire::Up>, now: Now) -> bool {
        for item in items {
            if self.streams.get(&id).is_none_or(|stream| stream.closed.is_some()) {
                return false;
            }
            match item.item {
                Some(wire::up::Item::Hello(hello)) => self.hello(id, &hello, now),
                Some(wire::up::Item::Send(send)) => self.send(id, &send, now),
                Some(wire::up::Item::Ack(ack)) => self.ack(id, &ack),
                Some(wire::up::Item::Retry(request)) => self.retry(id, request, now.unix_ms),
                None => self.stats.malformed += 1,
            }
        }
        true
    }

    /// Up to `max` items to go down a stream.
    pub(crate) fn pull(&mut self, id: StreamId, max: usize) -> Pull {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Pull::Closed("the coreapp ended the stream");
        };
        if let Some(why) = stream.closed {
            return Pull::Closed(why);
        }
        let account = stream.account.and_then(|account| self.accounts.get(account.0));
        let mut items = Vec::with_capacity(max.min(stream.ready.len()));
        while items.len() < max
            && let Some(ready) = stream.ready.pop_front()
        {
            match ready {
                Ready::Other(down) => items.push(*down),
                Ready::Answer { shard, key, verdict } => {
                    stream.unanswered = stream.unanswered.saturating_sub(1);
                    items.push(verdict.into_down(shard, &key));
                }
                Ready::Kept { shard, seq } => {
                    let place = account.and_then(|account| account.shard(shard)).filter(|place| {
                        place.attached.is_some_and(|now| now.stream == id && now.welcomed)
                    });
                    if let Some(kept) = place.and_then(|place| place.get(seq)) {
                        items.push(kept.to_down(shard, seq));
                    }
                }
            }
        }
        if items.is_empty() { Pull::Empty } else { Pull::Items(items) }
    }

    /// Streams that have something to pull since the last call.
    pub(crate) fn take_wakes(&mut self) -> Vec<StreamId> {
        mem::take(&mut self.wakes)
    }

    /// Appends to what a stream has to send. A duplicate, when the dice say so, comes right behind.
    fn push(&mut self, id: StreamId, ready: Ready) {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.closed.is_none())
        else {
            return;
        };
        if stream.ready.is_empty() {
            self.wakes.push(id);
        }
        let twice = self.dice.happens(self.faults.duplicates);
        let again = match &ready {
            Ready::Kept { shard, seq } => Some(Ready::Kept { shard: *shard, seq: *seq }),
            Ready::Answer { shard, key, verdict } => {
                Some(Ready::Other(Box::new(verdict.clone().into_down(*shard, key))))
            }
            Ready::Other(_) => None,
        };
        stream.ready.push_back(ready);
        stream.ready.extend(again.filter(|_| twice));
    }

    // === time ===

    /// When [`Network::advance`] has something to do.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        [self.timeline.next_ms(), self.next_disconnect_ms].into_iter().flatten().min()
    }

    /// Lets happen what is due.
    pub(crate) fn advance(&mut self, now: Now) {
        if self.next_disconnect_ms.is_some_and(|due| due <= now.ms) {
            self.plan_disconnect(now);
            self.close_all("the fault plan disconnects");
        }
        while let Some(event) = self.timeline.pop(now.ms) {
            match event {
                Event::Welcome { stream, account, shards } => {
                    self.welcome(stream, account, &shards);
                }
                Event::Answer { stream, shard, name, verdict } => {
                    self.answer(stream, shard, name, verdict);
                }
                Event::Deliver(flight) => self.deliver(flight, now),
                Event::Read { name, home, n } => self.read(name, home, n, now),
                Event::Inbound { account, letter } => self.inbound(account, *letter, now),
            }
        }
    }

    /// Work for the threads since the last call.
    pub(crate) fn take_jobs(&mut self) -> Vec<Job> {
        mem::take(&mut self.jobs)
    }

    /// What came of a job.
    pub(crate) fn done(&mut self, done: Done, now: Now) {
        // The session first: a letter whose session was not kept would use its message key twice.
        match done {
            Done::Opened(mut opened) => {
                self.record_sessions(mem::take(&mut opened.sessions));
                self.opened(opened, now);
            }
            Done::Sealed(mut sealed) => {
                self.record_sessions(mem::take(&mut sealed.sessions));
                self.sealed(sealed, now.unix_ms);
            }
        }
    }

    fn plan_disconnect(&mut self, now: Now) {
        let every = self.faults.disconnect_every_ms;
        self.next_disconnect_ms = (every > 0).then(|| now.ms + every);
    }

    fn latency(&mut self) -> u64 {
        self.dice.between(self.faults.latency_ms)
    }

    // === shards ===

    /// The account of an own number, made when new; `None` at [`ACCOUNTS_MAX`].
    fn account_of(&mut self, number: Number) -> Option<AccountId> {
        if let Some(known) = self.by_number.get(&number) {
            return Some(*known);
        }
        if self.accounts.len() >= ACCOUNTS_MAX {
            return None;
        }
        let id = AccountId(self.accounts.len());
        self.accounts.push(Account::new(number));
        self.by_number.insert(number, id);
        Some(id)
    }

    fn hello(&mut self, id: StreamId, hello: &wire::Hello, now: Now) {
        self.stats.calls.hello += 1;
        let Ok(number) = Number::from_digits(hello.number.as_bytes()) else {
            return self.close_stream(id, "Hello names no valid own number (5 to 15 digits)");
        };
        let shards: Option<Vec<_>> =
            hello.shards.iter().map(|shard| Some((shard_id(shard.shard)?, shard.epoch))).collect();
        let Some(shards) = shards else {
            return self.close_stream(id, "Hello names a shard outside -1 to 63");
        };
        let Some(account_id) = self.account_of(number) else {
            return self.close_stream(id, "too many own numbers");
        };
        match self.streams.get_mut(&id) {
            Some(stream) if stream.account.is_none_or(|first| first == account_id) => {
                stream.account = Some(account_id);
            }
            _ => return self.close_stream(id, "Hello names another own number than the first"),
        }
        let Some(account) = self.accounts.get_mut(account_id.0) else { return };
        account.generation = account.generation.max(hello.generation);
        let mut ended = Vec::new();
        let mut risen = Vec::new();
        for (shard, epoch) in &shards {
            let before = account.shard(*shard).map_or(0, |shard| shard.epoch_seen);
            let old = account.claim(*shard, id, *epoch);
            risen.extend((before < *epoch).then_some(*shard));
            ended.extend(old.filter(|old| old.stream != id).map(|old| (*shard, old, *epoch)));
        }
        for (shard, old, epoch_seen) in ended {
            let item = wire::down::Item::Detached(wire::Detached { epoch_seen });
            self.push(old.stream, Ready::Other(Box::new(not_kept(shard, item))));
        }
        for shard in risen {
            self.record_shard(account_id, shard);
        }
        let due = now.ms + self.latency();
        self.timeline.at(due, Event::Welcome { stream: id, account: account_id, shards });
    }

    /// Tells what the shards' epochs are and gives, in order, all that is not acknowledged.
    fn welcome(&mut self, id: StreamId, account_id: AccountId, shards: &[(ShardId, i64)]) {
        let Some(account) = self.accounts.get_mut(account_id.0) else { return };
        let mut states = Vec::with_capacity(shards.len());
        let mut replay = Vec::new();
        let mut claimed = [false; 65];
        for (shard_id, epoch) in shards {
            let Some(shard) = account.shard_mut(*shard_id) else { continue };
            states.push(wire::ShardState {
                shard: shard_id.get().into(),
                epoch_seen: shard.epoch_seen,
                acked_our_seq: shard.our_seq,
            });
            if shard.is_attached(id, *epoch)
                && let Some(attached) = &mut shard.attached
                && let Some(place) = claimed.get_mut(shard_id.index())
                && !mem::replace(place, true)
            {
                attached.welcomed = true;
                replay.extend(shard.seqs().map(|seq| Ready::Kept { shard: *shard_id, seq }));
            }
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            // After a second Hello on one stream the replay takes the place of what waits.
            stream.ready.retain(|ready| match ready {
                Ready::Kept { shard, .. } => !claimed.get(shard.index()).is_some_and(|it| *it),
                _ => true,
            });
        }
        let item = wire::down::Item::Welcome(wire::Welcome { shards: states });
        self.push(id, Ready::Other(Box::new(not_kept(ShardId::CONTROL, item))));
        if claimed.get(ShardId::CONTROL.index()).is_some_and(|it| *it) {
            self.tell_keys_missing(id, account_id);
        }
        for ready in replay {
            self.push(id, ready);
        }
    }

    fn ack(&mut self, id: StreamId, ack: &wire::Ack) {
        self.stats.calls.ack += 1;
        let place = self.streams.get(&id).and_then(|stream| stream.account);
        let place = place.zip(shard_id(ack.shard));
        let taken = place.is_some_and(|(account, shard)| {
            self.accounts.get_mut(account.0).is_some_and(|account| account.ack(shard, id, ack))
        });
        self.stats.stale_acks += u64::from(!taken);
        if let Some((account, shard)) = place.filter(|_| taken) {
            self.record_shard(account, shard);
        }
    }

    /// Keeps an item for a shard and sends it when somebody is attached.
    fn keep(&mut self, account: AccountId, shard: ShardId, item: Kept) {
        let Some(keeper) = self.accounts.get_mut(account.0) else { return };
        let Some((seq, stream)) = keeper.keep(shard, item) else { return };
        self.record_kept(account, shard, seq);
        if let Some(stream) = stream {
            self.push(stream, Ready::Kept { shard, seq });
        }
    }
}

fn shard_id(id: i32) -> Option<ShardId> {
    i16::try_from(id).ok().and_then(ShardId::new)
}

fn key_of(bytes: &[u8]) -> Option<Key> {
    Key::from_bytes(bytes).ok()
}
