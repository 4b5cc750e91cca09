//! From a frame on the wire to one that a shard can take.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use contract::{
    ApiError, Clock, Code, IdempotencyKey, Key, Number, Route, Traceparent,
    account::unregistered,
    media,
    message::{self, Category},
};
use futures_util::future::{BoxFuture, join_all};
use rpc::coreapp::{DeliverRequest, SendFrame, SendReply};
use telemetry::Traces;
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

use super::{Handing, Quota, pipe};
use crate::{
    cluster::beat::Beat,
    shard::{
        effects::{Frame, ReplyTo},
        idempotent::KeyHash,
        task::{Drivers, send_replies},
    },
    templates::Templates,
};

/// A key further than this from our clock is refused, seconds.
const KEY_SKEW_S: i64 = 10 * 60;
/// How long a caller waits who does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest `input` and `to`, bytes.
const INPUT_MAX: usize = 64;

/// Refuses a message that names an upload which is not there.
pub(crate) type HasFiles =
    Box<dyn Fn(Bytes) -> BoxFuture<'static, Result<(), ApiError>> + Send + Sync>;

/// What every way in shares.
pub(crate) struct Intake {
    pub drivers: Drivers,
    pub clock: Arc<dyn Clock>,
    pub messages: Arc<Quota>,
    pub beat: Arc<Beat>,
    pub handing: Handing,
    pub traces: Traces,
    pub has_files: HasFiles,
    pub templates: Arc<Templates>,
    /// Our own number.
    pub number: watch::Receiver<Option<Number>>,
}

/// What a frame says, checked.
struct Parts {
    key: Key,
    to: Number,
    category: Category,
    idempotent: Option<KeyHash>,
}

impl Intake {
    /// Takes it from the quota, and checks what can be checked without the shard.
    ///
    /// # Errors
    /// What is wrong with the frame, or with this node, or that the quota is used up.
    pub(crate) fn check(
        &self,
        frame: SendFrame,
        reply: ReplyTo,
    ) -> Result<Frame, (ReplyTo, ApiError)> {
        match self.messages.take() {
            Ok(()) => self.check_handed(frame, reply),
            Err(error) => Err((reply, error)),
        }
    }

    /// The same of a frame that another coreapp has handed on: its quota has let it through.
    pub(crate) fn check_handed(
        &self,
        frame: SendFrame,
        reply: ReplyTo,
    ) -> Result<Frame, (ReplyTo, ApiError)> {
        let parts = self.parts(&frame).and_then(|parts| {
            self.is_new(parts.key)?;
            Ok(parts)
        });
        self.framed(frame, parts, None, reply)
    }

    fn framed(
        &self,
        frame: SendFrame,
        parts: Result<Parts, ApiError>,
        moved_to: Option<Number>,
        reply: ReplyTo,
    ) -> Result<Frame, (ReplyTo, ApiError)> {
        match parts {
            Err(error) => Err((reply, error)),
            Ok(Parts { key, to, category, idempotent }) => Ok(Frame {
                key,
                to,
                moved_to,
                route: Route::of(&moved_to.unwrap_or(to)),
                input: frame.input,
                category,
                message: frame.message,
                attempt: frame.attempt,
                deadline: Instant::now() + timeout(frame.timeout_ms),
                idempotent,
                trace: self.traced(&frame.traceparent),
                reply,
            }),
        }
    }

    /// One frame, checked in that way, until its answer.
    pub(crate) async fn once(
        &self,
        frame: SendFrame,
        check: impl Fn(&Self, SendFrame, ReplyTo) -> Result<Frame, (ReplyTo, ApiError)>,
    ) -> SendReply {
        let seq = frame.seq;
        let (reply, answer) = oneshot::channel();
        match check(self, frame, ReplyTo::Once(reply)) {
            Ok(frame) => self.submit(vec![frame]).await,
            Err((_, error)) => return pipe::reply(seq, &Err(error)),
        }
        let accepted = answer.await.unwrap_or_else(|_| {
            Err(ApiError::new(Code::NOT_READY, "the coreapp is stopping; the outcome is unknown"))
        });
        pipe::reply(seq, &accepted)
    }

    /// A message that another shard has accepted, however long ago, is stored in the shard of the number
    /// that the network knows its recipient by.
    pub(crate) async fn deliver(&self, request: DeliverRequest) -> SendReply {
        let DeliverRequest { frame, wa_id } = request;
        self.once(frame.unwrap_or_default(), |intake, frame, reply| {
            let parts = intake.parts(&frame);
            match Number::from_digits(wa_id.as_bytes()) {
                Ok(wa_id) => intake.framed(frame, parts, Some(wa_id), reply),
                Err(error) => Err((reply, invalid(format!("'wa_id': {error}")))),
            }
        })
        .await
    }

    /// Whoever sent the frame has decided whether it is traced.
    fn traced(&self, traceparent: &str) -> Option<(contract::TraceContext, Instant)> {
        if traceparent.is_empty() || !self.traces.is_on() {
            return None;
        }
        let parent = Traceparent::parse(traceparent).filter(|parent| parent.sampled)?;
        Some((parent.context, Instant::now()))
    }

    fn parts(&self, frame: &SendFrame) -> Result<Parts, ApiError> {
        self.beat.answers()?;
        if self.number.borrow().is_none() {
            return Err(unregistered());
        }
        let key = Key::from_bytes(&frame.key)
            .ok()
            .filter(|_| frame.key.len() == contract::id::OWN_KEY_LEN)
            .ok_or_else(|| invalid("'key' must be 9 bytes".to_owned()))?;
        if frame.input.len() > INPUT_MAX {
            return Err(invalid(format!("'input' has more than {INPUT_MAX} bytes")));
        }
        let to = Number::from_digits(frame.to.as_bytes())
            .map_err(|error| invalid(format!("'to': {error}")))?;
        let idempotent = match frame.idempotency_key.as_bytes() {
            [] => None,
            name => {
                let name = IdempotencyKey::parse("idempotency_key", name)?;
                Some(name.hash(&frame.actor, &to))
            }
        };
        let category = message::validate(&frame.message)?;
        // One that came before may have been taken by what held then.
        if frame.attempt <= 1 && matches!(category, Category::Template | Category::Hsm) {
            self.templates.check(&frame.message)?;
        }
        Ok(Parts { key, to, category, idempotent })
    }

    /// # Errors
    /// A caller's key is of another time.
    fn is_new(&self, key: Key) -> Result<(), ApiError> {
        let skew_s = i64::from(key.minted_s()) - self.clock.unix_s();
        if skew_s.abs() > KEY_SKEW_S {
            return Err(invalid(format!(
                "'key' was minted {skew_s} s off this coreapp's clock, at most {KEY_SKEW_S} are \
                 allowed; check the clocks of both hosts"
            )));
        }
        Ok(())
    }

    /// Hands frames to the drivers of their shards, in order; those that name a file which is not there
    /// are refused.
    pub(crate) async fn submit(&self, frames: Vec<Frame>) {
        let looked = frames.iter().map(|frame| async {
            if media::may_refer(&frame.message) {
                (self.has_files)(frame.message.clone()).await
            } else {
                Ok(())
            }
        });
        let looked = join_all(looked).await;
        let mut by_driver: BTreeMap<usize, Vec<Frame>> = BTreeMap::new();
        let mut refused = Vec::new();
        for (frame, looked) in frames.into_iter().zip(looked) {
            match looked {
                Ok(()) => {
                    by_driver
                        .entry(self.drivers.index(frame.route.shard()))
                        .or_default()
                        .push(frame);
                }
                Err(error) => refused.push((frame.reply, Err(error))),
            }
        }
        for (driver, frames) in by_driver {
            self.drivers.submit(driver, frames).await;
        }
        send_replies(refused);
    }
}

fn invalid(details: String) -> ApiError {
    ApiError::new(Code::INVALID, details)
}

fn timeout(ms: u32) -> Duration {
    if ms == 0 { DEFAULT_TIMEOUT } else { Duration::from_millis(ms.into()).min(DEFAULT_TIMEOUT) }
}
