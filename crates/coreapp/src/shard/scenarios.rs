//! The machine step by step, over days of virtual time: contacts, blocks, accounts that are gone.

mod elsewhere;

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use contract::{
    ApiError, Code, Key, Number, Route, ShardId, callback::StatusKind, message::Category,
    settings::Application,
};
use session::{Identity, PreKeyId, SignedPreKey};
use store::{
    Found, Read, ReadAnswer, ShardLoad,
    rows::{self, Contact, NewEvent},
    write::{Answer, Committed, Op, Reply, WriteError},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use upstream::{
    ContactStatus, Envelope, EnvelopeKind, Inbound, Item, Outgoing, Receipt, ReceiptKind, Sealing,
    Sent,
};

use super::{
    block::Standing,
    effects::{Accepted, Check, CheckState, Checked, Ctx, Effects, Frame, ReplyTo, Window},
    elsewhere::HandedOn,
    machine::Machine,
    sim_phones::Seeded,
};
use crate::{
    intake::Gate,
    media::{Unready, Wanted},
    prekeys::{Keys, Ring},
    settings::View,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const DIALLED: &str = "5215512345678";
const WA_ID: &str = "525512345678";
const TEXT: &[u8] = br#"{"type":"text","text":{"body":"hi"}}"#;
const IMAGE: &[u8] = br#"{"type":"image","image":{"id":"f043afd0"}}"#;
const AT_PHONES: &[u8] = br#"{"type":"image","image":{"handle":"h"}}"#;

fn number(text: &str) -> Number {
    Number::parse(text).unwrap()
}

/// One shard with rows that commit at once, and a network that answers when it is told to.
struct World {
    shard: ShardId,
    now: Instant,
    now_ms: i64,
    view: Arc<View>,
    gate: Gate,
    window: Window,
    keys: Ring,
    rng: Arc<Seeded>,
    machine: Machine,
    refuse_writes: bool,
    /// The database is away; what is written is refused.
    away: bool,
    contacts: HashMap<Number, Contact>,
    messages: HashMap<Key, rows::Message>,
    blocked: Vec<rows::Blocked>,
    events: Vec<NewEvent>,
    heard: usize,
    /// What the network was asked for, in order.
    asked: Vec<Number>,
    sent: Vec<Key>,
    /// What left, as phones get it.
    left: Vec<Bytes>,
    /// Messages whose files are wanted.
    wanted: Vec<Wanted>,
    /// Messages for other shards.
    handed_on: Vec<HandedOn>,
    acked: u64,
    next_key: u8,
    next_seq: u64,
}

impl World {
    fn new() -> Self {
        Self::with(&Application::default())
    }

    fn with(application: &Application) -> Self {
        Self::of(shard(), application)
    }

    fn of(shard: ShardId, application: &Application) -> Self {
        let rng = Arc::new(Seeded::new(7));
        let me = Arc::new(Identity::generate(&*rng));
        let signed = SignedPreKey::generate(&me, PreKeyId::new(1).unwrap(), &*rng);
        let newest = Some(signed.id());
        let signed = [(signed.id(), signed)].into();
        let keys = Ring::new(me, 0, Keys { signed, newest, ..Keys::default() });
        let (now, now_ms) = (Instant::now(), 1_700_000_000_000);
        let (gate, window, view) = (
            Gate::new(100, 0),
            Window::new(100),
            View::of(application, Some(number("15550100100"))),
        );
        let ctx = Ctx {
            now,
            now_ms,
            settings: &view,
            gate: &gate,
            window: &window,
            frozen: false,
            sealing: Sealing::Plain,

            tracing: true,
            generation: 1,
            keys: &keys,
            rng: &*rng,
        };
        let machine = Machine::new(shard, 1, ShardLoad::default(), &ctx);
        Self {
            shard,
            now,
            now_ms,
            view,
            gate,
            window,
            keys,
            rng,
            machine,
            refuse_writes: false,
            away: false,
            contacts: HashMap::new(),
            messages: HashMap::new(),
            blocked: Vec::new(),
            events: Vec::new(),
            heard: 0,
            asked: Vec::new(),
            sent: Vec::new(),
            left: Vec::new(),
            wanted: Vec::new(),
            handed_on: Vec::new(),
            acked: 0,
            next_key: 0,
            next_seq: 0,
        }
    }

    fn ctx(&self) -> Ctx<'_> {
        Ctx {
            now: self.now,
            now_ms: self.now_ms,
            settings: &self.view,
            gate: &self.gate,
            window: &self.window,
            frozen: false,
            sealing: Sealing::Plain,

            tracing: true,
            generation: 1,
            keys: &self.keys,
            rng: &*self.rng,
        }
    }

    /// The process starts anew on its rows.
    fn restart(&mut self) {
        let load = ShardLoad { blocked: self.blocked.clone(), ..ShardLoad::default() };
        self.machine = Machine::new(self.shard, 2, load, &self.ctx());
    }

    /// One turn, and every row it touches.
    fn turn(&mut self, input: impl FnOnce(&mut Machine, &Ctx<'_>, &mut Effects)) {
        let mut fx = Effects::default();
        self.step(input, &mut fx);
        while !(fx.writes.is_empty() && fx.reads.is_empty()) {
            let (writes, reads) = (std::mem::take(&mut fx.writes), std::mem::take(&mut fx.reads));
            for write in writes {
                let result = self.commit(write.ops);
                if let Reply::Token(token) = write.reply {
                    let answer = Answer { shard: write.shard, token, result };
                    self.step(|machine, ctx, fx| machine.written(answer, ctx, fx), &mut fx);
                }
            }
            for read in reads {
                let found = match read.what {
                    Read::Contact(number) => Found::Contact(self.contacts.get(&number).cloned()),
                    Read::Message(key) => Found::Message(self.messages.get(&key).cloned()),
                    Read::Inbound { .. } => Found::Inbound(false),
                    other => panic!("nobody reads {other:?} here"),
                };
                let answer = ReadAnswer { shard: read.shard, token: read.token, result: Ok(found) };
                self.step(|machine, ctx, fx| machine.read(answer, ctx, fx), &mut fx);
            }
        }
    }

    fn step(
        &mut self,
        input: impl FnOnce(&mut Machine, &Ctx<'_>, &mut Effects),
        out: &mut Effects,
    ) {
        let mut fx = Effects::default();
        let ctx = Ctx {
            now: self.now,
            now_ms: self.now_ms,
            settings: &self.view,
            gate: &self.gate,
            window: &self.window,
            frozen: false,
            sealing: Sealing::Plain,

            tracing: true,
            generation: 1,
            keys: &self.keys,
            rng: &*self.rng,
        };
        input(&mut self.machine, &ctx, &mut fx);
        self.machine.pump(&ctx, &mut fx);
        out.writes.append(&mut fx.writes);
        out.reads.append(&mut fx.reads);
        self.asked.append(&mut fx.contacts);
        self.wanted.append(&mut fx.files);
        self.handed_on.append(&mut fx.handed_on);
        for outgoing in fx.sends {
            match outgoing {
                Outgoing::Send(item) => {
                    self.sent.push(item.key);
                    self.left
                        .extend(item.envelopes.into_iter().map(|envelope| envelope.ciphertext));
                }
                Outgoing::Ack { seq, .. } => self.acked = seq,
                other => panic!("nobody sends {other:?} here"),
            }
        }
        for (to, accepted) in fx.replies {
            let ReplyTo::Once(reply) = to else { panic!("callers ask once") };
            let _gone = reply.send(accepted);
        }
    }

    fn commit(&mut self, ops: Vec<Op>) -> Result<Committed, WriteError> {
        if self.away {
            return Err(WriteError::Away);
        }
        if self.refuse_writes {
            return Err(WriteError::Rejected("the disk is full".to_owned()));
        }
        for op in ops {
            match op {
                Op::InsertMessage(row) => drop(self.messages.insert(row.key, row)),
                Op::PutContact(row) => drop(self.contacts.insert(row.number, row)),
                Op::PutBlocked(row) => self.blocked.push(row),
                Op::DeleteBlocked(route) => {
                    self.blocked.retain(|row| Route::of(&row.number) != route);
                }
                Op::InsertEvent(event) => self.events.push(event),
                Op::InsertInbound(_) => self.heard += 1,
                _ => {}
            }
        }
        Ok(Committed { first_seq: i64::try_from(self.events.len()).unwrap() })
    }

    /// Days pass, ten ticks a day.
    fn days(&mut self, days: u32) {
        for _ in 0..10 * days {
            self.now += DAY / 10;
            self.now_ms += i64::try_from(DAY.as_millis()).unwrap() / 10;
            self.turn(Machine::tick);
        }
    }

    fn check(&mut self, text: &str, no_wait: bool, force: bool) -> Waiting {
        let (reply, answer) = mpsc::unbounded_channel();
        let check = Check { numbers: vec![number(text)], force, no_wait, reply };
        self.turn(|machine, ctx, fx| machine.check(&check, ctx, fx));
        Waiting(answer)
    }

    /// The network's word on a number that it was asked for.
    fn network_says(&mut self, text: &str, status: ContactStatus) {
        assert!(self.asked.contains(&number(text)), "it was not asked");
        self.asked.clear();
        self.turn(|machine, ctx, fx| machine.contact(number(text), status, ctx, fx));
    }

    fn send(&mut self, to: &str) -> (Key, Option<Accepted>) {
        self.send_message(to, TEXT)
    }

    fn send_message(&mut self, to: &str, message: &'static [u8]) -> (Key, Option<Accepted>) {
        self.next_key += 1;
        let mut bytes = [0; 9];
        bytes[8] = self.next_key;
        let key = Key::from_bytes(&bytes).unwrap();
        let (reply, mut answer) = oneshot::channel();
        let to = number(to);
        let frame = Frame {
            key,
            to,
            moved_to: None,
            route: Route::of(&to),
            input: to.to_string(),
            category: Category::Text,
            message: Bytes::from_static(message),
            idempotent: None,
            attempt: 1,
            deadline: self.now + Duration::from_secs(10),
            trace: None,
            reply: ReplyTo::Once(reply),
        };
        self.turn(|machine, ctx, fx| machine.accept(frame, ctx, fx));
        (key, answer.try_recv().ok())
    }

    fn attach(&mut self) {
        let welcome = Item::Welcome { epoch_seen: 1, acked_our_seq: 0 };
        self.turn(|machine, ctx, fx| machine.item(0, welcome, ctx, fx));
    }

    /// Sends a message that the network takes.
    fn send_and_lose(&mut self, to: &str) -> Key {
        self.attach();
        let (key, accepted) = self.send(to);
        accepted.unwrap().unwrap();
        if self.asked.contains(&number(to)) {
            self.network_says(to, registered(WA_ID));
        }
        assert_eq!(self.sent.last(), Some(&key));
        let answer = Item::Answer {
            key,
            result: Ok(Sent { timestamp_ms: self.now_ms, conversation: None }),
        };
        self.turn(|machine, ctx, fx| machine.item(0, answer, ctx, fx));
        key
    }

    fn down(&mut self, item: Item) {
        self.next_seq += 1;
        let seq = self.next_seq;
        self.turn(|machine, ctx, fx| machine.item(seq, item, ctx, fx));
    }

    fn customer_writes(&mut self, from: &str) {
        self.next_key += 1;
        self.down(Item::Inbound(Inbound {
            key: Key::from_bytes(&[self.next_key; 10]).unwrap(),
            from: number(from),
            profile_name: String::new(),
            timestamp_ms: self.now_ms,
            envelope: Envelope {
                device: 0,
                kind: EnvelopeKind::Plain,
                ciphertext: Bytes::from_static(br#"{"type":"text","text":{"body":"hi"}}"#),
            },
        }));
    }

    fn set_blocked(&mut self, text: &str, blocked: bool) -> Result<(), Code> {
        let (reply, mut answer) = oneshot::channel();
        let standing = Standing { blocked, reply };
        self.turn(|machine, ctx, fx| machine.set_blocked(number(text), standing, ctx, fx));
        answer.try_recv().unwrap().map_err(|error| error.code)
    }

    fn failures(&self, key: Key) -> Vec<String> {
        let of_key = self.events.iter().filter(|event| event.key == Some(key));
        let bodies = of_key.map(|event| String::from_utf8_lossy(&event.body).into_owned());
        bodies.filter(|body| body.contains(r#""status":"failed""#)).collect()
    }
}

struct Waiting(mpsc::UnboundedReceiver<Checked>);

impl Waiting {
    /// What has been answered; `None` while the caller waits.
    fn answer(&mut self) -> Option<CheckState> {
        self.0.try_recv().ok().map(|checked| checked.state)
    }
}

fn shard() -> ShardId {
    Route::of(&number(DIALLED)).shard()
}

fn registered(wa_id: &str) -> ContactStatus {
    ContactStatus::Registered { wa_id: number(wa_id) }
}

#[tokio::test]
async fn an_answer_is_good_for_seven_days_whatever_restarts_and_under_the_networks_own_wa_id() {
    let mut world = World::new();
    let mut first = world.check(DIALLED, false, false);
    assert_eq!(first.answer(), None);
    world.network_says(DIALLED, registered(WA_ID));
    assert_eq!(first.answer(), Some(CheckState::Valid(number(WA_ID))));

    world.restart();
    for (days, no_wait) in [(3, true), (3, false)] {
        world.days(days);
        let mut again = world.check(DIALLED, no_wait, false);
        assert_eq!(again.answer(), Some(CheckState::Valid(number(WA_ID))), "from the row");
        assert_eq!(world.asked, []);
        world.restart();
    }
    world.days(1);
    let mut late = world.check(DIALLED, true, false);
    assert_eq!(late.answer(), Some(CheckState::Processing), "seven days are over");
    world.network_says(DIALLED, ContactStatus::NotRegistered);
    let mut invalid = world.check(DIALLED, true, false);
    assert_eq!(invalid.answer(), Some(CheckState::Invalid), "as good as a valid one");
}

#[tokio::test]
async fn a_failed_look_up_is_never_remembered() {
    let mut world = World::new();
    let mut check = world.check(DIALLED, false, false);
    world.network_says(DIALLED, ContactStatus::Failed);
    assert_eq!(check.answer(), Some(CheckState::Failed));
    assert!(world.contacts.is_empty());
    let mut again = world.check(DIALLED, true, false);
    assert_eq!(again.answer(), Some(CheckState::Processing));
    world.network_says(DIALLED, registered(WA_ID));
}

#[tokio::test]
async fn a_forced_check_passes_by_the_cache_and_still_joins_what_is_under_way() {
    let mut world = World::new();
    world.check(DIALLED, true, false);
    world.network_says(DIALLED, registered(WA_ID));
    let mut forced = world.check(DIALLED, false, true);
    let mut second = world.check(DIALLED, false, true);
    let mut impatient = world.check(DIALLED, true, true);
    assert_eq!((forced.answer(), second.answer()), (None, None));
    assert_eq!(impatient.answer(), Some(CheckState::Processing));
    assert_eq!(world.asked, [number(DIALLED)], "one question for all of them");
    world.network_says(DIALLED, ContactStatus::NotRegistered);
    assert_eq!(forced.answer(), Some(CheckState::Invalid));
    assert_eq!(second.answer(), Some(CheckState::Invalid));
}

#[tokio::test]
async fn without_room_a_check_is_refused_and_a_message_waits() {
    let mut world = World::new();
    let mut check = world.check(DIALLED, false, false);
    let (key, accepted) = world.send(DIALLED);
    accepted.unwrap().unwrap();
    assert_eq!(world.asked, [number(DIALLED)], "the message joins the check");
    world.asked.clear();
    world.turn(|machine, ctx, _| machine.contact_refused(number(DIALLED), ctx));
    assert_eq!(check.answer(), Some(CheckState::Overloaded));
    assert_eq!(world.failures(key), [""; 0]);
    world.now += Duration::from_secs(2);
    world.turn(Machine::tick);
    assert_eq!(world.asked, [number(DIALLED)], "the message asks again");
}

#[tokio::test]
async fn to_and_from_a_blocked_number_nothing_passes_whatever_its_notation_and_whatever_restarts() {
    let mut world = World::new();
    world.customer_writes(WA_ID);
    assert_eq!((world.heard, world.acked), (1, 1));
    assert_eq!(world.set_blocked(DIALLED, true), Ok(()));
    for restarted in [false, true] {
        for to in [DIALLED, WA_ID] {
            let (_, refused) = world.send(to);
            assert_eq!(refused.unwrap().unwrap_err().code, Code::RECIPIENT_BLOCKED);
        }
        world.customer_writes(WA_ID);
        assert_eq!(world.heard, 1, "dropped");
        assert_eq!(world.acked, world.next_seq, "and acknowledged");
        if !restarted {
            world.restart();
            world.next_seq = 0;
        }
    }
    assert_eq!(world.set_blocked(WA_ID, false), Ok(()));
    world.customer_writes(WA_ID);
    assert_eq!(world.heard, 2);
    world.send(DIALLED).1.unwrap().unwrap();
}

#[tokio::test]
async fn a_block_that_is_not_stored_is_no_block() {
    let mut world = World::new();
    world.refuse_writes = true;
    assert_eq!(world.set_blocked(DIALLED, true), Err(Code::DATABASE));
    world.refuse_writes = false;
    world.customer_writes(WA_ID);
    assert_eq!(world.heard, 1);
}

#[tokio::test]
async fn a_receipt_that_is_in_the_log_is_acknowledged_and_not_told_again_but_another_is() {
    let mut world = World::new();
    let key = world.send_and_lose(DIALLED);
    let told = world.events.len();
    world.turn(|machine, _, _| machine.logged(vec![(key, StatusKind::Delivered)]));
    let receipt = |world: &World, kind| {
        let (from, device, timestamp_ms) = (number(DIALLED), 0, world.now_ms);
        Item::Receipt(Receipt { key, from, device, kind, timestamp_ms, conversation: None })
    };
    for (kind, more) in [
        (ReceiptKind::Delivered, 0),
        (ReceiptKind::Read, 1),
        // Of another device.
        (ReceiptKind::Delivered, 2),
    ] {
        let item = receipt(&world, kind);
        world.down(item);
        assert_eq!(world.events.len(), told + more);
        assert_eq!(world.acked, world.next_seq);
    }
}

fn read_on(world: &World, key: Key) -> Item {
    let (from, kind, timestamp_ms) = (number(WA_ID), ReceiptKind::Read, world.now_ms);
    Item::Receipt(Receipt { key, from, device: 0, kind, timestamp_ms, conversation: None })
}

/// What the last event says: the recipient's wa_id, and the number as the sender wrote it.
fn recipients(world: &World) -> (String, String) {
    let body = serde_json::from_slice::<serde_json::Value>(&world.events.last().unwrap().body);
    let status = &body.unwrap()["statuses"][0];
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    (text(&status["recipient_id"]), text(&status["message"]["recipient_id"]))
}

#[tokio::test]
async fn statuses_name_the_recipient_as_the_network_does_whatever_was_dialled_and_whatever_restarts()
 {
    let patch = br#"{"webhooks":{"message":{"sent":true}}}"#;
    let mut world = World::with(&Application::default().patch(patch).unwrap());
    let key = world.send_and_lose(DIALLED);
    assert_eq!(recipients(&world), (WA_ID.to_owned(), DIALLED.to_owned()));
    world.restart();
    let item = read_on(&world, key);
    world.down(item);
    assert_eq!(recipients(&world), (WA_ID.to_owned(), DIALLED.to_owned()));
}

#[tokio::test]
async fn a_receipt_that_comes_after_its_message_was_passed_through_and_forgotten_is_told() {
    for (patch, told) in [(r#"{"pass_through":true}"#, 1), (r#"{"pass_through":false}"#, 0)] {
        let mut world = World::with(&Application::default().patch(patch.as_bytes()).unwrap());
        let key = world.send_and_lose(WA_ID);
        world.restart();
        world.messages.clear();
        world.events.clear();
        let item = read_on(&world, key);
        world.down(item);
        assert_eq!(world.acked, world.next_seq);
        assert_eq!(world.events.len(), told, "{patch}");
    }
}

#[tokio::test]
async fn a_message_that_came_while_the_database_was_away_may_come_again_under_its_key() {
    let mut world = World::new();
    world.away = true;
    let refused = world.send(DIALLED).1.unwrap().unwrap_err();
    assert_eq!((refused.code, refused.retry_after_ms), (Code::DATABASE, Some(1_000)));
    world.away = false;
    world.next_key -= 1;
    world.send(DIALLED).1.unwrap().unwrap();
}

fn noticing() -> Application {
    let mut application = Application::default();
    application.heliograph.messages.undelivered_notice = true;
    application
}

#[tokio::test]
async fn a_message_to_a_deleted_account_ends_in_silence_as_in_the_original() {
    let mut world = World::new();
    let key = world.send_and_lose(DIALLED);
    world.days(10);
    assert_eq!(world.failures(key), [""; 0]);
    assert_eq!(world.asked, []);
}

#[tokio::test]
async fn whoever_wants_to_know_is_told_that_the_account_is_gone() {
    let mut world = World::with(&noticing());
    let key = world.send_and_lose(DIALLED);
    world.days(1);
    world.network_says(DIALLED, ContactStatus::NotRegistered);
    let failures = world.failures(key);
    assert_eq!(failures.len(), 1);
    assert!(failures[0].contains(r#""code":470"#), "{}", failures[0]);
    world.days(10);
    assert_eq!(world.failures(key).len(), 1, "told once");
    let (_, refused) = world.send(DIALLED);
    // By then the answer is ten days old, and the next message finds out for itself.
    refused.unwrap().unwrap();
}

#[tokio::test]
async fn a_phone_that_is_only_away_is_asked_about_daily_for_a_week() {
    let mut world = World::with(&noticing());
    let key = world.send_and_lose(DIALLED);
    for _ in 0..7 {
        world.days(1);
        world.network_says(DIALLED, registered(DIALLED));
    }
    world.days(3);
    assert_eq!(world.asked, [], "a cached answer is no older than a week");
    assert_eq!(world.failures(key), [""; 0]);
}

#[tokio::test]
async fn a_delivered_message_is_not_asked_about() {
    let mut world = World::with(&noticing());
    let key = world.send_and_lose(DIALLED);
    let (from, kind, timestamp_ms) = (number(DIALLED), ReceiptKind::Delivered, world.now_ms);
    world.down(Item::Receipt(Receipt {
        key,
        from,
        device: 0,
        kind,
        timestamp_ms,
        conversation: None,
    }));
    world.days(3);
    assert_eq!(world.asked, []);
}

/// One whose messages leave as soon as they can.
fn attached() -> World {
    let mut world = World::new();
    world.attach();
    world.check(DIALLED, true, false);
    world.network_says(DIALLED, registered(WA_ID));
    world
}

#[tokio::test]
async fn a_message_waits_for_its_files_and_what_follows_it_waits_behind_it() {
    let mut world = attached();
    let (image, accepted) = world.send_message(DIALLED, IMAGE);
    accepted.unwrap().unwrap();
    let (text, _) = world.send(DIALLED);
    assert_eq!(world.sent, []);
    let asked: Vec<_> = world.wanted.iter().map(|wanted| (wanted.key, &*wanted.message)).collect();
    assert_eq!(asked, [(image, IMAGE)], "once");
    world.turn(|machine, ctx, fx| {
        machine.files(image, Ok(Bytes::from_static(AT_PHONES)), ctx, fx);
    });
    assert_eq!(world.sent, [image, text], "in order");
    assert_eq!(world.left, [AT_PHONES, TEXT]);
}

#[tokio::test]
async fn a_message_whose_files_cannot_be_had_fails_and_lets_the_next_one_pass() {
    let mut world = attached();
    let (image, _) = world.send_message(DIALLED, IMAGE);
    let (text, _) = world.send(DIALLED);
    let later = Err(Unready::Later(Duration::from_secs(2)));
    world.turn(|machine, ctx, fx| machine.files(image, later, ctx, fx));
    assert_eq!((world.wanted.len(), world.sent.len()), (1, 0), "not at once");
    world.now += Duration::from_secs(3);
    world.turn(Machine::tick);
    assert_eq!(world.wanted.len(), 2, "asked again");
    let details = "Failed to fetch https://cdn/1: HTTP status 404";
    let gone = Err(Unready::Final(ApiError::new(Code::INTERNAL, details)));
    world.turn(|machine, ctx, fx| machine.files(image, gone, ctx, fx));
    let failed = world.failures(image);
    assert!(failed.len() == 1 && failed[0].contains("1014") && failed[0].contains(details));
    assert_eq!(world.sent, [text]);
}
