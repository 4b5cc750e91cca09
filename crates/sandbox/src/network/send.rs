//! What happens to a message: judged, answered, delivered, read.
//!
//! Each step takes one latency; per recipient no step overtakes the same step of an earlier message.

use contract::{Code, Key, Number, Route, ShardId};
use rpc::upstream as wire;

use super::{
    AccountId, Event, Network, Now, StreamId,
    account::{Kept, Letter, UNACKED_MAX},
    dedup::{self, Name},
    key_of,
    phones::Flight,
    shard_id,
    stream::{Ready, UNANSWERED_MAX, Verdict},
};
use crate::{
    faults::RefuseClass,
    numbering::{Refusal, wa_id},
};

/// What a phone ending in 0008 tells the sender to wait, milliseconds.
const RATE_PAUSE_MS: u64 = 5_000;
/// What the sender is told to wait at a bound of the network, milliseconds.
const FULL_PAUSE_MS: u64 = 1_000;
/// The customer-service window, milliseconds.
const WINDOW_MS: i64 = 24 * 3_600 * 1_000;

/// One own number and one recipient.
pub(super) type LaneId = (AccountId, Number);

/// Keeps the order of one recipient; lives as long as something is planned for it.
#[derive(Default)]
pub(super) struct Lane {
    planned: u32,
    unanswered: u64,
    /// When the last of each step is due, milliseconds.
    last: [u64; 4],
}

#[derive(Clone, Copy)]
enum Step {
    Answer,
    Deliver,
    Read,
    Inbound,
}

impl Network {
    /// Plans `event` not before `earliest` and not before the lane's last of the same step.
    fn plan(&mut self, lane: LaneId, step: Step, earliest: u64, event: Event) -> u64 {
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
        let (Some(shard), Some(key), Ok(to), Some(envelope)) = (
            shard_id(send.shard),
            key_of(&send.key),
            Number::from_digits(send.to.as_bytes()),
            send.envelopes.first(),
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
        let (known, same) = self.dedup.came(name, dedup::digest(&send.envelopes));
        let taken_before = known.taken_ms;
        self.stats.different_bytes += u64::from(!same);
        let verdict = match taken_before {
            Some(unix_ms) => {
                self.stats.duplicate_sends += 1;
                Verdict::Sent { unix_ms }
            }
            None => self.judge(account, to, &send.category, now),
        };

        let due = now.ms + self.latency();
        let event = Event::Answer { stream: id, shard, name, verdict };
        let answered = self.plan((account, to), Step::Answer, due, event);
        self.count_unanswered((account, to));
        match verdict {
            Verdict::Refused { class, .. } => {
                *self.stats.refused.entry(class_name(class)).or_default() += 1;
            }
            Verdict::Sent { unix_ms } if taken_before.is_none() => {
                self.stats.accepted += 1;
                self.dedup.taken(&name, unix_ms);
                let content = match self.phones.keeps_contents() {
                    true => envelope.ciphertext.as_ref().into(),
                    false => Box::default(),
                };
                let home = Route::of(&to).shard();
                let flight = Flight { name, home, device: envelope.device, content };
                let due = answered + self.latency();
                self.plan((account, to), Step::Deliver, due, Event::Deliver(flight));
            }
            Verdict::Sent { .. } => {}
        }
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
    fn judge(&mut self, account: AccountId, to: Number, category: &str, now: Now) -> Verdict {
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
        let template = category == "template";
        if !behaviour.registered || self.by_number.contains_key(&phone) {
            return match template {
                true => never(Code::USER_NOT_VALID, "the recipient has no account"),
                false => never(Code::RE_ENGAGEMENT, "the recipient has no account"),
            };
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
        Verdict::Sent { unix_ms: now.unix_ms }
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
        if !behaviour.registered {
            return;
        }
        if self.dedup.reached(&name) > 1 {
            self.stats.delivered_twice += 1;
            return;
        }
        self.stats.delivered += 1;
        let n = self.phones.receive(phone, flight, now.unix_ms);
        if behaviour.delivered {
            self.stats.receipts.delivered += 1;
            self.receipt(name, home, wire::receipt::Type::Delivered, now);
        }
        if behaviour.read {
            let due = now.ms + self.latency();
            self.plan(lane, Step::Read, due, Event::Read { name, home, n });
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
        let Name { account, to, key } = name;
        self.keep(account, home, Kept::Receipt { key, from: to, kind, unix_ms: now.unix_ms });
    }

    /// Sends on their way what waited for a phone.
    pub(super) fn release(&mut self, phone: Number, now: Now) {
        for flight in self.phones.release(&phone) {
            let due = now.ms + self.latency();
            let lane = (flight.name.account, flight.name.to);
            self.plan(lane, Step::Deliver, due, Event::Deliver(flight));
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

    /// A customer's message reaches the business.
    pub(super) fn inbound(&mut self, account: AccountId, letter: Box<Letter>) {
        self.happened((account, letter.from));
        self.stats.inbound += 1;
        let home = Route::of(&letter.from).shard();
        self.keep(account, home, Kept::Inbound(letter));
    }
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
