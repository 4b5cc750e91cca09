//! Port 6250.

use std::{pin::Pin, sync::Arc};

use ::rpc::coreapp::{SendFrame, SendReplies, SendReply, messages_server::Messages};
use contract::{ApiError, Code};
use futures_util::{Stream, StreamExt};
use tokio::sync::oneshot;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    intake::{
        Intake,
        pipe::{self, StreamOut, UNANSWERED_MAX},
    },
    shard::effects::ReplyTo,
};

/// Frames taken from a stream in one go.
const CHUNK: usize = 64;

/// See the proto.
pub(crate) struct MessagesService(pub Arc<Intake>);

#[tonic::async_trait]
impl Messages for MessagesService {
    type PipeStream = Pin<Box<dyn Stream<Item = Result<SendReplies, Status>> + Send>>;

    async fn pipe(
        &self,
        request: Request<Streaming<SendFrame>>,
    ) -> Result<Response<Self::PipeStream>, Status> {
        let (out, replies) = StreamOut::new();
        tokio::spawn(read(self.0.clone(), request.into_inner(), Arc::new(out)));
        Ok(Response::new(Box::pin(ReceiverStream::new(replies))))
    }

    async fn send(&self, request: Request<SendFrame>) -> Result<Response<SendReply>, Status> {
        let frame = request.into_inner();
        let seq = frame.seq;
        let (reply, answer) = oneshot::channel();
        match self.0.check(frame, ReplyTo::Once(reply)) {
            Ok(frame) => self.0.submit(vec![frame]).await,
            Err((_, error)) => return Ok(Response::new(pipe::reply(seq, &Err(error)))),
        }
        let accepted = answer.await.unwrap_or_else(|_| {
            Err(ApiError::new(Code::NOT_READY, "the coreapp is stopping; the outcome is unknown"))
        });
        Ok(Response::new(pipe::reply(seq, &accepted)))
    }
}

/// Only dispatches, so that small frames never pile up unread.
async fn read(
    intake: Arc<Intake>,
    frames: impl Stream<Item = Result<SendFrame, Status>> + Unpin,
    out: Arc<StreamOut>,
) {
    let mut chunks = frames.ready_chunks(CHUNK);
    while let Some(chunk) = chunks.next().await {
        let (mut good, mut answered, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for frame in chunk {
            let frame = match frame {
                Ok(frame) => frame,
                Err(status) => {
                    tracing::debug!(%status, "a webapp's stream broke");
                    continue;
                }
            };
            let seq = frame.seq;
            if !out.begin() {
                let error = ApiError::new(
                    Code::OVERLOADED,
                    format!("{UNANSWERED_MAX} items of this stream are unanswered"),
                );
                refused.push(pipe::reply(seq, &Err(error.retry_after_ms(100))));
                continue;
            }
            match intake.check(frame, ReplyTo::Stream { out: out.clone(), seq }) {
                Ok(frame) => good.push(frame),
                Err((_, error)) => answered.push(pipe::reply(seq, &Err(error))),
            }
        }
        if !answered.is_empty() {
            out.answer(answered);
        }
        if !refused.is_empty() {
            out.refuse(refused);
        }
        intake.submit(good).await;
        if out.closed() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use contract::Clock;
    use tokio::{sync::mpsc, time::Instant};

    use super::*;
    use crate::{cluster::beat::Beat, intake::Quota, shard::task::Drivers};

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
        let messages = Quota::default();
        messages.set(80, 40);
        let intake = Intake { drivers, clock: Arc::new(Still), messages, beat: beat.clone() };
        let intake = Arc::new(intake);
        let begin = Instant::now();
        let mut refusals = Vec::new();
        for pipe in 0..PIPES {
            let (frames, stream) = mpsc::channel(1);
            let (out, mut replies) = StreamOut::new();
            tokio::spawn(read(intake.clone(), ReceiverStream::new(stream), Arc::new(out)));
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(pipe)).await;
                for n in 0.. {
                    if frames.send(Ok(frame(n * PIPES + pipe))).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(EVERY).await;
                }
            });
            refusals.push(tokio::spawn(async move {
                let mut refused = 0;
                while begin.elapsed() < Duration::from_secs(65) {
                    let Some(Ok(SendReplies { replies })) = replies.recv().await else { break };
                    for reply in replies {
                        let Some(::rpc::coreapp::send_reply::Result::Error(error)) = reply.result
                        else {
                            panic!("the driver answers nothing")
                        };
                        assert_eq!(error.code, 1015, "{}", error.details);
                        assert!(error.retry_after_ms > 0);
                        refused += 1;
                    }
                }
                refused
            }));
        }
        // What is let through, after the first five seconds.
        let mut passed = 0;
        while begin.elapsed() < Duration::from_secs(65) {
            beat.good(Instant::now());
            let frames = given.recv().await.unwrap().len();
            if begin.elapsed() >= Duration::from_secs(5) {
                passed += frames;
            }
        }
        assert!(passed.abs_diff(80 * 60) <= 48, "{passed} in 60 s");
        let mut refused = 0;
        for task in refusals {
            refused += task.await.unwrap();
        }
        assert!(refused > 300 * 60, "what exceeds the quota is refused: {refused}");
    }
}
