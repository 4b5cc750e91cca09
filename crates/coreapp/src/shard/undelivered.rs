//! Messages that the network took and nobody got: the account is gone, and our contact cache did not
//! know. As in the original nobody is told, unless `messages.undelivered_notice` is on.
//!
//! Then a message without a receipt is asked about after a while: its number joins the next contact
//! sync, past the cache. No account: the message ends `failed` after all, with the code that a
//! stranger without an account gets. Otherwise the phone is only away, and the question is put
//! again, for as long as a cached answer could have been wrong. All of it in memory: a restart
//! forgets what it waited for.

use std::{sync::Arc, time::Duration};

use contract::{ApiError, Code, Key, Route, callback::StatusKind, message::Category};
use store::write::{Class, Op};

use super::{
    effects::{Ctx, Effects},
    machine::{Machine, Timer},
    queue::{Meta, Told},
    resolve::Known,
};

/// Messages watched, a shard (a quarter of a million in all); beyond, they are sent unwatched.
const WATCHED_MAX: usize = 4_096;

/// A message that waits for its receipt.
#[derive(Debug)]
pub(super) struct Watched {
    meta: Arc<Meta>,
    route: Route,
    sent_ms: i64,
}

/// What a message to nobody ends with: 1013 for a template, 470 for everything else.
pub(super) fn no_account(category: Category) -> Code {
    if category.is_template() { Code::USER_NOT_VALID } else { Code::RE_ENGAGEMENT }
}

impl Machine {
    /// The network took a message.
    pub(super) fn watch(&mut self, key: Key, meta: Arc<Meta>, route: Route, ctx: &Ctx<'_>) {
        if ctx.settings.undelivered_after.is_none() || self.watched.len() >= WATCHED_MAX {
            return;
        }
        self.watched.insert(key, Watched { meta, route, sent_ms: ctx.now_ms });
        self.look_later(key, ctx);
    }

    /// A receipt came: somebody is there.
    pub(super) fn unwatch(&mut self, key: Key) {
        self.watched.remove(&key);
    }

    fn look_later(&mut self, key: Key, ctx: &Ctx<'_>) {
        let after = ctx.settings.undelivered_after.unwrap_or(Duration::ZERO);
        self.after(after, Timer::Undelivered(key), ctx);
    }

    /// No receipt for long: is there still an account?
    pub(super) fn undelivered(&mut self, key: Key, ctx: &Ctx<'_>, fx: &mut Effects) {
        let Some(watched) = self.watched.get(&key) else { return };
        let (number, age_ms) = (watched.meta.here(), ctx.now_ms - watched.sent_ms);
        let Some(after) = ctx.settings.undelivered_after.filter(|_| {
            // Older than any answer that could have been wrong.
            age_ms <= ctx.settings.contact_ttl_ms
        }) else {
            self.watched.remove(&key);
            return;
        };
        let after_ms = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        // Another message to the same number may have asked just before.
        let since_ms = ctx.now_ms - after_ms;
        match self.cached(&number, ctx).filter(|known| known.checked_ms > since_ms) {
            Some(known) => self.account_checked(key, known, ctx, fx),
            None => self.resolving(number, true, fx).undelivered.push(key),
        }
    }

    /// The network was asked again for the number of an undelivered message.
    pub(super) fn account_checked(
        &mut self,
        key: Key,
        known: Known,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        if known.wa_id.is_some() {
            return self.look_later(key, ctx);
        }
        let Some(Watched { meta, route, .. }) = self.watched.remove(&key) else { return };
        let error = ApiError::new(
            no_account(meta.category),
            "the network took the message, but the recipient's account is gone",
        );
        let failed = StatusKind::Failed;
        fx.counts.status(failed);
        let told = Told { errors: std::slice::from_ref(&error), ..Told::of(failed, ctx.now_ms) };
        let event = self.status_event(key, &meta, route, told, ctx);
        self.write(Class::Hot, vec![Op::InsertEvent(event)], None, fx);
    }
}
