//! Promises of the machine, told in the roles of a coreapp, a phone and a test.

mod sealed;
mod seeds;

use std::sync::Arc;

use bytes::Bytes;
use contract::{Code, Number, Rng, Route};
use rpc::upstream::{self as wire, down::Item, refused::Class};
use session::{Identity, OneTimePreKey, PreKeyId, SignedPreKey};

use super::*;
use crate::{bodies::Keys, sessions::worker::Worker};

const OWN: &str = "15550100100";
const ADA: &str = "4915112345678";

/// A network with a clock and one thread's worth of phones, and coreapps that speak to it.
struct World {
    network: Network,
    worker: Worker,
    now: Now,
}

/// Bytes that differ from draw to draw.
struct Counting(std::sync::atomic::AtomicU64);

impl Rng for Counting {
    fn fill(&self, out: &mut [u8]) {
        let draw = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut dice = Dice::new(draw);
        out.fill_with(|| dice.next().to_le_bytes()[0]);
    }
}

fn rng() -> Arc<dyn Rng> {
    Arc::new(Counting(1.into()))
}

/// The keys of a business.
struct Business {
    identity: Identity,
    signed: SignedPreKey,
    one_time: Vec<OneTimePreKey>,
}

impl Business {
    fn new(one_time: u32) -> Self {
        let rng = rng();
        let id = |id| PreKeyId::new(id).unwrap();
        let identity = Identity::generate(&rng);
        Self {
            signed: SignedPreKey::generate(&identity, id(1), &rng),
            one_time: (1..=one_time).map(|n| OneTimePreKey::generate(id(n), &rng)).collect(),
            identity,
        }
    }

    fn keys(&self) -> Keys {
        let bundle = crate::sessions::wire::bundle(&self.identity.bundle(&self.signed, None));
        let one_time = self.one_time.iter().map(|key| wire::OneTimePreKey {
            id: key.id().get(),
            public: Bytes::copy_from_slice(&key.key().to_wire()),
        });
        wire::PublishKeysRequest {
            number: OWN.to_owned(),
            registration_id: bundle.registration_id,
            identity_key: bundle.identity_key,
            signed_pre_key: bundle.signed_pre_key,
            one_time_pre_keys: one_time.collect(),
        }
        .into()
    }
}

/// What came down, by its place in the shard's stream.
type Got = Vec<(u64, Item)>;

impl World {
    fn new() -> Self {
        Self::with(&Config { seed: 7, ..Config::default() })
    }

    fn with(config: &Config) -> Self {
        let now = Now { ms: 0, unix_ms: 1_700_000_000_000 };
        let worker = Worker::new(Arc::new(Seed::new(config.seed)), rng(), false);
        Self { network: Network::new(config), worker, now }
    }

    fn publish(&mut self, business: &Business) -> u32 {
        self.network.publish(OWN.parse().unwrap(), &business.keys(), self.now).unwrap()
    }

    /// Does what the threads do.
    fn work(&mut self) {
        loop {
            let jobs = self.network.take_jobs();
            if jobs.is_empty() {
                return;
            }
            for job in jobs {
                if let Some(done) = self.worker.run(job) {
                    self.network.done(done, self.now);
                }
            }
        }
    }

    fn up(&mut self, stream: StreamId, item: wire::up::Item) {
        self.network.handle(stream, vec![wire::Up { item: Some(item) }], self.now);
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now.ms += 1;
            self.now.unix_ms += 1;
            self.network.advance(self.now);
            self.work();
        }
    }

    fn open(&mut self) -> StreamId {
        self.network.open_stream().unwrap()
    }

    /// Claims a shard and lets the Welcome come; it is the first of the answer.
    fn attach(&mut self, shard: ShardId, epoch: i64) -> (StreamId, Got) {
        let stream = self.open();
        let got = self.hello(stream, shard, epoch);
        (stream, got)
    }

    fn hello(&mut self, stream: StreamId, shard: ShardId, epoch: i64) -> Got {
        let shards = vec![wire::ShardEpoch { shard: shard.get().into(), epoch }];
        let hello = wire::Hello { number: OWN.to_owned(), shards, generation: 1 };
        self.up(stream, wire::up::Item::Hello(hello));
        self.pass(150);
        self.got(stream)
    }

    fn send(&mut self, stream: StreamId, epoch: i64, to: &str, key: u8, body: &'static [u8]) {
        let send = wire::Send {
            shard: shard_of(to).get().into(),
            epoch,
            key: key_bytes(key),
            to: to.to_owned(),
            category: "text".to_owned(),
            envelopes: vec![wire::Envelope {
                device: 0,
                kind: 1,
                ciphertext: Bytes::from_static(body),
            }],
            ..Default::default()
        };
        self.up(stream, wire::up::Item::Send(send));
    }

    fn ack(&mut self, stream: StreamId, epoch: i64, seq: u64, our_seq: i64) {
        let shard = shard_of(ADA).get().into();
        self.up(stream, wire::up::Item::Ack(wire::Ack { shard, epoch, seq, our_seq }));
    }

    fn got(&mut self, stream: StreamId) -> Got {
        let mut got = Vec::new();
        while let Pull::Items(items) = self.network.pull(stream, 3) {
            got.extend(items.into_iter().map(|down| (down.seq, down.item.unwrap())));
        }
        got
    }

    fn delivered(&self) -> Vec<(String, u32, u32)> {
        let page = self.network.delivered_after(0, 1_000).unwrap();
        page.messages.iter().map(|m| (m.key.to_string(), m.copies, m.sends)).collect()
    }
}

fn shard_of(number: &str) -> ShardId {
    Route::of(&number.parse().unwrap()).shard()
}

fn key_bytes(key: u8) -> Bytes {
    vec![key; 9].into()
}

fn hex(key: u8) -> String {
    format!("{key:02x}").repeat(9)
}

/// `d1` delivered, `r1` read, `s1` sent, of key 1; `i` inbound, `W` welcome, `X` detached.
fn short(got: &Got) -> Vec<String> {
    got.iter()
        .map(|(seq, item)| match item {
            Item::Welcome(_) => "W".to_owned(),
            Item::Detached(_) => "X".to_owned(),
            Item::Busy(_) => "B".to_owned(),
            Item::Inbound(_) => format!("{seq}:i"),
            Item::Answer(answer) => match &answer.result {
                Some(wire::answer::Result::Sent(_)) => format!("s{}", answer.key[0]),
                _ => format!("x{}", answer.key[0]),
            },
            Item::Receipt(receipt) => {
                let kind = match receipt.r#type() {
                    wire::receipt::Type::Read => "r",
                    wire::receipt::Type::Retry => "?",
                    _ => "d",
                };
                format!("{seq}:{kind}{}", receipt.key[0])
            }
            Item::Notice(_) => format!("{seq}:n"),
        })
        .collect()
}

fn refusal(got: &Got) -> (Class, u32) {
    let Some((_, Item::Answer(answer))) = got.first() else { panic!("no answer: {got:?}") };
    match &answer.result {
        Some(wire::answer::Result::Refused(refused)) => (refused.class(), refused.code),
        other => panic!("not refused: {other:?}"),
    }
}

fn welcome(got: &Got) -> (i64, i64) {
    match &got[0].1 {
        Item::Welcome(welcome) => (welcome.shards[0].epoch_seen, welcome.shards[0].acked_our_seq),
        other => panic!("no welcome: {other:?}"),
    }
}

#[test]
fn a_message_sent_twice_is_answered_twice_and_delivered_once() {
    let mut world = World::new();
    let (stream, _) = world.attach(shard_of(ADA), 1);
    world.send(stream, 1, ADA, 1, b"{}");
    world.send(stream, 1, ADA, 1, b"{}");
    world.pass(1_000);
    world.send(stream, 1, ADA, 1, b"{}");
    world.pass(1_000);
    assert_eq!(short(&world.got(stream)), ["s1", "s1", "1:d1", "2:r1", "s1"]);
    assert_eq!(world.delivered(), [(hex(1), 1, 3)]);
    let stats = world.network.stats();
    assert_eq!((stats.duplicate_sends, stats.different_bytes, stats.delivered), (2, 0, 1));
    world.send(stream, 1, ADA, 1, b"{\"other\":1}");
    assert_eq!(world.network.stats().different_bytes, 1);
}

#[test]
fn every_step_takes_the_latency_and_none_overtakes_for_one_recipient() {
    let mut world = World::new();
    let (stream, _) = world.attach(shard_of(ADA), 1);
    for key in 1..=40 {
        world.send(stream, 1, ADA, key, b"{}");
    }
    world.pass(79);
    assert_eq!(world.got(stream), []);
    world.pass(71);
    let answers: Vec<_> = (1..=40).map(|key| format!("s{key}")).collect();
    assert_eq!(short(&world.got(stream)), answers);
    world.pass(300);
    let receipts = short(&world.got(stream));
    for kind in [":d", ":r"] {
        let of_kind: Vec<_> =
            receipts.iter().filter_map(|item| item.split_once(kind)).map(|(_, key)| key).collect();
        let expected: Vec<_> = (1..=40).map(|key| key.to_string()).collect();
        assert_eq!(of_kind, expected, "{kind}");
    }
    let seqs: Vec<_> = receipts.iter().map(|item| item.split_once(':').unwrap().0).collect();
    assert_eq!(seqs, (1..=80).map(|seq: u64| seq.to_string()).collect::<Vec<_>>());
    assert!(world.network.lanes.is_empty(), "nothing is remembered of an idle recipient");
}

#[test]
fn a_new_hello_replays_what_is_not_acknowledged_in_order() {
    let mut world = World::new();
    let (first, _) = world.attach(shard_of(ADA), 1);
    world.send(first, 1, ADA, 1, b"{}");
    world.send(first, 1, ADA, 2, b"{}");
    world.pass(1_000);
    assert_eq!(short(&world.got(first))[..2], ["s1", "s2"]);
    world.ack(first, 1, 1, 40);
    world.network.drop_stream(first);
    let (second, got) = world.attach(shard_of(ADA), 1);
    assert_eq!(welcome(&got), (1, 40));
    let seqs: Vec<_> = got[1..].iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, [2, 3, 4]);
    // Once more on the same stream, while a part of the replay is still unread.
    world.send(second, 1, ADA, 3, b"{}");
    world.pass(240);
    let again = world.hello(second, shard_of(ADA), 1);
    let seqs: Vec<_> = again.iter().map(|(seq, _)| *seq).filter(|seq| *seq > 0).collect();
    assert_eq!(seqs, [2, 3, 4, 5, 6]);
    world.ack(second, 1, 6, 39);
    let stats = world.network.stats();
    assert_eq!(stats.numbers[OWN].unacked, 0);
    let (_, got) = world.attach(shard_of(ADA), 1);
    assert_eq!(short(&got), ["W"]);
    assert_eq!(welcome(&got), (1, 40), "the highest event seq is kept");
}

#[test]
fn receipts_wait_while_nobody_is_attached() {
    let mut world = World::new();
    let (first, _) = world.attach(shard_of(ADA), 1);
    world.send(first, 1, ADA, 1, b"{}");
    world.network.drop_stream(first);
    world.pass(1_000);
    let (_, got) = world.attach(shard_of(ADA), 1);
    assert_eq!(short(&got), ["W", "1:d1", "2:r1"], "the answer is lost with its stream");
}

#[test]
fn a_higher_epoch_detaches_the_older_stream_and_a_lower_one_is_told_so() {
    let mut world = World::new();
    let (old, _) = world.attach(shard_of(ADA), 3);
    let (new, got) = world.attach(shard_of(ADA), 5);
    assert_eq!(welcome(&got), (5, 0));
    assert_eq!(short(&world.got(old)), ["X"]);
    world.send(old, 3, ADA, 1, b"{}");
    world.ack(old, 3, 1, 9);
    let got = world.hello(old, shard_of(ADA), 4);
    assert_eq!(welcome(&got), (5, 0));
    world.send(old, 4, ADA, 1, b"{}");
    world.send(new, 3, ADA, 1, b"{}");
    world.pass(1_000);
    assert_eq!((world.got(old), world.got(new)), (vec![], vec![]));
    let stats = world.network.stats();
    assert_eq!((stats.stale_sends, stats.stale_acks, stats.sends), (3, 1, 0));
    world.send(new, 5, ADA, 1, b"{}");
    world.pass(1_000);
    assert_eq!(short(&world.got(new)), ["s1", "1:d1", "2:r1"]);
}

#[test]
fn the_same_epoch_on_a_new_stream_takes_over_without_a_word() {
    let mut world = World::new();
    let (old, _) = world.attach(shard_of(ADA), 3);
    let (new, _) = world.attach(shard_of(ADA), 3);
    world.send(old, 3, ADA, 1, b"{}");
    world.send(new, 3, ADA, 2, b"{}");
    world.pass(1_000);
    assert_eq!(world.got(old), []);
    assert_eq!(short(&world.got(new)), ["s2", "1:d2", "2:r2"]);
    world.network.drop_stream(old);
    world.send(new, 3, ADA, 3, b"{}");
    world.pass(1_000);
    assert_eq!(world.got(new).len(), 3, "the older stream's end takes nothing from the newer");
}

#[test]
fn the_last_digits_decide_what_becomes_of_a_message() {
    let cases: [(&str, &[&str]); 3] = [
        ("4915112340001", &["s1"]),
        ("4915112340002", &["s1", "1:d1"]),
        ("4915112340003", &["s1", "1:r1"]),
    ];
    for (to, expected) in cases {
        let mut world = World::new();
        let (stream, _) = world.attach(shard_of(to), 1);
        world.send(stream, 1, to, 1, b"{}");
        world.pass(1_000);
        assert_eq!(short(&world.got(stream)), expected, "{to}");
    }
    let never = |code: Code| (Class::Final, u32::from(code.get()));
    for (to, expected) in [
        ("4915112340000", never(Code::RE_ENGAGEMENT)),
        ("9991112345678", never(Code::RE_ENGAGEMENT)),
        (OWN, never(Code::RE_ENGAGEMENT)),
        ("4915112340008", (Class::Recipient, 0)),
        ("4915112340009", never(Code::SPAM_RATE_LIMIT)),
    ] {
        let mut world = World::new();
        let (stream, _) = world.attach(shard_of(to), 1);
        world.send(stream, 1, to, 1, b"{}");
        world.pass(1_000);
        assert_eq!(refusal(&world.got(stream)), expected, "{to}");
        assert_eq!(world.delivered(), []);
    }
}

#[test]
fn a_phone_that_comes_online_gets_what_waited_in_order() {
    let to = "4915112340001";
    let mut world = World::new();
    let (stream, _) = world.attach(shard_of(to), 1);
    for key in 1..=5 {
        world.send(stream, 1, to, key, b"{}");
    }
    world.pass(1_000);
    world.got(stream);
    assert_eq!(world.network.stats().waiting_offline, 5);
    let patch = serde_json::from_str(r#"{"offline":false,"read":false}"#).unwrap();
    world.network.set_phone(to.parse().unwrap(), patch, world.now).unwrap();
    world.send(stream, 1, to, 6, b"{}");
    world.pass(1_000);
    let got = short(&world.got(stream));
    let receipts: Vec<_> = got.iter().filter(|item| *item != "s6").collect();
    assert_eq!(receipts, ["1:d1", "2:d2", "3:d3", "4:d4", "5:d5", "6:d6"]);
}

#[test]
fn a_lost_answer_loses_no_message() {
    let mut world = World::new();
    let patch = serde_json::from_str(r#"{"answer_loss":1}"#).unwrap();
    world.network.set_faults(&patch, world.now).unwrap();
    let (stream, _) = world.attach(shard_of(ADA), 1);
    world.send(stream, 1, ADA, 1, b"{}");
    world.pass(1_000);
    assert_eq!(short(&world.got(stream)), ["1:d1", "2:r1"]);
    let patch = serde_json::from_str(r#"{"answer_loss":0,"duplicates":1}"#).unwrap();
    world.network.set_faults(&patch, world.now).unwrap();
    world.send(stream, 1, ADA, 1, b"{}");
    world.send(stream, 1, ADA, 2, b"{}");
    world.pass(1_000);
    assert_eq!(short(&world.got(stream)), ["s1", "s1", "s2", "s2", "3:d2", "3:d2", "4:r2", "4:r2"]);
}

#[test]
fn a_customers_message_is_kept_for_the_shard_of_its_number() {
    let mut world = World::new();
    let (stream, _) = world.attach(shard_of(ADA), 1);
    let written = || Written {
        to: None,
        profile_name: "Ada".to_owned(),
        content: Bytes::from_static(b"{\"type\":\"text\"}"),
    };
    let ada: Number = ADA.parse().unwrap();
    let first = world.network.write_from(ada, written(), world.now).unwrap();
    let second = world.network.write_from(ada, written(), world.now).unwrap();
    assert_ne!(first, second);
    world.pass(150);
    assert_eq!(world.got(stream), [], "nothing can be encrypted for a business without keys");
    assert_eq!(world.network.stats().waiting_to_seal, 2);
    world.publish(&Business::new(1));
    world.work();
    let got = world.got(stream);
    assert_eq!(short(&got), ["1:i", "2:i"]);
    let (_, Item::Inbound(inbound)) = &got[0] else { panic!("{got:?}") };
    assert_eq!((inbound.key.as_ref(), inbound.from.as_str()), (first.as_bytes(), ADA));
    let own = OWN.parse().unwrap();
    let refused = world.network.write_from(own, written(), world.now);
    assert_eq!(refused.unwrap_err(), ControlError::OwnNumber);
}

#[test]
fn the_24_hour_window_opens_with_a_customers_message() {
    let mut world = World::new();
    let patch = serde_json::from_str(r#"{"window_24h":true}"#).unwrap();
    world.network.set_faults(&patch, world.now).unwrap();
    let (stream, _) = world.attach(shard_of(ADA), 1);
    world.send(stream, 1, ADA, 1, b"{}");
    world.pass(150);
    assert_eq!(refusal(&world.got(stream)).1, 470);
    let content = Bytes::from_static(b"{}");
    let written = Written { to: None, profile_name: String::new(), content };
    world.network.write_from(ADA.parse().unwrap(), written, world.now).unwrap();
    world.send(stream, 1, ADA, 1, b"{}");
    world.pass(1_000);
    assert_eq!(world.delivered(), [(hex(1), 1, 2)]);
    world.now.unix_ms += 24 * 3_600 * 1_000;
    world.got(stream);
    world.send(stream, 1, ADA, 2, b"{}");
    world.pass(150);
    assert_eq!(refusal(&world.got(stream)).1, 470);
}

#[test]
fn one_contact_sync_a_number_at_a_time() {
    let mut world = World::new();
    let (account, _) = world.network.begin_sync(OWN, 2).unwrap();
    assert_eq!(world.network.begin_sync(OWN, 1), Err(SyncRefused::Concurrent));
    assert!(world.network.begin_sync("15550100101", 1).is_ok(), "another number may");
    let asked = ["525512345678", "4915112340000", OWN, "+49151"].map(str::to_owned).to_vec();
    let results = world.network.contacts(asked.clone());
    assert_eq!(results.iter().map(|it| it.number.clone()).collect::<Vec<_>>(), asked);
    assert_eq!(results[0].wa_id, "5215512345678");
    use wire::contact_result::Status::{NotRegistered, Registered};
    let statuses: Vec<_> = results.iter().map(wire::ContactResult::status).collect();
    assert_eq!(statuses, [Registered, NotRegistered, NotRegistered, NotRegistered]);
    world.network.end_sync(account);
    assert!(world.network.begin_sync(OWN, 2_000).is_ok());
    assert_eq!(world.network.begin_sync("15550100102", 2_001), Err(SyncRefused::TooMany));
    let stats = world.network.stats().contact_sync;
    assert_eq!((stats.count, stats.sum, stats.max, stats.refused_concurrent), (3, 2_003, 2_000, 1));
}

#[test]
fn a_phone_that_only_counts_keeps_nothing_and_answers_all() {
    let mut world = World::with(&Config { phones: Mode::Count, ..Config::default() });
    let (stream, _) = world.attach(shard_of(ADA), 1);
    world.send(stream, 1, ADA, 1, b"{}");
    world.pass(1_000);
    assert_eq!(short(&world.got(stream)), ["s1", "1:d1", "2:r1"]);
    assert_eq!(world.network.delivered_after(0, 1).unwrap_err(), ControlError::NotKept);
    assert_eq!(world.network.stats().delivered, 1);
}

#[test]
fn reading_by_hand_takes_the_place_of_the_phones_own_receipt() {
    let mut world = World::new();
    let (stream, _) = world.attach(shard_of(ADA), 1);
    world.send(stream, 1, ADA, 1, b"{}");
    while world.network.stats().delivered == 0 {
        world.pass(1);
    }
    let ada = ADA.parse().unwrap();
    assert_eq!(world.network.read_by_hand(&ada, None, world.now), Ok(1));
    assert_eq!(world.network.read_by_hand(&ada, None, world.now), Ok(0));
    world.pass(1_000);
    assert_eq!(short(&world.got(stream)), ["s1", "1:d1", "2:r1"]);
}

#[test]
fn a_stream_that_breaks_the_protocol_is_ended_with_a_reason() {
    let mut world = World::new();
    for (hello, why) in [
        (wire::Hello { number: "x".to_owned(), ..Default::default() }, "own number"),
        (
            wire::Hello {
                number: OWN.to_owned(),
                shards: vec![wire::ShardEpoch { shard: 64, epoch: 1 }],
                generation: 1,
            },
            "shard",
        ),
    ] {
        let stream = world.open();
        world.up(stream, wire::up::Item::Hello(hello));
        let Pull::Closed(reason) = world.network.pull(stream, 1) else { panic!("still open") };
        assert!(reason.contains(why), "{reason}");
    }
    let (stream, _) = world.attach(shard_of(ADA), 1);
    let send = wire::Send { to: ADA.to_owned(), key: key_bytes(1), ..Default::default() };
    world.up(stream, wire::up::Item::Send(send));
    assert_eq!(world.network.stats().malformed, 1);
    assert_eq!(world.network.pull(stream, 1), Pull::Empty);
}
