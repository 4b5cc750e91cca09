//! Simulated histories in which the database is put back to an earlier copy, in the middle of
//! everything. The greeting that notices it is the real one; what its renewal writes is simulated.

use contract::{Key, Number, ShardId};
use upstream::{Item, Receipt, ReceiptKind, Retry, Sealing, SendItem};

use super::sim::{TEXT, World};
use crate::{
    delivery::greeting::{Behind, Greeting, Verdict},
    generation::following,
    seeds,
};

const SEEDS: u64 = 200;
/// Enough that some are still to be sent after the last restore.
const MESSAGES: usize = 200;

impl World {
    /// Clients ask until they are answered, and no more: what a copy has forgotten is not asked for
    /// again.
    fn plain(seed: u64) -> Self {
        let mut world = Self::new(seed, Sealing::EndToEnd, MESSAGES);
        world.insistent = false;
        for client in &mut world.clients {
            client.regrets = false;
        }
        world
    }

    /// The network attaches the shard, or says what it has seen.
    pub(super) fn greet(&mut self) {
        let shard = self.machine.shard;
        loop {
            let network = &mut self.network;
            network.epoch_seen = network.epoch_seen.max(self.epoch);
            network.passed = 0;
            let (epoch_seen, acked_our_seq) = (network.epoch_seen, network.our_seq);
            let welcome = Item::Welcome { epoch_seen, acked_our_seq };
            let committed = self.tables.next_seq() - 1;
            let mut greeting = Greeting::of(&[(shard, self.epoch)]);
            match greeting.take((shard, 0, welcome), |_| committed) {
                Verdict::Pass(items) => {
                    self.network.attached = Some(self.epoch);
                    for (_, seq, item) in items {
                        self.turn(|machine, ctx, fx| machine.item(seq, item, ctx, fx));
                    }
                    return;
                }
                Verdict::Behind(behind) => {
                    assert!(self.restored > 0, "the network knows of nothing that was lost");
                    self.renew(shard, &behind);
                }
                Verdict::Wait => panic!("the only shard was spoken of"),
            }
        }
    }

    /// As the link's renewal.
    fn renew(&mut self, shard: ShardId, behind: &Behind) {
        let seq = behind.seqs.iter().find(|(told, _)| *told == shard).map_or(0, |(_, seq)| *seq);
        self.begin_generation(seq);
        if let Some((_, seen)) = behind.epochs.first() {
            self.tables.epoch = self.tables.epoch.max(*seen) + 1;
        }
        let mut devices = self.machine.peers.iter().flat_map(|(_, peer)| peer.devices.values());
        self.in_memory += usize::from(devices.any(|device| device.record.can_send(0)));
        (self.epoch, self.generation) = (self.tables.epoch, self.tables.generation);
        let (epoch, next_seq) = (self.epoch, self.tables.generation_start);
        self.turn(|machine, _, _| machine.renew(epoch, next_seq));
    }

    fn begin_generation(&mut self, above: i64) {
        self.tables.generation_start = self.tables.next_seq().max(above + 1);
        self.tables.generation = following(self.tables.generation, self.now_ms / 1_000);
    }

    /// The copy is put back. Where the network cannot tell, the operator has said so, as the manual
    /// demands.
    fn restore(&mut self) {
        self.restored += 1;
        self.uncommitted.clear();
        self.tables = self.backup.clone();
        // It takes some seconds: more than generations that were begun since the last one, or their
        // numbers, which are seconds, could meet.
        self.now_ms += 10_000;
        // A higher epoch tells as well, but wears off with every start before the next greeting.
        let told = self.network.our_seq > self.tables.next_seq() - 1;
        if !told || self.dice.roll(3) == 0 {
            self.begin_generation(0);
        }
        self.start_again();
        // Long enough, at times, for old sessions to be read before the network has told anything.
        self.network.away = self.dice.roll(2) * 20;
    }

    /// A phone tries to decrypt, and asks again when it cannot.
    pub(super) fn reaches_its_phone(&mut self, item: &SendItem) {
        if self.phones.take(item.to, item.key, &item.envelopes[0]) {
            return;
        }
        assert!(self.restored > 0, "a phone cannot decrypt");
        self.network.asked.insert(item.key);
        let kind = ReceiptKind::Retry(self.phones.retry(item.to, 1));
        let (key, from) = (item.key, item.to);
        self.network.keep(Item::Receipt(Receipt {
            key,
            from,
            device: 0,
            kind,
            timestamp_ms: 1,
            conversation: None,
        }));
    }

    /// The customer's phone is asked for a message again.
    pub(super) fn written_again(&mut self, from: Number, key: Key, retry: Retry) {
        assert!(self.restored > 0, "a customer was not understood");
        self.phones.begin_anew(from, &retry.bundle.expect("a bundle"));
        self.keep_inbound(from, key, TEXT);
    }

    fn check_restored(&self, seed: u64, fresh: &[Key]) {
        self.check_counts(seed);
        for key in fresh {
            let stored = &self.tables.messages[key].body;
            let stored = contract::message::Stored::decode(stored).unwrap();
            assert_eq!(self.phones.read.get(key), Some(&stored.message.to_vec()), "seed {seed}");
            self.check_statuses(*key, seed);
        }
        let heard: Vec<_> = self.tables.events.iter().filter(|event| event.kind == 2).collect();
        for event in &heard {
            let body = String::from_utf8_lossy(&event.body);
            assert!(body.contains(r#""body":"hi""#), "seed {seed}: a customer was not understood");
        }
        assert_eq!(heard.len(), self.tables.inbound.len(), "seed {seed}: twice or not at all");
    }
}

/// How often a copy was put back, how often that was noticed with old sessions in memory, and how
/// many messages were new after the last time.
fn run(seed: u64) -> (usize, usize, usize) {
    let mut world = World::plain(seed);
    let mut first_fresh = 0;
    for _ in 0..1_500 {
        match world.dice.roll(250) {
            0 => world.backup = world.tables.clone(),
            1 => {
                world.restore();
                first_fresh = world.next_client;
            }
            _ => world.step(true),
        }
    }
    let mut rest = 0;
    while !world.settled() {
        world.step(false);
        rest += 1;
        assert!(rest < 60_000, "seed {seed}: it does not come to rest: {}", world.unrest());
    }
    let fresh: Vec<Key> =
        world.clients[first_fresh..].iter().filter_map(|client| client.key).collect();
    world.check_restored(seed, &fresh);
    (world.restored, world.in_memory, fresh.len())
}

#[test]
fn a_database_put_back_uses_no_message_key_twice_and_everything_after_it_is_understood() {
    let mut runs = Vec::new();
    seeds::over_seeds(seeds::seeds(SEEDS), |seed| runs.push(run(seed)));
    let restored: usize = runs.iter().map(|run| run.0).sum();
    let in_memory: usize = runs.iter().map(|run| run.1).sum();
    let fresh: usize = runs.iter().map(|run| run.2).sum();
    assert!(
        runs.len() < 200 || (restored > 300 && in_memory > 50 && fresh > 2_000),
        "{restored} restores, {in_memory} with sessions in memory, {fresh} messages: too few"
    );
}

/// What the machine is told when it is not told: the simulation has to notice.
#[test]
#[should_panic(expected = "a message key was used twice")]
fn without_a_new_generation_the_simulation_sees_keys_used_twice() {
    for seed in 0..SEEDS {
        let mut world = World::plain(seed);
        for _ in 0..1_500 {
            match world.dice.roll(250) {
                0 => world.backup = world.tables.clone(),
                1 => {
                    world.tables = world.backup.clone();
                    world.uncommitted.clear();
                    (world.network.our_seq, world.restored) = (0, 1);
                    world.network.epoch_seen = 0;
                    world.posted.clear();
                    world.start_again();
                }
                _ => world.step(true),
            }
        }
    }
}
