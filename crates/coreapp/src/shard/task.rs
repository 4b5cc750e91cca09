//! Drives the machines of one lane and carries out what they decide.
//!
//! One task a lane, not one a shard: what arrives together is handled in one wake-up, its writes
//! join one batch, and its answers leave as one message a stream (docs/decisions/002).

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use contract::{ApiError, Clock, Code, Key, Number, Rng, ShardId};
use store::{Lanes, ReadAnswer, Reader, ShardLoad, write::Answer};
use telemetry::Traces;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior},
};
use upstream::{ContactResult, Item, Outgoing, Sealing, UserBundles};

use super::{
    accept::away,
    block::Standing,
    cancel::CancelReply,
    effects::{Accepted, Check, Ctx, Effects, Frame, IdentityRequest, ReplyTo, Window, shard_of},
    elsewhere::{HandedOn, NotTaken},
    leave::moved,
    machine::Machine,
};
use crate::{
    cluster::beat::Beat,
    delivery::{Flights, Logged},
    intake::{Gate, pipe},
    media::{Unready, Wanted},
    metrics::Metrics,
    prekeys::{Ring, SetUp},
    settings::View,
};

/// Lists of frames that may wait for a driver; then the caller waits, at most [`INBOX_WAIT`].
const INBOX: usize = 256;
/// How long a caller waits for room, in a driver's inbox or a lane's; then 503/1023.
const INBOX_WAIT: Duration = Duration::from_millis(250);
/// Pieces of contact checks and of the network's answers to them that may wait; then whoever brings
/// more waits, and the callers of the contacts listener in the end.
const CONTACTS: usize = 16;
/// Numbers of a piece. A turn takes one piece, whatever waits: a flood of checks delays a message by
/// no more than that.
const PIECE: usize = 64;
/// Lists of items from the link that may wait; then the link is not read.
const INCOMING: usize = 64;
/// How often time passes for the machines.
const TICK: Duration = Duration::from_millis(100);
/// How long a shard that is left waits for answers of the network.
const ANSWERS_MAX: Duration = Duration::from_secs(2);
/// Rounds of queued input taken before effects are carried out.
const DRAIN: usize = 64;

/// What the drivers of a process share.
pub(crate) struct Shared {
    pub lanes: Lanes,
    pub reader: Reader,
    pub clock: Arc<dyn Clock>,
    pub settings: watch::Receiver<Arc<View>>,
    pub gate: Arc<Gate>,
    pub window: Arc<Window>,
    pub beat: Arc<Beat>,
    pub link: mpsc::Sender<Outgoing>,
    pub contacts: mpsc::UnboundedSender<Vec<Number>>,
    pub bundles: mpsc::UnboundedSender<Vec<Number>>,
    pub files: mpsc::UnboundedSender<Vec<Wanted>>,
    pub handed_on: mpsc::UnboundedSender<Vec<HandedOn>>,
    pub setups: mpsc::UnboundedSender<UserBundles>,
    pub metrics: Metrics,
    pub sealing: Sealing,
    /// Of the account, at the start.
    pub generation: i64,
    pub keys: Arc<Ring>,
    pub rng: Arc<dyn Rng>,
    pub traces: Traces,
}

/// Hands for all drivers.
#[derive(Clone)]
pub(crate) struct Drivers(Arc<[Handle]>);

struct Handle {
    frames: mpsc::Sender<Vec<Frame>>,
    control: mpsc::UnboundedSender<Control>,
    link: mpsc::Sender<LinkInput>,
    contacts: mpsc::Sender<ContactsInput>,
}

/// What the contacts listener and the contact sync bring, in pieces of [`PIECE`].
enum ContactsInput {
    Check {
        shard: ShardId,
        check: Check,
    },
    Results(Vec<ContactResult>),
    /// The contact sync has no room for these.
    Refused(Vec<Number>),
}

/// A shard whose owner has begun a new generation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Renewed {
    pub shard: ShardId,
    /// Raised or as before.
    pub epoch: i64,
    /// Number of the next event at least.
    pub next_seq: i64,
}

/// What happens seldom.
enum Control {
    Own {
        shard: ShardId,
        epoch: i64,
        load: ShardLoad,
        done: oneshot::Sender<()>,
    },
    Identity {
        wa_id: Number,
        request: IdentityRequest,
    },
    Standing {
        number: Number,
        standing: Standing,
    },
    SetUp(SetUp),
    Files {
        shard: ShardId,
        key: Key,
        ready: Result<Bytes, Unready>,
    },
    HandedOn {
        shard: ShardId,
        key: Key,
        taken: Result<(), NotTaken>,
    },
    Cancel {
        shard: ShardId,
        key: Key,
        reply: CancelReply,
    },
    /// A generation of the account begins.
    Renew {
        generation: i64,
        shards: Vec<Renewed>,
        done: oneshot::Sender<()>,
    },
    /// Take nothing more of a shard in, answer when nothing of it is being written.
    Close {
        shard: ShardId,
        done: oneshot::Sender<()>,
    },
    /// The shard is gone.
    Disown {
        shard: ShardId,
        done: oneshot::Sender<()>,
    },
    /// Take nothing in any more, answer when nothing is being written.
    Drain(oneshot::Sender<()>),
}

/// What the link says, in its order.
#[derive(Debug)]
pub(crate) enum LinkInput {
    /// A new connection, or none: nothing is attached.
    Reset,
    Busy(Duration),
    /// Ahead of the shard's Welcome: receipts whose events are committed and that may come again.
    Logged(ShardId, Logged),
    Items(Vec<(ShardId, u64, Item)>),
}

impl Drivers {
    /// Starts one driver a lane.
    pub(crate) fn start(shared: Shared, lanes: usize) -> Self {
        let shared = Arc::new(shared);
        let handles = (0..lanes).map(|lane| {
            let (frames, frames_rx) = mpsc::channel(INBOX);
            let (control, control_rx) = mpsc::unbounded_channel();
            let (link, link_rx) = mpsc::channel(INCOMING);
            let (contacts, contacts_rx) = mpsc::channel(CONTACTS);
            let (answers, answers_rx) = mpsc::unbounded_channel();
            let (reads, reads_rx) = mpsc::unbounded_channel();
            let driver = Driver {
                generation: shared.generation,
                lane,
                shared: shared.clone(),
                machines: HashMap::new(),
                closing: HashMap::new(),
                answers,
                reads,
                held: VecDeque::new(),
                unsent: VecDeque::new(),
                flights: shared.metrics.flights(),
                draining: None,
            };
            let inputs =
                Inputs { frames_rx, control_rx, link_rx, contacts_rx, answers_rx, reads_rx };
            tokio::spawn(driver.run(inputs));
            Handle { frames, control, link, contacts }
        });
        Self(handles.collect())
    }

    /// One that does nothing, and the frames it is given.
    #[cfg(test)]
    pub(crate) fn idle() -> (Self, mpsc::Receiver<Vec<Frame>>) {
        let (frames, given) = mpsc::channel(INBOX);
        let (control, link) = (mpsc::unbounded_channel().0, mpsc::channel(1).0);
        let contacts = mpsc::channel(1).0;
        (Self(Arc::new([Handle { frames, control, link, contacts }])), given)
    }

    /// The driver of a shard.
    pub(crate) fn index(&self, shard: ShardId) -> usize {
        usize::from(shard.get().max(0).unsigned_abs()) % self.0.len()
    }

    /// Hands over frames; refuses them with 1023 when the driver has no room for a while.
    pub(crate) async fn submit(&self, driver: usize, frames: Vec<Frame>) {
        let Some(handle) = self.0.get(driver) else { return };
        let refused = match handle.frames.send_timeout(frames, INBOX_WAIT).await {
            Ok(()) => return,
            Err(error) => error.into_inner(),
        };
        let error = no_room();
        send_replies(refused.into_iter().map(|frame| (frame.reply, Err(error.clone()))).collect());
    }

    /// Gives a shard to its driver; done when its writes may pass.
    pub(crate) async fn own(&self, shard: ShardId, epoch: i64, load: ShardLoad) {
        let (done, owned) = oneshot::channel();
        self.control(self.index(shard), Control::Own { shard, epoch, load, done });
        let _ended = owned.await;
    }

    /// Begins to leave a shard: its callers are told that it has moved. Done when what was on its way
    /// is settled, or waits in rows.
    pub(crate) async fn close(&self, shard: ShardId) {
        let (done, closed) = oneshot::channel();
        self.control(self.index(shard), Control::Close { shard, done });
        let _ended = closed.await;
    }

    /// Forgets a shard that its lane has parted from.
    pub(crate) async fn disown(&self, shard: ShardId) {
        let (done, gone) = oneshot::channel();
        self.control(self.index(shard), Control::Disown { shard, done });
        let _ended = gone.await;
    }

    /// Tells every machine of a new generation; done when none uses the one before.
    pub(crate) async fn renew(&self, generation: i64, shards: Vec<Renewed>) {
        for driver in 0..self.0.len() {
            let of_driver = |renewed: &&Renewed| self.index(renewed.shard) == driver;
            let shards = shards.iter().filter(of_driver).copied().collect();
            let (done, renewed) = oneshot::channel();
            self.control(driver, Control::Renew { generation, shards, done });
            let _ended = renewed.await;
        }
    }

    /// Puts a question; waits while the driver has others.
    pub(crate) async fn check(&self, shard: ShardId, check: Check) {
        let Check { numbers, force, no_wait, reply } = check;
        for numbers in numbers.chunks(PIECE) {
            let (numbers, reply) = (numbers.to_vec(), reply.clone());
            let check = Check { numbers, force, no_wait, reply };
            self.contacts_input(self.index(shard), ContactsInput::Check { shard, check }).await;
        }
    }

    /// What the network said of numbers; waits while the drivers are behind.
    pub(crate) async fn contacts(&self, results: Vec<ContactResult>) {
        self.in_pieces(results, |result| result.number, ContactsInput::Results).await;
    }

    /// The network cannot be asked about these numbers: too many wait.
    pub(crate) async fn contacts_refused(&self, numbers: Vec<Number>) {
        self.in_pieces(numbers, |number| *number, ContactsInput::Refused).await;
    }

    async fn in_pieces<T: Clone>(
        &self,
        items: Vec<T>,
        number: impl Fn(&T) -> Number,
        input: impl Fn(Vec<T>) -> ContactsInput,
    ) {
        let mut by_driver: BTreeMap<usize, Vec<T>> = BTreeMap::new();
        for item in items {
            let shard = contract::Route::of(&number(&item)).shard();
            by_driver.entry(self.index(shard)).or_default().push(item);
        }
        for (driver, items) in by_driver {
            for piece in items.chunks(PIECE) {
                self.contacts_input(driver, input(piece.to_vec())).await;
            }
        }
    }

    async fn contacts_input(&self, driver: usize, input: ContactsInput) {
        if let Some(handle) = self.0.get(driver) {
            // A driver that has ended owns nothing any more.
            let _ended = handle.contacts.send(input).await;
        }
    }

    /// Blocks a number, or ends that.
    pub(crate) fn standing(&self, number: Number, standing: Standing) {
        let shard = contract::Route::of(&number).shard();
        self.control(self.index(shard), Control::Standing { number, standing });
    }

    /// Asks for a contact's identity, or acknowledges it.
    pub(crate) fn identity(&self, wa_id: Number, request: IdentityRequest) {
        let shard = contract::Route::of(&wa_id).shard();
        self.control(self.index(shard), Control::Identity { wa_id, request });
    }

    /// Takes a message back, if it is not too late.
    pub(crate) fn cancel(&self, shard: ShardId, key: Key, reply: CancelReply) {
        self.control(self.index(shard), Control::Cancel { shard, key, reply });
    }

    /// Sessions were set up, or were not.
    pub(crate) fn set_up(&self, set_up: SetUp) {
        let shard = contract::Route::of(&set_up.wa_id).shard();
        self.control(self.index(shard), Control::SetUp(set_up));
    }

    /// The files of a message are at the network, or are not.
    pub(crate) fn files(&self, shard: ShardId, key: Key, ready: Result<Bytes, Unready>) {
        self.control(self.index(shard), Control::Files { shard, key, ready });
    }

    /// Another shard has taken a message over, or has not.
    pub(crate) fn handed_on(&self, shard: ShardId, key: Key, taken: Result<(), NotTaken>) {
        self.control(self.index(shard), Control::HandedOn { shard, key, taken });
    }

    /// Passes on what the link said; waits while the drivers are behind.
    pub(crate) async fn link(&self, driver: usize, input: LinkInput) {
        if let Some(handle) = self.0.get(driver) {
            // A driver that has ended owns nothing any more.
            let _ended = handle.link.send(input).await;
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Waits until no write of any driver is under way; new frames are refused.
    pub(crate) async fn drain(&self) {
        for driver in 0..self.0.len() {
            let (done, drained) = oneshot::channel();
            self.control(driver, Control::Drain(done));
            let _ended = drained.await;
        }
    }

    fn control(&self, driver: usize, control: Control) {
        if let Some(handle) = self.0.get(driver) {
            let _ended = handle.control.send(control);
        }
    }
}

struct Inputs {
    frames_rx: mpsc::Receiver<Vec<Frame>>,
    control_rx: mpsc::UnboundedReceiver<Control>,
    link_rx: mpsc::Receiver<LinkInput>,
    contacts_rx: mpsc::Receiver<ContactsInput>,
    answers_rx: mpsc::UnboundedReceiver<Vec<Answer>>,
    reads_rx: mpsc::UnboundedReceiver<Vec<ReadAnswer>>,
}

struct Driver {
    lane: usize,
    shared: Arc<Shared>,
    /// Of the account, now.
    generation: i64,
    machines: HashMap<ShardId, Machine>,
    /// Those that are being left.
    closing: HashMap<ShardId, Closing>,
    answers: mpsc::UnboundedSender<Vec<Answer>>,
    reads: mpsc::UnboundedSender<Vec<ReadAnswer>>,
    /// Frames that wait for room in the lane's inbox, and until when.
    held: VecDeque<(Instant, Frame)>,
    /// What the link had no room for; bounded by the window.
    unsent: VecDeque<Outgoing>,
    flights: Flights,
    draining: Option<Vec<oneshot::Sender<()>>>,
}

/// How far a shard is left.
struct Closing {
    /// Answers of the network are waited for until then.
    until: Instant,
    /// Nothing goes in any more but what came of writes.
    silent: bool,
    done: Option<oneshot::Sender<()>>,
}

/// One thing that happened.
enum Input {
    Frames(Vec<Frame>),
    Control(Control),
    Link(LinkInput),
    Contacts(ContactsInput),
    Answers(Vec<Answer>),
    Reads(Vec<ReadAnswer>),
    Tick,
}

impl Driver {
    async fn run(mut self, mut inputs: Inputs) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Contacts come last, and only as fast as their rows are written.
            let contacts = self.shared.lanes.has_bulk_room(self.lane);
            let first = tokio::select! {
                biased;
                Some(answers) = inputs.answers_rx.recv() => Input::Answers(answers),
                Some(reads) = inputs.reads_rx.recv() => Input::Reads(reads),
                Some(link) = inputs.link_rx.recv() => Input::Link(link),
                Some(control) = inputs.control_rx.recv() => Input::Control(control),
                Some(frames) = inputs.frames_rx.recv() => Input::Frames(frames),
                _ = tick.tick() => Input::Tick,
                Some(input) = inputs.contacts_rx.recv(), if contacts => Input::Contacts(input),
            };
            self.turn(first, &mut inputs);
        }
    }

    /// Handles what has gathered, then carries out what came of it.
    fn turn(&mut self, first: Input, inputs: &mut Inputs) {
        let shared = self.shared.clone();
        let settings = shared.settings.borrow().clone();
        let ctx = Ctx {
            now: Instant::now(),
            now_ms: shared.clock.unix_ms(),
            settings: &settings,
            gate: &shared.gate,
            window: &shared.window,
            frozen: shared.beat.frozen(),
            sealing: shared.sealing,
            tracing: shared.traces.is_on(),
            generation: self.generation,
            keys: &shared.keys,
            rng: &*shared.rng,
        };
        let mut fx = Effects::default();
        let contacts =
            !matches!(first, Input::Contacts(_)) && shared.lanes.has_bulk_room(self.lane);
        self.input(first, &ctx, &mut fx);
        for _ in 0..DRAIN {
            let Some(next) = inputs.next() else { break };
            self.input(next, &ctx, &mut fx);
        }
        if contacts && let Ok(piece) = inputs.contacts_rx.try_recv() {
            self.input(Input::Contacts(piece), &ctx, &mut fx);
        }
        self.take_held(&ctx, &mut fx);
        for machine in self.machines.values_mut() {
            machine.pump(&ctx, &mut fx);
        }
        self.leave(&ctx);
        self.flights.begin(&fx.sends, ctx.now);
        self.carry_out(fx);
        if self.draining.is_some() && self.machines.values().all(|machine| !machine.writing()) {
            for done in self.draining.iter_mut().flat_map(std::mem::take) {
                let _gone = done.send(());
            }
        }
    }

    fn input(&mut self, input: Input, ctx: &Ctx<'_>, fx: &mut Effects) {
        match input {
            Input::Frames(frames) => {
                let until = ctx.now + INBOX_WAIT;
                self.held.extend(frames.into_iter().map(|frame| (until, frame)));
                self.take_held(ctx, fx);
            }
            Input::Answers(answers) => {
                for answer in answers {
                    if let Some(machine) = self.machines.get_mut(&answer.shard) {
                        machine.written(answer, ctx, fx);
                    }
                }
            }
            Input::Reads(reads) => {
                for answer in reads {
                    if let Some(machine) = self.machine(answer.shard) {
                        machine.read(answer, ctx, fx);
                    }
                }
            }
            Input::Link(link) => self.link(link, ctx, fx),
            Input::Control(control) => self.control(control, ctx, fx),
            Input::Contacts(contacts) => self.contacts(contacts, ctx, fx),
            Input::Tick => {
                for (shard, machine) in &mut self.machines {
                    if self.closing.get(shard).is_none_or(|closing| !closing.silent) {
                        machine.tick(ctx, fx);
                    }
                    if self.shared.lanes.is_away(*shard) {
                        machine.away(fx);
                    }
                }
            }
        }
    }

    fn link(&mut self, input: LinkInput, ctx: &Ctx<'_>, fx: &mut Effects) {
        match input {
            LinkInput::Reset => {
                self.unsent.clear();
                self.flights.reset();
                for machine in self.machines.values_mut() {
                    machine.detached();
                    machine.logged(Logged::new());
                }
            }
            LinkInput::Busy(delay) => {
                for machine in self.machines.values_mut() {
                    machine.hold_link(delay, ctx);
                }
            }
            LinkInput::Logged(shard, logged) => {
                if let Some(machine) = self.machine(shard) {
                    machine.logged(logged);
                }
            }
            LinkInput::Items(items) => {
                for (shard, seq, item) in items {
                    self.flights.item(&item, ctx.now);
                    if let Some(machine) = self.machine(shard) {
                        machine.item(seq, item, ctx, fx);
                    }
                }
            }
        }
    }

    fn control(&mut self, control: Control, ctx: &Ctx<'_>, fx: &mut Effects) {
        match control {
            Control::Own { shard, epoch, load, done } => {
                let next_seq = load.next_seq();
                self.shared.lanes.own(shard, epoch, next_seq, self.answers.clone());
                let mut machine = Machine::new(shard, epoch, load, ctx);
                machine.resume(ctx, fx);
                self.machines.insert(shard, machine);
                let _gone = done.send(());
            }
            Control::Identity { wa_id, request } => match self.machine_of(&wa_id) {
                Some(machine) => machine.identity(wa_id, request, ctx, fx),
                None => drop(request.reply.send(Err(moved()))),
            },
            Control::Cancel { shard, key, reply } => {
                let takes = self.takes(shard);
                match self.machines.get_mut(&shard).filter(|_| takes) {
                    Some(machine) => machine.cancel(key, reply, ctx, fx),
                    None => drop(reply.send(Err(moved()))),
                }
            }
            Control::Standing { number, standing } => match self.machine_of(&number) {
                Some(machine) => machine.set_blocked(number, standing, ctx, fx),
                None => drop(standing.reply.send(Err(moved()))),
            },
            Control::SetUp(set_up) => {
                if let Some(machine) = self.machine_of(&set_up.wa_id) {
                    machine.set_up(set_up, ctx, fx);
                }
            }
            Control::Files { shard, key, ready } => {
                if let Some(machine) = self.machine(shard) {
                    machine.files(key, ready, ctx, fx);
                }
            }
            Control::HandedOn { shard, key, taken } => {
                if let Some(machine) = self.machine(shard) {
                    machine.handed_on(key, taken, ctx, fx);
                }
            }
            Control::Renew { generation, shards, done } => {
                self.generation = generation;
                for Renewed { shard, epoch, next_seq } in shards {
                    self.shared.lanes.renew(shard, epoch, next_seq);
                    if let Some(machine) = self.machines.get_mut(&shard) {
                        machine.renew(epoch, next_seq);
                    }
                }
                let _gone = done.send(());
            }
            Control::Close { shard, done } => match self.machines.get_mut(&shard) {
                Some(machine) => {
                    machine.close();
                    let until = ctx.now + ANSWERS_MAX;
                    let closing = Closing { until, silent: false, done: Some(done) };
                    self.closing.insert(shard, closing);
                }
                None => drop(done.send(())),
            },
            Control::Disown { shard, done } => {
                self.closing.remove(&shard);
                if let Some(machine) = self.machines.remove(&shard) {
                    machine.dissolve(ctx, fx);
                }
                let _gone = done.send(());
            }
            Control::Drain(done) => self.draining.get_or_insert_default().push(done),
        }
    }

    fn contacts(&mut self, input: ContactsInput, ctx: &Ctx<'_>, fx: &mut Effects) {
        match input {
            ContactsInput::Check { shard, check } => {
                if let Some(machine) = self.machine(shard) {
                    machine.check(&check, ctx, fx);
                }
            }
            ContactsInput::Results(results) => {
                for ContactResult { number, status } in results {
                    if let Some(machine) = self.machine_of(&number) {
                        machine.contact(number, status, ctx, fx);
                    }
                }
            }
            ContactsInput::Refused(numbers) => {
                for number in numbers {
                    if let Some(machine) = self.machine_of(&number) {
                        machine.contact_refused(number, ctx);
                    }
                }
            }
        }
    }

    fn machine_of(&mut self, number: &Number) -> Option<&mut Machine> {
        self.machine(contract::Route::of(number).shard())
    }

    /// The machine of a shard, unless that is as good as left.
    fn machine(&mut self, shard: ShardId) -> Option<&mut Machine> {
        let silent = self.closing.get(&shard).is_some_and(|closing| closing.silent);
        self.machines.get_mut(&shard).filter(|_| !silent)
    }

    /// New messages of the shard are taken.
    fn takes(&self, shard: ShardId) -> bool {
        self.draining.is_none() && !self.closing.contains_key(&shard)
    }

    /// Goes on with shards that are being left.
    fn leave(&mut self, ctx: &Ctx<'_>) {
        for (shard, closing) in &mut self.closing {
            let machine = self.machines.get(shard);
            closing.silent |=
                closing.until <= ctx.now || machine.is_none_or(|machine| !machine.unanswered());
            if closing.silent && machine.is_none_or(|machine| !machine.writing()) {
                let _gone = closing.done.take().map(|done| done.send(()));
            }
        }
    }

    /// Gives frames to their machines, as far as the lane has room; later ones stay behind earlier.
    fn take_held(&mut self, ctx: &Ctx<'_>, fx: &mut Effects) {
        while let Some((until, frame)) = self.held.pop_front() {
            let shard = shard_of(&frame);
            if self.shared.lanes.is_away(shard) {
                // Whoever owns it: one that is just changing hands has no other answer before it is back.
                fx.replies.push((frame.reply, Err(away())));
                continue;
            }
            let takes = self.takes(shard);
            let Some(machine) = self.machines.get_mut(&shard).filter(|_| takes) else {
                fx.replies.push((frame.reply, Err(moved())));
                continue;
            };
            if self.shared.lanes.has_room(shard) {
                machine.accept(frame, ctx, fx);
            } else if until <= ctx.now {
                fx.replies.push((frame.reply, Err(no_room())));
            } else {
                self.held.push_front((until, frame));
                break;
            }
        }
    }

    fn carry_out(&mut self, fx: Effects) {
        if !fx.writes.is_empty() {
            self.shared.lanes.submit_many(fx.writes);
        }
        for read in fx.reads {
            self.shared.reader.submit(read, self.reads.clone());
        }
        for span in fx.spans {
            self.shared.traces.record(span);
        }
        // Before the questions they wait for.
        for (operation, number, context) in fx.waiting {
            self.shared.traces.waits_for(operation, number, context);
        }
        if !fx.contacts.is_empty() {
            // The sync ends with the process.
            let _ended = self.shared.contacts.send(fx.contacts);
        }
        if !fx.bundles.is_empty() {
            let _ended = self.shared.bundles.send(fx.bundles);
        }
        if !fx.files.is_empty() {
            let _ended = self.shared.files.send(fx.files);
        }
        if !fx.handed_on.is_empty() {
            let _ended = self.shared.handed_on.send(fx.handed_on);
        }
        for setup in fx.setups {
            let _ended = self.shared.setups.send(setup);
        }
        self.shared.metrics.sessions_refused(&fx.refused);
        self.shared.metrics.transmitted(&fx.sends);
        self.shared.metrics.count(fx.counts);
        self.unsent.extend(fx.sends);
        while let Some(next) = self.unsent.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(next)) = self.shared.link.try_send(next) {
                self.unsent.push_front(next);
                break;
            }
        }
        send_replies(fx.replies);
    }
}

impl Inputs {
    fn next(&mut self) -> Option<Input> {
        if let Ok(answers) = self.answers_rx.try_recv() {
            return Some(Input::Answers(answers));
        }
        if let Ok(reads) = self.reads_rx.try_recv() {
            return Some(Input::Reads(reads));
        }
        if let Ok(link) = self.link_rx.try_recv() {
            return Some(Input::Link(link));
        }
        if let Ok(control) = self.control_rx.try_recv() {
            return Some(Input::Control(control));
        }
        self.frames_rx.try_recv().ok().map(Input::Frames)
    }
}

/// One message a stream, whatever the number of answers.
pub(crate) fn send_replies(replies: Vec<(ReplyTo, Accepted)>) {
    let mut streams: HashMap<*const pipe::StreamOut, (Arc<pipe::StreamOut>, Vec<_>)> =
        HashMap::new();
    for (to, accepted) in replies {
        match to {
            ReplyTo::Once(reply) => {
                let _gone = reply.send(accepted);
            }
            ReplyTo::Stream { out, seq } => streams
                .entry(Arc::as_ptr(&out))
                .or_insert_with(|| (out, Vec::new()))
                .1
                .push(pipe::reply(seq, &accepted)),
        }
    }
    for (out, replies) in streams.into_values() {
        out.answer(replies);
    }
}

fn no_room() -> ApiError {
    ApiError::new(Code::DATABASE, "the database does not keep up; nothing was stored")
        .retry_after_ms(1_000)
}
