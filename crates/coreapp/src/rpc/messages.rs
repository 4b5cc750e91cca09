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
async fn read(intake: Arc<Intake>, frames: Streaming<SendFrame>, out: Arc<StreamOut>) {
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
