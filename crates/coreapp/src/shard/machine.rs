//! The shard's machine: its state, and who gets an answer from the database or the network.
//!
//! Sans-I/O: every method takes an input and a [`Ctx`], and puts what must be done into
//! [`Effects`]. The stages of a message are in `accept`, `resolve`, `seal`, `incoming`.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use contract::{ApiError, Key, Number, Route, ShardId, callback::StatusKind};
use lru::LruCache;
use session::Record;
use store::{
    Found, Read, ReadAnswer, ReadRequest, ShardLoad, StoreError,
    rows::{Idempotency, Message},
    write::{Answer, Class, Committed, Op, Reply, Write, WriteError},
};
use tokio::time::Instant;
use upstream::{Envelope, EnvelopeKind};

use super::{
    block::StandingReply,
    cancel::CancelReply,
    effects::{Ctx, Effects, Frame, IdentityReply},
    idempotent::{KeyHash, Keyed},
    identity::not_acknowledged,
    incoming::{Down, Place},
    open::{AskedAgain, HEARD_MAX, RETRIES_KEPT},
    peers::{Loading, NO_KEYS_MAX, Peer, Until},
    queue::{Files, Job, Meta, Recipient, Stage},
    resolve::{Known, Resolving},
    retry::COUNTED,
    steps::Writing,
    undelivered::Watched,
};

/// Contacts remembered in memory, a shard; the least recently used one is read again.
const CONTACTS_MAX: usize = 4_096;
/// Settled messages whose meta is kept for their receipts, a shard; an older one is read again.
const RECENT_MAX: usize = 2_048;
/// Bodies kept in memory, bytes a shard (64 MiB in all); beyond, a body is read when it is sealed.
pub(super) const BODIES_MAX: usize = 1 << 20;
/// A message that has not left after this long ends `failed` 408.
pub(super) const UNSENT_MAX_MS: i64 = 24 * 60 * 60 * 1_000;
/// Jobs that are given up in one turn for being too old.
const EXPIRE_BATCH: usize = 256;

/// See the module.
pub(crate) struct Machine {
    pub(super) shard: ShardId,
    pub(super) epoch: i64,
    next_job: i64,
    next_token: u64,
    next_timer: u64,
    pub(super) jobs: HashMap<Key, Job>,
    pub(super) order: BTreeMap<i64, Key>,
    pub(super) recipients: HashMap<Route, Recipient>,
    /// Recipients that may have something to seal.
    pub(super) ready: VecDeque<Route>,
    pub(super) contacts: LruCache<Number, Known>,
    pub(super) resolving: HashMap<Number, Resolving>,
    pub(super) peers: LruCache<Number, Peer>,
    pub(super) loading: HashMap<Number, Loading>,
    /// wa_ids whose pre-keys are on their way, and who waits.
    pub(super) fetching: HashMap<Number, Vec<Route>>,
    pub(super) no_keys: LruCache<Number, Until>,
    pub(super) blocked: HashSet<Route>,
    /// Messages without a receipt that are asked about.
    pub(super) watched: HashMap<Key, Watched>,
    /// Recipients whose messages wait for an acknowledgement of their identity.
    pub(super) held: HashSet<Route>,
    /// Customers' messages that were stored lately, and those being stored.
    pub(super) heard: LruCache<(Number, Key), ()>,
    pub(super) hearing: HashMap<(Number, Key), Vec<Place>>,
    /// How often we asked for a message again, and devices asked us.
    pub(super) retries: LruCache<(Number, Key), AskedAgain>,
    pub(super) resends: LruCache<(Key, u32), u32>,
    pub(super) requests: LruCache<Number, (Instant, u32)>,
    /// Idempotency keys whose first request is not answered yet.
    pub(super) keyed: HashMap<KeyHash, Keyed>,
    /// Who waits for the cancellation of a message.
    pub(super) cancels: HashMap<Key, Vec<CancelReply>>,
    /// With the number of events in each.
    writes: HashMap<u64, (Written, i64, Vec<Writing>)>,
    /// Spans of the write that comes next.
    pub(super) writing: Vec<Writing>,
    pub(super) reads: HashMap<u64, Wanted>,
    pub(super) reading_bodies: HashSet<Key>,
    /// A seal write is under way: one at a time.
    pub(super) sealing: bool,
    /// Messages the next seal writes may carry one at a time, after one was refused.
    pub(super) seal_singly: usize,
    /// The shard is being left: nothing more is sealed or transmitted.
    pub(super) closing: bool,
    pub(super) attached: bool,
    /// The network has been heard of since the start. Before that it may still tell that our rows
    /// are old, and no event gets a number.
    pub(super) welcomed: bool,
    /// Messages that fail once it has been.
    pub(super) doomed: Vec<(Key, ApiError)>,
    pub(super) link_hold: Option<Instant>,
    /// Jobs in [`Stage::Sealed`].
    pub(super) untransmitted: usize,
    pub(super) recent: LruCache<Key, Arc<Meta>>,
    pub(super) down: Down,
    /// Receipts whose events were committed before the attachment and that may come again, and how
    /// often; bounded by who reads them.
    pub(super) logged: HashMap<(Key, StatusKind), u32>,
    /// Highest committed sequence number of the shard's event log.
    pub(super) event_seq: i64,
    pub(super) body_bytes: usize,
    timers: BTreeMap<(Instant, u64), Timer>,
}

/// What a write was for.
#[derive(Debug)]
pub(super) enum Written {
    /// With what its idempotency key is stored as.
    Accept(Key, Option<KeyHash>),
    Cancel(Key),
    /// The messages, and the contacts whose sessions went with them.
    Seal(Vec<Key>, Vec<Number>),
    Settle(Key),
    /// An item of the upstream's stream: its place in [`Down`].
    Down(Place),
    /// A customer's message; `pinned`: with the session that decrypted it.
    Inbound {
        id: (Number, Key),
        pinned: bool,
    },
    /// A contact's new identity.
    Changed(Place, Number),
    /// An acknowledgement, and who waits for it.
    Acknowledged(Number, IdentityReply),
    /// A block, or its end, and who waits for it.
    Standing {
        route: Route,
        blocked: bool,
        reply: StandingReply,
    },
}

/// What a read is for.
#[derive(Debug)]
pub(super) enum Wanted {
    /// A repeated accept: is the message there already?
    Repeat(Frame),
    /// The accept's key was taken: by the same message?
    Clash(Key, Option<KeyHash>),
    /// Does an idempotency key stand for a message?
    Keyed(KeyHash),
    /// The message that it stands for.
    Original(KeyHash, Key),
    /// A message without a job: was it cancelled?
    Cancelled(Key, CancelReply),
    /// It was not: was it there at all?
    Cancel(Key, CancelReply),
    Body(Key),
    Contact(Number),
    /// A receipt of a message that is no longer in memory.
    Receipt(Place, upstream::Receipt),
    /// The sessions with a contact.
    Peer(Number),
    /// A message that was not decrypted: was it stored before?
    Undecryptable(upstream::Inbound),
    /// A message that a device asks for again.
    Resend(Place, upstream::Receipt, upstream::Retry),
}

/// What happens later.
#[derive(Debug)]
pub(super) enum Timer {
    Transmit(Key),
    Recipient(Route),
    Link,
    AskAgain(Number),
    LoadAgain(Number),
    FetchAgain(Number),
    Undelivered(Key),
    Resend(Place, Box<(upstream::Receipt, upstream::Retry)>),
}

impl Machine {
    /// A machine for a shard that was just claimed, with what its rows hold.
    pub(crate) fn new(shard: ShardId, epoch: i64, load: ShardLoad, ctx: &Ctx<'_>) -> Self {
        let mut machine = Self {
            shard,
            epoch,
            next_job: epoch << 40,
            next_token: 0,
            next_timer: 0,
            jobs: HashMap::new(),
            order: BTreeMap::new(),
            recipients: HashMap::new(),
            ready: VecDeque::new(),
            contacts: LruCache::new(const { NonZeroUsize::new(CONTACTS_MAX).unwrap() }),
            resolving: HashMap::new(),
            // Unbounded: `trim_peers` keeps the bound, sparing what is pinned.
            peers: LruCache::unbounded(),
            loading: HashMap::new(),
            fetching: HashMap::new(),
            no_keys: LruCache::new(const { NonZeroUsize::new(NO_KEYS_MAX).unwrap() }),
            blocked: load.blocked.iter().map(|row| Route::of(&row.number)).collect(),
            watched: HashMap::new(),
            held: HashSet::new(),
            heard: LruCache::new(HEARD_MAX),
            hearing: HashMap::new(),
            retries: LruCache::new(RETRIES_KEPT),
            resends: LruCache::new(COUNTED),
            requests: LruCache::new(COUNTED),
            keyed: HashMap::new(),
            cancels: HashMap::new(),
            writes: HashMap::new(),
            writing: Vec::new(),
            reads: HashMap::new(),
            reading_bodies: HashSet::new(),
            sealing: false,
            seal_singly: 0,
            closing: false,
            attached: false,
            welcomed: false,
            doomed: Vec::new(),
            link_hold: None,
            untransmitted: 0,
            recent: LruCache::new(const { NonZeroUsize::new(RECENT_MAX).unwrap() }),
            down: Down::default(),
            logged: HashMap::new(),
            event_seq: load.next_seq() - 1,
            body_bytes: 0,
            timers: BTreeMap::new(),
        };
        machine.restore(load, ctx);
        machine
    }

    /// Puts the rows of an earlier owner back where they were.
    fn restore(&mut self, load: ShardLoad, ctx: &Ctx<'_>) {
        let mut sealed: HashMap<Key, Vec<Envelope>> = HashMap::new();
        for row in load.outbox {
            sealed.entry(row.key).or_default().push(Envelope {
                device: row.device.cast_unsigned(),
                kind: match row.kind {
                    2 => EnvelopeKind::PreKey,
                    3 => EnvelopeKind::Message,
                    _ => EnvelopeKind::Plain,
                },
                ciphertext: row.payload,
            });
        }
        for row in load.jobs {
            let meta = match Meta::decode(&row.header) {
                Ok(meta) => Meta { trace: row.trace, ..meta },
                Err(error) => {
                    tracing::error!(
                        %error, table = "job", column = "header", shard = self.shard.get(), row.id = row.id,
                        "a row holds something this version does not know; its message waits for a newer one"
                    );
                    continue;
                }
            };
            let envelopes = sealed.remove(&row.key).unwrap_or_default();
            let stage = if envelopes.is_empty() { Stage::Waiting } else { Stage::Sealed };
            let recipient = self.recipients.entry(row.route).or_default();
            if matches!(stage, Stage::Sealed) {
                recipient.unanswered += 1;
                self.untransmitted += 1;
                ctx.window.take();
            } else {
                recipient.waiting.push_back(row.key);
            }
            ctx.gate.restore();
            self.order.insert(row.id, row.key);
            self.jobs.insert(
                row.key,
                Job {
                    id: row.id,
                    route: row.route,
                    meta: Arc::new(meta),
                    created_ms: row.created_ms,
                    body_hash: None,
                    body: None,
                    wa_id: None,
                    files: Files::Unseen,
                    durable: envelopes.len(),
                    envelopes,
                    stale: 0,
                    only: None,
                    left: matches!(stage, Stage::Sealed),
                    stage,
                    not_before: None,
                    doing: None,
                },
            );
        }
    }

    /// To be called once after [`Self::new`]: looks up what the restored jobs need.
    pub(crate) fn resume(&mut self, ctx: &Ctx<'_>, fx: &mut Effects) {
        let keys: Vec<Key> = self.order.values().copied().collect();
        for key in keys {
            self.address(key, ctx, fx);
        }
    }

    /// A generation of the account has begun: sessions of the one before are dead, wherever they
    /// are. What was sealed with them stays: its bytes are the only ones of their message keys.
    pub(crate) fn renew(&mut self, epoch: i64, next_seq: i64) {
        self.epoch = epoch;
        self.next_job = self.next_job.max(epoch << 40);
        self.event_seq = self.event_seq.max(next_seq - 1);
        for (_, peer) in &mut self.peers {
            peer.devices.values_mut().for_each(|device| device.record = Record::default());
        }
    }

    /// A write is not answered yet.
    pub(crate) fn writing(&self) -> bool {
        !self.writes.is_empty()
    }

    /// Nothing is under way and nothing waits.
    #[cfg(test)]
    pub(super) fn idle(&self) -> bool {
        self.jobs.is_empty() && self.writes.is_empty() && self.reads.is_empty()
    }

    /// A database write was answered.
    pub(crate) fn written(&mut self, answer: Answer, ctx: &Ctx<'_>, fx: &mut Effects) {
        let Some((written, events, writing)) = self.writes.remove(&answer.token) else { return };
        if !writing.is_empty() {
            let error = answer.result.is_err().then_some("the write failed");
            self.wrote(writing, error, ctx, fx);
        }
        if let Ok(Committed { first_seq }) = answer.result
            && first_seq + events - 1 > self.event_seq
        {
            self.event_seq = first_seq + events - 1;
            self.tell_event_seq();
        }
        if let (Err(error @ (WriteError::Fenced | WriteError::NotOwned)), false) =
            (&answer.result, matches!(written, Written::Accept(..)))
        {
            // The shard is somebody else's now; this machine will be dropped.
            tracing::debug!(shard = self.shard.get(), %error, "a write came too late");
            return;
        }
        match written {
            Written::Accept(key, hash) => {
                self.accept_written(key, hash, answer.result, ctx, fx);
            }
            Written::Cancel(key) => self.cancel_written(key, answer.result, ctx, fx),
            Written::Seal(keys, peers) => {
                for wa_id in &peers {
                    self.unpin(wa_id);
                }
                self.seal_written(keys, answer.result, ctx, fx);
            }
            Written::Settle(key) => self.settle_written(key, answer.result, ctx),
            Written::Down(place) => self.down_written(place, answer.result),
            Written::Inbound { id, pinned } => self.inbound_written(id, pinned, answer.result),
            Written::Acknowledged(wa_id, reply) => {
                self.acknowledged(wa_id, reply, answer.result);
            }
            Written::Standing { route, blocked, reply } => {
                self.standing_written(route, blocked, reply, answer.result);
            }
            Written::Changed(place, wa_id) => {
                self.unpin(&wa_id);
                self.down_written(place, answer.result);
            }
        }
    }

    /// A database read was answered.
    pub(crate) fn read(&mut self, answer: ReadAnswer, ctx: &Ctx<'_>, fx: &mut Effects) {
        let Some(wanted) = self.reads.remove(&answer.token) else { return };
        match wanted {
            Wanted::Repeat(frame) => self.repeat_read(frame, message(answer), ctx, fx),
            Wanted::Clash(key, hash) => self.clash_read(key, hash, message(answer), ctx, fx),
            Wanted::Keyed(hash) => self.keyed_read(hash, idempotency(answer), ctx, fx),
            Wanted::Original(hash, key) => self.original_read(hash, key, message(answer), fx),
            Wanted::Cancelled(key, reply) => {
                self.cancelled_read(key, reply, idempotency(answer), ctx, fx);
            }
            Wanted::Cancel(key, reply) => self.cancel_read(key, reply, message(answer), ctx, fx),
            Wanted::Body(key) => self.body_read(key, message(answer), ctx, fx),
            Wanted::Contact(number) => {
                let row = match answer.result {
                    Ok(Found::Contact(row)) => row,
                    _ => None,
                };
                self.contact_read(number, row, ctx, fx);
            }
            Wanted::Receipt(place, receipt) => {
                self.receipt_read(place, &receipt, message(answer), ctx, fx);
            }
            Wanted::Peer(wa_id) => {
                let found = match answer.result {
                    Ok(Found::Peer { sessions, identities }) => Ok((sessions, identities)),
                    Ok(_) => Err(OTHER_TABLE.to_owned()),
                    Err(error) if lost(&error) => {
                        // Never used: whoever is on the other side gets a session made anew.
                        tracing::error!(shard = self.shard.get(), %error, "the sessions with a contact are lost");
                        fx.refused.push(error.code());
                        Ok((Vec::new(), Vec::new()))
                    }
                    Err(error) => Err(error.to_string()),
                };
                self.peer_read(wa_id, found, ctx, fx);
            }
            Wanted::Undecryptable(inbound) => {
                let known = match answer.result {
                    Ok(Found::Inbound(known)) => Ok(known),
                    Ok(_) => Err(OTHER_TABLE.to_owned()),
                    Err(error) => Err(error.to_string()),
                };
                self.undecryptable(&inbound, known, ctx, fx);
            }
            Wanted::Resend(place, receipt, retry) => {
                self.resend_read(place, &receipt, retry, message(answer), ctx, fx);
            }
        }
    }

    /// Time has passed; called about ten times a second.
    pub(crate) fn tick(&mut self, ctx: &Ctx<'_>, fx: &mut Effects) {
        while let Some(entry) = self.timers.first_entry().filter(|e| e.key().0 <= ctx.now) {
            match entry.remove() {
                Timer::Transmit(key) => self.transmit(key, ctx, fx),
                Timer::Recipient(route) => self.recipient_released(route, ctx, fx),
                Timer::Link => {
                    self.link_hold = None;
                    self.transmit_all(ctx, fx);
                }
                Timer::AskAgain(number) => self.ask_again(number, ctx, fx),
                Timer::LoadAgain(wa_id) => self.load_again(wa_id, fx),
                Timer::FetchAgain(wa_id) => self.fetch_again(wa_id, ctx, fx),
                Timer::Undelivered(key) => self.undelivered(key, ctx, fx),
                Timer::Resend(place, asked) => {
                    let (receipt, retry) = *asked;
                    self.resend_when_settled(place, receipt, retry, ctx, fx);
                }
            }
        }
        self.transmit_all(ctx, fx);
        if !ctx.settings.security_notifications {
            // Nobody need acknowledge any more.
            for route in std::mem::take(&mut self.held) {
                self.list(route);
            }
        }
        self.expire(ctx, fx);
    }

    /// Gives up what could not leave for a day.
    fn expire(&mut self, ctx: &Ctx<'_>, fx: &mut Effects) {
        if !self.welcomed {
            return;
        }
        let too_old = ctx.now_ms - UNSENT_MAX_MS;
        let old = self.order.values().map_while(|key| {
            let job = self.jobs.get(key)?;
            (job.created_ms < too_old).then_some((key, job))
        });
        let keys: Vec<(Key, Route)> = old
            .filter(|(_, job)| matches!(job.stage, Stage::Waiting | Stage::Sealed))
            .map(|(key, job)| (*key, job.route))
            .take(EXPIRE_BATCH)
            .collect();
        for (key, route) in keys {
            let error = if self.held.contains(&route) {
                not_acknowledged()
            } else {
                ApiError::new(
                    contract::Code::NOT_VALID,
                    "the message could not be sent for more than a day",
                )
            };
            self.fail(key, &error, ctx, fx);
        }
    }

    // === for the stages ===

    /// `epoch << 40 | n`.
    pub(super) fn mint_job(&mut self) -> i64 {
        self.next_job += 1;
        self.next_job
    }

    pub(super) fn write(
        &mut self,
        class: Class,
        ops: Vec<Op>,
        written: Option<Written>,
        fx: &mut Effects,
    ) {
        let writing = std::mem::take(&mut self.writing);
        let reply = match written {
            None => Reply::None,
            Some(written) => {
                self.next_token += 1;
                let events = ops.iter().filter(|op| matches!(op, Op::InsertEvent(_))).count();
                let events = i64::try_from(events).unwrap_or(i64::MAX);
                self.writes.insert(self.next_token, (written, events, writing));
                Reply::Token(self.next_token)
            }
        };
        fx.writes.push(Write { shard: self.shard, epoch: self.epoch, class, ops, reply });
    }

    pub(super) fn want(&mut self, what: Read, wanted: Wanted, fx: &mut Effects) {
        self.next_token += 1;
        self.reads.insert(self.next_token, wanted);
        fx.reads.push(ReadRequest { shard: self.shard, token: self.next_token, what });
    }

    pub(super) fn after(&mut self, delay: Duration, timer: Timer, ctx: &Ctx<'_>) -> Instant {
        let due = ctx.now + delay;
        self.next_timer += 1;
        self.timers.insert((due, self.next_timer), timer);
        due
    }

    /// Puts a recipient among those that may have something to seal.
    pub(super) fn list(&mut self, route: Route) {
        if let Some(recipient) = self.recipients.get_mut(&route)
            && !recipient.listed
            && !recipient.waiting.is_empty()
        {
            recipient.listed = true;
            self.ready.push_back(route);
        }
    }
}

/// Rows that will not become readable by trying again.
fn lost(error: &StoreError) -> bool {
    matches!(error, StoreError::RolledBack { .. } | StoreError::Sealed { .. })
}

const OTHER_TABLE: &str = "the reader answered with a row of another table";

/// The message a read found; `Err` when the read itself failed.
fn message(answer: ReadAnswer) -> Result<Option<Message>, String> {
    match answer.result {
        Ok(Found::Message(row)) => Ok(row),
        Ok(_) => Err(OTHER_TABLE.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The same of an idempotency key.
fn idempotency(answer: ReadAnswer) -> Result<Option<Idempotency>, String> {
    match answer.result {
        Ok(Found::Idempotency(row)) => Ok(row),
        Ok(_) => Err(OTHER_TABLE.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
