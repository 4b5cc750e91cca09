//! From addressed to settled: seal, transmit, settle.
//!
//! One seal write a shard is uncommitted at a time; it carries every job that is ready, up to 64
//! messages or 256 KiB, and the next starts after its answer. Bytes leave only after their commit
//! and are the same at every repeat. A message is settled in one write: −job −outbox +event.

use std::time::Duration;

use bytes::Bytes;
use contract::{
    ApiError, Code, Direction, Key, MessageId, Number, Route,
    callback::{EventKind, StatusEvent, StatusKind, status},
    message::Stored,
};
use session::{EncryptError, Kind};
use store::{
    Read,
    rows::{Message, NewEvent, Outbox},
    write::{Class, Committed, Op, WriteError},
};
use upstream::{Envelope, EnvelopeKind, Outgoing, Refused, Sealing, SendItem, Sent};

use super::{
    effects::{Ctx, Effects},
    machine::{Machine, Timer, Wanted, Written},
    open::unsealable,
    queue::{Files, Meta, Stage, Told},
    steps::{Writing, tells},
};

/// Messages of one recipient that may be unanswered.
pub(super) const PER_RECIPIENT: usize = 8;
/// Messages of one seal write.
const SEAL_MAX: usize = 64;
/// Bytes of one seal write.
const SEAL_BYTES: usize = 256 << 10;
/// Times the network may say that the recipient of a message has other devices; then it fails.
const STALE_MAX: u8 = 5;

/// What one seal write will carry.
#[derive(Default)]
struct SealBatch {
    keys: Vec<Key>,
    ops: Vec<Op>,
    /// Whose sessions it advances, each once.
    peers: Vec<Number>,
    bytes: usize,
    spans: Vec<Writing>,
}

impl SealBatch {
    fn add<'a>(&mut self, key: Key, wa_id: Number, new: impl Iterator<Item = &'a Envelope>) {
        self.keys.push(key);
        if !self.peers.contains(&wa_id) {
            self.peers.push(wa_id);
        }
        for envelope in new {
            self.bytes += envelope.ciphertext.len();
            self.ops.push(Op::InsertOutbox(Outbox {
                key,
                device: envelope.device.cast_signed(),
                kind: envelope.kind as i16,
                payload: envelope.ciphertext.clone(),
            }));
        }
    }
}

/// A body that could not be read is tried again after this long.
const READ_AGAIN: Duration = Duration::from_secs(1);

impl Machine {
    /// Seals what is ready, acknowledges what is durable. Called at the end of every turn.
    pub(crate) fn pump(&mut self, ctx: &Ctx<'_>, fx: &mut Effects) {
        self.acknowledge(fx);
        if self.sealing || !self.may_transmit(ctx) {
            return;
        }
        let max = if self.seal_singly > 0 { 1 } else { SEAL_MAX };
        let mut batch = SealBatch::default();
        while batch.keys.len() < max && batch.bytes < SEAL_BYTES {
            let Some(route) = self.ready.pop_front() else { break };
            let Some((key, wa_id, body)) = self.next_of(route, ctx, fx) else { continue };
            if !ctx.window.try_take() {
                self.ready.push_front(route);
                if let Some(recipient) = self.recipients.get_mut(&route) {
                    recipient.listed = true;
                }
                break;
            }
            match self.envelopes(key, wa_id, &body, ctx) {
                Ok(envelopes) => {
                    self.take_from_line(route, key);
                    batch.add(key, wa_id, envelopes.iter());
                    batch.spans.extend(self.seals(key, ctx, fx));
                    if let Some(job) = self.jobs.get_mut(&key) {
                        job.stage = Stage::Sealing;
                        job.envelopes.extend(envelopes);
                    }
                }
                Err(error) => {
                    ctx.window.give(1);
                    self.give_up(key, wa_id, error, ctx, fx);
                }
            }
            self.list(route);
        }
        if !batch.keys.is_empty() {
            self.write_seal(batch, ctx, fx);
        }
        self.trim_peers();
    }

    /// The recipient's next message, if it can be sealed now. Takes the recipient off the list.
    fn next_of(
        &mut self,
        route: Route,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) -> Option<(Key, Number, Bytes)> {
        let recipient = self.recipients.get_mut(&route)?;
        recipient.listed = false;
        if recipient.unanswered >= PER_RECIPIENT || recipient.hold.is_some() {
            return None;
        }
        let key = *recipient.waiting.front()?;
        let job = self.jobs.get(&key)?;
        if !matches!(job.stage, Stage::Waiting) {
            // Being cancelled: what follows waits for that, to stay in order.
            return None;
        }
        let wa_id = job.wa_id?;
        if self.is_elsewhere(job) {
            self.hand_on(key, wa_id, fx);
            return None;
        }
        if job.body.is_none() {
            self.read_body(key, fx);
        }
        // Files and keys are waited for together.
        let has_files = self.has_files(key, fx);
        let sealed = ctx.sealing == Sealing::EndToEnd;
        if sealed
            && (!self.keyed(wa_id, route, ctx, fx) || self.held_back(key, route, wa_id, ctx, fx))
        {
            return None;
        }
        if !has_files {
            return None;
        }
        Some((key, wa_id, self.jobs.get(&key)?.body.clone()?))
    }

    /// Seals a message for every device that has no envelope of it yet. The sessions in memory are
    /// then ahead of their rows.
    fn envelopes(
        &mut self,
        key: Key,
        wa_id: Number,
        body: &Bytes,
        ctx: &Ctx<'_>,
    ) -> Result<Vec<Envelope>, EncryptError> {
        if ctx.sealing == Sealing::Plain {
            let (kind, ciphertext) = (EnvelopeKind::Plain, body.clone());
            return Ok(vec![Envelope { device: 0, kind, ciphertext }]);
        }
        let (Some(job), Some(peer)) = (self.jobs.get(&key), self.peers.get_mut(&wa_id)) else {
            return Err(EncryptError::NoSession);
        };
        let mut envelopes = Vec::with_capacity(peer.devices.len());
        for (number, device) in &mut peer.devices {
            let has_one = job.envelopes.iter().any(|there| there.device == *number);
            let other = job.only.is_some_and(|only| only != *number);
            if has_one || other || device.is_left_out(ctx) {
                continue;
            }
            match std::mem::take(&mut device.record).encrypt(body) {
                Ok((record, sealed)) => {
                    device.record = record;
                    let kind = match sealed.kind {
                        Kind::PreKey => EnvelopeKind::PreKey,
                        Kind::Message => EnvelopeKind::Message,
                    };
                    let ciphertext = sealed.bytes.into();
                    envelopes.push(Envelope { device: *number, kind, ciphertext });
                }
                Err((record, error)) => {
                    device.record = record;
                    return Err(error);
                }
            }
        }
        if envelopes.is_empty() && job.envelopes.is_empty() {
            return Err(EncryptError::NoSession);
        }
        Ok(envelopes)
    }

    /// A message cannot be sealed. One that only a lost device has asked for again is with the
    /// others.
    fn give_up(
        &mut self,
        key: Key,
        wa_id: Number,
        error: EncryptError,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        let again = self.jobs.get(&key).is_some_and(|job| job.only.is_some());
        if again && self.peers.peek(&wa_id).is_some_and(|peer| peer.can_send(ctx)) {
            self.settle(key, None, None, ctx, fx);
        } else {
            self.fail(key, &unsealable(error), ctx, fx);
        }
    }

    /// The sealed bytes and the sessions that made them, in one write.
    fn write_seal(&mut self, batch: SealBatch, ctx: &Ctx<'_>, fx: &mut Effects) {
        let SealBatch { keys, mut ops, peers, spans, .. } = batch;
        for wa_id in &peers {
            let Some(peer) = self.peers.peek(wa_id) else { continue };
            ops.extend(peer.devices.iter().map(|(number, device)| {
                Op::PutSession(self.session_row(*wa_id, *number, device, ctx))
            }));
        }
        for wa_id in &peers {
            self.pin(wa_id);
        }
        self.sealing = true;
        self.writing.extend(spans);
        self.write(Class::Hot, ops, Some(Written::Seal(keys, peers)), fx);
    }

    fn take_from_line(&mut self, route: Route, key: Key) {
        if let Some(recipient) = self.recipients.get_mut(&route) {
            recipient.waiting.pop_front();
            recipient.unanswered += 1;
        }
        let Some(job) = self.jobs.get_mut(&key) else { return };
        // Read again, it is as it was stored.
        job.files = Files::Unseen;
        if let Some(body) = job.body.take() {
            self.body_bytes = self.body_bytes.saturating_sub(body.len());
        }
    }

    pub(super) fn read_body(&mut self, key: Key, fx: &mut Effects) {
        if self.reading_bodies.insert(key) {
            self.want(Read::Message(key), Wanted::Body(key), fx);
        }
    }

    pub(super) fn body_read(
        &mut self,
        key: Key,
        found: Result<Option<Message>, String>,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        self.reading_bodies.remove(&key);
        let Some(job) = self.jobs.get_mut(&key) else { return };
        let route = job.route;
        match found.map(|row| row.and_then(|row| Stored::decode(&row.body).ok())) {
            Ok(Some(stored)) => {
                self.body_bytes += stored.message.len();
                job.body = Some(stored.message);
                self.list(route);
            }
            Ok(None) => {
                let trace_id = job.meta.trace_id();
                tracing::error!(
                    table = "message", column = "body", shard = self.shard.get(), row.key = %key,
                    trace_id,
                    "a job's message is missing or unreadable; it is reported as failed"
                );
                let error =
                    ApiError::new(Code::GENERIC_MESSAGE, "the stored message is unreadable");
                self.fail(key, &error, ctx, fx);
            }
            Err(error) => {
                tracing::warn!(
                    shard = self.shard.get(),
                    error,
                    "failed to read a message; will try again"
                );
                self.after(READ_AGAIN, Timer::Recipient(route), ctx);
            }
        }
    }

    pub(super) fn seal_written(
        &mut self,
        keys: Vec<Key>,
        result: Result<Committed, WriteError>,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        self.sealing = false;
        self.seal_singly = self.seal_singly.saturating_sub(1);
        match result {
            Ok(_) => {
                let first = self.untransmitted == 0;
                for key in keys {
                    if let Some(job) = self.jobs.get_mut(&key) {
                        job.stage = Stage::Sealed;
                        job.durable = job.envelopes.len();
                        self.untransmitted += 1;
                        if first {
                            self.transmit(key, ctx, fx);
                        }
                    }
                }
                if !first {
                    // What could not leave a moment ago goes before these.
                    self.transmit_all(ctx, fx);
                }
            }
            Err(error) if keys.len() > 1 => {
                tracing::warn!(shard = self.shard.get(), %error, "a seal write was refused; its messages go singly");
                self.seal_singly = keys.len();
                for key in keys.into_iter().rev() {
                    self.unseal(key, ctx);
                }
            }
            Err(error) => {
                let error = ApiError::new(Code::GENERIC_MESSAGE, error.to_string());
                for key in keys {
                    self.unseal(key, ctx);
                    self.fail(key, &error, ctx, fx);
                }
            }
        }
    }

    /// Back to the head of its line.
    fn unseal(&mut self, key: Key, ctx: &Ctx<'_>) {
        let Some(job) = self.jobs.get_mut(&key) else { return };
        let route = job.route;
        job.stage = Stage::Waiting;
        // The body is read again: this is rare.
        job.envelopes.truncate(job.durable);
        ctx.window.give(1);
        if let Some(recipient) = self.recipients.get_mut(&route) {
            recipient.unanswered -= 1;
            recipient.waiting.push_front(key);
        }
        self.list(route);
    }

    fn may_transmit(&self, ctx: &Ctx<'_>) -> bool {
        self.attached && !self.closing && !ctx.frozen && self.link_hold.is_none()
    }

    /// Sends one sealed message, if it may leave now.
    pub(super) fn transmit(&mut self, key: Key, ctx: &Ctx<'_>, fx: &mut Effects) {
        if !self.may_transmit(ctx) {
            return;
        }
        let Some(job) = self.jobs.get_mut(&key) else { return };
        let (Stage::Sealed, Some(to)) = (&job.stage, job.wa_id) else { return };
        if job.not_before.is_some_and(|due| due > ctx.now) {
            return;
        }
        let devices = self.peers.peek(&to).into_iter().flat_map(|peer| &peer.devices);
        let left_out = devices.filter(|(number, device)| {
            device.is_left_out(ctx) && !job.envelopes.iter().any(|there| there.device == **number)
        });
        let left_out = left_out.map(|(number, _)| *number).collect();
        job.not_before = None;
        job.stage = Stage::Transmitted;
        job.left = true;
        self.untransmitted -= 1;
        fx.sends.push(Outgoing::Send(SendItem {
            shard: self.shard,
            epoch: self.epoch,
            key,
            to,
            category: job.meta.category.as_str(),
            envelopes: job.envelopes.clone(),
            left_out,
        }));
        if job.meta.trace.is_some() {
            self.sends(key, ctx, fx);
        }
    }

    /// Sends whatever is sealed, in order of acceptance.
    pub(super) fn transmit_all(&mut self, ctx: &Ctx<'_>, fx: &mut Effects) {
        if self.untransmitted == 0 || !self.may_transmit(ctx) {
            return;
        }
        let sealed: Vec<Key> = self
            .order
            .values()
            .filter(|key| self.jobs.get(key).is_some_and(|job| matches!(job.stage, Stage::Sealed)))
            .copied()
            .collect();
        for key in sealed {
            self.transmit(key, ctx, fx);
        }
    }

    /// The network answered a message.
    pub(super) fn answered(
        &mut self,
        key: Key,
        result: Result<Sent, Refused>,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        self.end(key, result.as_ref().err().map(|_| "the network refused it"), ctx, fx);
        match result {
            Ok(sent) => self.sent(key, sent, ctx, fx),
            Err(Refused::Final { code, details }) => {
                self.fail(key, &ApiError::new(code, details), ctx, fx);
            }
            Err(Refused::StaleDevices(devices)) => self.stale_devices(key, &devices, ctx, fx),
            Err(Refused::Retry(delay)) => self.refused(key, delay, ctx),
            Err(Refused::Recipient(delay)) => {
                let due = ctx.now + delay;
                let Some(route) = self.jobs.get(&key).map(|job| job.route) else { return };
                self.refused(key, delay, ctx);
                if let Some(recipient) = self.recipients.get_mut(&route) {
                    recipient.hold = Some(recipient.hold.map_or(due, |hold| hold.max(due)));
                }
                self.after(delay, Timer::Recipient(route), ctx);
            }
            Err(Refused::Hold(delay)) => {
                self.refused(key, delay, ctx);
                self.hold_link(delay, ctx);
            }
        }
    }

    /// The recipient has other devices than we knew: what is missing is sealed, the rest stays.
    fn stale_devices(&mut self, key: Key, now: &[u32], ctx: &Ctx<'_>, fx: &mut Effects) {
        let Some(job) = self.jobs.get_mut(&key) else { return };
        let Some(wa_id) = job.wa_id else { return };
        job.stale += 1;
        if job.stale > STALE_MAX {
            let error = "the network and the recipient's pre-keys name different devices";
            return self.fail(key, &ApiError::new(Code::GENERIC_MESSAGE, error), ctx, fx);
        }
        self.reseal(key, |device| now.contains(&device), ctx, fx);
        // After a restart its rows are read first, and the network says it once more.
        let Some(peer) = self.peers.get_mut(&wa_id) else { return };
        let mut ops = Vec::new();
        peer.keep_devices(wa_id, |device| now.contains(&device), &mut ops);
        for device in now {
            // Without a session: that is what a fetch looks for.
            peer.devices.entry(*device).or_default();
        }
        if !ops.is_empty() {
            self.write(Class::Hot, ops, None, fx);
        }
    }

    /// Back to the head of its line, keeping the envelopes of some devices; only what the network
    /// has not taken.
    pub(super) fn reseal(
        &mut self,
        key: Key,
        keep: impl Fn(u32) -> bool,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        let Some(job) = self.jobs.get_mut(&key) else { return };
        match job.stage {
            Stage::Sealed => self.untransmitted -= 1,
            Stage::Transmitted => {}
            _ => return,
        }
        let dropped: Vec<Op> = job
            .envelopes
            .iter()
            .filter(|envelope| !keep(envelope.device))
            .map(|envelope| Op::DeleteOutbox { key, device: envelope.device.cast_signed() })
            .collect();
        job.envelopes.retain(|envelope| keep(envelope.device));
        job.durable = job.envelopes.len();
        job.stage = Stage::Waiting;
        job.not_before = None;
        let route = job.route;
        ctx.window.give(1);
        if let Some(recipient) = self.recipients.get_mut(&route) {
            recipient.unanswered -= 1;
            recipient.waiting.push_front(key);
        }
        if !dropped.is_empty() {
            self.write(Class::Hot, dropped, None, fx);
        }
        self.list(route);
    }

    /// Nothing leaves for a while.
    pub(crate) fn hold_link(&mut self, delay: Duration, ctx: &Ctx<'_>) {
        self.link_hold = Some(self.after(delay, Timer::Link, ctx));
    }

    /// Back to sealed; the same bytes go again later.
    fn refused(&mut self, key: Key, delay: Duration, ctx: &Ctx<'_>) {
        let due = ctx.now + delay;
        if let Some(job) = self.jobs.get_mut(&key)
            && matches!(job.stage, Stage::Transmitted)
        {
            job.stage = Stage::Sealed;
            job.not_before = Some(due);
            self.untransmitted += 1;
            self.after(delay, Timer::Transmit(key), ctx);
        }
    }

    /// A recipient's hold is over, or one of its bodies may be read again.
    pub(super) fn recipient_released(&mut self, route: Route, ctx: &Ctx<'_>, fx: &mut Effects) {
        if let Some(recipient) = self.recipients.get_mut(&route)
            && recipient.hold.is_none_or(|hold| hold <= ctx.now)
        {
            recipient.hold = None;
            self.list(route);
            self.transmit_all(ctx, fx);
        }
    }

    /// The network has the message.
    pub(super) fn sent(&mut self, key: Key, sent: Sent, ctx: &Ctx<'_>, fx: &mut Effects) {
        // A message sealed again for one device was reported before.
        let again = self.jobs.get(&key).is_some_and(|job| job.only.is_some());
        let wanted = ctx.settings.sent && !again;
        if let Some(job) = self.jobs.get(&key).filter(|job| matches!(job.stage, Stage::Transmitted))
        {
            self.watch(key, job.meta.clone(), job.route, ctx);
        }
        let kind = (!again).then_some(StatusKind::Sent);
        let told = Told {
            conversation: sent.conversation,
            ..Told::of(StatusKind::Sent, sent.timestamp_ms)
        };
        self.settle(key, kind, wanted.then_some(told), ctx, fx);
    }

    /// The message will not be sent.
    pub(super) fn fail(&mut self, key: Key, error: &ApiError, ctx: &Ctx<'_>, fx: &mut Effects) {
        if !self.welcomed {
            self.doomed.push((key, error.clone()));
            return;
        }
        let kind = StatusKind::Failed;
        let told = Told { errors: std::slice::from_ref(error), ..Told::of(kind, ctx.now_ms) };
        self.settle(key, Some(kind), Some(told), ctx, fx);
    }

    pub(super) fn settle(
        &mut self,
        key: Key,
        kind: Option<StatusKind>,
        told: Option<Told<'_>>,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        self.end(key, None, ctx, fx);
        let Some(job) = self.jobs.get_mut(&key) else { return };
        let (route, wa_id) = (job.route, job.wa_id);
        match job.stage {
            Stage::Accepting(_)
            | Stage::Cancelling
            | Stage::Handing
            | Stage::Sealing
            | Stage::Settling => return,
            Stage::Waiting => {
                if let Some(recipient) = self.recipients.get_mut(&route) {
                    recipient.waiting.retain(|waiting| *waiting != key);
                }
            }
            Stage::Sealed | Stage::Transmitted => {
                if matches!(job.stage, Stage::Sealed) {
                    self.untransmitted -= 1;
                }
                ctx.window.give(1);
                if let Some(recipient) = self.recipients.get_mut(&route) {
                    recipient.unanswered -= 1;
                }
            }
        }
        job.stage = Stage::Settling;
        if let Some(kind) = kind {
            fx.counts.status(kind);
        }
        self.body_bytes -= job.body.take().map_or(0, |body| body.len());
        let mut ops = vec![Op::DeleteJob(job.id)];
        ops.extend(
            job.envelopes
                .drain(..)
                .map(|envelope| Op::DeleteOutbox { key, device: envelope.device.cast_signed() }),
        );
        let meta = job.meta.clone();
        self.recent.put(key, meta.clone());
        let told = told.map(|told| Told { wa_id, ..told });
        ops.extend(
            told.map(|told| Op::InsertEvent(self.status_event(key, &meta, route, told, ctx))),
        );
        self.write(Class::Hot, ops, Some(Written::Settle(key)), fx);
        self.list(route);
    }

    pub(super) fn settle_written(
        &mut self,
        key: Key,
        result: Result<Committed, WriteError>,
        ctx: &Ctx<'_>,
    ) {
        if let Err(error) = result {
            // The rows stay: the next start sends the same bytes again and settles then.
            let trace_id = self.jobs.get(&key).and_then(|job| job.meta.trace_id());
            tracing::error!(shard = self.shard.get(), %error, trace_id, "failed to settle a message");
        }
        self.forget(key, ctx);
    }

    /// The rows of a job are gone.
    pub(super) fn forget(&mut self, key: Key, ctx: &Ctx<'_>) {
        let Some(job) = self.jobs.remove(&key) else { return };
        self.order.remove(&job.id);
        ctx.gate.leave();
        if self.recipients.get(&job.route).is_some_and(|r| {
            r.waiting.is_empty() && r.unanswered == 0 && r.hold.is_none() && !r.listed
        }) {
            self.recipients.remove(&job.route);
            self.held.remove(&job.route);
        }
    }

    /// The callback that tells what became of a message.
    pub(super) fn status_event(
        &mut self,
        key: Key,
        meta: &Meta,
        route: Route,
        told: Told<'_>,
        ctx: &Ctx<'_>,
    ) -> NewEvent {
        let Told { kind, timestamp_ms, wa_id, conversation, errors } = told;
        let cached = || self.contacts.peek(&meta.here()).and_then(|known| known.wa_id);
        let body = status(&StatusEvent {
            id: MessageId { direction: Direction::Outbound, number: meta.to, key },
            recipient: wa_id.or_else(cached).unwrap_or(meta.here()),
            input: &meta.input,
            kind,
            timestamp_s: timestamp_ms.div_euclid(1_000),
            conversation: conversation.filter(|_| ctx.settings.pricing),
            errors,
        });
        let event = NewEvent {
            kind: EventKind::Status.get(),
            route,
            key: Some(key),
            held: false,
            created_ms: ctx.now_ms,
            body: body.into(),
            trace: meta.trace,
        };
        // What it goes into is the next write.
        if ctx.tracing {
            self.writing.extend(tells(meta, key, kind, &event, ctx));
        }
        event
    }
}
