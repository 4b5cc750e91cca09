//! A pipe under load, with a real server at the other end.

use std::{pin::Pin, sync::Arc, time::Duration};

use contract::{Code, Key};
use futures_util::{Stream, StreamExt as _, future::join_all};
use rpc::coreapp::{
    Accepted, CancelRequest, CancelResponse, MarkReadRequest, MarkReadResponse, SendFrame,
    SendFrames, SendReplies, SendReply,
    messages_server::{Messages, MessagesServer},
    send_reply,
};
use telemetry::Metrics;
use tokio::{
    net::TcpListener,
    sync::{Mutex, Notify, mpsc},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Failure, Hop, Message, live::MAX_PENDING};
use crate::metrics::Web;

/// Reads nothing until told, then answers each frame with a small message of its own.
#[derive(Clone)]
struct Slow {
    read: Arc<Notify>,
    attempts: Arc<Mutex<Vec<u32>>>,
}

#[tonic::async_trait]
impl Messages for Slow {
    type PipeStream = Pin<Box<dyn Stream<Item = Result<SendReplies, Status>> + Send>>;

    async fn pipe(
        &self,
        request: Request<Streaming<SendFrames>>,
    ) -> Result<Response<Self::PipeStream>, Status> {
        let (replies, out) = mpsc::channel(1);
        let (this, mut frames) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            this.read.notified().await;
            let mut held = Vec::new();
            while held.len() < MAX_PENDING {
                let Some(Ok(frames)) = frames.next().await else { return };
                for frame in frames.frames {
                    this.attempts.lock().await.push(frame.attempt);
                    held.push(frame.seq);
                }
            }
            for seq in held {
                let accepted = Accepted { id: seq.to_string(), replayed: false };
                let result = send_reply::Result::Accepted(accepted);
                let replies_ = SendReplies {
                    replies: vec![SendReply { seq, result: Some(result) }],
                    quota: None,
                };
                if replies.send(Ok(replies_)).await.is_err() {
                    return;
                }
            }
            // Keep the stream open: its end would look like a break.
            while frames.next().await.is_some() {}
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(out))))
    }

    async fn send(&self, _: Request<SendFrame>) -> Result<Response<SendReply>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    type SendManyStream = Pin<Box<dyn Stream<Item = Result<SendReply, Status>> + Send>>;

    async fn send_many(
        &self,
        _: Request<Streaming<SendFrame>>,
    ) -> Result<Response<Self::SendManyStream>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn cancel(&self, _: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn mark_read(
        &self,
        _: Request<MarkReadRequest>,
    ) -> Result<Response<MarkReadResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }
}

/// More than the tasks a frame passes on its way to the socket.
const YIELDS: usize = 16;

async fn eventually(holds: impl Fn() -> bool) {
    let poll = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), poll).await.expect("it happens within 5 s");
}

fn message(n: usize) -> Message {
    Message {
        key: Key::from_bytes(&[7; 9]).unwrap(),
        to: format!("1631555{n:04}").parse().unwrap(),
        input: String::new(),
        body: "{}".into(),
        idempotency_key: None,
        actor: "clerk_7".into(),
        request_id: String::new(),
        traceparent: String::new(),
    }
}

#[tokio::test]
async fn a_full_pipe_of_unread_items_keeps_its_connection_and_refuses_one_more() {
    let slow = Slow { read: Arc::default(), attempts: Arc::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: Arc<str> = listener.local_addr().unwrap().to_string().into();
    tokio::spawn(
        rpc::http2::server(64)
            .add_service(MessagesServer::new(slow.clone()))
            .serve_with_incoming(rpc::io::incoming(listener, None)),
    );
    let web = Arc::new(Web::new(Metrics::new(), "test".to_owned()).unwrap());
    let hop = Arc::new(Hop::new(web, None));
    hop.follow(&vec![Some(address); 64]);

    eventually(|| hop.parts().open == 1).await;
    let mut sends = Vec::new();
    for n in 0..MAX_PENDING {
        let sender = Arc::clone(&hop);
        sends.push(tokio::spawn(async move { sender.send(message(n)).await.result.ok() }));
        eventually(|| hop.parts().unanswered > n).await;
        // One at a time, so that each becomes a small DATA frame of its own.
        for _ in 0..YIELDS {
            tokio::task::yield_now().await;
        }
    }
    let Err(Failure::Refused(error)) = hop.send(message(0)).await.result else {
        panic!("one too many")
    };
    assert_eq!(error.code, Code::OVERLOADED);

    slow.read.notify_one();
    let ids = join_all(sends).await;
    let accepted = ids.iter().filter(|id| matches!(id, Ok(Some(_)))).count();
    assert_eq!(accepted, MAX_PENDING);
    let attempts = slow.attempts.lock().await;
    assert!(attempts.iter().all(|attempt| *attempt == 1), "no connection was lost on the way");
    assert_eq!(hop.parts().unanswered, 0);
}

/// Takes every frame and answers none, or accepts all, or those that are to be handed on, or refuses all so,
/// perhaps only once it is told to.
#[derive(Clone)]
enum Other {
    Silent,
    Accepts,
    HandsOn,
    Refuses(rpc::coreapp::ApiError),
    RefusesLate(Arc<Notify>, rpc::coreapp::ApiError),
}

#[tonic::async_trait]
impl Messages for Other {
    type PipeStream = Pin<Box<dyn Stream<Item = Result<SendReplies, Status>> + Send>>;

    async fn pipe(
        &self,
        request: Request<Streaming<SendFrames>>,
    ) -> Result<Response<Self::PipeStream>, Status> {
        let this = self.clone();
        let replies = request.into_inner().filter_map(move |frames| {
            let replies = frames.unwrap().frames.into_iter().filter_map(|frame| {
                let accepted = Accepted { id: "a".to_owned(), replayed: false };
                let result = match &this {
                    Self::Silent => return None,
                    Self::Accepts => send_reply::Result::Accepted(accepted),
                    Self::HandsOn if frame.forward => send_reply::Result::Accepted(accepted),
                    Self::HandsOn => panic!("nobody asked for it to be handed on"),
                    Self::Refuses(error) | Self::RefusesLate(_, error) => {
                        send_reply::Result::Error(error.clone())
                    }
                };
                Some(SendReply { seq: frame.seq, result: Some(result) })
            });
            let replies: Vec<_> = replies.collect();
            let some = !replies.is_empty();
            let told = match &this {
                Self::RefusesLate(told, _) => Some(Arc::clone(told)),
                _ => None,
            };
            async move {
                if let Some(told) = told {
                    told.notified().await;
                }
                some.then_some(Ok(SendReplies { replies, quota: None }))
            }
        });
        Ok(Response::new(Box::pin(replies)))
    }

    async fn mark_read(
        &self,
        _: Request<MarkReadRequest>,
    ) -> Result<Response<MarkReadResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn send(&self, _: Request<SendFrame>) -> Result<Response<SendReply>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    type SendManyStream = Pin<Box<dyn Stream<Item = Result<SendReply, Status>> + Send>>;

    async fn send_many(
        &self,
        _: Request<Streaming<SendFrame>>,
    ) -> Result<Response<Self::SendManyStream>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn cancel(&self, _: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }
}

fn serve(listener: TcpListener, core: Other) {
    tokio::spawn(
        rpc::http2::server(64)
            .add_service(MessagesServer::new(core))
            .serve_with_incoming(rpc::io::incoming(listener, None)),
    );
}

/// The owner of every shard of messages, and another coreapp, which owns the last of them.
async fn owner_and_another(owner: Other, another: Other) -> Arc<Hop> {
    let mut addresses: Vec<Arc<str>> = Vec::new();
    for core in [owner, another] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(listener.local_addr().unwrap().to_string().into());
        serve(listener, core);
    }
    let hop = hop_to(&addresses[0], &addresses[1]);
    eventually(|| hop.parts().open == 2).await;
    hop
}

fn hop_to(owner: &Arc<str>, another: &Arc<str>) -> Arc<Hop> {
    let hop =
        Arc::new(Hop::new(Arc::new(Web::new(Metrics::new(), "test".to_owned()).unwrap()), None));
    hop.follow(&owned(owner, another));
    hop
}

fn owned(owner: &Arc<str>, another: &Arc<str>) -> Vec<Option<Arc<str>>> {
    let mut owners = vec![Some(owner.clone()); 64];
    let to = contract::Route::of(&message(0).to).shard().get();
    owners[if to == 63 { 0 } else { 63 }] = Some(another.clone());
    owners
}

#[tokio::test]
async fn a_message_whose_owner_does_not_answer_goes_around() {
    let hop = owner_and_another(Other::Silent, Other::HandsOn).await;
    assert!(hop.send(message(0)).await.result.is_ok());
}

/// As when it is started again: whoever was told to wait longer goes to it as soon as it is there.
#[tokio::test]
async fn a_message_waits_no_longer_than_until_its_owner_is_there_again() {
    let away = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let owner: Arc<str> = away.local_addr().unwrap().to_string().into();
    drop(away);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let another = listener.local_addr().unwrap().to_string().into();
    let starts = contract::ApiError::new(Code::NOT_READY, "starts").retry_after_ms(9_000);
    serve(listener, Other::Refuses(starts.into()));
    let hop = hop_to(&owner, &another);
    eventually(|| hop.parts().open == 1).await;

    let sender = Arc::clone(&hop);
    let sent = tokio::spawn(async move { sender.send(message(0)).await.result.is_ok() });
    eventually(|| hop.metrics.hop_repeats.get() == 1).await;
    serve(TcpListener::bind(&*owner).await.unwrap(), Other::Accepts);
    assert!(timeout(Duration::from_secs(5), sent).await.expect("before the 9 s are over").unwrap());
}

#[tokio::test]
async fn that_the_database_is_away_is_said_at_once_when_another_coreapp_says_so_too() {
    let away = || contract::ApiError::new(Code::DATABASE, "away").retry_after_ms(1_000).into();
    let hop = owner_and_another(Other::Refuses(away()), Other::Refuses(away())).await;
    let answer = timeout(Duration::from_secs(1), hop.send(message(0))).await.unwrap();
    let Err(Failure::Refused(error)) = answer.result else { panic!("not refused") };
    assert_eq!((error.code, error.retry_after_ms), (Code::DATABASE, Some(1_000)));

    let hop = owner_and_another(Other::Refuses(away()), Other::HandsOn).await;
    assert!(hop.send(message(0)).await.result.is_ok(), "it fails the owner alone");
}

/// The second of two coreapps gets the shard of an owner that has just been asked and will say that it does
/// not hear of the database; `between`: nobody has it for a moment.
async fn replaced_while_it_is_asked(between: bool) {
    let away = contract::ApiError::new(Code::DATABASE, "away").retry_after_ms(1_000).into();
    let told = Arc::new(Notify::new());
    let mut addresses: Vec<Arc<str>> = Vec::new();
    for core in [Other::RefusesLate(Arc::clone(&told), away), Other::Accepts] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(listener.local_addr().unwrap().to_string().into());
        serve(listener, core);
    }
    let hop = hop_to(&addresses[0], &addresses[1]);
    eventually(|| hop.parts().open == 2).await;
    let sender = Arc::clone(&hop);
    let sent = tokio::spawn(async move { sender.send(message(0)).await.result.is_ok() });
    eventually(|| hop.parts().unanswered == 1).await;
    if between {
        let mut owners = owned(&addresses[0], &addresses[1]);
        let to = contract::Route::of(&message(0).to).shard().index();
        owners[to] = None;
        hop.follow(&owners);
        told.notify_one();
        eventually(|| hop.metrics.hop_repeats.get() == 1).await;
        hop.follow(&owned(&addresses[1], &addresses[0]));
    } else {
        hop.follow(&owned(&addresses[1], &addresses[0]));
        told.notify_one();
    }
    assert!(timeout(Duration::from_secs(1), sent).await.expect("at once").unwrap());
}

#[tokio::test]
async fn an_owner_without_a_database_that_has_just_been_replaced_is_not_asked_around() {
    replaced_while_it_is_asked(false).await;
}

#[tokio::test]
async fn what_an_owner_without_a_database_says_does_not_go_for_its_successor() {
    replaced_while_it_is_asked(true).await;
}
