//! One message to its coreapp: the tries, and what an answer or its absence means.
//!
//! The key is minted before the first try and never changes, so a repeat cannot make a second
//! message. A try that was sent and not answered leaves the outcome unknown; from then on only an
//! acceptance or a refusal that looked the key up settles it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use contract::{ApiError, Code, Direction, IdempotencyKey, Key, MessageId, Number, Route, ShardId};
use futures_util::{StreamExt as _, future::OptionFuture, stream};
use rpc::coreapp::{Accepted, Quota, SendFrame, send_reply};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    backoff::Backoff,
    live::{MAX_PENDING, NotTaken},
    pipe::Pipe,
    table::Hop,
};

/// From the request to its answer.
const BUDGET: Duration = Duration::from_secs(10);
/// Of one try; then it is repeated under the same key with the shard map of that moment.
const TRY: Duration = Duration::from_secs(3);
/// A shard that changes hands is with its next owner soon after the map names it; nothing tells when.
const HANDOVER: Duration = Duration::from_millis(100);
/// The former owner of a shard has answered by then, or does not live.
const MOVED: Duration = Duration::from_millis(250);

/// Of many messages, from the first to the last answer.
const MANY_BUDGET: Duration = Duration::from_secs(30);
/// Of many messages so many are on their way at once: a quarter of what a pipe takes.
const MANY_AT_ONCE: usize = MAX_PENDING / 4;

/// A message to be accepted by a coreapp.
pub(crate) struct Message {
    pub(crate) key: Key,
    pub(crate) to: Number,
    /// The recipient as the caller wrote it.
    pub(crate) input: String,
    /// The canonical message.
    pub(crate) body: Bytes,
    /// What the client calls the request.
    pub(crate) idempotency_key: Option<IdempotencyKey>,
    /// Who asks.
    pub(crate) actor: Arc<str>,
    pub(crate) request_id: String,
    /// Trace of the caller, may be empty.
    pub(crate) traceparent: String,
}

impl Message {
    /// The id it gets, unless it was accepted before.
    pub(crate) fn id(&self) -> MessageId {
        MessageId { direction: Direction::Outbound, number: self.to, key: self.key }
    }
}

/// What became of a message.
pub(crate) struct Outcome {
    /// Where it was accepted, or why it was not.
    pub(crate) result: Result<Accepted, Failure>,
    /// What is left of the coreapp's quota, if it has one and answered.
    pub(crate) quota: Option<Quota>,
}

/// Why a message was not accepted.
pub(crate) enum Failure {
    /// It was not.
    Refused(ApiError),
    /// It may have been: 503/1011.
    Unknown(ApiError),
}

/// How one try ended.
enum Try {
    Accepted(Accepted),
    Refused(ApiError),
    /// Sent, not answered.
    Lost(String),
    /// Not sent: nobody to send it to.
    Unsent(String),
    /// Not sent: too many wait already.
    Full,
}

impl Hop {
    /// Sends until there is an answer or the budget is spent.
    pub(crate) async fn send(&self, message: Message) -> Outcome {
        self.send_until(message, Instant::now() + BUDGET).await
    }

    /// The same for many, answered in their order; each fails alone.
    pub(crate) async fn send_many(&self, messages: Vec<Message>) -> Vec<Outcome> {
        let end = Instant::now() + MANY_BUDGET;
        let send = |message| self.send_until(message, end.min(Instant::now() + BUDGET));
        stream::iter(messages).map(send).buffered(MANY_AT_ONCE).collect().await
    }

    async fn send_until(&self, message: Message, deadline: Instant) -> Outcome {
        let mut quota = None;
        let result = self.tries(message, deadline, &mut quota).await;
        Outcome { result, quota }
    }

    async fn tries(
        &self,
        message: Message,
        deadline: Instant,
        quota: &mut Option<Quota>,
    ) -> Result<Accepted, Failure> {
        let Ok(_place) = self.in_flight.try_acquire() else { return Err(Failure::Refused(full())) };
        let key = Bytes::copy_from_slice(message.key.as_bytes());
        let frame = |attempt, way| SendFrame {
            seq: 0,
            key: key.clone(),
            to: message.to.as_str().to_owned(),
            input: message.input.clone(),
            message: message.body.clone(),
            attempt,
            // Set when it leaves: it may wait for a connection.
            timeout_ms: 0,
            actor: message.actor.to_string(),
            request_id: message.request_id.clone(),
            traceparent: message.traceparent.clone(),
            forward: way == Way::Around,
            idempotency_key: message
                .idempotency_key
                .as_ref()
                .map(|name| name.as_str().to_owned())
                .unwrap_or_default(),
        };
        let mut backoff = Backoff::default();
        let (mut attempt, mut unknown) = (1, false);
        // Where the next try goes, if there is an other way.
        let mut next = Way::Owner;
        // Who said last that it does not hear of the database. An owner may be replaced meanwhile; asked
        // around, it would say so again.
        let mut deaf: Option<Arc<Pipe>> = None;
        loop {
            let mut changes = self.changes();
            let shard = Route::of(&message.to).shard();
            let opening = self.pipe(shard).and_then(|owner| owner.opening());
            let (way, pipe) = self.way(shard, next, deaf.as_ref());
            next = Way::Owner;
            let tried = match &pipe {
                Some(pipe) => {
                    let frame = frame(attempt, way);
                    self.attempt((shard, way), pipe, frame, deadline, quota).await
                }
                None => self.no_owner(shard, deadline).await,
            };
            let (wait, last) = match tried {
                Try::Accepted(accepted) => return Ok(accepted),
                Try::Refused(error) => match after(&error, unknown) {
                    // Does it fail the owner alone, which is then replaced, or everybody?
                    After::Answer
                        if silent(&error)
                            && is_first(deaf.as_ref(), pipe.as_ref())
                            && self.has_other(shard, pipe.as_ref()) =>
                    {
                        deaf = pipe;
                        next = Way::Around;
                        (Duration::ZERO, error)
                    }
                    After::Answer => return Err(Failure::Refused(error)),
                    After::Repeat { settled } => {
                        attempt += 1;
                        unknown |= !settled;
                        (pause(&error, &mut backoff), error)
                    }
                },
                Try::Lost(cause) => {
                    attempt += 1;
                    unknown = true;
                    if way == Way::Owner {
                        next = Way::Around;
                    }
                    (Duration::ZERO, ApiError::new(Code::NOT_READY, cause))
                }
                Try::Unsent(cause) => (backoff.next_delay(), ApiError::new(Code::NOT_READY, cause)),
                Try::Full if !unknown => return Err(Failure::Refused(full())),
                Try::Full => (backoff.next_delay(), full()),
            };
            self.metrics.hop_repeats.inc();
            if Instant::now() + wait >= deadline {
                return Err(if unknown {
                    Failure::Unknown(outcome_unknown(&last))
                } else {
                    Failure::Refused(last)
                });
            }
            // A new owner may take it at once, or the old one that is there again.
            let moved = matches!(last.code, Code::NOT_READY | Code::NOT_PRIMARY_COREAPP);
            tokio::select! {
                () = sleep(wait) => {}
                _ = changes.changed(), if moved => backoff.reset(),
                Some(()) = OptionFuture::from(opening), if moved => {}
            }
        }
    }

    /// By which pipe a try goes: around, if it is told to or the owner's pipe is not open, and another
    /// coreapp's is.
    fn way(&self, shard: ShardId, next: Way, deaf: Option<&Arc<Pipe>>) -> (Way, Option<Arc<Pipe>>) {
        let owner = self.pipe(shard);
        let around = next == Way::Around || owner.as_ref().is_some_and(|pipe| !pipe.is_live());
        match self.another(shard, deaf).filter(|_| around) {
            Some(another) => (Way::Around, Some(another)),
            None => (Way::Owner, owner),
        }
    }

    /// Somebody else can be asked: the owner, if that is another by now or is about to be, or by way of a
    /// third.
    fn has_other(&self, shard: ShardId, asked: Option<&Arc<Pipe>>) -> bool {
        let Some(owner) = self.pipe(shard) else { return true };
        asked.is_some_and(|asked| !Arc::ptr_eq(&owner, asked))
            || self.another(shard, asked).is_some()
    }

    async fn no_owner(&self, shard: ShardId, deadline: Instant) -> Try {
        let until = deadline.min(Instant::now() + TRY);
        let _changed = timeout_at(until, self.changes().changed()).await;
        Try::Unsent(format!("No coreapp owns shard {shard} at the moment"))
    }

    async fn attempt(
        &self,
        (shard, way): (ShardId, Way),
        pipe: &Arc<Pipe>,
        mut frame: SendFrame,
        deadline: Instant,
        quota: &mut Option<Quota>,
    ) -> Try {
        let until = deadline.min(Instant::now() + TRY);
        let mut changes = self.changes();
        let live = match pipe.now() {
            Some(live) => Some(live),
            None => tokio::select! {
                live = pipe.live(until) => live,
                _ = changes.changed() => None,
            },
        };
        let Some(live) = live else { return Try::Unsent(pipe.cause()) };
        let left = deadline.saturating_duration_since(Instant::now());
        frame.timeout_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
        let mut waiting = match live.submit(frame) {
            Ok(waiting) => waiting,
            Err(NotTaken::Full) => return Try::Full,
            Err(NotTaken::Broken) => return Try::Unsent(pipe.cause()),
        };
        let verdict = tokio::select! {
            verdict = timeout_at(until, waiting.verdict()) => verdict.ok(),
            () = self.moved(shard, pipe), if way == Way::Owner => None,
        };
        match verdict {
            Some(Some(verdict)) => {
                *quota = verdict.quota;
                match verdict.result {
                    send_reply::Result::Accepted(accepted) => Try::Accepted(accepted),
                    send_reply::Result::Error(error) => Try::Refused(error.into()),
                }
            }
            Some(None) => {
                Try::Lost(format!("the connection to the coreapp at {} broke", pipe.address()))
            }
            None => Try::Lost(format!("the coreapp at {} did not answer", pipe.address())),
        }
    }

    /// The shard has another owner, and had it long enough for the answers of the one before.
    async fn moved(&self, shard: ShardId, pipe: &Arc<Pipe>) {
        let mut changes = self.changes();
        while self.pipe(shard).is_some_and(|owner| Arc::ptr_eq(&owner, pipe)) {
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
        sleep(MOVED).await;
    }
}

/// By whom a try reaches the owner of its shard.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Owner,
    /// By another coreapp, which hands it on.
    Around,
}

enum After {
    /// The caller gets it.
    Answer,
    /// Try again; `settled`: this refusal came before anything was written.
    Repeat { settled: bool },
}

/// What a refusal means for the next step.
fn after(error: &ApiError, unknown: bool) -> After {
    match error.code {
        // Starting, or no control shard: nothing was looked at.
        Code::NOT_READY | Code::NOT_PRIMARY_MASTER => After::Repeat { settled: true },
        // The shard moved or the database failed: perhaps after the commit.
        Code::DATABASE if silent(error) && !unknown => After::Answer,
        Code::DATABASE if silent(error) => After::Repeat { settled: true },
        Code::NOT_PRIMARY_COREAPP | Code::DATABASE => After::Repeat { settled: false },
        // Quota and queue are asked before the key is looked up: they say nothing of an earlier try.
        Code::TOO_MANY_REQUESTS | Code::OVERLOADED if unknown => After::Repeat { settled: true },
        _ => After::Answer,
    }
}

/// Before a refusal is followed by another try.
fn pause(error: &ApiError, backoff: &mut Backoff) -> Duration {
    let wait = error.retry_after_ms.map(Duration::from_millis);
    let wait = wait.unwrap_or_else(|| backoff.next_delay());
    if error.code == Code::NOT_PRIMARY_COREAPP { wait.min(HANDOVER) } else { wait }
}

/// Nobody else has said so yet.
fn is_first(deaf: Option<&Arc<Pipe>>, asked: Option<&Arc<Pipe>>) -> bool {
    deaf.is_none_or(|deaf| asked.is_some_and(|asked| Arc::ptr_eq(deaf, asked)))
}

/// The database does not answer, or does not keep up: refused before anything was written.
fn silent(error: &ApiError) -> bool {
    error.code == Code::DATABASE && error.retry_after_ms.is_some()
}

fn full() -> ApiError {
    ApiError::new(Code::OVERLOADED, "Too many messages wait for the coreapp's answer")
        .retry_after_ms(1_000)
}

fn outcome_unknown(last: &ApiError) -> ApiError {
    ApiError::new(
        Code::NOT_READY,
        format!(
            "outcome unknown: the message may have been accepted under the id in the header \
             X-Heliograph-Message-Id ({})",
            last.details
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_on_the_move_is_asked_for_every_tenth_of_a_second_and_a_coreapp_that_starts_less_often()
     {
        let mut backoff = Backoff::default();
        let moved = ApiError::new(Code::NOT_PRIMARY_COREAPP, "moved");
        let total: Duration = (0..20).map(|_| pause(&moved, &mut backoff)).sum();
        assert!(total <= 20 * HANDOVER, "{total:?}");
        let starts = ApiError::new(Code::NOT_READY, "starts");
        assert_eq!(pause(&starts, &mut backoff), Duration::from_secs(1));
        assert_eq!(pause(&starts.retry_after_ms(9_000), &mut backoff), Duration::from_secs(9));
    }
}
