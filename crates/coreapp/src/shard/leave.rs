//! How a shard is left in order, so that its next owner finds everything in the rows.
//!
//! First nothing new is sealed or transmitted, and what is on the link may be answered; then nothing
//! is taken in any more, and what is being written is waited for; then the machine goes.

use contract::{ApiError, Code};

use super::{
    effects::{Ctx, Effects},
    idempotent::Keyed,
    machine::{Machine, Wanted},
    queue::Stage,
};

impl Machine {
    /// Seals and transmits nothing from now on.
    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    /// The network has answered everything, or will not.
    pub(crate) fn unanswered(&self) -> bool {
        self.attached && self.jobs.values().any(|job| matches!(job.stage, Stage::Transmitted))
    }

    /// Gives back what is shared with the other shards, and tells whoever still waits that the shard
    /// has moved: asked again under the same key, its next owner knows what became of it.
    pub(crate) fn dissolve(self, ctx: &Ctx<'_>, fx: &mut Effects) {
        let mut refused = Vec::new();
        for job in self.jobs.into_values() {
            ctx.gate.leave();
            match job.stage {
                Stage::Sealing | Stage::Sealed | Stage::Transmitted => ctx.window.give(1),
                Stage::Accepting(waiters) => {
                    refused.extend(waiters.into_iter().map(|waiter| waiter.reply));
                }
                Stage::Waiting | Stage::Handing | Stage::Cancelling | Stage::Settling => {}
            }
        }
        for keyed in self.keyed.into_values() {
            if let Keyed::Looking(frames) = keyed {
                refused.extend(frames.into_iter().map(|frame| frame.reply));
            }
        }
        for wanted in self.reads.into_values() {
            if let Wanted::Repeat(frame) = wanted {
                refused.push(frame.reply);
            }
        }
        fx.replies.extend(refused.into_iter().map(|reply| (reply, Err(moved()))));
    }
}

/// What is said of a shard that is not here, or not for much longer.
pub(crate) fn moved() -> ApiError {
    ApiError::new(Code::NOT_PRIMARY_COREAPP, "the shard is owned elsewhere")
}
