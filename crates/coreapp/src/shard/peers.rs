//! Sessions with the devices of contacts: in memory, else their rows, else a pre-key fetch.
//!
//! A session in memory may be ahead of its row only while the write that stores it is under way;
//! until that write is answered it is pinned, since reading the row would bring an older state
//! back and use a message key twice.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use contract::{ApiError, Code, Number, Route};
use session::{IdentityKey, Record};
use store::{
    Read,
    rows::{Identity as IdentityRow, Session as SessionRow},
    write::{Class, Op},
};
use tokio::time::Instant;

use super::{
    effects::{Ctx, Effects, IdentityRequest},
    incoming::Place,
    machine::{Machine, Timer, Wanted},
    queue::Stage,
    retry::Resend,
};
use crate::prekeys::{Sessions, SetUp, SetUpError};

/// Contacts whose sessions are kept in memory, a shard; the least recently used is read again.
/// Two in simulated histories, so that they meet the reading again.
pub(super) const PEERS_MAX: usize = if cfg!(test) { 2 } else { 1_024 };
/// Contacts known to have no keys, a shard.
pub(super) const NO_KEYS_MAX: usize = 1_024;
/// How long that is believed.
const NO_KEYS: Duration = Duration::from_secs(60);
/// How long a device whose bundle is not valid is left out; then the network is asked again.
const LEFT_OUT: Duration = Duration::from_secs(3_600);
/// A fetch or a read that failed is repeated after this long.
const AGAIN: Duration = Duration::from_secs(1);

/// The devices of a contact.
#[derive(Default)]
pub(super) struct Peer {
    pub devices: BTreeMap<u32, Device>,
    /// Writes under way that hold a state of these sessions.
    pub pins: u32,
}

/// See [`Peer`].
#[derive(Default)]
pub(super) struct Device {
    pub record: Record,
    /// What it last showed, as its row has it.
    pub identity: Option<IdentityRow>,
    /// Its bundle was not valid; not asked for again before.
    pub left_out: Option<Instant>,
}

impl Device {
    /// A message can be sealed for it.
    pub(super) fn can_send(&self, ctx: &Ctx<'_>) -> bool {
        self.record.can_send(ctx.now_s())
    }

    /// Nothing can be sealed for it, and that is known.
    pub(super) fn is_left_out(&self, ctx: &Ctx<'_>) -> bool {
        !self.can_send(ctx) && self.left_out.is_some_and(|until| until > ctx.now)
    }
}

/// Rows on their way, and what waits for them.
#[derive(Default)]
pub(super) struct Loading {
    pub routes: Vec<Route>,
    pub items: VecDeque<PeerItem>,
}

/// What concerns the sessions with a contact.
pub(super) enum PeerItem {
    Inbound(upstream::Inbound),
    /// A device shows another identity key.
    Changed {
        place: Place,
        device: u32,
        key: IdentityKey,
    },
    /// A message is to be sealed again.
    Resend(Place, Resend),
    /// Sessions were set up.
    SetUp {
        complete: bool,
        sessions: Sessions,
    },
    /// Somebody asks for, or acknowledges, the identity.
    Identity(IdentityRequest),
}

impl Peer {
    /// A message can be sealed for every device, those that are left out aside.
    pub(super) fn can_send(&self, ctx: &Ctx<'_>) -> bool {
        let mut devices = self.devices.values();
        devices.clone().any(|device| device.can_send(ctx))
            && devices.all(|device| device.can_send(ctx) || device.is_left_out(ctx))
    }

    /// When the latest change happened that nobody has acknowledged, Unix milliseconds.
    pub(super) fn unacknowledged_since(&self) -> Option<i64> {
        let changed = self.identities().filter(|identity| !identity.acknowledged);
        changed.map(|identity| identity.created_ms).max()
    }

    /// Forgets the devices that are gone; their rows' end is added to `ops`.
    pub(super) fn keep_devices(
        &mut self,
        wa_id: Number,
        there: impl Fn(u32) -> bool,
        ops: &mut Vec<Op>,
    ) {
        for number in self.devices.keys().copied().filter(|number| !there(*number)) {
            let device = number.cast_signed();
            ops.push(Op::DeleteSession { wa_id, device });
            ops.push(Op::DeleteIdentity { wa_id, device });
        }
        self.devices.retain(|number, _| there(*number));
    }

    /// Of all devices, in their order.
    pub(super) fn identities(&self) -> impl Iterator<Item = &IdentityRow> {
        self.devices.values().filter_map(|device| device.identity.as_ref())
    }
}

impl Machine {
    /// Whether a message to `wa_id` can be sealed now; if not, sees to it and lists `route` then.
    pub(super) fn keyed(
        &mut self,
        wa_id: Number,
        route: Route,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) -> bool {
        let Some(peer) = self.peers.get(&wa_id) else {
            let loading = self.load(wa_id, fx);
            if !loading.routes.contains(&route) {
                loading.routes.push(route);
            }
            return false;
        };
        if peer.can_send(ctx) {
            return true;
        }
        self.fetch(wa_id, route, ctx, fx);
        false
    }

    /// What concerns a contact's sessions happens now, or when its rows are read.
    pub(super) fn with_peer(
        &mut self,
        wa_id: Number,
        item: PeerItem,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        if self.peers.contains(&wa_id) {
            self.peer_item(wa_id, item, ctx, fx);
        } else {
            self.load(wa_id, fx).items.push_back(item);
        }
    }

    fn peer_item(&mut self, wa_id: Number, item: PeerItem, ctx: &Ctx<'_>, fx: &mut Effects) {
        match item {
            PeerItem::Inbound(message) => self.open(message, ctx, fx),
            PeerItem::Changed { place, device, key } => {
                self.identity_noticed(wa_id, place, device, &key, ctx, fx);
            }
            PeerItem::Resend(place, resend) => self.resend(wa_id, place, resend, ctx, fx),
            PeerItem::SetUp { complete, sessions } => {
                self.adopt(wa_id, complete, sessions, ctx, fx);
            }
            PeerItem::Identity(request) => self.identity_request(wa_id, request, fx),
        }
    }

    /// Begins, or joins, the reading of a contact's rows.
    fn load(&mut self, wa_id: Number, fx: &mut Effects) -> &mut Loading {
        if !self.loading.contains_key(&wa_id) {
            self.want(Read::Peer(wa_id), Wanted::Peer(wa_id), fx);
        }
        self.loading.entry(wa_id).or_default()
    }

    pub(super) fn peer_read(
        &mut self,
        wa_id: Number,
        found: Result<(Vec<SessionRow>, Vec<IdentityRow>), String>,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        let (sessions, identities) = match found {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(
                    shard = self.shard.get(),
                    error,
                    "failed to read sessions; will try again"
                );
                self.after(AGAIN, Timer::LoadAgain(wa_id), ctx);
                return;
            }
        };
        let mut peer = Peer::default();
        for row in identities {
            let device = row.device.cast_unsigned();
            peer.devices.entry(device).or_default().identity = Some(row);
        }
        for row in sessions {
            // A session of an earlier generation may be older than what the peer has seen.
            if row.generation != ctx.generation {
                continue;
            }
            match Record::from_bytes(&row.record) {
                Ok(record) => {
                    peer.devices.entry(row.device.cast_unsigned()).or_default().record = record;
                }
                Err(error) => tracing::error!(
                    table = "session", column = "record", shard = self.shard.get(), row.device, %error,
                    "a session is unreadable; a new one takes its place"
                ),
            }
        }
        self.peers.put(wa_id, peer);
        let Loading { routes, items } = self.loading.remove(&wa_id).unwrap_or_default();
        for item in items {
            self.peer_item(wa_id, item, ctx, fx);
        }
        let sendable = self.peers.peek(&wa_id).is_some_and(|peer| peer.can_send(ctx));
        for route in routes {
            if sendable {
                self.list(route);
            } else {
                self.fetch(wa_id, route, ctx, fx);
            }
        }
    }

    pub(super) fn load_again(&mut self, wa_id: Number, fx: &mut Effects) {
        if self.loading.contains_key(&wa_id) {
            self.want(Read::Peer(wa_id), Wanted::Peer(wa_id), fx);
        }
    }

    /// Asks for pre-keys, unless that is under way or known to be in vain.
    pub(super) fn fetch(&mut self, wa_id: Number, route: Route, ctx: &Ctx<'_>, fx: &mut Effects) {
        if self.no_keys.get(&wa_id).is_some_and(|until| *until > ctx.now) {
            self.unreachable(wa_id, &[route], SetUpError::NoKeys.to_string(), ctx, fx);
            return;
        }
        if ctx.tracing && !self.fetching.contains_key(&wa_id) {
            self.fetches_for(wa_id, route, fx);
        }
        let routes = self.fetching.entry(wa_id).or_insert_with(|| {
            fx.bundles.push(wa_id);
            Vec::new()
        });
        if !routes.contains(&route) {
            routes.push(route);
        }
    }

    pub(super) fn fetch_again(&mut self, wa_id: Number, ctx: &Ctx<'_>, fx: &mut Effects) {
        if let Some(routes) = self.fetching.get(&wa_id) {
            for route in routes.iter().filter(|_| ctx.tracing) {
                self.fetches_for(wa_id, *route, fx);
            }
            fx.bundles.push(wa_id);
        }
    }

    /// Sessions were set up from fetched pre-keys, or were not.
    pub(crate) fn set_up(&mut self, set_up: SetUp, ctx: &Ctx<'_>, fx: &mut Effects) {
        let SetUp { wa_id, complete, sessions } = set_up;
        let sessions = match sessions {
            Ok(sessions) => sessions,
            Err(SetUpError::Fetch) => {
                self.after(AGAIN, Timer::FetchAgain(wa_id), ctx);
                return;
            }
            Err(error) => {
                self.no_keys.put(wa_id, ctx.now + NO_KEYS);
                let routes = self.fetching.remove(&wa_id).unwrap_or_default();
                tracing::warn!(shard = self.shard.get(), %error, "no session could be set up");
                self.unreachable(wa_id, &routes, error.to_string(), ctx, fx);
                return;
            }
        };
        // Its sessions may have been forgotten meanwhile, as after a retry receipt, and may be on their
        // way from the rows: those would take the place of what is sealed with until they arrive.
        self.with_peer(wa_id, PeerItem::SetUp { complete, sessions }, ctx, fx);
    }

    fn adopt(
        &mut self,
        wa_id: Number,
        complete: bool,
        sessions: Sessions,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        let mut peer = self.peers.pop(&wa_id).unwrap_or_default();
        let mut ops = Vec::new();
        if complete {
            let there = |device| sessions.iter().any(|(there, _)| *there == device);
            peer.keep_devices(wa_id, there, &mut ops);
        }
        let mut refused = None;
        for (number, session) in sessions {
            let device = peer.devices.entry(number).or_default();
            let session = match session {
                Ok(session) => session,
                Err(error) => {
                    tracing::warn!(
                        shard = self.shard.get(), device = number, %error,
                        "a pre-key bundle of a recipient's device is not valid; nothing is sealed for it"
                    );
                    fx.counts.bundles_refused += 1;
                    // After one of a retry receipt the network is asked for its own.
                    device.left_out = complete.then_some(ctx.now + LEFT_OUT);
                    refused = Some(error);
                    continue;
                }
            };
            device.left_out = None;
            let key = *session.peer();
            let known = device.record.current().is_some_and(|current| *current.peer() == key);
            if !(known && device.can_send(ctx)) {
                ops.extend(self.show_identity(wa_id, number, device, &key, ctx));
                device.record.adopt(session);
            }
        }
        let sendable = peer.can_send(ctx);
        self.peers.put(wa_id, peer);
        if !ops.is_empty() {
            self.write(Class::Hot, ops, None, fx);
        }
        let routes = self.fetching.remove(&wa_id).unwrap_or_default();
        match refused.filter(|_| complete && !sendable) {
            Some(error) => {
                let reason = format!("no pre-key bundle of the recipient is valid: {error}");
                self.unreachable(wa_id, &routes, reason, ctx, fx);
            }
            None => routes.into_iter().for_each(|route| self.list(route)),
        }
    }

    /// Nothing can be sealed for this contact: its waiting messages fail.
    fn unreachable(
        &mut self,
        wa_id: Number,
        routes: &[Route],
        reason: String,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        let error = ApiError::new(Code::GENERIC_MESSAGE, reason);
        for route in routes {
            let Some(recipient) = self.recipients.get(route) else { continue };
            let doomed: Vec<_> = recipient
                .waiting
                .iter()
                .filter(|key| {
                    self.jobs.get(key).is_some_and(|job| {
                        job.wa_id == Some(wa_id) && matches!(job.stage, Stage::Waiting)
                    })
                })
                .copied()
                .collect();
            for key in doomed {
                self.fail(key, &error, ctx, fx);
            }
        }
    }

    /// The device shows this identity: its row, if that is news, and the callback, if it is another
    /// one than before.
    pub(super) fn show_identity(
        &self,
        wa_id: Number,
        number: u32,
        device: &mut Device,
        key: &IdentityKey,
        ctx: &Ctx<'_>,
    ) -> Vec<Op> {
        let wire = key.to_wire();
        let before = device.identity.as_ref();
        if before.is_some_and(|before| *before.key == wire) {
            return Vec::new();
        }
        let changed = before.is_some();
        let row = IdentityRow {
            wa_id,
            device: number.cast_signed(),
            key: Bytes::copy_from_slice(&wire),
            created_ms: ctx.now_ms,
            acknowledged: !changed,
        };
        device.identity = Some(row.clone());
        let notify = changed && ctx.settings.security_notifications;
        let event = notify.then(|| Op::InsertEvent(self.identity_event(wa_id, &row, ctx)));
        std::iter::once(Op::PutIdentity(row)).chain(event).collect()
    }

    /// Forgets contacts beyond the bound, but none whose sessions are ahead of their rows.
    pub(super) fn trim_peers(&mut self) {
        let mut kept = Vec::new();
        while self.peers.len() > PEERS_MAX {
            let Some((wa_id, peer)) = self.peers.pop_lru() else { break };
            if peer.pins > 0 || self.fetching.contains_key(&wa_id) {
                kept.push((wa_id, peer));
            }
        }
        for (wa_id, peer) in kept {
            self.peers.put(wa_id, peer);
        }
    }

    pub(super) fn pin(&mut self, wa_id: &Number) {
        if let Some(peer) = self.peers.peek_mut(wa_id) {
            peer.pins += 1;
        }
    }

    /// The write that held a state of these sessions is answered. If it was refused, memory stays
    /// ahead of the row: that only skips keys nobody has seen.
    pub(super) fn unpin(&mut self, wa_id: &Number) {
        if let Some(peer) = self.peers.peek_mut(wa_id) {
            peer.pins = peer.pins.saturating_sub(1);
        }
    }
}

/// A negative answer's place in memory.
pub(super) type Until = Instant;
