//! Drives the membership machine: ticks once a second and whenever told to, and carries out what the
//! machine decides, all at the same time, so that nothing delays the beat.

use std::{future::Future, sync::Arc, time::Duration};

use contract::ShardId;
use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt},
    stream::FuturesUnordered,
};
use store::{Cluster, Lanes, StoreError, Tick, rows::Shard};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, timeout},
};
use upstream::Upstream;

use super::{
    beat::Beat,
    follow::{FollowError, Followers, Shown},
    holdings::{HoldError, Holdings},
    machine::{Input, Machine, Output, Reason},
};

const PERIOD: Duration = Duration::from_secs(1);
/// A question about the cluster that is not answered within this counts as failed. Its outcome
/// shows in a later tick.
const PATIENCE: Duration = Duration::from_secs(2);
/// Fencing waits for open batches of the dead node.
const FENCE_PATIENCE: Duration = Duration::from_secs(15);

/// This process must end.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Another incarnation has taken over.
    #[error(
        "another coreapp has taken over the shards; this one stops so as not to act twice \
         (HG-CLUSTER-3)"
    )]
    Fenced,
    /// A row is not what it should be.
    #[error(
        "shard {0} has another owner although this coreapp was not fenced; this one stops so as not \
         to act twice (HG-CLUSTER-4)"
    )]
    Taken(ShardId),
    /// A shard cannot be worked with.
    #[error(transparent)]
    Hold(#[from] HoldError),
}

/// How far the cluster task is.
#[derive(Clone, Debug, Default)]
pub(crate) enum Progress {
    #[default]
    Starting,
    /// What was there to be taken is taken.
    Settled,
    /// Everything has been given away.
    Drained,
    Lost(Arc<Lost>),
}

/// From outside.
enum Command {
    /// Look at the database; answered when what it holds is gone by.
    Nudge(oneshot::Sender<()>),
    Drain,
}

/// Hands for others.
#[derive(Clone)]
pub(crate) struct Members {
    /// Bounded by the callers: each waits for its answer.
    commands: mpsc::UnboundedSender<Command>,
    progress: watch::Receiver<Progress>,
}

impl Members {
    /// Waits until this coreapp goes by what the database holds now; false when it could not look.
    pub(crate) async fn nudge(&self) -> bool {
        let (done, looked) = oneshot::channel();
        let _ended = self.commands.send(Command::Nudge(done));
        looked.await.is_ok()
    }

    /// Gives every shard away; done when all are gone or nobody is there to take any.
    pub(crate) async fn drain(&self) {
        let _ended = self.commands.send(Command::Drain);
        let mut progress = self.progress.clone();
        let over = |progress: &Progress| matches!(progress, Progress::Drained | Progress::Lost(_));
        let _ended = progress.wait_for(over).await;
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }
}

/// What the task works with.
pub(crate) struct Deps<U> {
    pub cluster: Cluster,
    pub inc: i64,
    pub beat: Arc<Beat>,
    pub lanes: Lanes,
    pub holdings: Arc<Holdings<U>>,
    pub followers: Arc<Followers>,
    /// What [`super::boot`] has left to do.
    pub booted: super::Booted,
}

/// What came of something.
enum Done {
    Tick {
        sent: Instant,
        sent_ms: u64,
        tick: Result<Tick, StoreError>,
        nudges: Vec<oneshot::Sender<()>>,
    },
    Followed {
        result: Result<(), FollowError>,
        nudges: Vec<oneshot::Sender<()>>,
    },
    Fenced {
        inc: i64,
        dead: Option<bool>,
    },
    Claimed {
        asked: Vec<ShardId>,
        got: Vec<Shard>,
    },
    Owned {
        shard: ShardId,
        result: Result<(), HoldError>,
    },
    Closed {
        shard: ShardId,
    },
    Given {
        shard: ShardId,
        given: bool,
    },
    Nothing,
}

struct Task<U> {
    cluster: Cluster,
    inc: i64,
    beat: Arc<Beat>,
    holdings: Arc<Holdings<U>>,
    followers: Arc<Followers>,
    machine: Machine,
    origin: Instant,
    order: Order,
    progress: watch::Sender<Progress>,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    ticking: bool,
    /// One more tick is wanted when the one under way is done.
    again: bool,
    following: bool,
    /// Shown by a tick and not followed yet.
    shown: Option<Shown>,
    /// Who waits for a tick, and for what it has shown.
    nudges: Vec<oneshot::Sender<()>>,
    looked: Vec<oneshot::Sender<()>>,
    failing: bool,
    /// The others are to be told that owners have changed.
    moved: bool,
}

/// Starts the task; it runs until the process ends or is lost.
pub(crate) fn start<U: Upstream>(deps: Deps<U>, tasks: &mut tokio::task::JoinSet<()>) -> Members {
    let Deps { cluster, inc, beat, lanes, holdings, followers, booted } = deps;
    let (commands, told) = mpsc::unbounded_channel();
    let (progress, progress_rx) = watch::channel(Progress::Starting);
    let claimed = booted.outputs.iter().any(|output| matches!(output, Output::Own(_)));
    let task = Task {
        cluster,
        inc,
        beat,
        holdings,
        followers,
        machine: booted.machine,
        origin: booted.origin,
        order: Order::default(),
        progress,
        work: FuturesUnordered::new(),
        ticking: false,
        again: false,
        following: false,
        shown: None,
        nudges: Vec::new(),
        looked: Vec::new(),
        failing: false,
        moved: claimed,
    };
    tasks.spawn(task.run(told, lanes.fenced(), booted.outputs));
    Members { commands, progress: progress_rx }
}

/// Milliseconds of what this process does to the cluster's rows and of when it begins to read them, each later
/// than the one before: a row that was read right after a change, in the same millisecond, must not be
/// taken for an older one, or the change shows only with the next tick, a second later.
#[derive(Default)]
struct Order(u64);

impl Order {
    fn next(&mut self, now_ms: u64) -> u64 {
        self.0 = now_ms.max(self.0 + 1);
        self.0
    }
}

impl<U: Upstream> Task<U> {
    async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        mut fenced: watch::Receiver<bool>,
        outputs: Vec<Output>,
    ) {
        let mut period = tokio::time::interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for output in outputs {
            self.perform(output);
        }
        while !matches!(*self.progress.borrow(), Progress::Lost(_)) {
            let done = tokio::select! {
                _ = period.tick(), if !self.ticking => None,
                Some(done) = self.work.next(), if !self.work.is_empty() => Some(done),
                Some(command) = commands.recv() => {
                    self.command(command);
                    continue;
                }
                _ = fenced.wait_for(|fenced| *fenced) => return self.lose(Lost::Fenced),
            };
            match done {
                None => self.tick(),
                Some(done) => self.done(done),
            }
            self.publish();
            self.follow();
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Nudge(done) => {
                self.nudges.push(done);
                self.tick();
            }
            Command::Drain => {
                let (cluster, inc) = (self.cluster.clone(), self.inc);
                self.work.push(
                    async move {
                        // Only so that the others give us nothing more: each release says as much.
                        if let Ok(Err(error)) = timeout(PATIENCE, cluster.drain(inc)).await {
                            tracing::warn!(%error, "the others were not told that this coreapp leaves");
                        }
                        Done::Nothing
                    }
                    .boxed(),
                );
                self.input(Input::Drain);
            }
        }
    }

    /// Beats and reads, unless that is under way: then it is done once more afterwards.
    fn tick(&mut self) {
        if self.ticking {
            self.again = true;
            return;
        }
        self.ticking = true;
        let nudges = std::mem::take(&mut self.nudges);
        let (cluster, inc, sent) = (self.cluster.clone(), self.inc, Instant::now());
        let sent_ms = self.order.next(self.ms(sent));
        self.work.push(
            async move {
                let tick = timeout(PATIENCE, cluster.tick(inc)).await;
                let late = || StoreError::Database("no answer to the beat in time".to_owned());
                let tick = tick.unwrap_or_else(|_| Err(late()));
                Done::Tick { sent, sent_ms, tick, nudges }
            }
            .boxed(),
        );
    }

    fn done(&mut self, done: Done) {
        let now_ms = self.ms(Instant::now());
        match done {
            Done::Tick { sent, sent_ms, tick, nudges } => {
                self.ticking = false;
                self.ticked((sent, sent_ms), tick, nudges);
                if std::mem::take(&mut self.again) {
                    self.tick();
                }
            }
            Done::Followed { result, nudges } => {
                self.following = false;
                match result {
                    Ok(()) => {
                        for nudge in nudges {
                            let _gone = nudge.send(());
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "what other coreapps have written could not be read; will try again");
                    }
                }
            }
            Done::Fenced { inc, dead } => {
                if dead == Some(true) {
                    tracing::warn!(node.inc = inc, "fenced a coreapp whose beat stood still");
                }
                self.input(Input::Fenced { inc, dead });
            }
            Done::Claimed { asked, got } => {
                self.moved |= !got.is_empty();
                let now_ms = self.order.next(now_ms);
                self.input(Input::Claimed { now_ms, asked, got });
            }
            Done::Owned { shard, result: Ok(()) } => {
                tracing::debug!(shard = shard.get(), "took a shard up");
                self.input(Input::Owned { shard });
            }
            Done::Owned { result: Err(error), .. } => self.lose(error.into()),
            Done::Closed { shard } => {
                tracing::debug!(shard = shard.get(), "let a shard go");
                self.input(Input::Closed { shard });
            }
            Done::Given { shard, given } => {
                tracing::debug!(shard = shard.get(), given, "gave a shard to its next owner");
                self.moved |= given;
                let now_ms = self.order.next(now_ms);
                self.input(Input::Given { now_ms, shard, given });
                // The rows show the new owner.
                self.tick();
            }
            Done::Nothing => {}
        }
    }

    fn ticked(
        &mut self,
        (sent, sent_ms): (Instant, u64),
        tick: Result<Tick, StoreError>,
        nudges: Vec<oneshot::Sender<()>>,
    ) {
        match tick {
            Ok(tick) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the database answers again");
                }
                let (configs, generation) = (tick.configs.clone(), tick.generation);
                self.shown = Some(Shown { configs, generation });
                self.looked.extend(nudges);
                let got_ms = self.ms(Instant::now()).max(sent_ms);
                self.input(Input::Tick { sent_ms, got_ms, tick });
                // Only now: to be heard of is not enough, the rows must still name us.
                self.beat.good(sent);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%error, "the beat was not written; after 3 s nothing leaves, after 5 s nothing is answered");
                }
            }
        }
    }

    fn input(&mut self, input: Input) {
        for output in self.machine.step(input) {
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output) {
        let (cluster, inc, holdings) = (self.cluster.clone(), self.inc, self.holdings.clone());
        match output {
            Output::Fence { inc, beat } => self.push(async move {
                let dead = timeout(FENCE_PATIENCE, cluster.fence(inc, Some(beat))).await;
                Done::Fenced { inc, dead: dead.ok().and_then(Result::ok) }
            }),
            Output::Claim(seen) => self.push(async move {
                let got = timeout(PATIENCE, cluster.claim(inc, &seen)).await;
                let asked = seen.iter().map(|row| row.id).collect();
                Done::Claimed { asked, got: got.ok().and_then(Result::ok).unwrap_or_default() }
            }),
            Output::Give { seen, to } => self.push(async move {
                let given = timeout(PATIENCE, cluster.claim(to, &[seen])).await;
                let given = given.ok().and_then(Result::ok).is_some_and(|got| !got.is_empty());
                Done::Given { shard: seen.id, given }
            }),
            Output::Own(row) => self.push(async move {
                tracing::debug!(shard = row.id.get(), "takes a shard up");
                let result = holdings.own(row).await;
                Done::Owned { shard: row.id, result }
            }),
            Output::Close(shard) => self.push(async move {
                tracing::debug!(shard = shard.get(), "lets a shard go");
                holdings.close(shard).await;
                Done::Closed { shard }
            }),
            Output::Lost(Reason::Fenced) => self.lose(Lost::Fenced),
            Output::Lost(Reason::Taken(shard)) => self.lose(Lost::Taken(shard)),
            Output::Drained => drop(self.progress.send_replace(Progress::Drained)),
        }
    }

    fn push(&self, work: impl Future<Output = Done> + Send + 'static) {
        self.work.push(work.boxed());
    }

    /// Shows who owns what to those who ask, and tells the other nodes when that has changed.
    fn publish(&mut self) {
        let starting = matches!(*self.progress.borrow(), Progress::Starting);
        if starting && self.machine.settled() {
            self.progress.send_replace(Progress::Settled);
        }
        let (nodes, rows) = self.machine.seen();
        let map = self.holdings.map.borrow().read(self.inc, nodes, rows);
        let before = self.holdings.map.borrow().clone();
        if *before != map {
            let shown = map.shown();
            if before.shown() != shown {
                self.followers.control.shards(shown);
            }
            self.holdings.map.send_replace(Arc::new(map));
        }
        if std::mem::take(&mut self.moved) {
            let peers = self.holdings.duties.peers.clone();
            self.push(async move {
                peers.nudge().await;
                Done::Nothing
            });
        }
    }

    fn follow(&mut self) {
        if self.following {
            return;
        }
        let Some(shown) = self.shown.take() else { return };
        self.following = true;
        let (followers, nudges) = (self.followers.clone(), std::mem::take(&mut self.looked));
        self.push(async move {
            let result = followers.follow(&shown).await;
            Done::Followed { result, nudges }
        });
    }

    fn lose(&self, lost: Lost) {
        self.beat.end();
        self.progress.send_replace(Progress::Lost(Arc::new(lost)));
    }

    fn ms(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.origin);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_in_the_same_millisecond_is_later_and_time_is_caught_up_with() {
        let mut order = Order::default();
        let stamps = [7, 7, 7, 8, 20].map(|now_ms| order.next(now_ms));
        assert_eq!(stamps, [7, 8, 9, 10, 20]);
    }
}
