//! Port 6250.

use std::{pin::Pin, sync::Arc, time::Duration};

use ::rpc::{
    coreapp::{
        CancelRequest, CancelResponse, MarkReadRequest, MarkReadResponse, SendFrame, SendFrames,
        SendReplies, SendReply, messages_server::Messages,
    },
    error::to_status,
};
use contract::{ApiError, Code, Direction, MessageId, Route};
use futures_util::{Stream, StreamExt, stream};
use tokio::{sync::oneshot, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    inbound::{Reading, unknown},
    intake::{
        Intake,
        pipe::{self, MANY_MAX, PIPE_MAX, StreamOut},
    },
    shard::effects::ReplyTo,
};

/// Items of a stream taken in one go.
const CHUNK: usize = 64;
/// How long a cancellation may take: two reads or one write.
const CANCEL: Duration = Duration::from_secs(10);

/// See the proto.
pub(crate) struct MessagesService {
    pub intake: Arc<Intake>,
    pub reading: Reading,
    /// The process stops: what was not read is sent to the next owner.
    pub stop: CancellationToken,
}

type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Messages for MessagesService {
    type PipeStream = BoxStream<SendReplies>;
    type SendManyStream = BoxStream<SendReply>;

    async fn pipe(
        &self,
        request: Request<Streaming<SendFrames>>,
    ) -> Result<Response<Self::PipeStream>, Status> {
        let (out, replies) = StreamOut::new(PIPE_MAX, self.intake.messages.clone());
        let frames = request.into_inner().map(|frames| frames.map(|frames| frames.frames));
        self.spawn(frames, out);
        Ok(Response::new(Box::pin(ReceiverStream::new(replies))))
    }

    async fn send_many(
        &self,
        request: Request<Streaming<SendFrame>>,
    ) -> Result<Response<Self::SendManyStream>, Status> {
        let (out, replies) = StreamOut::new(MANY_MAX, self.intake.messages.clone());
        let frames = request.into_inner().map(|frame| frame.map(|frame| vec![frame]));
        self.spawn(frames, out);
        let replies = ReceiverStream::new(replies).flat_map(|replies| {
            stream::iter(match replies {
                Ok(replies) => replies.replies.into_iter().map(Ok).collect(),
                Err(status) => vec![Err(status)],
            })
        });
        Ok(Response::new(Box::pin(replies)))
    }

    async fn send(&self, request: Request<SendFrame>) -> Result<Response<SendReply>, Status> {
        let frame = request.into_inner();
        Ok(Response::new(self.intake.once(frame, Intake::check).await))
    }

    async fn cancel(
        &self,
        request: Request<CancelRequest>,
    ) -> Result<Response<CancelResponse>, Status> {
        self.intake.messages.take().and_then(|()| self.intake.beat.answers()).map_err(to_status)?;
        let id = request.into_inner().id.parse::<MessageId>().ok();
        let id = id.filter(|id| id.direction == Direction::Outbound).ok_or_else(|| {
            to_status(ApiError::new(Code::NOT_FOUND, "There is no message with this id"))
        })?;
        let (reply, answer) = oneshot::channel();
        self.intake.drivers.cancel(Route::of(&id.number).shard(), id.key, reply);
        // Dropped: the shard was lost under way. Its next owner knows.
        let lost = || ApiError::new(Code::NOT_PRIMARY_COREAPP, "the shard has just moved");
        let slow = || ApiError::new(Code::NOT_READY, "the coreapp did not answer in time");
        match timeout(CANCEL, answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(lost())),
            Err(_) => Err(slow()),
        }
        .map_err(to_status)?;
        Ok(Response::new(CancelResponse {}))
    }

    async fn mark_read(
        &self,
        request: Request<MarkReadRequest>,
    ) -> Result<Response<MarkReadResponse>, Status> {
        self.intake.messages.take().and_then(|()| self.intake.beat.answers()).map_err(to_status)?;
        let id = request.into_inner().id.parse().map_err(|_| to_status(unknown()))?;
        self.reading.mark(id).await.map_err(to_status)?;
        Ok(Response::new(MarkReadResponse {}))
    }
}

impl MessagesService {
    fn spawn(
        &self,
        frames: impl Stream<Item = Result<Vec<SendFrame>, Status>> + Send + Unpin + 'static,
        out: StreamOut,
    ) {
        let (intake, stop) = (self.intake.clone(), self.stop.clone());
        tokio::spawn(
            async move { stop.run_until_cancelled(read(intake, frames, Arc::new(out))).await },
        );
    }
}

/// Only dispatches, so that small frames never pile up unread.
async fn read(
    intake: Arc<Intake>,
    frames: impl Stream<Item = Result<Vec<SendFrame>, Status>> + Unpin,
    out: Arc<StreamOut>,
) {
    let mut chunks = frames.ready_chunks(CHUNK);
    while let Some(chunk) = chunks.next().await {
        let (mut good, mut answered, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        let mut broken = None;
        for frames in chunk {
            let frames = match frames {
                Ok(frames) => frames,
                Err(status) => {
                    tracing::debug!(%status, "a stream of messages broke");
                    broken = Some(status);
                    break;
                }
            };
            for frame in frames {
                let seq = frame.seq;
                if !out.begin() {
                    refused.push(pipe::reply(seq, &Err(out.full())));
                    continue;
                }
                let handed = intake.handing.owner(&frame).map(|owner| (owner, frame.clone()));
                match intake.check(frame, ReplyTo::Stream { out: out.clone(), seq }) {
                    Ok(checked) => match handed {
                        None => good.push(checked),
                        Some((owner, frame)) => hand(intake.clone(), owner, frame, out.clone()),
                    },
                    Err((_, error)) => answered.push(pipe::reply(seq, &Err(error))),
                }
            }
        }
        if !answered.is_empty() {
            out.answer(answered);
        }
        if !refused.is_empty() {
            out.refuse(refused);
        }
        intake.submit(good).await;
        if let Some(status) = broken {
            // Nothing that follows can be read, and nothing may ever come: waiting for it would keep
            // this task, and the stream's place on its connection, for good.
            out.end(status);
            return;
        }
        if out.closed() {
            return;
        }
    }
}

/// The answer comes by the stream's own way, and frees its place there.
fn hand(intake: Arc<Intake>, owner: Arc<str>, frame: SendFrame, out: Arc<StreamOut>) {
    tokio::spawn(async move { out.answer(vec![intake.handing.send(owner, frame).await]) });
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Mutex, time::Duration};

    use ::rpc::coreapp::send_reply::Result::Error;
    use contract::Clock;
    use tokio::{
        sync::{mpsc, watch},
        time::Instant,
    };

    use super::*;
    use crate::{
        cluster::{Peers, beat::Beat},
        intake::{Handing, Quota},
        shard::{effects::Frame, task::Drivers},
    };

    const MINTED_S: u32 = 1_700_000_000;
    /// Webapps, each with a pipe of its own, and how often each sends.
    const PIPES: u64 = 10;
    const EVERY: Duration = Duration::from_millis(25);

    struct Still;

    impl Clock for Still {
        fn unix_ms(&self) -> i64 {
            i64::from(MINTED_S) * 1_000
        }
    }

    fn frame(seq: u64) -> SendFrame {
        let key = [&MINTED_S.to_be_bytes()[..], &seq.to_be_bytes()[3..]].concat();
        SendFrame {
            seq,
            key: key.into(),
            to: "4915112345678".to_owned(),
            message: br#"{"type":"text","text":{"body":"hi"}}"#.as_slice().into(),
            ..SendFrame::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_pipes_of_a_coreapp_together_get_its_quota_and_every_refusal_says_when() {
        let (drivers, mut given) = Drivers::idle();
        let beat = Arc::new(Beat::new());
        let messages = Arc::new(Quota::default());
        messages.set(80, 40);
        let quota = messages.clone();
        let number = tokio::sync::watch::channel("15550100100".parse().ok()).1;
        let map = watch::Sender::new(Arc::default()).subscribe();
        let ask = Box::new(|| Box::pin(std::future::ready(true)) as _);
        let handing = Handing::new(map.clone(), Arc::new(Peers::new(map, None)), ask);
        let intake = Intake {
            drivers,
            clock: Arc::new(Still),
            messages,
            beat: beat.clone(),
            handing,
            traces: telemetry::Traces::default(),
            has_files: Box::new(|_| Box::pin(std::future::ready(Ok(())))),
            templates: Arc::default(),
            number,
        };
        let intake = Arc::new(intake);
        let begin = Instant::now();
        // How often each code was answered, and how often without a time to wait.
        let codes = Arc::new(Mutex::new(BTreeMap::<(u32, bool), u32>::new()));
        for pipe in 0..PIPES {
            let (frames, stream) = mpsc::channel(1);
            let (out, mut replies) = StreamOut::new(PIPE_MAX, quota.clone());
            tokio::spawn(read(intake.clone(), ReceiverStream::new(stream), Arc::new(out)));
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(pipe)).await;
                for n in 0.. {
                    if frames.send(Ok(vec![frame(n * PIPES + pipe)])).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(EVERY).await;
                }
            });
            let codes = codes.clone();
            tokio::spawn(async move {
                while let Some(Ok(SendReplies { replies, .. })) = replies.recv().await {
                    for reply in replies {
                        if let Some(Error(error)) = reply.result {
                            let key = (error.code, error.retry_after_ms > 0);
                            *codes.lock().unwrap().entry(key).or_default() += 1;
                        }
                    }
                }
            });
        }
        tokio::spawn(async move {
            loop {
                beat.good(Instant::now());
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        // What is let through, after the first five seconds.
        let mut passed = 0;
        while begin.elapsed() < Duration::from_secs(65) {
            let frames = given.recv().await.unwrap();
            if begin.elapsed() >= Duration::from_secs(5) {
                passed += frames.len();
            }
            for Frame { reply, .. } in frames {
                // Answered, so that its place in the pipe is free again.
                let ReplyTo::Stream { out, seq } = reply else { panic!("it came by pipe") };
                let error = ApiError::new(Code::NOT_READY, "nothing is accepted here");
                out.answer(vec![pipe::reply(seq, &Err(error))]);
            }
        }
        assert!(passed.abs_diff(80 * 60) <= 48, "{passed} in 60 s");
        let codes = codes.lock().unwrap().clone();
        let kinds: Vec<(u32, bool)> = codes.keys().copied().collect();
        assert_eq!(kinds, [(1011, false), (1015, true)], "of the driver, and of the quota");
        let refused = codes[&(1015, true)];
        assert!(refused > 300 * 60, "what exceeds the quota is refused: {refused}");
    }
}
