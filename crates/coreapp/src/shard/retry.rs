//! A device of the recipient could not decrypt: the message is sealed for it again.
//!
//! At most five times a message and device, and only while the message's row is there. The message
//! becomes a job once more, for that device alone.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use contract::{Key, Number, Route, TraceContext, message::Stored};
use store::{
    rows::{Job as JobRow, Message},
    write::{Class, Op},
};
use tokio::time::Instant;
use upstream::{DeviceBundle, Receipt, Retry, Sent, UserBundles};

use super::{
    effects::{Ctx, Effects},
    incoming::Place,
    machine::{Machine, Timer, Wanted, Written},
    peers::PeerItem,
    queue::{Files, Job, Meta, Stage},
};

/// Times a message is sealed again for one device.
const RETRIES_MAX: u32 = 5;
/// Requests of one contact that are followed in a minute.
const A_MINUTE_MAX: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);
/// The first sending is still being settled: look again after this long.
const SETTLING: Duration = Duration::from_millis(100);
/// Contacts and messages whose requests are counted, a shard.
pub(super) const COUNTED: NonZeroUsize = NonZeroUsize::new(1_024).unwrap();

/// A request that may be followed, with what is to be sealed.
pub(super) struct Resend {
    key: Key,
    device: u32,
    retry: Retry,
    stored: Stored,
    trace: Option<TraceContext>,
}

impl Machine {
    /// A retry receipt came.
    pub(super) fn retry_requested(
        &mut self,
        place: Place,
        receipt: Receipt,
        retry: Retry,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        // What we have counted is in memory alone; the device's own count outlives a restart.
        let seen = self.resends.get(&(receipt.key, receipt.device)).copied().unwrap_or(0);
        let asked = retry.count.max(seen + 1);
        if asked > RETRIES_MAX || !self.a_minute(receipt.from, ctx.now) {
            fx.counts.retries_refused += 1;
            tracing::warn!(
                shard = self.shard.get(), message.key = %receipt.key, device = receipt.device, asked,
                "a device asks too often for messages to be sealed again; it is not heard"
            );
            return self.done(place);
        }
        fx.counts.retries_followed += 1;
        self.resends.put((receipt.key, receipt.device), asked);
        self.resend_when_settled(place, receipt, retry, ctx, fx);
    }

    pub(super) fn resend_when_settled(
        &mut self,
        place: Place,
        receipt: Receipt,
        retry: Retry,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        if self.jobs.contains_key(&receipt.key) {
            // The answer was lost, but the request proves that the network has the message.
            let Receipt { timestamp_ms, conversation, .. } = receipt;
            let sent = Sent { timestamp_ms, conversation };
            self.sent(receipt.key, sent, ctx, fx);
            self.after(SETTLING, Timer::Resend(place, Box::new((receipt, retry))), ctx);
            return;
        }
        let key = receipt.key;
        self.want(store::Read::Message(key), Wanted::Resend(place, receipt, retry), fx);
    }

    fn a_minute(&mut self, from: Number, now: Instant) -> bool {
        let (since, count) = self.requests.get(&from).copied().unwrap_or((now, 0));
        let (since, count) = if now - since > MINUTE { (now, 0) } else { (since, count) };
        self.requests.put(from, (since, count + 1));
        count < A_MINUTE_MAX
    }

    pub(super) fn resend_read(
        &mut self,
        place: Place,
        receipt: &Receipt,
        retry: Retry,
        found: Result<Option<Message>, String>,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        let decoded = |row: Message| Some((Stored::decode(&row.body).ok()?, row.trace));
        let (stored, trace) = match found.map(|row| row.and_then(decoded)) {
            Ok(Some(known)) => known,
            Ok(None) => return self.done(place),
            Err(error) => {
                tracing::warn!(
                    shard = self.shard.get(),
                    error,
                    "failed to read a message to be sealed again; will try again"
                );
                let again = Timer::Resend(place, Box::new((receipt.clone(), retry)));
                self.after(SETTLING, again, ctx);
                return;
            }
        };
        let resend = Resend { key: receipt.key, device: receipt.device, retry, stored, trace };
        self.with_peer(receipt.from, PeerItem::Resend(place, resend), ctx, fx);
    }

    /// The contact's sessions are in memory: the message becomes a job again.
    pub(super) fn resend(
        &mut self,
        wa_id: Number,
        place: Place,
        resend: Resend,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        let Resend { key, device: number, retry, stored, trace } = resend;
        if self.jobs.contains_key(&key) {
            // Another device of the same recipient asked first.
            return self.done(place);
        }
        let mut begin_anew = None;
        if let Some(device) = self.peers.get_mut(&wa_id).and_then(|p| p.devices.get_mut(&number)) {
            let current = device.record.current();
            let another = current.is_none_or(|c| c.peer_registration_id() != retry.registration_id);
            if retry.bundle.is_some() || another {
                device.record.archive();
                begin_anew = retry.bundle;
            }
        }
        let message = stored.message.clone();
        let meta = Arc::new(Meta { trace, ..Meta::from(stored) });
        let route = Route::of(&meta.here());
        if let Some(bundle) = begin_anew {
            let bundle = DeviceBundle { device: number, bundle: Ok(*bundle) };
            fx.setups.push(UserBundles { wa_id, devices: vec![bundle] });
            // The set-up lists the route when it is done.
            self.fetching.entry(wa_id).or_default().push(route);
        }
        let id = self.mint_job();
        let row = JobRow { id, key, route, created_ms: ctx.now_ms, header: meta.encode(), trace };
        self.body_bytes += message.len();
        self.jobs.insert(
            key,
            Job {
                id,
                route,
                meta,
                created_ms: ctx.now_ms,
                body_hash: None,
                body: Some(message),
                wa_id: Some(wa_id),
                files: Files::Unseen,
                envelopes: Vec::new(),
                durable: 0,
                stale: 0,
                only: Some(number),
                stage: Stage::Waiting,
                left: true,
                not_before: None,
                doing: None,
            },
        );
        ctx.gate.restore();
        self.order.insert(id, key);
        // What was sent once was accepted before all that still waits, but for others sent again.
        let waiting = &mut self.recipients.entry(route).or_default().waiting;
        let again = |key: &&Key| self.jobs.get(*key).is_some_and(|job| job.only.is_some());
        let before = waiting.iter().take_while(again).count();
        waiting.insert(before, key);
        self.list(route);
        self.write(Class::Hot, vec![Op::InsertJob(row)], Some(Written::Down(place)), fx);
    }
}
