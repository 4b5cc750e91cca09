//! The loop of one lane: gather, build, commit, answer. No linger: what gathers while a batch is
//! committed is the next one.
//!
//! The outcome rule: until it is known whether a batch is in the database, the lane does nothing
//! else. The lane's row tells: its `batch` is ours (committed), one less (run the same bytes again),
//! or the row is gone or not live (fenced).

use std::{collections::VecDeque, sync::Arc, time::Duration};

use contract::Rng;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    backoff::Backoff,
    batch::{Batch, Built, Item, ReplyTo, build},
    lanes::{Done, Feed, Fence, Inbox, LaneEngine, Refusal, answer::Answers},
    vault::Vault,
    write::{Committed, Op, WriteError},
};

/// Between attempts to reach the database; they never end, as nothing else may be done before the
/// answer.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MOST: Duration = Duration::from_secs(2);
/// So long the database may be unreachable before whoever can ask again is told to: a connection that
/// was cut is opened anew sooner. A commit that only takes long is no reason.
const AWAY: Duration = Duration::from_millis(200);
/// Attempts of one batch that the database answers with an error that is no constraint (disk full,
/// read-only). Then the batch is split: a poisoned row costs only itself. With the pauses above 0.3 s at
/// most, so that whoever can ask again is told as soon as while it is away. Its pieces have one attempt each
/// until one of them is stored.
const ERRORS_MAX: u32 = 5;
/// After that a shard's own write that stands alone is tried again, alone and once each time, for as
/// long as it takes: what the network was to be told is stored may not be dropped because a disk is full.
const AGAIN: Duration = Duration::from_secs(5);
/// Times that a lane may find its row untouched although the fence changed no row. It cannot
/// happen; an engine that lies must not spin for ever.
const PUZZLES_MAX: u32 = 3;

pub(crate) struct Lane<E: LaneEngine> {
    engine: E,
    session: Option<E::Session>,
    /// The database has not been reached since.
    failing: Option<Instant>,
    /// Told by a lane whose connection broke, to all lanes.
    cut: watch::Sender<()>,
    cuts: watch::Receiver<()>,
    /// Of the next batch.
    fence: Fence,
    batch_max: usize,
    inbox: Arc<Inbox>,
    /// Of all lanes: one fenced lane fences them all.
    inboxes: Vec<Arc<Inbox>>,
    fenced: watch::Sender<bool>,
    feed: Arc<dyn Feed>,
    vault: Arc<Vault>,
    rng: Arc<dyn Rng>,
    /// What was split off or left over; goes before the inbox.
    groups: VecDeque<Vec<Item>>,
    /// What the database failed to store. Bounded by what its shards have under way.
    failed: VecDeque<Item>,
    /// When the first of them is tried again: one at a time while they fail, so that whoever waits in the
    /// inbox gets its turn; one after the other as soon as one is stored.
    again: Instant,
    /// The last batch failed, and nothing was stored since; when that was last said.
    unwell: Option<Instant>,
}

/// A batch's fate, known.
enum Fate {
    Committed,
    Refused(Refusal),
    /// Not stored, and it may be no row's fault.
    Failed(String),
    Fenced,
}

/// What the lane's row says.
enum Word {
    Committed,
    Again,
    Fenced,
}

impl<E: LaneEngine> Lane<E> {
    #[expect(clippy::too_many_arguments, reason = "one call, right above")]
    pub(crate) fn new(
        engine: E,
        fence: Fence,
        batch_max: usize,
        inbox: Arc<Inbox>,
        inboxes: Vec<Arc<Inbox>>,
        fenced: watch::Sender<bool>,
        cut: watch::Sender<()>,
        feed: Arc<dyn Feed>,
        vault: Arc<Vault>,
        rng: Arc<dyn Rng>,
    ) -> Self {
        let (groups, failed) = (VecDeque::new(), VecDeque::new());
        Self {
            engine,
            session: None,
            failing: None,
            cuts: cut.subscribe(),
            cut,
            fence,
            batch_max,
            inbox,
            inboxes,
            fenced,
            feed,
            vault,
            rng,
            groups,
            failed,
            again: Instant::now(),
            unwell: None,
        }
    }

    pub(crate) async fn run(mut self) {
        let inbox = Arc::clone(&self.inbox);
        self.batches().await;
        inbox.ended();
    }

    async fn batches(&mut self) {
        loop {
            self.inbox.finished();
            let mut attempts = if self.unwell.is_some() { 1 } else { ERRORS_MAX };
            let ready = self.groups.pop_front().or_else(|| {
                let due = self.due()?;
                attempts = 1;
                Some(vec![due])
            });
            let group = match ready {
                Some(group) => group,
                None => tokio::select! {
                    biased;
                    // The sender is ours too: there is always a next one.
                    _ = self.cuts.changed() => match self.look().await {
                        Word::Committed | Word::Again => continue,
                        Word::Fenced => return self.refuse_all(),
                    },
                    group = self.inbox.next(self.batch_max) => match group {
                        Some(group) => group,
                        // What failed until now the next start gets from the network once more.
                        None => return,
                    },
                    () = sleep_until(self.again), if !self.failed.is_empty() => continue,
                },
            };
            if self.inbox.is_fenced() {
                self.groups.push_front(group);
                return self.refuse_all();
            }
            // Before looking at who owns what: whoever disowns later waits for this batch.
            self.inbox.begin();
            let owned = self.inbox.owned();
            let Built { batch, waiting, next_seqs, refused, rest } =
                build(group, &self.vault, |shard| owned.get(&shard).copied());
            let mut answers = Answers::default();
            for (item, error) in refused {
                answers.refuse(item, error);
            }
            answers.send();
            if !rest.is_empty() {
                self.groups.push_front(rest);
            }
            if batch.entries.is_empty() {
                continue;
            }
            let batch = Arc::new(batch);
            match self.settle(&batch, attempts).await {
                Fate::Committed => {
                    if self.unwell.take().is_some() {
                        tracing::info!(lane = self.fence.lane, "The database stores again");
                    }
                    self.fence.batch += 1;
                    self.inbox.advance(&next_seqs);
                    self.tell(&batch, waiting);
                }
                Fate::Refused(refusal) => {
                    self.split(&batch, waiting, |_, item| {
                        let error = blame(&item.ops, &refusal);
                        tracing::debug!(error = refusal.why, "The database refused a write");
                        Some((item, error))
                    });
                }
                Fate::Failed(why) => {
                    self.split(&batch, waiting, |lane, item| lane.try_later(item, &why));
                    self.say_unwell(&why);
                }
                Fate::Fenced => {
                    self.groups.push_front(Built::unbuild(&batch, waiting));
                    return self.refuse_all();
                }
            }
        }
    }

    /// Once in a while: the log may lie on the same full disk.
    fn say_unwell(&mut self, why: &str) {
        let now = Instant::now();
        if self.unwell.is_none_or(|said| now - said >= AGAIN) {
            self.unwell = Some(now);
            tracing::error!(
                lane = self.fence.lane,
                error = why,
                waiting = self.failed.len(),
                "The database failed to store writes; new messages are refused, what is under way waits"
            );
        }
    }

    /// A write that failed before and is due again.
    fn due(&mut self) -> Option<Item> {
        if self.again > Instant::now() {
            return None;
        }
        self.failed.pop_front()
    }

    /// Commits a batch, whatever it takes; `attempts`: that the database may answer with an error.
    async fn settle(&mut self, batch: &Arc<Batch>, attempts: u32) -> Fate {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST, Arc::clone(&self.rng));
        let mut errors = 0;
        let mut puzzles = 0;
        loop {
            let Some(session) = &mut self.session else {
                match self.engine.connect().await {
                    Ok(session) => self.session = Some(session),
                    Err(error) => {
                        tracing::warn!(lane = self.fence.lane, %error, "A lane cannot connect");
                        self.unreachable();
                        backoff.wait().await;
                    }
                }
                continue;
            };
            let done = self.engine.commit(session, self.fence, batch).await;
            if !matches!(done, Done::Lost { .. }) {
                self.reached();
            }
            match done {
                Done::Committed => return Fate::Committed,
                Done::Refused(refusal) => return Fate::Refused(refusal),
                Done::NoRow => puzzles += 1,
                Done::Lost { answered, why } => {
                    // What the database goes on answering is said by `say_unwell`.
                    if errors == 0 && self.unwell.is_none() {
                        tracing::warn!(
                            lane = self.fence.lane,
                            batch = self.fence.batch,
                            error = why,
                            "A commit was not confirmed; the lane asks for its outcome"
                        );
                    }
                    errors += u32::from(answered);
                    if !answered {
                        self.cut.send_replace(());
                        self.cuts.mark_unchanged();
                    }
                    if errors >= attempts {
                        // Certain only once the row has said so, below.
                        if let Word::Again = self.ask(&mut backoff).await {
                            return Fate::Failed(why);
                        }
                    }
                    if answered {
                        backoff.wait().await;
                    }
                }
            }
            match self.ask(&mut backoff).await {
                Word::Committed => return Fate::Committed,
                Word::Again if puzzles < PUZZLES_MAX => {}
                Word::Again | Word::Fenced => return Fate::Fenced,
            }
        }
    }

    /// Another lane's connection broke: ours may be as dead, and a commit on it would be of unknown
    /// outcome. Nothing is under way, so nothing is lost by a new one.
    async fn look(&mut self) -> Word {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST, Arc::clone(&self.rng));
        self.ask(&mut backoff).await
    }

    /// Asks on a new connection what became of the batch, until there is an answer.
    async fn ask(&mut self, backoff: &mut Backoff) -> Word {
        loop {
            self.session = None;
            let answer = match self.engine.connect().await {
                Ok(mut session) => {
                    let answer = self.engine.ask(&mut session, self.fence).await;
                    self.session = Some(session);
                    answer
                }
                Err(error) => Err(error),
            };
            match answer {
                Ok(_) => self.reached(),
                Err(_) => self.unreachable(),
            }
            match answer {
                Ok(Some((true, batch))) if batch == self.fence.batch => return Word::Committed,
                Ok(Some((true, batch))) if batch == self.fence.batch - 1 => return Word::Again,
                Ok(Some((true, batch))) => {
                    tracing::error!(
                        lane = self.fence.lane,
                        batch = self.fence.batch,
                        found = batch,
                        "Another writer uses this lane's row; the lane gives up"
                    );
                    return Word::Fenced;
                }
                Ok(Some((false, _)) | None) => return Word::Fenced,
                Err(error) => {
                    tracing::warn!(
                        lane = self.fence.lane,
                        %error,
                        "The outcome of a commit is still unknown"
                    );
                    backoff.wait().await;
                }
            }
        }
    }

    fn unreachable(&mut self) {
        let since = *self.failing.get_or_insert_with(Instant::now);
        if since.elapsed() >= AWAY {
            self.inbox.leave();
        }
    }

    fn reached(&mut self) {
        if self.failing.take().is_some() {
            // What was told meanwhile was of the same failure.
            self.cuts.mark_unchanged();
            self.inbox.back();
        }
    }

    /// Splits a batch that holds a bad row; `alone` decides over a write that stands alone, and gives
    /// what is to be refused.
    fn split(
        &mut self,
        batch: &Batch,
        waiting: Vec<ReplyTo>,
        alone: impl Fn(&mut Self, Item) -> Option<(Item, WriteError)>,
    ) {
        let mut items = Built::unbuild(batch, waiting);
        if items.len() > 1 {
            let second = items.split_off(items.len() / 2);
            self.groups.push_front(second);
            self.groups.push_front(items);
            return;
        }
        let mut answers = Answers::default();
        for item in items {
            if let Some((item, error)) = alone(self, item) {
                answers.refuse(item, error);
            }
        }
        answers.send();
    }

    /// What the database fails to store is refused where somebody waits who can be told; else it waits.
    fn try_later(&mut self, item: Item, why: &str) -> Option<(Item, WriteError)> {
        let intake = item.ops.iter().any(|op| matches!(op, Op::InsertMessage(_)));
        if intake || !matches!(item.to, ReplyTo::Token(..)) {
            return Some((item, WriteError::Failed(why.to_owned())));
        }
        self.failed.push_back(item);
        self.again = Instant::now() + AGAIN;
        None
    }

    fn tell(&self, batch: &Batch, waiting: Vec<ReplyTo>) {
        let events = batch.events();
        if !events.is_empty() {
            self.feed.committed(&events);
        }
        let mut answers = Answers::default();
        for (entry, to) in batch.entries.iter().zip(waiting) {
            answers.add(entry.shard, to, Ok(Committed { first_seq: entry.first_seq }));
        }
        answers.send();
    }

    /// All lanes stop; every write that waits is answered.
    fn refuse_all(&mut self) {
        // Whoever is answered finds the flag set.
        if !self.fenced.send_replace(true) {
            tracing::warn!("This coreapp has been fenced: another one has taken over its shards");
        }
        let mut answers = Answers::default();
        for item in self.groups.drain(..).flatten().chain(self.failed.drain(..)) {
            answers.refuse(item, WriteError::Fenced);
        }
        for item in self.inboxes.iter().flat_map(|inbox| inbox.fence()) {
            answers.refuse(item, WriteError::Fenced);
        }
        answers.send();
    }
}

/// What a write that stands alone is told.
fn blame(ops: &[Op], refusal: &Refusal) -> WriteError {
    let taken = |table: &str| refusal.taken_in.as_deref() == Some(table);
    let conflict = ops.iter().any(|op| match op {
        Op::InsertMessage(_) => taken("message"),
        Op::InsertInbound(_) => taken("inbound"),
        Op::InsertIdempotency(_) => taken("idempotency"),
        _ => false,
    });
    if conflict { WriteError::Conflict } else { WriteError::Rejected(refusal.why.clone()) }
}
