//! Sealed messages: what phones do with keys, and what of it survives a restart.

use rpc::upstream::envelope::Kind;
use session::{Message, PreKeyMessage, Record as Sessions};

use super::*;

/// A business that seals: its keys, and its sessions by recipient and device.
struct Sealing {
    keys: Business,
    rng: Arc<dyn Rng>,
    sessions: HashMap<(String, u32), Sessions>,
}

impl Sealing {
    fn new() -> Self {
        Self { keys: Business::new(60), rng: rng(), sessions: HashMap::new() }
    }

    fn begin(&mut self, to: &str, device: u32, bundle: &wire::Bundle) {
        let bundle = crate::sessions::wire::parse(bundle).unwrap();
        let record = self.sessions.remove(&(to.to_owned(), device)).unwrap_or_default();
        let record = record.initiate(&self.keys.identity, &bundle, 0, self.rng.as_ref()).unwrap();
        self.sessions.insert((to.to_owned(), device), record);
    }

    fn seal(&mut self, to: &str, device: u32, text: &str) -> wire::Envelope {
        let record = self.sessions.remove(&(to.to_owned(), device)).unwrap();
        let (record, sealed) = record.encrypt(text.as_bytes()).unwrap();
        self.sessions.insert((to.to_owned(), device), record);
        let kind = match sealed.kind {
            session::Kind::PreKey => Kind::Prekey,
            session::Kind::Message => Kind::Message,
        };
        wire::Envelope { device, kind: kind.into(), ciphertext: sealed.bytes.into() }
    }

    fn open(&mut self, from: &str, envelope: &wire::Envelope) -> String {
        let record = self.sessions.remove(&(from.to_owned(), 0)).unwrap_or_default();
        let plaintext;
        let record = if envelope.kind() == Kind::Prekey {
            let message = PreKeyMessage::decode(&envelope.ciphertext).unwrap();
            // Named again by every message until the first answer; used once.
            let one_time = message.one_time_id().and_then(|id| {
                let place = self.keys.one_time.iter().position(|key| key.id() == id)?;
                Some(self.keys.one_time.remove(place))
            });
            let bytes = self.keys.signed.to_bytes();
            let signed = Some(SignedPreKey::from_bytes(&bytes).unwrap());
            let keys = session::LoadedKeys { signed, one_time };
            let accepted = record.accept(&self.keys.identity, &message, &keys, self.rng.as_ref());
            let accepted = accepted.unwrap();
            plaintext = accepted.plaintext;
            accepted.record
        } else {
            let message = Message::decode(&envelope.ciphertext).unwrap();
            let (record, text) = record.decrypt(&message, self.rng.as_ref()).unwrap();
            plaintext = text;
            record
        };
        self.sessions.insert((from.to_owned(), 0), record);
        String::from_utf8(plaintext.as_bytes().to_vec()).unwrap()
    }
}

impl World {
    fn bundles(&mut self, of: &str) -> Vec<(u32, wire::Bundle)> {
        let mut gathering = self.network.bundles(vec![of.to_owned()]);
        self.work();
        while let Ok((place, devices)) = gathering.rest.try_recv() {
            gathering.users[place].devices = devices;
        }
        let devices = gathering.users.remove(0).devices.into_iter();
        devices.map(|device| (device.device, device.bundle.unwrap())).collect()
    }

    fn send_sealed(&mut self, stream: StreamId, to: &str, key: u8, envelopes: Vec<wire::Envelope>) {
        let send = wire::Send {
            shard: shard_of(to).get().into(),
            epoch: 1,
            key: key_bytes(key),
            to: to.to_owned(),
            category: "text".to_owned(),
            envelopes,
            ..Default::default()
        };
        self.up(stream, wire::up::Item::Send(send));
    }

    fn contents(&self, of: &str) -> Vec<String> {
        let page = self.network.received(&of.parse().unwrap(), 0, 100).unwrap();
        let contents = page.messages.into_iter().map(|it| it.content.unwrap().into_vec());
        contents.map(|content| String::from_utf8(content).unwrap()).collect()
    }
}

fn retry(got: &Got) -> wire::Retry {
    let mut items = got.iter().rev();
    let retry = items.find_map(|(_, item)| match item {
        Item::Receipt(receipt) => receipt.retry.clone(),
        _ => None,
    });
    retry.unwrap()
}

#[test]
fn a_phone_asks_five_times_for_what_it_cannot_decrypt_and_then_gives_up() {
    let mut world = World::new();
    let mut business = Sealing::new();
    let (stream, _) = world.attach(shard_of(ADA), 1);
    let (_, bundle) = world.bundles(ADA).remove(0);
    business.begin(ADA, 0, &bundle);
    let mut broken = business.seal(ADA, 0, "lost");
    let mut bytes = broken.ciphertext.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    broken.ciphertext = bytes.into();
    for count in 1..=5 {
        world.send_sealed(stream, ADA, 1, vec![broken.clone()]);
        world.pass(1_000);
        let got = world.got(stream);
        let retry = retry(&got);
        assert_eq!(retry.count, count);
        assert!(crate::sessions::wire::parse(&retry.bundle.unwrap()).unwrap().verify().is_ok());
    }
    world.send_sealed(stream, ADA, 1, vec![broken.clone()]);
    world.pass(1_000);
    world.send_sealed(stream, ADA, 1, vec![broken]);
    world.pass(1_000);
    assert_eq!(short(&world.got(stream)), ["s1", "s1"], "no sixth, and then a duplicate");
    let stats = world.network.stats();
    assert_eq!((stats.retries.asked, stats.retries.answered, stats.retries.given_up), (5, 5, 1));
    assert_eq!((stats.key_reuse, stats.duplicate_sends, stats.delivered), (0, 1, 0));
    // The session itself is none the worse.
    let next = business.seal(ADA, 0, "next");
    world.send_sealed(stream, ADA, 2, vec![next]);
    world.pass(1_000);
    assert_eq!(world.contents(ADA), ["next"]);
}

#[test]
fn a_message_key_used_twice_is_counted_and_a_repeated_envelope_is_not() {
    let mut world = World::new();
    let mut business = Sealing::new();
    let (stream, _) = world.attach(shard_of(ADA), 1);
    let (_, bundle) = world.bundles(ADA).remove(0);
    business.begin(ADA, 0, &bundle);
    let lost = business.sessions[&(ADA.to_owned(), 0)].to_bytes();
    let first = business.seal(ADA, 0, "first");
    world.send_sealed(stream, ADA, 1, vec![first.clone()]);
    world.send_sealed(stream, ADA, 1, vec![first]);
    assert_eq!(world.network.stats().key_reuse, 0);
    let back = Sessions::from_bytes(&lost).unwrap();
    business.sessions.insert((ADA.to_owned(), 0), back);
    let second = business.seal(ADA, 0, "second");
    world.send_sealed(stream, ADA, 2, vec![second]);
    assert_eq!(world.network.stats().key_reuse, 1);
    world.pass(1_000);
    assert_eq!(world.contents(ADA), ["first"], "the phone refuses the other");
}

#[test]
fn a_customers_letters_keep_their_order_and_are_written_again_on_request() {
    let mut world = World::new();
    let mut business = Sealing::new();
    let (stream, _) = world.attach(shard_of(ADA), 1);
    let written = |text: &str| Written {
        to: None,
        profile_name: String::new(),
        content: Bytes::copy_from_slice(text.as_bytes()),
    };
    let ada = ADA.parse().unwrap();
    world.publish(&business.keys);
    for text in ["one", "two", "three"] {
        world.network.write_from(ada, written(text), world.now).unwrap();
    }
    world.pass(150);
    let inbound = |got: Got| -> Vec<wire::Inbound> {
        let items = got.into_iter().map(|(_, item)| match item {
            Item::Inbound(inbound) => inbound,
            other => panic!("no letter: {other:?}"),
        });
        items.collect()
    };
    let letters = inbound(world.got(stream));
    let texts: Vec<_> =
        letters.iter().map(|it| business.open(ADA, it.envelope.as_ref().unwrap())).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    assert_eq!(world.network.stats().numbers[OWN].one_time_left, 59, "one session, one key");
    let request = |count| {
        wire::up::Item::Retry(wire::RetryRequest {
            shard: shard_of(ADA).get().into(),
            epoch: 1,
            key: letters[1].key.clone(),
            to: ADA.to_owned(),
            device: 0,
            retry: Some(wire::Retry { count, registration_id: 1, bundle: None }),
        })
    };
    world.up(stream, request(1));
    world.work();
    let again = inbound(world.got(stream)).remove(0);
    assert_eq!(again.key, letters[1].key);
    assert_eq!(again.envelope.as_ref().unwrap().kind(), Kind::Prekey, "begun anew");
    assert_eq!(business.open(ADA, again.envelope.as_ref().unwrap()), "two");
    world.up(stream, request(6));
    let stats = world.network.stats();
    assert_eq!((stats.retries.requested, stats.retries.ignored), (2, 1));
}

#[test]
fn the_owner_of_the_account_is_told_when_keys_are_missing_or_few_and_once() {
    let mut world = World::new();
    let (stream, got) = world.attach(ShardId::CONTROL, 1);
    let left = |item: &Item| match item {
        Item::Notice(wire::Notice { notice: Some(wire::notice::Notice::KeysLow(low)) }) => low.left,
        other => panic!("no notice: {other:?}"),
    };
    assert_eq!((got.len(), got[1].0, left(&got[1].1)), (2, 0, 0));
    let business = Business::new(51);
    assert_eq!(world.publish(&business), 51);
    assert_eq!(world.publish(&business), 51, "nothing is published twice");
    for _ in 0..3 {
        world.network.take_bundle(None).unwrap();
    }
    let got = world.got(stream);
    assert_eq!((got.len(), got[0].0, left(&got[0].1)), (1, 1, 49));
    assert_eq!(world.publish(&business), 48, "a key that was given out is not published again");
    let mut ids = Vec::new();
    while let Some(key) = world.network.take_bundle(None).unwrap().one_time_pre_key {
        ids.push(key.id);
    }
    assert_eq!(ids, (4..=51).collect::<Vec<_>>());
}

#[test]
fn what_must_survive_a_restart_does_wherever_the_journal_is_cut() {
    let mut world = World::new();
    world.network.record_from_now();
    let mut business = Sealing::new();
    let (stream, _) = world.attach(shard_of(ADA), 3);
    world.publish(&business.keys);
    // An outside phone with one message waiting and one confirmed, a virtual one with a message on
    // its way, receipts of which one is acknowledged.
    let outside = "4915112341111";
    let phone = Business::new(5);
    world.network.register(outside.parse().unwrap(), 2, &phone.keys()).unwrap();
    let (other, _) = world.attach(shard_of(outside), 3);
    for key in [1, 2] {
        let (device, bundle) = world.bundles(outside).remove(0);
        business.begin(outside, device, &bundle);
        let envelope = business.seal(outside, device, "hi");
        let send = wire::Send {
            shard: shard_of(outside).get().into(),
            epoch: 3,
            key: key_bytes(key),
            to: outside.to_owned(),
            category: "text".to_owned(),
            envelopes: vec![envelope],
            ..Default::default()
        };
        world.up(other, wire::up::Item::Send(send));
    }
    let key = Key::from_bytes(&key_bytes(1)).unwrap();
    let number = outside.parse().unwrap();
    world.network.outside_receipt(number, 2, key, OutsideReceipt::Delivered, world.now).unwrap();
    world.network.take_bundle(None).unwrap();
    world.send(stream, 3, ADA, 3, b"{}");
    world.pass(1_000);
    world.ack(stream, 3, 1, 77);
    world.send(stream, 3, ADA, 4, b"{\"late\":1}");

    let as_read = |records: &[Record]| -> Vec<Record> {
        let lines = records.iter().map(|it| serde_json::to_string(it).unwrap());
        lines.map(|line| serde_json::from_str(&line).unwrap()).collect()
    };
    let appended = world.network.take_records();
    let snapshot = world.network.snapshot();
    for records in [appended, snapshot] {
        let mut again = World::new();
        again.now = world.now;
        assert_eq!(again.network.restore(as_read(&records), again.now), 0);
        again.network.record_from_now();
        let stats = again.network.stats();
        assert_eq!((stats.numbers[OWN].one_time_left, stats.waiting_outside), (59, 1));
        let mail = again.network.mail(&number, 0, 10).unwrap();
        assert_eq!((mail.envelopes.len(), mail.envelopes[0].n), (1, 2));
        let bundle = again.bundles(outside).remove(0);
        assert_eq!(
            (bundle.0, bundle.1.one_time_pre_key.unwrap().id),
            (2, 3),
            "used keys stay used"
        );
        let (_, got) = again.attach(shard_of(ADA), 3);
        assert_eq!(welcome(&got), (3, 77));
        assert_eq!(short(&got)[1], "2:r3", "{:?}", short(&got));
        again.pass(1_000);
        assert_eq!(again.contents(ADA), ["{\"late\":1}"]);
        let (low, _) = again.attach(shard_of(ADA), 2);
        again.send(low, 2, ADA, 9, b"{}");
        assert_eq!(again.network.stats().stale_sends, 1, "the epoch is remembered");
    }
}
