//! Whom the business has blocked: a set in memory, as the rows have it.

use contract::{ApiError, Code, Number, Route};
use store::{
    rows::Blocked,
    write::{Class, Committed, Op, WriteError},
};
use tokio::sync::oneshot;

use super::{
    effects::{Ctx, Effects},
    machine::{Machine, Written},
};

/// Blocked numbers, a shard (a quarter of a million in all); the next block is refused with 1016.
const BLOCKED_MAX: usize = 4_096;

/// A block, or its end.
#[derive(Debug)]
pub(crate) struct Standing {
    pub blocked: bool,
    /// Answered once it is durable.
    pub reply: StandingReply,
}

/// Where the answer to a [`Standing`] goes.
pub(crate) type StandingReply = oneshot::Sender<Result<(), ApiError>>;

impl Machine {
    /// Sends nothing to them, takes nothing from them.
    pub(super) fn is_blocked(&self, route: Route) -> bool {
        self.blocked.contains(&route)
    }

    /// Blocks a number, or ends that.
    pub(crate) fn set_blocked(
        &mut self,
        number: Number,
        standing: Standing,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        let route = Route::of(&number);
        let Standing { blocked, reply } = standing;
        if blocked && self.blocked.len() >= BLOCKED_MAX && !self.is_blocked(route) {
            let details = "too many numbers are blocked; unblock some first";
            // Whoever asked may be gone.
            let _gone = reply.send(Err(ApiError::new(Code::OVERLOADED, details)));
            return;
        }
        // Written also when it is so already: a write under way may say the opposite.
        let op = if blocked {
            Op::PutBlocked(Blocked { number, created_ms: ctx.now_ms })
        } else {
            Op::DeleteBlocked(route)
        };
        let written = Written::Standing { route, blocked, reply };
        self.write(Class::Hot, vec![op], Some(written), fx);
    }

    /// The block, or its end, is stored: it is in force.
    pub(super) fn standing_written(
        &mut self,
        route: Route,
        blocked: bool,
        reply: StandingReply,
        result: Result<Committed, WriteError>,
    ) {
        let answer = match result {
            Ok(_) if blocked => {
                self.blocked.insert(route);
                Ok(())
            }
            Ok(_) => {
                self.blocked.remove(&route);
                Ok(())
            }
            Err(error) => Err(ApiError::new(Code::DATABASE, error.to_string())),
        };
        let _gone = reply.send(answer);
    }
}
