//! Customers' messages: decrypted once, stored with the advanced session in one write, asked for
//! again when they cannot be read.

use std::num::NonZeroUsize;

use contract::{
    ApiError, Code, Direction, Key, MediaId, MessageId, Number, Route,
    callback::{
        EventKind, InboundEvent, InboundIdentity, StatusEvent, StatusKind, inbound, status,
    },
    envelope::InboundContent,
    media::{Received, unfetched},
    message::body_hash,
};
use session::{DecryptError, Message, PreKeyId, PreKeyMessage, Record};
use store::{
    Read,
    rows::{self, MediaState, NewEvent, Session as SessionRow},
    write::{Class, Committed, Op, WriteError},
};
use upstream::{Envelope, EnvelopeKind, Inbound, Outgoing, Retry, Sealing};

use super::{
    effects::{Ctx, Effects, Identity},
    identity::identity,
    incoming::Place,
    machine::{Machine, Wanted, Written},
    peers::{Device, PeerItem},
};
use crate::prekeys::ONE_TIME;

/// Copies of a message that may be undecryptable and are asked for again; at the next one the webhook
/// gets `unknown`.
const RETRIES_MAX: u32 = 5;
/// Stored messages recognised without a look at their row, a shard.
pub(super) const HEARD_MAX: NonZeroUsize = NonZeroUsize::new(1_024).unwrap();
/// Messages whose retries are counted, a shard; a forgotten one starts at one again.
pub(super) const RETRIES_KEPT: NonZeroUsize = NonZeroUsize::new(1_024).unwrap();

/// A message that could not be decrypted and was asked for again.
pub(super) struct AskedAgain {
    /// Different copies that could not be, the last one among them.
    count: u32,
    /// SHA-256 of the last one.
    copy: [u8; 32],
}

/// What a decryption gave.
struct Opened {
    record: Record,
    plaintext: Vec<u8>,
    used: Option<PreKeyId>,
}

/// What the webhook is told of a message.
struct Told {
    kind: EventKind,
    body: Vec<u8>,
    /// Which it names, none of them fetched.
    files: Vec<(MediaId, Received)>,
    /// Only once they are.
    held: bool,
}

impl Machine {
    /// A customer wrote.
    pub(super) fn inbound(
        &mut self,
        place: Place,
        message: Inbound,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        if self.is_blocked(Route::of(&message.from)) {
            // Dropped, undecrypted: whoever is unblocked and writes again is understood, if need be
            // by way of a retry receipt.
            return self.done(place);
        }
        let id = (message.from, message.key);
        if self.heard.contains(&id) {
            return self.done(place);
        }
        if let Some(places) = self.hearing.get_mut(&id) {
            // A repetition before the first was committed: acknowledged together with it.
            places.push(place);
            return;
        }
        self.hearing.insert(id, vec![place]);
        if ctx.sealing == Sealing::Plain {
            let content = InboundContent::parse(&message.envelope.ciphertext);
            self.store_inbound(&message, content, Vec::new(), false, ctx, fx);
        } else {
            self.with_peer(message.from, PeerItem::Inbound(message), ctx, fx);
        }
    }

    /// The contact's sessions are in memory.
    pub(super) fn open(&mut self, message: Inbound, ctx: &Ctx<'_>, fx: &mut Effects) {
        let (from, number) = (message.from, message.envelope.device);
        let mut peer = self.peers.pop(&from).unwrap_or_default();
        let device = peer.devices.entry(number).or_default();
        let opened = match decrypt(std::mem::take(&mut device.record), &message.envelope, ctx) {
            Ok(opened) => opened,
            Err((record, error)) => {
                device.record = record;
                self.peers.put(from, peer);
                tracing::debug!(
                    shard = self.shard.get(),
                    reason = error.reason().name(),
                    "a message was not decrypted"
                );
                let read = Read::Inbound { peer: Route::of(&from), key: message.key };
                self.want(read, Wanted::Undecryptable(message), fx);
                return;
            }
        };
        device.record = opened.record;
        let mut ops = Vec::new();
        if let Some(key) = device.record.current().map(|session| *session.peer()) {
            ops = self.show_identity(from, number, device, &key, ctx);
        }
        ops.push(Op::PutSession(self.session_row(from, number, device, ctx)));
        if let Some(id) = opened.used {
            ctx.keys.used(id);
            ops.push(Op::DeleteOwnKey { kind: ONE_TIME, id: id.get().into() });
        }
        peer.pins += 1;
        self.peers.put(from, peer);
        let content = InboundContent::parse(&opened.plaintext);
        self.store_inbound(&message, content, ops, true, ctx, fx);
    }

    /// A message could not be decrypted; `known` when it was stored before.
    pub(super) fn undecryptable(
        &mut self,
        message: &Inbound,
        known: Result<bool, String>,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        let id = (message.from, message.key);
        match known {
            Ok(true) => return self.heard(id),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(
                    shard = self.shard.get(),
                    error,
                    "failed to look for a stored message; will try again"
                );
                let read = Read::Inbound { peer: Route::of(&message.from), key: message.key };
                return self.want(read, Wanted::Undecryptable(message.clone()), fx);
            }
        }
        let copy = body_hash(&message.envelope.ciphertext);
        let count = match self.retries.get(&id) {
            // A repetition: its acknowledgement was lost, and the request perhaps with it.
            Some(asked) if asked.copy == copy => asked.count,
            asked => asked.map_or(1, |asked| asked.count + 1),
        };
        if count > RETRIES_MAX {
            self.store_inbound(message, InboundContent::unknown(), Vec::new(), false, ctx, fx);
            return;
        }
        self.retries.put(id, AskedAgain { count, copy });
        // On the ordered stream the request goes before the acknowledgement.
        fx.sends.push(Outgoing::Retry {
            shard: self.shard,
            epoch: self.epoch,
            key: message.key,
            to: message.from,
            device: message.envelope.device,
            retry: Retry {
                count,
                registration_id: ctx.keys.me().registration_id(),
                bundle: ctx.keys.bundle().map(Box::new),
            },
        });
        for place in self.hearing.remove(&id).unwrap_or_default() {
            self.done(place);
        }
    }

    /// One write: what `ops` hold, the message's row and its event.
    fn store_inbound(
        &mut self,
        message: &Inbound,
        content: InboundContent,
        mut ops: Vec<Op>,
        pinned: bool,
        ctx: &Ctx<'_>,
        fx: &mut Effects,
    ) {
        let peer = Route::of(&message.from);
        let Told { kind, body, files, held } = self.told(message, content, ctx);
        ops.extend(files.into_iter().map(|(id, file)| {
            Op::PutMedia(rows::Media {
                id,
                created_ms: ctx.now_ms,
                state: MediaState::Absent,
                size: file.size.cast_signed(),
                sha256: file.sha256,
                source: file.source().into(),
                mime: file.mime,
            })
        }));
        ops.push(Op::InsertInbound(rows::Inbound {
            peer,
            key: message.key,
            created_ms: ctx.now_ms,
        }));
        ops.push(Op::InsertEvent(NewEvent {
            kind: kind.get(),
            route: peer,
            key: Some(message.key),
            held,
            created_ms: ctx.now_ms,
            body: body.into(),
            trace: None,
        }));
        let id = (message.from, message.key);
        self.write(Class::Hot, ops, Some(Written::Inbound { id, pinned }), fx);
    }

    /// The callback that tells of it.
    fn told(&self, message: &Inbound, mut content: InboundContent, ctx: &Ctx<'_>) -> Told {
        let Inbound { from, key, .. } = *message;
        let timestamp_s = message.timestamp_ms.div_euclid(1_000);
        if let Some(deleted) = content.revoked() {
            // Nobody deletes what others wrote.
            if Route::of(&deleted.number) == Route::of(&from) {
                let body = status(&StatusEvent {
                    id: deleted,
                    recipient: from,
                    input: from.as_str(),
                    kind: StatusKind::Deleted,
                    timestamp_s,
                    conversation: None,
                    errors: &[],
                });
                return Told { kind: EventKind::Status, body, files: Vec::new(), held: false };
            }
            content = InboundContent::unknown();
        }
        if ctx.settings.skip_referral_media {
            content.drop_referral_media();
        }
        let files = content.take_files(|| MediaId::mint(ctx.rng));
        let wanted = |(_, file): &(_, Received)| ctx.settings.auto_download.contains(&file.kind);
        let held = content.error().is_none() && files.iter().any(wanted);
        if held {
            // What is told if nobody lets it go in time.
            content.set_unfetched(unfetched("The file was not fetched within 30 seconds"));
        }
        let known = ctx.settings.security_notifications.then(|| self.peers.peek(&from)).flatten();
        let identity = known.and_then(|peer| identity(peer.identities()));
        let identity = identity.map(|Identity { hash, created_ms, acknowledged }| {
            InboundIdentity { acknowledged, created_ms, hash }
        });
        let body = inbound(&InboundEvent {
            id: MessageId { direction: Direction::Inbound, number: from, key },
            from,
            business: ctx.settings.own_number,
            profile_name: &message.profile_name,
            timestamp_s,
            content: &content,
            identity: identity.as_ref(),
        });
        Told { kind: EventKind::Inbound, body, files, held }
    }

    pub(super) fn inbound_written(
        &mut self,
        id: (Number, Key),
        pinned: bool,
        result: Result<Committed, WriteError>,
    ) {
        if pinned {
            self.unpin(&id.0);
        }
        // A conflict: it was stored before, and its acknowledgement was lost.
        if let Err(error) = result
            && error != WriteError::Conflict
        {
            tracing::error!(
                shard = self.shard.get(), %error,
                "failed to store a customer's message; it is dropped so that the rest can go on"
            );
        }
        self.heard(id);
    }

    /// The message is stored: whatever place it came in is done.
    fn heard(&mut self, id: (Number, Key)) {
        self.heard.put(id, ());
        for place in self.hearing.remove(&id).unwrap_or_default() {
            self.done(place);
        }
    }

    pub(super) fn session_row(
        &self,
        wa_id: Number,
        number: u32,
        device: &Device,
        ctx: &Ctx<'_>,
    ) -> SessionRow {
        SessionRow {
            wa_id,
            device: number.cast_signed(),
            generation: ctx.generation,
            record: device.record.to_bytes().to_vec().into(),
        }
    }
}

fn decrypt(
    record: Record,
    envelope: &Envelope,
    ctx: &Ctx<'_>,
) -> Result<Opened, (Record, DecryptError)> {
    let bytes = &envelope.ciphertext;
    if envelope.kind == EnvelopeKind::PreKey {
        let message = match PreKeyMessage::decode(bytes) {
            Ok(message) => message,
            Err(error) => return Err((record, error)),
        };
        let accepted =
            ctx.keys.with(|keys| record.accept(ctx.keys.me(), &message, keys, ctx.rng))?;
        let used = accepted.used.and_then(|used| used.one_time);
        let plaintext = accepted.plaintext.as_bytes().to_vec();
        return Ok(Opened { record: accepted.record, plaintext, used });
    }
    let message = match Message::decode(bytes) {
        Ok(message) => message,
        Err(error) => return Err((record, error)),
    };
    let (record, plaintext) = record.decrypt(&message, ctx.rng)?;
    Ok(Opened { record, plaintext: plaintext.as_bytes().to_vec(), used: None })
}

/// Why a message ends `failed` when its seal is refused.
pub(super) fn unsealable(error: session::EncryptError) -> ApiError {
    ApiError::new(Code::GENERIC_MESSAGE, error.to_string())
}
