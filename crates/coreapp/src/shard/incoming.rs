//! The upstream's stream to the shard: attachment, answers, receipts, customers' messages.
//!
//! Every kept item has a sequence number and is acknowledged, cumulatively, once its event is
//! committed. At a new attachment the network repeats what was not acknowledged.

use std::collections::VecDeque;

use contract::{
    ApiError, Direction, Key, MessageId, Number, Route,
    callback::{self, EventKind, NumberEvent, StatusKind},
    message::Category,
};
use store::{
    Read,
    rows::{Message, NewEvent},
    write::{Class, Committed, Op, WriteError},
};
use upstream::{Item, Outgoing, Receipt, ReceiptKind, Sent};

use super::{
    effects::{Ctx, Effects},
    machine::{Machine, Wanted, Written},
    peers::PeerItem,
    queue::{Meta, Stage, Told},
};
use crate::delivery::Logged;

/// Which items of the stream are durable.
#[derive(Debug, Default)]
pub(super) struct Down {
    /// Grows with every attachment; an answer from before it counts no more.
    attachment: u64,
    /// Sequence numbers that came and are not acknowledged, in order, and whether they may be.
    pending: VecDeque<(u64, bool)>,
    /// Highest one that came.
    seen: u64,
    /// The network is to be told how far this has got.
    ack_due: bool,
}

/// An item's place in [`Down`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    attachment: u64,
    seq: u64,
}

impl Machine {
    /// The network sent something for this shard.
    pub(crate) fn item(&mut self, seq: u64, item: Item, ctx: &Ctx<'_>, fx: &mut Effects) {
        match item {
            Item::Welcome { epoch_seen, .. } if epoch_seen > self.epoch => {
                tracing::error!(
                    shard = self.shard.get(),
                    epoch = self.epoch,
                    epoch_seen,
                    "the network knows a later owner of this shard; it stays detached"
                );
            }
            Item::Welcome { .. } => self.welcomed(ctx, fx),
            Item::Detached { epoch_seen } => {
                tracing::warn!(
                    shard = self.shard.get(),
                    epoch_seen,
                    "another owner attached this shard"
                );
                self.detached();
            }
            Item::Answer { key, result } => self.answered(key, result, ctx, fx),
            Item::Receipt(receipt) => {
                if let Some(place) = self.arrived(seq) {
                    self.receipt(place, receipt, ctx, fx);
                }
            }
            Item::Inbound(message) => {
                if let Some(place) = self.arrived(seq) {
                    self.inbound(place, message, ctx, fx);
                }
            }
            Item::IdentityChanged { wa_id, device, identity_key } => {
                if let Some(place) = self.arrived(seq) {
                    let item = PeerItem::Changed { place, device, key: identity_key };
                    self.with_peer(wa_id, item, ctx, fx);
                }
            }
            Item::NumberChanged { wa_id, new_wa_id } => {
                if let Some(place) = self.arrived(seq) {
                    self.number_changed(place, wa_id, new_wa_id, ctx, fx);
                }
            }
            Item::Trouble { code, details } => {
                if let Some(place) = self.arrived(seq) {
                    self.trouble(place, ApiError::new(code, details), ctx, fx);
                }
            }
            Item::KeysLow { .. } => {
                // Also comes unkept, from a network that has forgotten us.
                ctx.keys.low();
                if let Some(place) = self.arrived(seq) {
                    self.done(place);
                }
            }
        }
    }

    /// What may come again at the next attachment although it is in the log.
    pub(crate) fn logged(&mut self, logged: Logged) {
        self.logged.clear();
        for receipt in logged {
            *self.logged.entry(receipt).or_default() += 1;
        }
    }

    /// The receipt was told before; once for each time that it is in the log.
    fn is_logged(&mut self, receipt: (Key, StatusKind)) -> bool {
        let Some(times) = self.logged.get_mut(&receipt) else { return false };
        *times -= 1;
        if *times == 0 {
            self.logged.remove(&receipt);
        }
        true
    }

    fn welcomed(&mut self, ctx: &Ctx<'_>, fx: &mut Effects) {
        self.detached();
        self.attached = true;
        self.welcomed = true;
        self.down = Down { attachment: self.down.attachment + 1, ..Down::default() };
        for (key, error) in std::mem::take(&mut self.doomed) {
            self.fail(key, &error, ctx, fx);
        }
        self.transmit_all(ctx, fx);
    }

    /// The log has grown: the network is to know, as its word tells an old copy of the database.
    pub(super) fn tell_event_seq(&mut self) {
        self.down.ack_due |= self.attached;
    }

    /// The link is gone: nothing that was transmitted will be answered.
    pub(crate) fn detached(&mut self) {
        self.attached = false;
        for job in self.jobs.values_mut() {
            if matches!(job.stage, Stage::Transmitted) {
                job.stage = Stage::Sealed;
                self.untransmitted += 1;
            }
        }
    }

    /// Takes note of an item; `None` when it is a repetition.
    fn arrived(&mut self, seq: u64) -> Option<Place> {
        if seq <= self.down.seen {
            self.down.ack_due = true;
            return None;
        }
        self.down.seen = seq;
        self.down.pending.push_back((seq, false));
        Some(Place { attachment: self.down.attachment, seq })
    }

    /// The item needs nothing more.
    pub(super) fn done(&mut self, place: Place) {
        if place.attachment != self.down.attachment {
            return;
        }
        if let Ok(at) = self.down.pending.binary_search_by_key(&place.seq, |(seq, _)| *seq) {
            self.down.pending[at].1 = true;
        }
        if self.down.pending.front().is_some_and(|(_, done)| *done) {
            while self.down.pending.front().is_some_and(|(_, done)| *done) {
                self.down.pending.pop_front();
            }
            self.down.ack_due = true;
        }
    }

    /// Tells the network how far the shard has got; cumulative, so once a turn is enough.
    pub(super) fn acknowledge(&mut self, fx: &mut Effects) {
        if std::mem::take(&mut self.down.ack_due) {
            let seq = self.down.pending.front().map_or(self.down.seen, |(seq, _)| seq - 1);
            let (shard, epoch, our_seq) = (self.shard, self.epoch, self.event_seq);
            fx.sends.push(Outgoing::Ack { shard, epoch, seq, our_seq });
        }
    }

    pub(super) fn down_written(&mut self, place: Place, result: Result<Committed, WriteError>) {
        match result {
            // A conflict: the message was stored before, and its acknowledgement was lost.
            Ok(_) | Err(WriteError::Conflict) => self.done(place),
            Err(error) => {
                tracing::error!(
                    shard = self.shard.get(), %error,
                    "failed to store something the network sent; it is dropped so that the rest can go on"
                );
                self.done(place);
            }
        }
    }

    fn receipt(&mut self, place: Place, receipt: Receipt, ctx: &Ctx<'_>, fx: &mut Effects) {
        if let ReceiptKind::Retry(retry) = &receipt.kind {
            let retry = retry.clone();
            return self.retry_requested(place, receipt, retry, ctx, fx);
        }
        let meta = match self.jobs.get(&receipt.key) {
            Some(job) => {
                let meta = job.meta.clone();
                if !matches!(receipt.kind, ReceiptKind::Failed(_)) {
                    // The answer was lost, but a receipt proves that the network has the message.
                    let Receipt { timestamp_ms, conversation, .. } = receipt;
                    let sent = Sent { timestamp_ms, conversation };
                    self.sent(receipt.key, sent, ctx, fx);
                }
                Some(meta)
            }
            None => self.recent.get(&receipt.key).cloned(),
        };
        if !matches!(receipt.kind, ReceiptKind::Warning(_)) {
            self.unwatch(receipt.key);
        }
        match meta {
            Some(meta) => self.store_receipt(place, &receipt, &meta, ctx, fx),
            None => self.want(Read::Message(receipt.key), Wanted::Receipt(place, receipt), fx),
        }
    }

    pub(super) fn receipt_read(
        &mut self,
        place: Place,
        receipt: &Receipt,
        found: Result<Option<Message>, String>,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        let decoded = |row: Message| {
            let stored = contract::message::Stored::decode(&row.body).ok()?;
            Some(Meta { trace: row.trace, ..Meta::from(stored) })
        };
        match found.map(|row| row.and_then(decoded)) {
            Ok(Some(meta)) => {
                self.recent.put(receipt.key, meta.clone().into());
                self.store_receipt(place, receipt, &meta, ctx, fx);
            }
            // The row has gone after a day, the receipt is told all the same. All that is not known any
            // more is how the number was written.
            Ok(None) if ctx.settings.pass_through => {
                let to = receipt.from;
                let (input, category) = (to.to_string(), Category::Text);
                self.store_receipt(
                    place,
                    receipt,
                    &Meta { to, moved_to: None, input, category, trace: None },
                    ctx,
                    fx,
                );
            }
            Ok(None) => {
                tracing::warn!(shard = self.shard.get(), key = %receipt.key, "a receipt for a message that is not ours");
                self.done(place);
            }
            Err(error) => {
                // The reader has already waited between its own tries.
                tracing::error!(
                    shard = self.shard.get(),
                    error,
                    "failed to read the message of a receipt; will try again"
                );
                self.want(Read::Message(receipt.key), Wanted::Receipt(place, receipt.clone()), fx);
            }
        }
    }

    fn store_receipt(
        &mut self,
        place: Place,
        receipt: &Receipt,
        meta: &Meta,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        let (kind, errors, wanted) = match receipt.kind {
            // Handled before.
            ReceiptKind::Retry(_) => return self.done(place),
            ReceiptKind::Delivered => (StatusKind::Delivered, None, ctx.settings.delivered),
            ReceiptKind::Read => (StatusKind::Read, None, ctx.settings.read),
            ReceiptKind::Failed(code) => (StatusKind::Failed, Some(ApiError::new(code, "")), true),
            ReceiptKind::Warning(code) => {
                (StatusKind::Warning, Some(ApiError::new(code, "")), true)
            }
        };
        if self.is_logged((receipt.key, kind)) {
            self.done(place);
            return;
        }
        fx.counts.status(kind);
        if !wanted {
            self.done(place);
            return;
        }
        let told = Told {
            kind,
            timestamp_ms: receipt.timestamp_ms,
            wa_id: Some(receipt.from),
            conversation: receipt.conversation.filter(|_| errors.is_none()),
            errors: errors.as_slice(),
        };
        let event = self.status_event(receipt.key, meta, Route::of(&meta.here()), told, ctx);
        self.write(Class::Hot, vec![Op::InsertEvent(event)], Some(Written::Down(place)), fx);
    }

    /// A customer has another number: told when that is wanted.
    fn number_changed(
        &mut self,
        place: Place,
        wa_id: Number,
        new_wa_id: Number,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        if !ctx.settings.number_changes {
            return self.done(place);
        }
        let key = Key::mint_at(ctx.now_ms.div_euclid(1_000), ctx.rng);
        let body = callback::number_changed(&NumberEvent {
            id: MessageId { direction: Direction::Inbound, number: wa_id, key },
            wa_id,
            new_wa_id,
            timestamp_s: ctx.now_ms.div_euclid(1_000),
        });
        let event = NewEvent {
            kind: EventKind::Inbound.get(),
            route: Route::of(&wa_id),
            key: Some(key),
            held: false,
            trace: None,
            created_ms: ctx.now_ms,
            body: body.into(),
        };
        self.write(Class::Hot, vec![Op::InsertEvent(event)], Some(Written::Down(place)), fx);
    }

    /// The network tells of something wrong that belongs to no message.
    fn trouble(&mut self, place: Place, error: ApiError, ctx: &Ctx<'_>, fx: &mut Effects) {
        tracing::warn!(
            error.code = error.code.get(),
            "the network reports trouble with the account"
        );
        let (kind, body) = (EventKind::Errors.get(), callback::errors(&[error]));
        let event = NewEvent::apart(kind, ctx.now_ms, body);
        self.write(Class::Hot, vec![Op::InsertEvent(event)], Some(Written::Down(place)), fx);
    }
}
