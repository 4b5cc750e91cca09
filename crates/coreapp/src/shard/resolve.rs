//! Contacts: does a number have an account, and under which wa_id?
//!
//! Memory, else the row, else the next contact sync. What the network said is good for the cache
//! time of the settings (7 days); a failed look-up is never remembered.

use std::time::Duration;

use contract::{ApiError, Key, Number};
use store::{
    Read,
    rows::Contact,
    write::{Class, Op},
};
use tokio::sync::mpsc;
use upstream::{ContactStatus, Sealing};

use super::{
    effects::{Check, CheckState, Checked, Ctx, Effects},
    machine::{Machine, Timer, Wanted},
    queue::Stage,
    undelivered::no_account,
};

/// A sync that failed is repeated after this long while messages wait for it.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What the network last said of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub wa_id: Option<Number>,
    pub checked_ms: i64,
}

/// A look-up under way, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Resolving {
    jobs: Vec<Key>,
    checks: Vec<mpsc::UnboundedSender<Checked>>,
    /// Checks that wait for the row only.
    no_wait: Vec<mpsc::UnboundedSender<Checked>>,
    /// Messages that were taken and not delivered.
    pub(super) undelivered: Vec<Key>,
    /// The row will not do.
    force: bool,
    /// The network is being asked.
    asked: bool,
}

impl Machine {
    /// What memory knows, unless it is too old.
    pub(super) fn cached(&mut self, number: &Number, ctx: &Ctx<'_>) -> Option<Known> {
        let known = *self.contacts.get(number)?;
        (known.checked_ms + ctx.settings.contact_ttl_ms > ctx.now_ms).then_some(known)
    }

    /// Finds out where a job goes.
    pub(super) fn address(&mut self, key: Key, ctx: &Ctx<'_>, fx: &mut Effects) {
        let Some(job) = self.jobs.get(&key) else { return };
        let (number, traced) = (job.meta.here(), job.meta.trace.is_some());
        match self.cached(&number, ctx) {
            Some(known) => self.addressed(key, known, ctx, fx),
            None => {
                if traced {
                    self.waits_for_contact(key, ctx, fx);
                }
                self.resolving(number, false, fx).jobs.push(key);
            }
        }
    }

    /// A contacts call asks.
    pub(crate) fn check(&mut self, check: &Check, ctx: &Ctx<'_>, fx: &mut Effects) {
        for &number in &check.numbers {
            let known = if check.force { None } else { self.cached(&number, ctx) };
            let state = match known {
                Some(known) => known.into(),
                None => {
                    let resolving = self.resolving(number, check.force, fx);
                    let waiting = match (check.no_wait, resolving.asked) {
                        (false, _) => Some(&mut resolving.checks),
                        (true, false) => Some(&mut resolving.no_wait),
                        (true, true) => None,
                    };
                    if let Some(waiting) = waiting {
                        waiting.push(check.reply.clone());
                        continue;
                    }
                    CheckState::Processing
                }
            };
            // The caller may be gone; then nobody wants to know.
            let _gone = check.reply.send(Checked { number, state });
        }
    }

    /// The look-up of a number: joins the one under way or begins one.
    pub(super) fn resolving(
        &mut self,
        number: Number,
        force: bool,
        fx: &mut Effects,
    ) -> &mut Resolving {
        let begins = !self.resolving.contains_key(&number);
        if begins && force {
            fx.contacts.push(number);
        } else if begins {
            self.want(Read::Contact(number), Wanted::Contact(number), fx);
        }
        let entry = self.resolving.entry(number).or_default();
        entry.force |= force;
        entry.asked |= begins && force;
        entry
    }

    pub(super) fn contact_read(
        &mut self,
        number: Number,
        row: Option<Contact>,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        let Some(resolving) = self.resolving.get_mut(&number) else { return };
        let fresh = row
            .map(|row| Known { wa_id: row.wa_id, checked_ms: row.checked_ms })
            .filter(|known| known.checked_ms + ctx.settings.contact_ttl_ms > ctx.now_ms);
        match fresh {
            Some(known) if !resolving.force => self.known(number, known, ctx, fx),
            _ => {
                resolving.asked = true;
                for check in resolving.no_wait.drain(..) {
                    let _gone = check.send(Checked { number, state: CheckState::Processing });
                }
                self.ask(number, ctx, fx);
            }
        }
    }

    /// The network answered for a number of this shard.
    pub(crate) fn contact(
        &mut self,
        number: Number,
        status: ContactStatus,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        let wa_id = match status {
            ContactStatus::Registered { wa_id } => Some(wa_id),
            ContactStatus::NotRegistered => None,
            ContactStatus::Failed => return self.look_up_failed(number, CheckState::Failed, ctx),
        };
        let known = Known { wa_id, checked_ms: ctx.now_ms };
        let row = Contact { number, wa_id, checked_ms: ctx.now_ms };
        self.write(Class::Bulk, vec![Op::PutContact(row)], None, fx);
        self.known(number, known, ctx, fx);
    }

    /// Too many wait for the network: checks are refused, messages ask again.
    pub(crate) fn contact_refused(&mut self, number: Number, ctx: &Ctx<'_>) {
        self.look_up_failed(number, CheckState::Overloaded, ctx);
    }

    fn look_up_failed(&mut self, number: Number, state: CheckState, ctx: &Ctx<'_>) {
        let Some(resolving) = self.resolving.get_mut(&number) else { return };
        for check in resolving.checks.drain(..) {
            let _gone = check.send(Checked { number, state });
        }
        if resolving.jobs.is_empty() && resolving.undelivered.is_empty() {
            self.resolving.remove(&number);
        } else {
            self.after(ASK_AGAIN, Timer::AskAgain(number), ctx);
        }
    }

    pub(super) fn ask_again(&mut self, number: Number, ctx: &Ctx<'_>, fx: &mut Effects) {
        if self.resolving.contains_key(&number) {
            self.ask(number, ctx, fx);
        }
    }

    fn ask(&self, number: Number, ctx: &Ctx<'_>, fx: &mut Effects) {
        if ctx.tracing
            && let Some(resolving) = self.resolving.get(&number)
        {
            self.asks_about(number, &resolving.jobs, fx);
        }
        fx.contacts.push(number);
    }

    fn known(&mut self, number: Number, known: Known, ctx: &Ctx<'_>, fx: &mut Effects) {
        self.contacts.put(number, known);
        let Some(resolving) = self.resolving.remove(&number) else { return };
        for check in resolving.checks.into_iter().chain(resolving.no_wait) {
            let _gone = check.send(Checked { number, state: known.into() });
        }
        for key in resolving.jobs {
            self.addressed(key, known, ctx, fx);
        }
        for key in resolving.undelivered {
            self.account_checked(key, known, ctx, fx);
        }
    }

    fn addressed(&mut self, key: Key, known: Known, ctx: &Ctx<'_>, fx: &mut Effects) {
        self.end(key, None, ctx, fx);
        let Some(job) = self.jobs.get_mut(&key) else { return };
        job.wa_id = known.wa_id;
        if known.wa_id.is_none() {
            let code = no_account(job.meta.category);
            self.fail(key, &ApiError::new(code, "the recipient has no account"), ctx, fx);
        } else if matches!(job.stage, Stage::Sealed) {
            self.transmit(key, ctx, fx);
        } else {
            let (route, wa_id) = (job.route, known.wa_id.unwrap_or(job.meta.to));
            let traced = job.meta.trace.is_some();
            let elsewhere = self.jobs.get(&key).is_some_and(|job| self.is_elsewhere(job));
            let plain = ctx.sealing == Sealing::Plain;
            if plain || elsewhere || self.keyed(wa_id, route, ctx, fx) {
                self.list(route);
            } else if traced {
                self.waits_for_keys(key, ctx, fx);
            }
        }
    }
}

impl From<Known> for CheckState {
    fn from(known: Known) -> Self {
        known.wa_id.map_or(Self::Invalid, Self::Valid)
    }
}
