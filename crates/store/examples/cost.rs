//! What a message costs at the store: its whole life (accept, seal, settle, two receipts) through the
//! lanes, `cargo run --release -p store --example cost -- URL [MESSAGES] [IN_FLIGHT]`.
//!
//! Prints messages a second and the CPU time of this process a message.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use contract::{Key, Number, Rng, Route, ShardId};
use store::{
    Feed, Settings, Store,
    rows::{Event, Job, Message, NewEvent, Node, NodeState, Outbox},
    write::{Class, Committed, Op, Reply, Write, WriteError},
};
use tokio::{sync::oneshot, task::JoinSet, time::Instant};

/// splitmix64 from a number of this run.
struct Numbers(AtomicU64);

impl Rng for Numbers {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_be_bytes()[..chunk.len()]);
        }
    }
}

struct Deaf;

impl Feed for Deaf {
    fn committed(&self, _: &[Event]) {}
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("usage: cost URL [MESSAGES] [IN_FLIGHT]")?;
    let messages: u64 = args.next().map_or(Ok(20_000), |text| text.parse())?;
    let in_flight: u64 = args.next().map_or(Ok(512), |text| text.parse())?;
    let inc = i64::from(std::process::id());
    let rng = Arc::new(Numbers(AtomicU64::new(u64::from(std::process::id()) << 32)));
    let store = Store::open(Settings::new(url.parse()?), rng.clone()).await?;
    let node = Node {
        inc,
        name: "cost".to_owned(),
        addr: "127.0.0.1:0".to_owned(),
        state: NodeState::Live,
        version: "0".to_owned(),
        beat: 0,
    };
    store.cluster().join(&node, store.facts().lanes).await?;
    let lanes = store.start_lanes(inc, Arc::new(Deaf));
    let seen = store.cluster().shards().await?;
    let mut epochs = std::collections::HashMap::new();
    for shard in store.cluster().claim(inc, &seen).await? {
        let load = store.reader().load_shard(shard.id).await?;
        let (answers, _) = tokio::sync::mpsc::unbounded_channel();
        lanes.own(shard.id, shard.epoch, load.next_seq(), answers);
        epochs.insert(shard.id, shard.epoch);
    }
    let epochs = Arc::new(epochs);
    let next = Arc::new(AtomicU64::new(0));
    let cpu_before = cpu_us()?;
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..in_flight {
        let (lanes, epochs, next, rng) =
            (lanes.clone(), Arc::clone(&epochs), Arc::clone(&next), Arc::clone(&rng));
        clients.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= messages {
                    return Ok(());
                }
                let to = Number::parse(&format!("4915{:09}", n % 100_000)).map_err(|_| n);
                let route = Route::of(&to.unwrap_or(Number::parse("10000").map_err(|_| n)?));
                let shard = route.shard();
                let epoch = epochs.get(&shard).copied().unwrap_or_default();
                for ops in life(n, route, &*rng) {
                    commit(&lanes, shard, epoch, ops).await.map_err(|_| n)?;
                }
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client?.map_err(|n: u64| format!("message {n} failed"))?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let cpu = cpu_us()? - cpu_before;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let (count, cpu) = (messages as f64, cpu as f64);
    println!("{}", store.facts());
    println!(
        "{messages} messages, {in_flight} in flight: {:.0} messages/s, {:.1} us of this process \
         a message",
        count / seconds,
        cpu / count
    );
    lanes.close().await;
    store.cluster().leave(inc).await?;
    Ok(())
}

/// The writes of one message, in order; eight rows in five writes.
fn life(n: u64, route: Route, rng: &impl Rng) -> [Vec<Op>; 5] {
    let mut bytes = [0; 9];
    bytes[..4].copy_from_slice(&n.to_be_bytes()[4..]);
    rng.fill(&mut bytes[4..]);
    let Ok(key) = Key::from_bytes(&bytes) else { return Default::default() };
    let id = rng.next_u64().cast_signed();
    let message =
        Message { key, created_ms: 0, body_hash: [0; 32], body: vec![1; 300].into(), trace: None };
    let job = Job { id, key, route, created_ms: 0, header: vec![1; 48].into(), trace: None };
    let outbox = Outbox { key, device: 0, kind: 2, payload: vec![1; 400].into() };
    let event = || {
        let body = vec![b'x'; 250].into();
        Op::InsertEvent(NewEvent {
            kind: 1,
            route,
            key: Some(key),
            held: false,
            created_ms: 0,
            body,
            trace: None,
        })
    };
    [
        vec![Op::InsertMessage(message), Op::InsertJob(job)],
        vec![Op::InsertOutbox(outbox)],
        vec![Op::DeleteJob(id), Op::DeleteOutbox { key, device: 0 }, event()],
        vec![event()],
        vec![event()],
    ]
}

async fn commit(
    lanes: &store::Lanes,
    shard: ShardId,
    epoch: i64,
    ops: Vec<Op>,
) -> Result<Committed, WriteError> {
    let (reply, outcome) = oneshot::channel();
    let reply = Reply::Once(reply);
    lanes.submit(Write { shard, epoch, class: Class::Hot, ops, reply });
    outcome.await.unwrap_or(Err(WriteError::NotOwned))
}

/// User and system time of this process, in ticks of 10 ms; 0 where there is no /proc.
fn cpu_us() -> Result<u64, Box<dyn Error>> {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return Ok(0) };
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    let ticks = |at: usize| fields.get(at).map_or(Ok(0), |text| text.parse::<u64>());
    Ok((ticks(11)? + ticks(12)?) * 10_000)
}
