//! The stream: connects, pumps both ways, connects again.
//!
//! The two directions never wait for each other: an owner that blocks on a full outgoing channel
//! still gets what comes in, and the other way round.

use std::time::Duration;

use contract::{Number, ShardId};
use futures_util::{
    StreamExt,
    stream::{self, ReadyChunks},
};
use rpc::upstream::{Down, Up, upstream_client::UpstreamClient};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Channel};

use super::{backoff::Backoff, convert, line::Line};
use crate::{Incoming, Outgoing};

/// How long opening the stream may take; longer counts as a failed attempt.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(10);
/// Most items taken from the owner, or handed to it, at once.
const CHUNK_OUT: usize = 256;
/// See [`CHUNK_OUT`].
const CHUNK_IN: usize = 64;
/// How long what was taken from an owner that has closed may take to leave; then it is cut off.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// Chunks between the pump and the connection; full, the pump waits and with it the owner.
const CHUNKS_QUEUED: usize = 4;

/// Why a connection ended.
enum End {
    /// The owner closed a side.
    Owner,
    /// The network, or the way to it.
    Network(String),
}

/// Runs until the owner closes `outgoing` or drops `incoming`.
pub(super) async fn run(
    mut client: UpstreamClient<Channel>,
    mut line: Line,
    outgoing: &mut mpsc::Receiver<Outgoing>,
    incoming: &mpsc::Sender<Vec<Incoming>>,
) {
    let started = Instant::now();
    let mut backoff = Backoff::default();
    loop {
        let Some(number) = discard_until(outgoing, incoming, line.any()).await else { return };
        let connection = connection(&mut client, number, outgoing, incoming, &mut backoff);
        let end = tokio::select! {
            end = connection => end,
            () = line.leaves(number) => End::Network("the account has another number".to_owned()),
        };
        let End::Network(reason) = end else { return };
        if incoming.send(vec![Incoming::Disconnected(reason)]).await.is_err() {
            return;
        }
        #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
        let wait = backoff.next(started.elapsed().as_nanos() as u64);
        if discard_until(outgoing, incoming, sleep(wait)).await.is_none() {
            return;
        }
    }
}

/// One connection, from the attempt to its end.
async fn connection(
    client: &mut UpstreamClient<Channel>,
    number: Number,
    outgoing: &mut mpsc::Receiver<Outgoing>,
    incoming: &mpsc::Sender<Vec<Incoming>>,
    backoff: &mut Backoff,
) -> End {
    let (chunks, queued) = mpsc::channel::<Vec<Up>>(CHUNKS_QUEUED);
    let ups = ReceiverStream::new(queued).flat_map(stream::iter);
    let attach = timeout(ATTACH_TIMEOUT, client.attach(ups));
    let mut down = match discard_until(outgoing, incoming, attach).await {
        None => return End::Owner,
        Some(Err(_)) => {
            return End::Network(format!("no answer within {} s", ATTACH_TIMEOUT.as_secs()));
        }
        Some(Ok(Err(status))) => return End::Network(convert::reason(&status)),
        Some(Ok(Ok(response))) => response.into_inner().ready_chunks(CHUNK_IN),
    };
    // Whatever was put in before the owner could know of this connection was meant for the last.
    while outgoing.try_recv().is_ok() {}
    if incoming.send(vec![Incoming::Connected]).await.is_err() {
        return End::Owner;
    }
    let end = tokio::select! {
        // In this order, so that an owner that drops both sides has its last words taken first.
        biased;
        end = pump_up(outgoing, &chunks, number) => end,
        end = pump_down(&mut down, incoming, backoff) => end,
        () = incoming.closed() => End::Owner,
    };
    if matches!(end, End::Owner) {
        // The last acknowledgements should still arrive: the network ends its side once it has
        // read ours to the end.
        drop(chunks);
        let ended = async { while down.next().await.is_some() {} };
        let _cut_off = timeout(FLUSH_TIMEOUT, ended).await;
    }
    end
}

/// Waits for `done` and drops what the owner puts in meanwhile; `None` when the owner has closed.
async fn discard_until<T>(
    outgoing: &mut mpsc::Receiver<Outgoing>,
    incoming: &mpsc::Sender<Vec<Incoming>>,
    done: impl Future<Output = T>,
) -> Option<T> {
    let mut done = std::pin::pin!(done);
    let mut dropped = Vec::with_capacity(CHUNK_OUT);
    loop {
        tokio::select! {
            result = &mut done => return Some(result),
            () = incoming.closed() => return None,
            count = outgoing.recv_many(&mut dropped, CHUNK_OUT) => match count {
                0 => return None,
                _ => dropped.clear(),
            },
        }
    }
}

/// Owner → network. Lets nothing of a shard pass before the shard's Hello on this connection: an
/// owner that has not read `Connected` yet may still be writing for the last one.
async fn pump_up(
    outgoing: &mut mpsc::Receiver<Outgoing>,
    chunks: &mpsc::Sender<Vec<Up>>,
    number: Number,
) -> End {
    let mut claimed = Claimed::default();
    let mut taken = Vec::with_capacity(CHUNK_OUT);
    loop {
        if outgoing.recv_many(&mut taken, CHUNK_OUT).await == 0 {
            return End::Owner;
        }
        let chunk: Vec<Up> = taken
            .drain(..)
            .filter(|item| claimed.lets_pass(item))
            .map(|item| convert::up(item, number))
            .collect();
        if !chunk.is_empty() && chunks.send(chunk).await.is_err() {
            return End::Network("the network closed the stream".to_owned());
        }
    }
}

/// Network → owner.
async fn pump_down(
    down: &mut ReadyChunks<Streaming<Down>>,
    incoming: &mpsc::Sender<Vec<Incoming>>,
    backoff: &mut Backoff,
) -> End {
    let mut ended = None;
    while let Some(chunk) = down.next().await {
        let mut items = Vec::with_capacity(chunk.len());
        for item in chunk {
            match item {
                Ok(item) => convert::down(item, &mut items),
                Err(status) => ended = Some(convert::reason(&status)),
            }
        }
        if !items.is_empty() {
            backoff.reset();
            if incoming.send(items).await.is_err() {
                return End::Owner;
            }
        }
        if ended.is_some() {
            break;
        }
    }
    End::Network(ended.unwrap_or_else(|| "the network ended the stream".to_owned()))
}

/// Shards that said Hello on this connection.
struct Claimed([bool; 65]);

impl Default for Claimed {
    fn default() -> Self {
        Self([false; 65])
    }
}

impl Claimed {
    fn lets_pass(&mut self, item: &Outgoing) -> bool {
        match item {
            Outgoing::Hello { shards, .. } => {
                for (shard, _) in shards {
                    if let Some(place) = self.0.get_mut(shard.index()) {
                        *place = true;
                    }
                }
                true
            }
            Outgoing::Send(send) => self.has(send.shard),
            Outgoing::Ack { shard, .. } | Outgoing::Retry { shard, .. } => self.has(*shard),
        }
    }

    fn has(&self, shard: ShardId) -> bool {
        self.0.get(shard.index()).copied().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_shard_passes_before_its_hello() {
        let shard = |id| ShardId::new(id).unwrap();
        let ack = |id| Outgoing::Ack { shard: shard(id), epoch: 1, seq: 1, our_seq: 0 };
        let mut claimed = Claimed::default();
        assert!(!claimed.lets_pass(&ack(5)));
        assert!(claimed.lets_pass(&Outgoing::Hello { generation: 1, shards: vec![(shard(5), 1)] }));
        assert!(claimed.lets_pass(&ack(5)));
        assert!(!claimed.lets_pass(&ack(6)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_is_never_blocked_while_nobody_listens() {
        // A port that was free a moment ago and refuses connections.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let number = Number::from_digits(b"15550100100").unwrap();
        let sandbox = super::super::Sandbox::new(&format!("http://{address}"), number).unwrap();
        let (out, outgoing) = mpsc::channel(1);
        let (incoming, mut events) = mpsc::channel(4);
        let link = tokio::spawn(async move {
            crate::Upstream::link(&sandbox, outgoing, incoming).await;
        });
        for _ in 0..3 {
            let event = events.recv().await.unwrap();
            assert!(matches!(event.as_slice(), [Incoming::Disconnected(_)]), "{event:?}");
            for _ in 0..50 {
                out.send(Outgoing::Hello { generation: 1, shards: vec![] }).await.unwrap();
            }
        }
        drop(out);
        link.await.unwrap();
    }
}
