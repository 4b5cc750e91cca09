//! A coreapp's pipe: opened, read, opened again when it breaks.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rpc::{
    coreapp::{SendReplies, messages_client::MessagesClient},
    identity::Identity,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{
    backoff::Backoff,
    live::Live,
    outgoing::Outgoing,
    unary::{cause, unreachable},
};

/// To open a stream.
const OPEN: Duration = Duration::from_secs(5);
/// Longest wait from try to try. Short, as calls wait for a coreapp that is started again, and one
/// stream a coreapp costs it little.
const AGAIN: Duration = Duration::from_millis(250);
/// A pipe that is no longer needed still waits this long for answers.
const RETIRE: Duration = Duration::from_secs(10);
/// How often it looks whether they have come.
const RETIRE_LOOK: Duration = Duration::from_millis(50);

/// The pipe to one coreapp, open or not.
pub(super) struct Pipe {
    address: Arc<str>,
    identity: Option<Arc<Identity>>,
    live: watch::Sender<Option<Arc<Live>>>,
    /// Why it is not open.
    broken: Mutex<Option<String>>,
    retired: CancellationToken,
}

impl Pipe {
    /// Starts to open it.
    pub(super) fn start(address: Arc<str>, identity: Option<Arc<Identity>>) -> Arc<Self> {
        let pipe = Arc::new(Self {
            address,
            identity,
            live: watch::Sender::new(None),
            broken: Mutex::new(None),
            retired: CancellationToken::new(),
        });
        tokio::spawn(Arc::clone(&pipe).run());
        pipe
    }

    /// The open stream.
    pub(super) fn now(&self) -> Option<Arc<Live>> {
        self.live.borrow().clone()
    }

    /// The same; waits for one until `deadline`. `None`: there was none.
    pub(super) async fn live(&self, deadline: Instant) -> Option<Arc<Live>> {
        let mut changes = self.live.subscribe();
        tokio::select! {
            open = timeout_at(deadline, changes.wait_for(Option::is_some)) => open.ok()?.ok()?.clone(),
            () = self.retired.cancelled() => None,
        }
    }

    /// For whoever finds it not open: ends once it is.
    pub(super) fn opening(&self) -> Option<impl Future<Output = ()> + use<>> {
        let mut changes = self.live.subscribe();
        let open = changes.borrow().is_some();
        (!open).then_some(async move {
            if changes.wait_for(Option::is_some).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }

    pub(super) fn is_live(&self) -> bool {
        self.live.borrow().is_some()
    }

    pub(super) fn unanswered(&self) -> usize {
        self.live.borrow().as_ref().map_or(0, |live| live.unanswered())
    }

    pub(super) fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// Why it is not open.
    pub(super) fn cause(&self) -> String {
        let broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        unreachable(&self.address, broken.as_deref().unwrap_or("the connection is not open yet"))
    }

    /// No longer needed: what is unanswered may still be answered, then it closes.
    pub(super) fn retire(&self) {
        self.retired.cancel();
    }

    async fn run(self: Arc<Self>) {
        let mut backoff = Backoff::up_to(AGAIN);
        loop {
            let broken = match timeout(OPEN, open(&self.address, self.identity.as_ref())).await {
                Ok(Ok((live, replies))) => {
                    tracing::info!(coreapp = &*self.address, "the message pipe is open");
                    backoff.reset();
                    self.live.send_replace(Some(Arc::clone(&live)));
                    let end = tokio::select! {
                        end = read(&live, replies) => Some(end),
                        () = self.finished(&live) => None,
                    };
                    self.live.send_replace(None);
                    live.close();
                    let Some(end) = end else { return };
                    end
                }
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("the coreapp did not answer"),
            };
            let cause = cause(&broken);
            tracing::warn!(coreapp = &*self.address, cause, "the message pipe is broken");
            *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause);
            tokio::select! {
                () = sleep(backoff.next_delay()) => {}
                () = self.retired.cancelled() => return,
            }
        }
    }

    async fn finished(&self, live: &Live) {
        self.retired.cancelled().await;
        let deadline = Instant::now() + RETIRE;
        while live.unanswered() > 0 && Instant::now() < deadline {
            sleep(RETIRE_LOOK).await;
        }
    }
}

async fn open(
    address: &str,
    identity: Option<&Arc<Identity>>,
) -> Result<(Arc<Live>, Streaming<SendReplies>), Status> {
    let channel = rpc::http2::channel(&format!("http://{address}"), identity)
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    let (live, frames) = Live::new();
    let replies = MessagesClient::new(channel)
        .max_decoding_message_size(rpc::http2::MAX_MESSAGE)
        .max_encoding_message_size(rpc::http2::MAX_MESSAGE)
        .pipe(Outgoing::new(frames))
        .await?;
    Ok((live, replies.into_inner()))
}

/// Only passes answers on, never waits for anybody: small unread frames would pile up and end the
/// connection. Says why the stream ended.
async fn read(live: &Live, mut replies: Streaming<SendReplies>) -> Status {
    loop {
        match replies.message().await {
            Ok(Some(replies)) => live.answered(replies),
            Ok(None) => return Status::unavailable("the coreapp ended the stream"),
            Err(status) => return status,
        }
    }
}
