//! Recipients whom the network knows by a number of another shard. Sessions and receipts belong to that
//! number's shard, so the message is handed on to it, under the same key, and ends here when it is stored
//! there (docs/decisions/032).
//!
//! Only from the head of its line, one at a time, so that the order stays.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use contract::{ApiError, Key, Number, Route, ShardId};

use super::{
    effects::{Ctx, Effects},
    machine::{Machine, Timer},
    queue::{Files, Job, Meta, Stage},
};

/// A message that the other shard could not take is offered again after this long.
const HAND_AGAIN: Duration = Duration::from_secs(1);

/// A message for another shard.
#[derive(Debug)]
pub(crate) struct HandedOn {
    /// Where the answer goes.
    pub shard: ShardId,
    pub key: Key,
    pub meta: Arc<Meta>,
    /// Of the other shard.
    pub wa_id: Number,
    /// Canonical.
    pub message: Bytes,
}

/// Why the other shard has not got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// It never will.
    Final(ApiError),
    /// It may, when it is asked again.
    Later,
}

impl Machine {
    /// Nothing was done for the message yet, and the network knows its recipient by a number of another shard.
    /// One that was handed on goes no further.
    pub(super) fn is_elsewhere(&self, job: &Job) -> bool {
        let Some(wa_id) = job.wa_id.filter(|wa_id| *wa_id != job.meta.to) else { return false };
        let untouched = !job.left && job.envelopes.is_empty() && job.files == Files::Unseen;
        untouched && job.meta.moved_to.is_none() && Route::of(&wa_id).shard() != self.shard
    }

    /// The first of its line goes to the other shard.
    pub(super) fn hand_on(&mut self, key: Key, wa_id: Number, fx: &mut Effects) {
        let Some(job) = self.jobs.get_mut(&key) else { return };
        let Some(message) = job.body.clone() else { return self.read_body(key, fx) };
        job.stage = Stage::Handing;
        let meta = job.meta.clone();
        fx.handed_on.push(HandedOn { shard: self.shard, key, meta, wa_id, message });
    }

    /// The other shard has stored it, or has not.
    pub(crate) fn handed_on(
        &mut self,
        key: Key,
        taken: Result<(), NotTaken>,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        let handing = |job: &&mut Job| matches!(job.stage, Stage::Handing);
        let Some(job) = self.jobs.get_mut(&key).filter(handing) else { return };
        let route = job.route;
        job.stage = Stage::Waiting;
        match taken {
            Ok(()) => {
                fx.counts.handed_on += 1;
                self.settle(key, None, None, ctx, fx);
            }
            Err(NotTaken::Final(error)) => self.fail(key, &error, ctx, fx),
            Err(NotTaken::Later) => {
                self.after(HAND_AGAIN, Timer::Recipient(route), ctx);
            }
        }
    }
}
