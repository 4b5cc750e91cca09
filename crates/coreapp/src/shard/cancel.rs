//! Cancellation: a message is taken back as long as no byte of it was sealed.
//!
//! One write takes the job away and leaves a row that says so for a day: whoever asks again, of this
//! owner or the next, gets the same answer. The message's own row stays, so that a repeated accept
//! does not bring it back.

use contract::{ApiError, Code, Key, idempotency};
use store::{
    Read,
    rows::{Idempotency, Message},
    write::{Class, Committed, Op, WriteError},
};
use tokio::sync::oneshot;

use super::{
    effects::{Ctx, Effects},
    idempotent::{fresh, kept},
    machine::{Machine, Wanted, Written},
    queue::Stage,
};

/// Where the answer goes.
pub(crate) type CancelReply = oneshot::Sender<Result<(), ApiError>>;

impl Machine {
    /// A message is to be taken back.
    pub(crate) fn cancel(&mut self, key: Key, reply: CancelReply, ctx: &Ctx<'_>, fx: &mut Effects) {
        let Some(job) = self.jobs.get(&key) else {
            return self.want(
                kept(idempotency::cancelled(&key), ctx),
                Wanted::Cancelled(key, reply),
                fx,
            );
        };
        match job.stage {
            Stage::Accepting(_) | Stage::Cancelling => {
                self.cancels.entry(key).or_default().push(reply);
            }
            Stage::Waiting if !job.left => {
                self.cancels.entry(key).or_default().push(reply);
                self.begin_cancel(key, ctx, fx);
            }
            _ => answer(reply, Err(too_late())),
        }
    }

    /// Does what was asked for while the message was being stored.
    pub(super) fn cancel_accepted(&mut self, key: Key, ctx: &Ctx<'_>, fx: &mut Effects) {
        if self.cancels.contains_key(&key) {
            self.begin_cancel(key, ctx, fx);
        }
    }

    fn begin_cancel(&mut self, key: Key, ctx: &Ctx<'_>, fx: &mut Effects) {
        let Some(job) = self.jobs.get_mut(&key).filter(|job| matches!(job.stage, Stage::Waiting))
        else {
            return self.cancelled(key, &Err(too_late()));
        };
        // In its line until that is committed, so that a refused write changes nothing.
        job.stage = Stage::Cancelling;
        let mut ops = vec![Op::DeleteJob(job.id)];
        ops.extend(
            job.envelopes
                .iter()
                .map(|envelope| Op::DeleteOutbox { key, device: envelope.device.cast_signed() }),
        );
        let hash = idempotency::cancelled(&key);
        ops.push(Op::InsertIdempotency(Idempotency { hash, created_ms: ctx.now_ms, key }));
        self.write(Class::Hot, ops, Some(Written::Cancel(key)), fx);
    }

    pub(super) fn cancel_written(
        &mut self,
        key: Key,
        result: Result<Committed, WriteError>,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        let Some(job) = self.jobs.get_mut(&key) else { return };
        let route = job.route;
        match result {
            Ok(_) => {
                self.body_bytes -= job.body.take().map_or(0, |body| body.len());
                if let Some(recipient) = self.recipients.get_mut(&route) {
                    recipient.waiting.retain(|waiting| *waiting != key);
                }
                self.list(route);
                self.forget(key, ctx);
                self.cancelled(key, &Ok(()));
            }
            Err(error) => {
                job.stage = Stage::Waiting;
                // Whatever came to be known meanwhile was not heeded.
                self.address(key, ctx, fx);
                self.cancelled(key, &Err(ApiError::new(Code::DATABASE, error.to_string())));
            }
        }
    }

    /// Answers whoever waits for the end of a message.
    pub(super) fn cancelled(&mut self, key: Key, result: &Result<(), ApiError>) {
        for reply in self.cancels.remove(&key).into_iter().flatten() {
            answer(reply, result.clone());
        }
    }

    /// No job: was it cancelled before?
    pub(super) fn cancelled_read(
        &mut self,
        key: Key,
        reply: CancelReply,
        found: Result<Option<Idempotency>, String>,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        match found {
            Ok(Some(row)) if row.key == key && fresh(&row, ctx) => answer(reply, Ok(())),
            Ok(_) => self.want(Read::Message(key), Wanted::Cancel(key, reply), fx),
            Err(details) => answer(reply, Err(ApiError::new(Code::DATABASE, details))),
        }
    }

    /// Not cancelled: was it ever there?
    pub(super) fn cancel_read(
        &mut self,
        key: Key,
        reply: CancelReply,
        found: Result<Option<Message>, String>,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        if self.jobs.contains_key(&key) {
            // It came while we looked.
            return self.cancel(key, reply, ctx, fx);
        }
        answer(
            reply,
            Err(match found {
                Ok(Some(_)) => too_late(),
                Ok(None) => not_accepted(),
                Err(details) => ApiError::new(Code::DATABASE, details),
            }),
        );
    }
}

pub(super) fn not_accepted() -> ApiError {
    ApiError::new(Code::NOT_FOUND, "There is no message with this id")
}

fn too_late() -> ApiError {
    ApiError::new(
        Code::INVALID,
        "The message is on its way, was sent or has failed: it can no longer be cancelled",
    )
    .with_status(409)
}

fn answer(reply: CancelReply, result: Result<(), ApiError>) {
    // The caller may be gone; then nobody wants to know.
    let _gone = reply.send(result);
}
