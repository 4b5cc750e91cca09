//! Acceptance: from a validated frame to the commit that makes it true, and repeats of it.
//!
//! Accept first, resolve afterwards: a stranger's request never waits for the network.

use std::sync::Arc;

use bytes::Bytes;
use contract::{ApiError, Code, Direction, Key, MessageId, message};
use store::{
    Read,
    rows::{Idempotency, Job as JobRow, Message},
    write::{Class, Committed, Op, WriteError},
};

use super::{
    cancel::not_accepted,
    effects::{Acceptance, Accepted, Ctx, Effects, Frame},
    idempotent::KeyHash,
    machine::{BODIES_MAX, Machine, Wanted, Written},
    peers::Peer,
    queue::{Files, Job, Meta, RECIPIENT_WAITING_MAX, Stage, Waiter},
    steps::{Writing, accepts},
};

/// When a recipient's line is full, milliseconds until a repeat makes sense.
const RECIPIENT_RETRY_MS: u64 = 1_000;
/// The same while the database is away.
const AWAY_RETRY_MS: u64 = 1_000;
/// The same while its disk is full: room is made by hand.
const FAILED_RETRY_MS: u64 = 5_000;

impl Machine {
    /// A message asks to be accepted.
    pub(crate) fn accept(&mut self, frame: Frame, ctx: &Ctx<'_>, fx: &mut Effects) {
        if frame.deadline <= ctx.now {
            // Nobody waits any more: what is refused now costs nothing later.
            let error = ApiError::new(Code::NOT_READY, "the request waited too long to be stored");
            fx.replies.push((frame.reply, Err(error)));
            return;
        }
        if let Some(job) = self.jobs.get_mut(&frame.key) {
            match (&mut job.stage, job.body_hash) {
                (Stage::Accepting(waiters), Some(hash)) if hash == stored_hash(&frame) => {
                    waiters.push(Waiter { reply: frame.reply, replayed: false });
                }
                (_, Some(hash)) if hash == stored_hash(&frame) => {
                    let id = public_id(&job.meta, frame.key);
                    fx.replies.push((frame.reply, Ok(Acceptance { id, replayed: false })));
                }
                (_, Some(_)) => fx.replies.push((frame.reply, Err(key_taken()))),
                (_, None) => self.look_up_repeat(frame, fx),
            }
        } else if let Some(hash) = frame.idempotent {
            // Looked up in any case, so a repeat of ours needs nothing more.
            self.accept_keyed(hash, frame, ctx, fx);
        } else if frame.attempt > 1 {
            self.look_up_repeat(frame, fx);
        } else {
            let _refused = self.begin_accept(frame, ctx, fx);
        }
    }

    fn look_up_repeat(&mut self, frame: Frame, fx: &mut Effects) {
        self.want(Read::Message(frame.key), Wanted::Repeat(frame), fx);
    }

    pub(super) fn repeat_read(
        &mut self,
        frame: Frame,
        found: Result<Option<Message>, String>,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        match found {
            Ok(Some(row)) => {
                let answer = same_message(&frame, &row);
                fx.replies.push((frame.reply, answer));
            }
            // Another attempt may have begun meanwhile: then this one joins it.
            Ok(None) => self.accept(Frame { attempt: 1, ..frame }, ctx, fx),
            Err(details) => {
                fx.replies.push((frame.reply, Err(ApiError::new(Code::DATABASE, details))));
            }
        }
    }

    /// Writes a message that is new; `false`: it was refused.
    pub(super) fn begin_accept(&mut self, frame: Frame, ctx: &Ctx<'_>, fx: &mut Effects) -> bool {
        if let Err(error) = self.admit(&frame, ctx) {
            fx.replies.push((frame.reply, Err(error)));
            return false;
        }
        let body = stored(&frame);
        let body_hash = message::body_hash(&body);
        let accepting = accepts(frame.trace, frame.key);
        let trace = accepting.as_ref().map(Writing::own);
        let Frame { to, moved_to, input, category, .. } = frame;
        let meta = Arc::new(Meta { to, moved_to, input, category, trace });
        let id = self.mint_job();
        let mut ops = vec![
            Op::InsertMessage(Message {
                key: frame.key,
                created_ms: ctx.now_ms,
                body_hash,
                body,
                trace,
            }),
            Op::InsertJob(JobRow {
                id,
                key: frame.key,
                route: frame.route,
                created_ms: ctx.now_ms,
                header: meta.encode(),
                trace,
            }),
        ];
        if let Some(hash) = frame.idempotent {
            let row = Idempotency { hash, created_ms: ctx.now_ms, key: frame.key };
            ops.push(Op::InsertIdempotency(row));
        }
        let keep = self.body_bytes + frame.message.len() <= BODIES_MAX;
        if keep {
            self.body_bytes += frame.message.len();
        }
        self.jobs.insert(
            frame.key,
            Job {
                id,
                route: frame.route,
                meta,
                created_ms: ctx.now_ms,
                body_hash: Some(body_hash),
                body: keep.then_some(frame.message),
                wa_id: None,
                files: Files::Unseen,
                envelopes: Vec::new(),
                durable: 0,
                stale: 0,
                only: None,
                stage: Stage::Accepting(vec![Waiter { reply: frame.reply, replayed: false }]),
                left: false,
                not_before: None,
                doing: None,
            },
        );
        let written = Written::Accept(frame.key, frame.idempotent);
        self.writing.extend(accepting);
        self.write(Class::Intake, ops, Some(written), fx);
        true
    }

    /// The checks that need the shard's state. Enters the gate when they all pass.
    fn admit(&mut self, frame: &Frame, ctx: &Ctx<'_>) -> Result<(), ApiError> {
        if ctx.settings.own_number == Some(frame.to) {
            return Err(ApiError::new(Code::BAD_USER, "'to' is the number of this account itself"));
        }
        if self.is_blocked(frame.route) {
            let details =
                "'to' is blocked by this business; POST /v1/contacts/{number}/unblock first";
            return Err(ApiError::new(Code::RECIPIENT_BLOCKED, details));
        }
        if self
            .recipients
            .get(&frame.route)
            .is_some_and(|r| r.waiting.len() >= RECIPIENT_WAITING_MAX)
        {
            return Err(ApiError::new(
                Code::TOO_MANY_REQUESTS,
                format!("{RECIPIENT_WAITING_MAX} messages wait for this recipient already"),
            )
            .retry_after_ms(RECIPIENT_RETRY_MS));
        }
        if !ctx.settings.always_valid
            && self.cached(&frame.to, ctx).is_some_and(|known| known.wa_id.is_none())
        {
            return Err(ApiError::new(Code::USER_NOT_VALID, "the recipient has no account"));
        }
        if ctx.settings.security_notifications && self.changed_identity(&frame.to, ctx) {
            return Err(ApiError::new(
                Code::ACKNOWLEDGEMENT_REQUIRED,
                "the recipient's identity has changed: PUT its latest hash to \
                 /v1/contacts/{wa_id}/identity first",
            ));
        }
        ctx.gate.enter()
    }

    /// As far as memory knows; a message that slips through waits before it is sealed.
    fn changed_identity(&mut self, to: &contract::Number, ctx: &Ctx<'_>) -> bool {
        let wa_id = self.cached(to, ctx).and_then(|known| known.wa_id);
        wa_id
            .and_then(|wa_id| self.peers.peek(&wa_id))
            .and_then(Peer::unacknowledged_since)
            .is_some()
    }

    pub(super) fn accept_written(
        &mut self,
        key: Key,
        hash: Option<KeyHash>,
        result: Result<Committed, WriteError>,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        match result {
            Ok(_) => {
                self.answered_key(hash);
                let Some(job) = self.jobs.get_mut(&key) else { return };
                let id = public_id(&job.meta, key);
                answer_all(std::mem::replace(&mut job.stage, Stage::Waiting), &Ok(id), fx);
                self.order.insert(job.id, key);
                self.recipients.entry(job.route).or_default().waiting.push_back(key);
                self.address(key, ctx, fx);
                self.cancel_accepted(key, ctx, fx);
            }
            Err(WriteError::Conflict) => {
                self.want(Read::Message(key), Wanted::Clash(key, hash), fx);
            }
            Err(error) => {
                let refusal = match &error {
                    WriteError::Away => away(),
                    WriteError::Fenced | WriteError::NotOwned => {
                        ApiError::new(Code::NOT_PRIMARY_COREAPP, error.to_string())
                    }
                    // Nothing was stored, and another coreapp could not either.
                    WriteError::Failed(_) => ApiError::new(Code::OVERLOADED, error.to_string())
                        .retry_after_ms(FAILED_RETRY_MS),
                    WriteError::Rejected(_) | WriteError::Conflict => {
                        ApiError::new(Code::INTERNAL, error.to_string())
                    }
                };
                self.abandon_accept(key, hash, &Err(refusal), ctx, fx);
            }
        }
    }

    /// The key was there already. An equal message is a repeat whose first answer was lost.
    pub(super) fn clash_read(
        &mut self,
        key: Key,
        hash: Option<KeyHash>,
        found: Result<Option<Message>, String>,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        let Some(job) = self.jobs.get(&key) else { return };
        let answer = match found {
            Ok(Some(row)) if Some(row.body_hash) == job.body_hash => Ok(public_id(&job.meta, key)),
            Ok(None) if hash.is_some() => {
                let details = "the idempotency key was stored by another coreapp meanwhile";
                Err(ApiError::new(Code::DATABASE, details))
            }
            Ok(_) => Err(key_taken()),
            Err(details) => Err(ApiError::new(Code::DATABASE, details)),
        };
        self.abandon_accept(key, hash, &answer, ctx, fx);
    }

    /// Answers the waiters and forgets the job that did not come to be.
    fn abandon_accept(
        &mut self,
        key: Key,
        hash: Option<KeyHash>,
        answer: &Result<MessageId, ApiError>,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        self.answered_key(hash);
        self.cancelled(key, &Err(not_accepted()));
        if let Some(job) = self.jobs.remove(&key) {
            self.body_bytes -= job.body.as_ref().map_or(0, Bytes::len);
            ctx.gate.leave();
            answer_all(job.stage, answer, fx);
        }
    }

    /// From here on the key's row tells.
    fn answered_key(&mut self, hash: Option<KeyHash>) {
        if let Some(hash) = hash {
            self.keyed.remove(&hash);
        }
    }
}

fn answer_all(stage: Stage, answer: &Result<MessageId, ApiError>, fx: &mut Effects) {
    if let Stage::Accepting(waiters) = stage {
        fx.replies.extend(waiters.into_iter().map(|Waiter { reply, replayed }| {
            (reply, answer.clone().map(|id| Acceptance { id, replayed }))
        }));
    }
}

/// The database is away, and nothing was written: to be asked again.
pub(super) fn away() -> ApiError {
    ApiError::new(Code::DATABASE, WriteError::Away.to_string()).retry_after_ms(AWAY_RETRY_MS)
}

fn public_id(meta: &Meta, key: Key) -> MessageId {
    MessageId { direction: Direction::Outbound, number: meta.to, key }
}

/// The body of the `message` row.
fn stored(frame: &Frame) -> Bytes {
    let Frame { to, moved_to, ref input, category, ref message, .. } = *frame;
    let (input, message) = (input.clone(), message.clone());
    message::Stored { to, moved_to, input, category, message }.encode()
}

pub(super) fn stored_hash(frame: &Frame) -> [u8; 32] {
    message::body_hash(&stored(frame))
}

fn same_message(frame: &Frame, row: &Message) -> Accepted {
    if row.body_hash == stored_hash(frame) {
        let id = MessageId { direction: Direction::Outbound, number: frame.to, key: frame.key };
        Ok(Acceptance { id, replayed: false })
    } else {
        Err(key_taken())
    }
}

fn key_taken() -> ApiError {
    ApiError::new(Code::ALREADY_EXISTS, "another message has this key; mint a new one")
}
