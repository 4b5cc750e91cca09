//! A contact's identity: what it is, that it changed, and its acknowledgement.

use base64::{Engine, engine::general_purpose::STANDARD};
use contract::{
    ApiError, Code, Direction, Key, MessageId, Number, Route,
    callback::{EventKind, IdentityEvent, identity_changed},
};
use ring::digest;
use session::IdentityKey;
use store::{
    rows::{Identity as IdentityRow, NewEvent},
    write::{Class, Committed, Op, WriteError},
};

use super::{
    effects::{Ctx, Effects, Identity, IdentityReply, IdentityRequest},
    incoming::Place,
    machine::{Machine, Written},
    peers::{Peer, PeerItem},
    queue::Stage,
};

/// Bytes of SHA-256 that make the outward hash.
const HASH_LEN: usize = 8;

/// What integrators see of a contact's identities; `None` when none is known. The hash, which an
/// acknowledgement has to repeat, is base64 of the first bytes of SHA-256 of the devices' keys.
pub(super) fn identity<'a>(rows: impl Iterator<Item = &'a IdentityRow>) -> Option<Identity> {
    let mut keys = digest::Context::new(&digest::SHA256);
    let mut seen: Option<(i64, bool)> = None;
    for row in rows {
        keys.update(&row.key);
        let (created_ms, acknowledged) = seen.unwrap_or((row.created_ms, true));
        seen = Some((created_ms.max(row.created_ms), acknowledged && row.acknowledged));
    }
    let (created_ms, acknowledged) = seen?;
    let hash = keys.finish();
    let hash = STANDARD.encode(hash.as_ref().get(..HASH_LEN).unwrap_or_default());
    Some(Identity { hash, created_ms, acknowledged })
}

/// What becomes of a message to a contact whose identity nobody acknowledges.
pub(super) fn not_acknowledged() -> ApiError {
    ApiError::new(
        Code::USER_POTENTIALLY_CHANGED,
        "the recipient's identity has changed and was not acknowledged: PUT its latest hash to \
         /v1/contacts/{wa_id}/identity, then send again",
    )
}

impl Machine {
    /// Whether a message must wait for the acknowledgement of its recipient's identity. One that
    /// was accepted after the change (memory did not know of it then) fails instead.
    pub(super) fn held_back(
        &mut self,
        key: Key,
        route: Route,
        wa_id: Number,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) -> bool {
        let peer = self.peers.peek(&wa_id).filter(|_| ctx.settings.security_notifications);
        let Some(since) = peer.and_then(Peer::unacknowledged_since) else {
            self.held.remove(&route);
            return false;
        };
        self.held.insert(route);
        let job = self.jobs.get(&key);
        if job.is_some_and(|job| job.created_ms > since && job.only.is_none()) {
            self.fail(key, &not_acknowledged(), ctx, fx);
        }
        true
    }

    /// The network says that a device shows another identity.
    pub(super) fn identity_noticed(
        &mut self,
        wa_id: Number,
        place: Place,
        number: u32,
        key: &IdentityKey,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        let Some(mut peer) = self.peers.pop(&wa_id) else { return self.done(place) };
        let device = peer.devices.entry(number).or_default();
        let mut ops = self.show_identity(wa_id, number, device, key, ctx);
        if !ops.is_empty() {
            device.record.retire();
            ops.push(Op::PutSession(self.session_row(wa_id, number, device, ctx)));
        }
        let changed = !ops.is_empty();
        if changed {
            peer.pins += 1;
        }
        self.peers.put(wa_id, peer);
        if !changed {
            return self.done(place);
        }
        self.write(Class::Hot, ops, Some(Written::Changed(place, wa_id)), fx);
        self.reseal_for(wa_id, number, ctx, fx);
    }

    /// What was sealed for the old identity and is not answered is sealed again.
    fn reseal_for(&mut self, wa_id: Number, device: u32, ctx: &Ctx<'_>, fx: &mut Effects) {
        let keys: Vec<Key> = self
            .order
            .values()
            .filter(|key| {
                self.jobs.get(key).is_some_and(|job| {
                    job.wa_id == Some(wa_id)
                        && matches!(job.stage, Stage::Sealed | Stage::Transmitted)
                })
            })
            .copied()
            .collect();
        for key in keys.into_iter().rev() {
            self.reseal(key, |there| there != device, ctx, fx);
        }
    }

    /// A question about a contact's identity, or its acknowledgement.
    pub(crate) fn identity(
        &mut self,
        wa_id: Number,
        request: IdentityRequest,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        self.with_peer(wa_id, PeerItem::Identity(request), ctx, fx);
    }

    /// The same, when the contact is in memory.
    pub(super) fn identity_request(
        &mut self,
        wa_id: Number,
        request: IdentityRequest,
        fx: &mut Effects,
    ) {
        let IdentityRequest { acknowledge, reply } = request;
        let rows: Vec<IdentityRow> =
            self.peers.peek(&wa_id).map(|p| p.identities().cloned().collect()).unwrap_or_default();
        let answer = match (identity(rows.iter()), acknowledge) {
            (None, _) => {
                Err(ApiError::new(Code::NOT_FOUND, "no identity of this contact is known"))
            }
            (Some(known), None) => Ok(known),
            (Some(known), Some(hash)) if hash != known.hash => Err(ApiError::new(
                Code::INVALID,
                "'hash' is not that of the contact's latest identity; GET it first",
            )),
            (Some(_), Some(_)) => {
                let ops = rows
                    .into_iter()
                    .map(|row| Op::PutIdentity(IdentityRow { acknowledged: true, ..row }));
                let written = Written::Acknowledged(wa_id, reply);
                return self.write(Class::Hot, ops.collect(), Some(written), fx);
            }
        };
        // Whoever asked may be gone.
        let _gone = reply.send(answer);
    }

    /// The acknowledgement is stored: waiting messages go on.
    pub(super) fn acknowledged(
        &mut self,
        wa_id: Number,
        reply: IdentityReply,
        result: Result<Committed, WriteError>,
    ) {
        let answer = match result {
            Ok(_) => {
                let peer = self.peers.get_mut(&wa_id);
                for device in peer.into_iter().flat_map(|peer| peer.devices.values_mut()) {
                    if let Some(identity) = &mut device.identity {
                        identity.acknowledged = true;
                    }
                }
                self.list(Route::of(&wa_id));
                identity(self.peers.peek(&wa_id).into_iter().flat_map(Peer::identities))
                    .ok_or_else(|| ApiError::new(Code::NOT_FOUND, "the contact is not known"))
            }
            Err(error) => Err(ApiError::new(Code::DATABASE, error.to_string())),
        };
        let _gone = reply.send(answer);
    }

    /// The callback that tells of a change.
    pub(super) fn identity_event(
        &self,
        wa_id: Number,
        row: &IdentityRow,
        ctx: &Ctx<'_>,
    ) -> NewEvent {
        let others = self.peers.peek(&wa_id).into_iter().flat_map(Peer::identities);
        let mut rows: Vec<&IdentityRow> =
            others.filter(|other| other.device != row.device).chain([row]).collect();
        rows.sort_by_key(|row| row.device.cast_unsigned());
        let hash = identity(rows.into_iter()).map(|known| known.hash).unwrap_or_default();
        let key = Key::mint_at(ctx.now_ms.div_euclid(1_000), ctx.rng);
        let body = identity_changed(&IdentityEvent {
            id: MessageId { direction: Direction::Inbound, number: wa_id, key },
            wa_id,
            hash: &hash,
            created_ms: row.created_ms,
        });
        NewEvent {
            kind: EventKind::Inbound.get(),
            route: Route::of(&wa_id),
            key: Some(key),
            held: false,
            created_ms: ctx.now_ms,
            body: body.into(),
            trace: None,
        }
    }
}
