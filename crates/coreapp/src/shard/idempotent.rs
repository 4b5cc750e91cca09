//! Requests that carry an idempotency key: the second of a name is answered with the first's message.
//!
//! A key is looked up before its message is accepted and its row is written with the message's. The
//! shard's machine is the only writer, so what comes between the two is known here: it joins.

use contract::{ApiError, Code, Direction, Key, MessageId, idempotency};
use store::{
    Read,
    rows::{IDEMPOTENCY_HASH_LEN, Idempotency, Message},
};

use super::{
    accept::{away, stored_hash},
    effects::{Acceptance, Ctx, Effects, Frame},
    machine::{Machine, Wanted},
    queue::{Stage, Waiter},
};

/// What a key is stored as.
pub(crate) type KeyHash = [u8; IDEMPOTENCY_HASH_LEN];

/// The row of another coreapp may be this much younger than our clock, milliseconds.
const SKEW_MS: i64 = 10 * 60 * 1_000;

/// A key whose first request is not answered yet.
#[derive(Debug)]
pub(super) enum Keyed {
    /// Its row is being read; these wait. Bounded by what listeners let in.
    Looking(Vec<Frame>),
    /// The message of this key is being stored.
    Accepting(Key),
}

impl Machine {
    /// A message with an idempotency key asks to be accepted.
    pub(super) fn accept_keyed(
        &mut self,
        hash: KeyHash,
        frame: Frame,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        match self.keyed.get_mut(&hash) {
            Some(Keyed::Looking(frames)) => frames.push(frame),
            Some(Keyed::Accepting(key)) => {
                let key = *key;
                self.join(key, frame, fx);
            }
            None => {
                self.keyed.insert(hash, Keyed::Looking(vec![frame]));
                self.want(kept(hash, ctx), Wanted::Keyed(hash), fx);
            }
        }
    }

    /// Waits for the message that another request with the same key has begun.
    fn join(&mut self, key: Key, frame: Frame, fx: &mut Effects) {
        let Some(job) = self.jobs.get_mut(&key) else {
            let error = ApiError::new(Code::NOT_READY, "the first request has just failed");
            return fx.replies.push((frame.reply, Err(error)));
        };
        match &mut job.stage {
            Stage::Accepting(waiters) if job.body_hash == Some(stored_hash(&frame)) => {
                waiters.push(Waiter { reply: frame.reply, replayed: frame.key != key });
            }
            _ => fx.replies.push((frame.reply, Err(idempotency::reused()))),
        }
    }

    /// A key's row was read.
    pub(super) fn keyed_read(
        &mut self,
        hash: KeyHash,
        found: Result<Option<Idempotency>, String>,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        match found {
            Ok(Some(row)) if fresh(&row, ctx) => {
                // The hash of its body is kept with the message alone: it would tell a short text.
                self.want(Read::Message(row.key), Wanted::Original(hash, row.key), fx);
            }
            Ok(_) => {
                for frame in self.looking(hash) {
                    match self.keyed.get(&hash) {
                        Some(Keyed::Accepting(key)) => {
                            let key = *key;
                            self.join(key, frame, fx);
                        }
                        _ => {
                            let key = frame.key;
                            if self.begin_accept(frame, ctx, fx) {
                                self.keyed.insert(hash, Keyed::Accepting(key));
                            }
                        }
                    }
                }
            }
            Err(details) => self.refuse_looking(hash, &details, fx),
        }
    }

    /// The message that a key stands for was read.
    pub(super) fn original_read(
        &mut self,
        hash: KeyHash,
        key: Key,
        found: Result<Option<Message>, String>,
        fx: &mut Effects,
    ) {
        let row = match found {
            Ok(row) => row,
            Err(details) => return self.refuse_looking(hash, &details, fx),
        };
        for frame in self.looking(hash) {
            let same = row.as_ref().is_none_or(|row| row.body_hash == stored_hash(&frame));
            let id = MessageId { direction: Direction::Outbound, number: frame.to, key };
            let accepted = Acceptance { id, replayed: frame.key != key };
            let answer = if same { Ok(accepted) } else { Err(idempotency::reused()) };
            fx.replies.push((frame.reply, answer));
        }
    }

    fn refuse_looking(&mut self, hash: KeyHash, details: &str, fx: &mut Effects) {
        for frame in self.looking(hash) {
            let error = ApiError::new(Code::DATABASE, details.to_owned());
            fx.replies.push((frame.reply, Err(error)));
        }
    }

    /// The database is away: whoever waits to be looked up has stored nothing yet.
    pub(crate) fn away(&mut self, fx: &mut Effects) {
        let looking =
            |(hash, keyed): (&KeyHash, &Keyed)| matches!(keyed, Keyed::Looking(_)).then_some(*hash);
        let hashes: Vec<KeyHash> = self.keyed.iter().filter_map(looking).collect();
        for frame in hashes.into_iter().flat_map(|hash| self.looking(hash)).collect::<Vec<_>>() {
            fx.replies.push((frame.reply, Err(away())));
        }
    }

    fn looking(&mut self, hash: KeyHash) -> Vec<Frame> {
        match self.keyed.remove(&hash) {
            Some(Keyed::Looking(frames)) => frames,
            Some(accepting) => {
                self.keyed.insert(hash, accepting);
                Vec::new()
            }
            None => Vec::new(),
        }
    }
}

/// Where a row with this hash is, if it still counts.
pub(super) fn kept(hash: KeyHash, ctx: &Ctx<'_>) -> Read {
    let from_ms = ctx.now_ms - idempotency::KEPT_MS;
    Read::Idempotency { hash, from_ms, to_ms: ctx.now_ms + SKEW_MS }
}

/// The row still counts.
pub(super) fn fresh(row: &Idempotency, ctx: &Ctx<'_>) -> bool {
    row.created_ms > ctx.now_ms - idempotency::KEPT_MS
}
