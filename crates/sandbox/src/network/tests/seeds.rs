//! A coreapp that resends until it is answered, on a bad line, over many seeds: what it sends
//! reaches the phone once and in order, and it learns all of it once and in order.

use std::collections::BTreeMap;

use super::*;

const SEEDS: u64 = 2_000;
const MESSAGES: u8 = 20;

/// Sends messages 1 to [`MESSAGES`] to one recipient, one unanswered at a time, and acknowledges
/// now and then.
struct Coreapp {
    stream: StreamId,
    epoch: i64,
    attached: bool,
    /// The message that has no answer yet, and whether it left on this stream.
    current: u8,
    sent: bool,
    /// Seq of the last item taken in; all are taken in order.
    seq: u64,
    receipts: BTreeMap<(u8, i32), u32>,
}

impl Coreapp {
    fn reconnect(&mut self, world: &mut World, epoch: i64) {
        world.network.drop_stream(self.stream);
        let shards = vec![wire::ShardEpoch { shard: shard_of(ADA).get().into(), epoch }];
        let hello = wire::Hello { number: OWN.to_owned(), shards, generation: 1 };
        (self.stream, self.epoch) = (world.open(), epoch);
        (self.attached, self.sent) = (false, false);
        world.up(self.stream, wire::up::Item::Hello(hello));
    }

    fn step(&mut self, world: &mut World, dice: &mut Dice) {
        for (seq, item) in world.got(self.stream) {
            match item {
                Item::Welcome(_) => self.attached = true,
                Item::Answer(answer) if answer.key[0] == self.current => {
                    if let Some(wire::answer::Result::Sent(_)) = answer.result {
                        self.current += 1;
                    }
                    self.sent = false;
                }
                Item::Receipt(receipt) if seq == self.seq + 1 => {
                    self.seq = seq;
                    let what = (receipt.key[0], receipt.r#type);
                    *self.receipts.entry(what).or_default() += 1;
                }
                Item::Receipt(_) => assert!(seq <= self.seq, "a gap: {} then {seq}", self.seq),
                Item::Answer(_) => {}
                other => panic!("unexpected: {other:?}"),
            }
        }
        match dice.next() % 100 {
            0 => self.reconnect(world, self.epoch),
            1 => self.reconnect(world, self.epoch + 1),
            2..8 if self.attached => world.ack(self.stream, self.epoch, self.seq, 0),
            // Lost answers are noticed by their absence.
            8 => self.sent = false,
            _ => {}
        }
        if self.attached && !self.sent && self.current <= MESSAGES {
            world.send(self.stream, self.epoch, ADA, self.current, b"{}");
            self.sent = true;
        }
    }
}

#[test]
fn on_a_bad_line_every_message_reaches_its_phone_once_and_every_receipt_comes_once() {
    for seed in 0..SEEDS {
        let mut world = World::with(&Config { seed, latency_ms: (1, 9), ..Config::default() });
        let plan = r#"{"answer_loss":0.2,"duplicates":0.2,"refuse":{"rate":0.2}}"#;
        world.network.set_faults(&serde_json::from_str(plan).unwrap(), world.now).unwrap();
        let mut dice = Dice::new(!seed);
        let stream = world.open();
        let mut coreapp = Coreapp {
            stream,
            epoch: 1,
            attached: false,
            current: 1,
            sent: false,
            seq: 0,
            receipts: BTreeMap::new(),
        };
        coreapp.reconnect(&mut world, 1);
        for _ in 0..20_000 {
            world.pass(1);
            coreapp.step(&mut world, &mut dice);
            if coreapp.receipts.len() == 2 * usize::from(MESSAGES) {
                break;
            }
        }
        let keys: Vec<_> =
            world.delivered().into_iter().map(|(key, copies, _)| (key, copies)).collect();
        let expected: Vec<_> = (1..=MESSAGES).map(|key| (hex(key), 1)).collect();
        assert_eq!(keys, expected, "seed {seed}");
        assert_eq!(coreapp.receipts.len(), 2 * usize::from(MESSAGES), "seed {seed}");
        assert!(coreapp.receipts.values().all(|times| *times == 1), "seed {seed}");
        let stats = world.network.stats();
        assert_eq!((stats.different_bytes, stats.delivered_twice), (0, 0), "seed {seed}");
        assert_eq!(stats.stale_sends, 0, "seed {seed}");
    }
}
