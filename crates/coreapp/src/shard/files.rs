//! Files: a message that refers to some waits, at the head of its recipient's line, until the network has
//! them and its body names them as phones get to know them.
//!
//! Nothing of this is a row: after a take-over it is found out again. Whoever finds it out answers with
//! the whole body, so nothing here reads JSON.

use bytes::Bytes;
use contract::{Key, media};

use super::{
    effects::{Ctx, Effects},
    machine::{Machine, Timer},
    queue::{Files, Stage},
};
use crate::media::{Unready, Wanted};

impl Machine {
    /// Has the first message of a line its files, as far as it wants any? Asks for them, once.
    pub(super) fn has_files(&mut self, key: Key, fx: &mut Effects) -> bool {
        let Some(job) = self.jobs.get_mut(&key) else { return false };
        match (job.files, &job.body) {
            (Files::There, Some(_)) => true,
            (Files::Asked, _) | (_, None) => false,
            (Files::Unseen, Some(body)) if !media::may_refer(body) => {
                job.files = Files::There;
                true
            }
            (Files::Unseen, Some(body)) => {
                job.files = Files::Asked;
                fx.files.push(Wanted { shard: self.shard, key, message: body.clone() });
                false
            }
        }
    }

    /// The answer: the body to seal.
    pub(crate) fn files(
        &mut self,
        key: Key,
        ready: Result<Bytes, Unready>,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        let Some(job) = self.jobs.get_mut(&key).filter(|job| job.files == Files::Asked) else {
            return;
        };
        let route = job.route;
        job.files = Files::Unseen;
        match ready {
            Ok(body) if matches!(job.stage, Stage::Waiting | Stage::Cancelling) => {
                job.files = Files::There;
                self.body_bytes += body.len();
                let stored = job.body.replace(body);
                self.body_bytes -= stored.map_or(0, |stored| stored.len());
                self.list(route);
            }
            Ok(_) => {}
            Err(Unready::Final(error)) => self.fail(key, &error, ctx, fx),
            Err(Unready::Later(delay)) => {
                self.after(delay, Timer::Recipient(route), ctx);
            }
        }
    }
}
