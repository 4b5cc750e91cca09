//! What a traced message goes through, as spans: acceptance, the calls it waits for, sealing, sending,
//! and each word of the network about it. They are made when they end, by whoever ends them; for a
//! message that is not traced nothing here does anything.

use contract::{Key, Number, Route, ShardId, TraceContext, callback::StatusKind};
use store::rows::NewEvent;
use telemetry::traces::{Kind, Span};
use tokio::time::Instant;

use super::{
    effects::{Ctx, Effects},
    machine::Machine,
    queue::Meta,
};
use crate::{contacts::SYNC, prekeys::FETCH};

/// A span that is under way.
#[derive(Debug)]
pub(crate) struct Doing {
    name: &'static str,
    since: Instant,
    nth: u64,
}

/// A span that ends with a write.
#[derive(Debug)]
pub(super) struct Writing {
    above: TraceContext,
    own: TraceContext,
    name: &'static str,
    key: Key,
    since: Instant,
}

/// The name of the span that is a message's place in its trace.
pub(super) const ACCEPT: &str = "accept";
const CONTACT: &str = "wait for contact sync";
const KEYS: &str = "wait for pre-keys";
const SEAL: &str = "seal";
pub(super) const SEND: &str = "send";

impl Writing {
    /// Its place in the trace.
    pub(super) fn own(&self) -> TraceContext {
        self.own
    }
}

impl Machine {
    /// A traced message begins something; what it did until now ends.
    fn begin(&mut self, key: Key, name: &'static str, ctx: &Ctx<'_>, fx: &mut Effects) {
        if !ctx.tracing {
            return;
        }
        self.end(key, None, ctx, fx);
        if let Some(job) = self.jobs.get_mut(&key)
            && job.meta.trace.is_some()
        {
            job.doing = Some(Box::new(Doing { name, since: ctx.now, nth: ns(ctx) }));
        }
    }

    /// What it did has ended.
    pub(super) fn end(
        &mut self,
        key: Key,
        error: Option<&'static str>,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        if !ctx.tracing {
            return;
        }
        let Some(job) = self.jobs.get_mut(&key) else { return };
        let (Some(doing), Some(above)) = (job.doing.take(), job.meta.trace) else { return };
        let Doing { name, since, nth } = *doing;
        let mut span = Span::below(above, name, nth, since).failed(error);
        span.ended = ctx.now;
        if name == SEND {
            span = span.kind(Kind::Client).with("rpc.system", "grpc");
        }
        fx.spans.push(self.placed(span, key));
    }

    /// It waits until the network is asked about its number.
    pub(super) fn waits_for_contact(&mut self, key: Key, ctx: &Ctx<'_>, fx: &mut Effects) {
        self.begin(key, CONTACT, ctx, fx);
    }

    /// The network will be asked about a number.
    pub(super) fn asks_about(&self, number: Number, jobs: &[Key], fx: &mut Effects) {
        let traced = jobs.iter().filter_map(|key| self.jobs.get(key)?.meta.trace);
        fx.waiting.extend(traced.map(|trace| (SYNC, number, trace)));
    }

    /// It waits until the pre-keys of its recipient are here.
    pub(super) fn waits_for_keys(&mut self, key: Key, ctx: &Ctx<'_>, fx: &mut Effects) {
        self.begin(key, KEYS, ctx, fx);
    }

    /// Pre-keys will be fetched for a line of messages.
    pub(super) fn fetches_for(&self, wa_id: Number, route: Route, fx: &mut Effects) {
        let Some(recipient) = self.recipients.get(&route) else { return };
        let traced = recipient.waiting.iter().filter_map(|key| self.jobs.get(key)?.meta.trace);
        fx.waiting.extend(traced.map(|trace| (FETCH, wa_id, trace)));
    }

    pub(super) fn sends(&mut self, key: Key, ctx: &Ctx<'_>, fx: &mut Effects) {
        self.begin(key, SEND, ctx, fx);
    }

    /// Sealing of a message, until its write is answered.
    pub(super) fn seals(&mut self, key: Key, ctx: &Ctx<'_>, fx: &mut Effects) -> Option<Writing> {
        if !ctx.tracing {
            return None;
        }
        self.end(key, None, ctx, fx);
        let above = self.jobs.get(&key)?.meta.trace?;
        let own = above.child(SEAL, ns(ctx));
        Some(Writing { above, own, name: SEAL, key, since: ctx.now })
    }

    /// The spans of a write that was answered.
    pub(super) fn wrote(
        &self,
        writing: Vec<Writing>,
        error: Option<&'static str>,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        for Writing { above, own, name, key, since } in writing {
            let mut span = Span::below(above, name, 0, since).failed(error);
            (span.context, span.ended) = (own, ctx.now);
            fx.spans.push(self.placed(span, key));
        }
    }

    fn placed(&self, span: Span, key: Key) -> Span {
        placed(span, self.shard, key)
    }
}

/// Acceptance, until its write is answered, and the span everything else is below.
pub(super) fn accepts(trace: Option<(TraceContext, Instant)>, key: Key) -> Option<Writing> {
    let (above, since) = trace?;
    let own = accepted(above, key);
    Some(Writing { above, own, name: ACCEPT, key, since })
}

/// By its key: a repeat of the call has the same.
pub(super) fn accepted(above: TraceContext, key: Key) -> TraceContext {
    let nth = key.as_bytes().iter().fold(0, |all: u64, byte| all.rotate_left(8) ^ u64::from(*byte));
    above.child(ACCEPT, nth)
}

/// A word about a message, until its event is stored.
pub(super) fn tells(
    meta: &Meta,
    key: Key,
    kind: StatusKind,
    event: &NewEvent,
    ctx: &Ctx<'_>,
) -> Option<Writing> {
    let above = meta.trace?;
    let name = match kind {
        StatusKind::Sent => "receipt sent",
        StatusKind::Delivered => "receipt delivered",
        StatusKind::Read => "receipt read",
        StatusKind::Failed => "receipt failed",
        StatusKind::Deleted => "receipt deleted",
        StatusKind::Warning => "receipt warning",
    };
    Some(Writing { above, own: above.event(&event.body), name, key, since: ctx.now })
}

fn placed(span: Span, shard: ShardId, key: Key) -> Span {
    span.with("messaging.message.key", key.to_string())
        .with("heliograph.shard", i64::from(shard.get()))
}

/// Tells two spans of one name apart.
fn ns(ctx: &Ctx<'_>) -> u64 {
    ctx.now_ms.unsigned_abs()
}
