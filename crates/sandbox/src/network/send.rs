//! What happens to a message: judged, answered, delivered, read. What its phone makes of the
//! envelopes is in `opening`.
//!
//! Each step takes one latency; per recipient no step overtakes the same step of an earlier message.

use contract::{Code, Key, Number, Route, ShardId};
use rpc::upstream as wire;

use super::{
    AccountId, Event, Network, Now, StreamId,
    account::{Kept, UNACKED_MAX},
    counting::{self, Counted},
    dedup::{self, Name},
    key_of,
    phones::{Flight, Received},
    shard_id,
    stream::{Ready, UNANSWERED_MAX, Verdict},
    writing::Letter,
};
use crate::{
    faults::RefuseClass,
    numbering::{Keys, Refusal, wa_id},
    sessions::{Job, Open},
};

/// What a phone ending in 0008 tells the sender to wait, milliseconds.
const RATE_PAUSE_MS: u64 = 5_000;
/// What the sender is told to wait at a bound of the network, milliseconds.
const FULL_PAUSE_MS: u64 = 1_000;
/// The customer-service window, milliseconds.
const WINDOW_MS: i64 = 24 * 3_600 * 1_000;

/// One own number and one recipient.
pub(crate) type LaneId = (AccountId, Number);

/// Keeps the order of one recipient; lives as long as something is planned for it.
#[derive(Default)]
pub(super) struct Lane {
    planned: u32,
    unanswered: u64,
    /// When the last of each step is due, milliseconds.
    last: [u64; 4],
}

#[derive(Clone, Copy)]
pub(super) enum Step {
    Answer,
    Deliver,
    Read,
    Inbound,
}

impl Network {
    /// Plans `event` not before `earliest` and not before the lane's last of the same step.
    pub(super) fn plan(&mut self, lane: LaneId, step: Step, earliest: u64, event: Event) -> u64 {
        let lane = self.lanes.entry(lane).or_default();
        lane.planned += 1;
        let mut due = earliest;
        if let Some(last) = lane.last.get_mut(step as usize) {
            due = due.max(*last);
            *last = due;
        }
        self.timeline.at(due, event);
        due
    }

    /// A planned event has happened.
    fn happened(&mut self, lane: LaneId) {
        if let Some(found) = self.lanes.get_mut(&lane) {
            found.planned -= 1;
            if found.planned == 0 {
                self.lanes.remove(&lane);
            }
        }
    }

    /// A message from the coreapp.
    pub(super) fn send(&mut self, id: StreamId, send: &wire::Send, now: Now) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let (Some(shard), Some(key), Ok(to), false) = (
            shard_id(send.shard),
            key_of(&send.key),
            Number::from_digits(send.to.as_bytes()),
            send.envelopes.is_empty(),
        ) else {
            self.stats.malformed += 1;
            return;
        };
        let attached = stream.account.filter(|account| {
            let account = self.accounts.get(account.0);
            account
                .and_then(|account| account.shard(shard))
                .is_some_and(|shard| shard.is_attached(id, send.epoch))
        });
        let Some(account) = attached else {
            self.stats.stale_sends += 1;
            return;
        };
        self.stats.sends += 1;
        if stream.unanswered >= UNANSWERED_MAX {
            return self
                .close_stream(id, "far more messages are unanswered than the window allows");
        }
        stream.unanswered += 1;

        let name = Name::new(account, to, key);
        self.stats.key_reuse += self.reuse.came(&send.envelopes);
        let digest = dedup::digest(&send.envelopes);
        let (known, same) = self.dedup.came(name, digest);
        let taken_before = known.taken_ms;
        let asked_for = taken_before.and_then(|_| self.asked.take(&name, &send.envelopes));
        let (verdict, to_deliver) = match (taken_before, asked_for) {
            (Some(unix_ms), Some(envelopes)) => {
                self.stats.retries.answered += 1;
                self.dedup.taken(&name, digest, unix_ms);
                (Verdict::Sent { unix_ms, counted: self.counted(&name) }, Some(envelopes))
            }
            (Some(unix_ms), None) => {
                self.stats.duplicate_sends += 1;
                self.stats.different_bytes += u64::from(!same);
                (Verdict::Sent { unix_ms, counted: self.counted(&name) }, None)
            }
            (None, _) => {
                let mut verdict = self.judge(account, to, send, now);
                let taken = matches!(verdict, Verdict::Sent { .. });
                if taken {
                    self.stats.accepted += 1;
                    self.dedup.taken(&name, digest, now.unix_ms);
                    self.dedup.counted(&name, counting::origin(&send.category));
                    let counted = self.counted(&name);
                    verdict = Verdict::Sent { unix_ms: now.unix_ms, counted };
                }
                (verdict, taken.then(|| send.envelopes.clone()))
            }
        };
        if let Verdict::Refused { class, .. } = &verdict {
            *self.stats.refused.entry(class_name(*class)).or_default() += 1;
        }
        self.stats.stale_devices += u64::from(matches!(verdict, Verdict::Stale { .. }));

        let due = now.ms + self.latency();
        let event = Event::Answer { stream: id, shard, name, verdict };
        let answered = self.plan((account, to), Step::Answer, due, event);
        self.count_unanswered((account, to));
        if let Some(envelopes) = to_deliver {
            let phone = wa_id(to);
            if self.outside.has(&phone) {
                return self.outside_takes(&phone, name, envelopes);
            }
            let keeps = self.phones.keeps_contents();
            if keeps {
                self.record_taken(name, send, now.unix_ms);
            }
            let envelopes = if keeps { envelopes } else { Vec::new() };
            let earliest = answered + self.latency();
            self.fly(Flight { name, home: Route::of(&to).shard(), envelopes }, earliest);
        }
    }

    /// Sends a message on its way to its phone.
    pub(super) fn fly(&mut self, flight: Flight, earliest: u64) {
        let lane = (flight.name.account, flight.name.to);
        self.plan(lane, Step::Deliver, earliest, Event::Deliver(flight));
    }

    fn count_unanswered(&mut self, lane: LaneId) {
        let in_flight = &mut self.stats.in_flight;
        in_flight.sends += 1;
        in_flight.sends_max = in_flight.sends_max.max(in_flight.sends);
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.unanswered += 1;
            in_flight.per_recipient_max = in_flight.per_recipient_max.max(lane.unanswered);
        }
    }

    /// Takes the message, or says why not.
    fn judge(&mut self, account: AccountId, to: Number, send: &wire::Send, now: Now) -> Verdict {
        use wire::refused::Class;
        let later =
            |class, after_ms, details| Verdict::Refused { class, after_ms, code: 0, details };
        let never = |code: Code, details| Verdict::Refused {
            class: Class::Final,
            after_ms: 0,
            code: code.get(),
            details,
        };
        if self.accounts.get(account.0).is_none_or(|account| account.unacked >= UNACKED_MAX) {
            return later(Class::Retry, FULL_PAUSE_MS, "too much is not acknowledged");
        }
        let refuse = self.faults.refuse;
        if self.dice.happens(refuse.rate) {
            let class = match refuse.class {
                RefuseClass::Retry => Class::Retry,
                RefuseClass::Hold => Class::Hold,
                RefuseClass::Recipient => Class::Recipient,
            };
            return later(class, refuse.after_ms, "the fault plan refuses");
        }
        let phone = wa_id(to);
        let behaviour = self.phones.behaviour(&phone);
        let template = matches!(send.category.as_str(), "template" | "hsm");
        if !behaviour.registered || self.by_number.contains_key(&phone) {
            return match template {
                true => never(Code::USER_NOT_VALID, "the recipient has no account"),
                false => never(Code::RE_ENGAGEMENT, "the recipient has no account"),
            };
        }
        if behaviour.deleted {
            // For as long as senders may still hold the account for valid: taken, and that is all.
            return Verdict::Sent { unix_ms: now.unix_ms, counted: None };
        }
        if let Some(code) = self.phones.set(&phone).refuses.and_then(known) {
            return never(code, "the phone is set to refuse");
        }
        match behaviour.refused {
            Some(Refusal::Rate) => {
                return later(Class::Recipient, RATE_PAUSE_MS, "too many to this recipient");
            }
            Some(Refusal::Spam) => {
                return never(Code::SPAM_RATE_LIMIT, "too many messages were reported as spam");
            }
            None => {}
        }
        let in_window =
            || self.phones.wrote_ms(&phone).is_some_and(|wrote| now.unix_ms - wrote < WINDOW_MS);
        if self.faults.window_24h && !template && !in_window() {
            return never(Code::RE_ENGAGEMENT, "the recipient has not written within 24 hours");
        }
        if behaviour.offline && !self.phones.may_wait() {
            return later(Class::Recipient, FULL_PAUSE_MS, "too many wait for phones offline");
        }
        if self.outside.is_full(&phone) {
            return later(Class::Recipient, FULL_PAUSE_MS, "too many wait for this phone");
        }
        let devices = self.devices(&phone);
        let is_for = |device: &u32| {
            send.left_out.contains(device)
                || send.envelopes.iter().any(|envelope| envelope.device == *device)
        };
        let named = send.envelopes.len() + send.left_out.len();
        if named != devices.len() || !devices.iter().all(is_for) {
            return Verdict::Stale { devices };
        }
        Verdict::Sent { unix_ms: now.unix_ms, counted: None }
    }

    /// The devices an account has now.
    fn devices(&self, phone: &Number) -> Vec<u32> {
        let outside = self.outside.devices(phone);
        outside.unwrap_or_else(|| (0..self.phones.behaviour(phone).devices).collect())
    }

    pub(super) fn answer(&mut self, id: StreamId, shard: ShardId, name: Name, verdict: Verdict) {
        let lane = (name.account, name.to);
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.unanswered = lane.unanswered.saturating_sub(1);
        }
        self.happened(lane);
        self.stats.in_flight.sends -= 1;
        if self.dice.happens(self.faults.answer_loss) {
            self.stats.answers_lost += 1;
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.unanswered = stream.unanswered.saturating_sub(1);
            }
        } else if self.streams.contains_key(&id) {
            self.stats.answers += 1;
            self.push(id, Ready::Answer { shard, key: name.key, verdict });
        }
    }

    /// A message reaches its phone, or waits for it.
    pub(super) fn deliver(&mut self, flight: Flight, now: Now) {
        let name = flight.name;
        let home = flight.home;
        let lane = (name.account, name.to);
        let phone = wa_id(name.to);
        let behaviour = self.phones.behaviour(&phone);
        self.happened(lane);
        if behaviour.offline {
            return self.phones.hold(phone, flight);
        }
        // An account deleted since it was judged: taken, never delivered, no word about it.
        if !behaviour.registered || behaviour.deleted {
            return self.record_landed(name);
        }
        // Became an outside phone on the way.
        if self.outside.has(&phone) {
            self.record_landed(name);
            return self.outside_takes(&phone, name, flight.envelopes);
        }
        if let Some(code) = self.phones.set(&phone).fails.and_then(known) {
            self.record_landed(name);
            return self.told(name, home, wire::receipt::Type::Failed, code.get(), now);
        }
        let plain = |envelope: &wire::Envelope| envelope.kind() == wire::envelope::Kind::Plain;
        match flight.envelopes.first() {
            None => self.arrived(name, home, 0, now),
            Some(first) if flight.envelopes.iter().all(plain) => {
                let mut received = Received::new(name, home, first.device, now.unix_ms);
                received.content = Some(first.ciphertext.as_ref().into());
                let n = self.phones.receive(phone, received);
                self.arrived(name, home, n, now);
            }
            Some(_) => {
                let Some(account) = self.accounts.get(name.account.0) else { return };
                let first_time = !self.asked.knows(&name);
                let open = Open {
                    name,
                    home,
                    business: account.number,
                    phone: self.crypto_phone(phone),
                    pretend: behaviour.keys == Keys::FailsFirst && first_time,
                    envelopes: flight.envelopes,
                };
                self.jobs.push(Job::Open(Box::new(open)));
            }
        }
    }

    /// A planned read receipt.
    pub(super) fn read(&mut self, name: Name, home: ShardId, n: u64, now: Now) {
        self.happened((name.account, name.to));
        if let Some(received) = self.phones.received_mut(n)
            && std::mem::replace(&mut received.read, true)
        {
            return; // read by hand meanwhile
        }
        self.stats.receipts.read += 1;
        self.receipt(name, home, wire::receipt::Type::Read, now);
    }

    pub(super) fn receipt(
        &mut self,
        name: Name,
        home: ShardId,
        kind: wire::receipt::Type,
        now: Now,
    ) {
        self.told(name, home, kind, 0, now);
    }

    /// A receipt with a code of the error catalogue; 0: none.
    pub(super) fn told(
        &mut self,
        name: Name,
        home: ShardId,
        kind: wire::receipt::Type,
        code: u16,
        now: Now,
    ) {
        let Name { account, to, key } = name;
        let (unix_ms, counted) = (now.unix_ms, self.counted(&name));
        let receipt = Kept::Receipt { key, from: to, device: 0, kind, code, unix_ms, counted };
        self.keep(account, home, receipt);
    }

    /// The conversation of a message that was taken.
    fn counted(&self, name: &Name) -> Option<Counted> {
        let known = self.dedup.get(name)?;
        Some(Counted::new(name.account, name.to, known.origin?, known.taken_ms?))
    }

    /// Sends on their way what waited for a phone.
    pub(super) fn release(&mut self, phone: Number, now: Now) {
        for flight in self.phones.release(&phone) {
            let due = now.ms + self.latency();
            self.fly(flight, due);
        }
    }

    /// A customer's message leaves the phone.
    pub(super) fn write(&mut self, account: AccountId, letter: Letter, now: Now) -> Key {
        let key = letter.key;
        let due = now.ms + self.latency();
        let lane = (account, letter.from);
        let event = Event::Inbound { account, letter: Box::new(letter) };
        self.plan(lane, Step::Inbound, due, event);
        key
    }

    /// A customer's message comes to be encrypted.
    pub(super) fn inbound(&mut self, account: AccountId, letter: Letter, now: Now) {
        self.happened((account, letter.from));
        self.draft(account, letter, now.unix_ms);
    }
}

/// A code that a phone was set to.
fn known(code: u16) -> Option<Code> {
    Code::from_u32(code.into())
}

fn class_name(class: wire::refused::Class) -> &'static str {
    match class {
        wire::refused::Class::Unspecified => "unspecified",
        wire::refused::Class::Retry => "retry",
        wire::refused::Class::Hold => "hold",
        wire::refused::Class::Recipient => "recipient",
        wire::refused::Class::Final => "final",
    }
}
