//! The queries that SQLite and PostgreSQL share, in Diesel's language; each runs them its own way.

use diesel::{dsl::auto_type, prelude::*};

use crate::schema::{
    blob_handle, blocked, config, contact, cursor, dead_event, event, generation, inbound, job,
    media, message, outbox, own_key, refusal, revoked, shard, trace, user,
};

#[auto_type(no_type_alias)]
pub(crate) fn jobs(of: i16) -> _ {
    job::table
        .left_join(trace::table.on(trace::shard.eq(job::shard).and(trace::key.eq(job::key))))
        .filter(job::shard.eq(of))
        .order(job::id.asc())
        .select((
            job::id,
            job::key,
            job::route_hash,
            job::created_ms,
            job::header,
            trace::context.nullable(),
        ))
}

#[auto_type(no_type_alias)]
pub(crate) fn outboxes(of: i16) -> _ {
    outbox::table
        .filter(outbox::shard.eq(of))
        .order((outbox::key.asc(), outbox::device.asc()))
        .select((outbox::key, outbox::device, outbox::kind, outbox::payload))
}

/// The last event of a shard; the order uses the primary key.
#[auto_type(no_type_alias)]
pub(crate) fn last_event(of: i16) -> _ {
    event::table.filter(event::shard.eq(of)).order(event::seq.desc()).select(event::seq).limit(1i64)
}

#[auto_type(no_type_alias)]
pub(crate) fn events(of: i16, after: i64, most: i64) -> _ {
    event::table
        .left_join(
            trace::table
                .on(trace::shard.eq(event::shard).and(trace::key.nullable().eq(event::msg_key))),
        )
        .filter(event::shard.eq(of))
        .filter(event::seq.gt(after))
        .order(event::seq.asc())
        .limit(most)
        .select((
            event::seq,
            event::kind,
            event::route_hash,
            event::msg_key,
            event::held,
            event::created_ms,
            event::body,
            trace::context.nullable(),
        ))
}

#[auto_type(no_type_alias)]
pub(crate) fn cursors(of: i16) -> _ {
    cursor::table.filter(cursor::shard.eq(of)).order(cursor::endpoint.asc()).select((
        cursor::endpoint,
        cursor::read_to,
        cursor::holes,
    ))
}

#[auto_type(no_type_alias)]
pub(crate) fn dead_events(endpoint: i16, of: i16, state: i16, after: i64, most: i64) -> _ {
    dead_event::table
        .left_join(
            refusal::table.on(refusal::endpoint
                .eq(dead_event::endpoint)
                .and(refusal::shard.eq(dead_event::shard))
                .and(refusal::seq.eq(dead_event::seq))),
        )
        .left_join(trace::table.on(
            trace::shard.eq(dead_event::shard).and(trace::key.nullable().eq(dead_event::msg_key)),
        ))
        .filter(dead_event::endpoint.eq(endpoint))
        .filter(dead_event::shard.eq(of))
        .filter(dead_event::seq.gt(after))
        .filter(dead_event::state.eq(state))
        .order(dead_event::seq.asc())
        .limit(most)
        .select((
            dead_event::seq,
            dead_event::kind,
            dead_event::route_hash,
            dead_event::msg_key,
            dead_event::state,
            dead_event::due_ms,
            dead_event::tries,
            dead_event::created_ms,
            dead_event::body,
            refusal::tried.nullable(),
            trace::context.nullable(),
        ))
}

/// In the order of the primary key, whatever their state.
#[auto_type(no_type_alias)]
pub(crate) fn dead_after(endpoint: i16, of: i16, after: i64, most: i64) -> _ {
    dead_event::table
        .left_join(
            refusal::table.on(refusal::endpoint
                .eq(dead_event::endpoint)
                .and(refusal::shard.eq(dead_event::shard))
                .and(refusal::seq.eq(dead_event::seq))),
        )
        .filter(dead_event::endpoint.eq(endpoint))
        .filter(
            dead_event::shard.gt(of).or(dead_event::shard.eq(of).and(dead_event::seq.gt(after))),
        )
        .order((dead_event::shard.asc(), dead_event::seq.asc()))
        .limit(most)
        .select((
            dead_event::shard,
            dead_event::seq,
            dead_event::kind,
            dead_event::route_hash,
            dead_event::msg_key,
            dead_event::state,
            dead_event::due_ms,
            dead_event::tries,
            dead_event::created_ms,
            dead_event::body,
            refusal::tried.nullable(),
        ))
}

#[auto_type(no_type_alias)]
pub(crate) fn messages_before<'a>(of: i16, key: &'a [u8]) -> _ {
    message::table.filter(message::shard.eq(of)).filter(message::key.lt(key)).count()
}

#[auto_type(no_type_alias)]
pub(crate) fn dead_count(endpoint: i16, dead: i16) -> _ {
    dead_event::table
        .filter(dead_event::endpoint.eq(endpoint))
        .filter(dead_event::state.eq(dead))
        .count()
}

#[auto_type(no_type_alias)]
pub(crate) fn contact_page<'a>(of: i16, after: &'a [u8], most: i64) -> _ {
    contact::table
        .filter(contact::shard.eq(of))
        .filter(contact::number.gt(after))
        .order(contact::number.asc())
        .limit(most)
        .select((contact::number, contact::wa_id.is_not_null()))
}

#[auto_type(no_type_alias)]
pub(crate) fn message_page<'a>(of: i16, after: &'a [u8], most: i64) -> _ {
    message::table
        .filter(message::shard.eq(of))
        .filter(message::key.gt(after))
        .order(message::key.asc())
        .limit(most)
        .select(message::key)
}

#[auto_type(no_type_alias)]
pub(crate) fn event_page(of: i16, after: i64, most: i64) -> _ {
    event::table
        .filter(event::shard.eq(of))
        .filter(event::seq.gt(after))
        .order(event::seq.asc())
        .limit(most)
        .select((event::seq, event::kind))
}

#[auto_type(no_type_alias)]
pub(crate) fn blocked_numbers(of: i16) -> _ {
    blocked::table
        .filter(blocked::shard.eq(of))
        .order(blocked::route_hash.asc())
        .select((blocked::number, blocked::created_ms))
}

/// The latest messages of a customer. All of theirs are read (the key holds no time), but this is
/// asked only when the business blocks or reports somebody.
#[auto_type(no_type_alias)]
pub(crate) fn latest_inbound(of: i16, peer: i64, most: i64) -> _ {
    inbound::table
        .filter(inbound::shard.eq(of))
        .filter(inbound::peer_hash.eq(peer))
        .order((inbound::created_ms.desc(), inbound::key.desc()))
        .limit(most)
        .select((inbound::key, inbound::created_ms))
}

#[auto_type(no_type_alias)]
pub(crate) fn event_floor(of: i16) -> _ {
    shard::table.filter(shard::id.eq(of)).select(shard::event_floor)
}

/// The last generation of a shard; the order uses the primary key's few rows.
#[auto_type(no_type_alias)]
pub(crate) fn generation_start(of: i16) -> _ {
    generation::table
        .filter(generation::shard.eq(of))
        .order(generation::number.desc())
        .select(generation::first_seq)
        .limit(1i64)
}

#[auto_type(no_type_alias)]
pub(crate) fn generations() -> _ {
    generation::table.order((generation::number.asc(), generation::shard.asc())).select((
        generation::number,
        generation::shard,
        generation::first_seq,
    ))
}

#[auto_type(no_type_alias)]
pub(crate) fn shards() -> _ {
    shard::table.order(shard::id.asc()).select((
        shard::id,
        shard::owner_inc,
        shard::epoch,
        shard::event_floor,
    ))
}

#[auto_type(no_type_alias)]
pub(crate) fn configs<'a>(name: &'a [u8]) -> _ {
    config::table.filter(config::name.eq(name)).select((
        config::name,
        config::version,
        config::document,
    ))
}

#[auto_type(no_type_alias)]
pub(crate) fn own_keys() -> _ {
    own_key::table.order((own_key::kind.asc(), own_key::id.asc())).select((
        own_key::kind,
        own_key::id,
        own_key::state,
        own_key::created_ms,
        own_key::body,
    ))
}

/// Files, each with its handle.
#[auto_type]
fn files() -> _ {
    media::table.left_join(blob_handle::table.on(blob_handle::id.eq(media::id))).select((
        media::id,
        media::created_ms,
        media::state,
        media::size,
        media::sha256,
        media::mime,
        media::source,
        blob_handle::uploaded_ms.nullable(),
        blob_handle::handle.nullable(),
    ))
}

#[auto_type(no_type_alias)]
pub(crate) fn file<'a>(id: &'a [u8]) -> _ {
    files().filter(media::id.eq(id))
}

/// Those behind an id.
#[auto_type(no_type_alias)]
pub(crate) fn files_after<'a>(id: &'a [u8], most: i64) -> _ {
    files().filter(media::id.gt(id)).order(media::id.asc()).limit(most)
}

#[auto_type(no_type_alias)]
pub(crate) fn users() -> _ {
    user::table.order(user::name.asc()).select((
        user::name,
        user::password_hash,
        user::admin,
        user::must_change,
        user::not_before,
    ))
}

#[auto_type(no_type_alias)]
pub(crate) fn user_named<'a>(name: &'a [u8]) -> _ {
    user::table.filter(user::name.eq(name)).select((
        user::name,
        user::password_hash,
        user::admin,
        user::must_change,
        user::not_before,
    ))
}

#[auto_type(no_type_alias)]
pub(crate) fn revocations() -> _ {
    revoked::table.order(revoked::rand.asc()).select((revoked::rand, revoked::expires))
}

/// Floor and last number of each shard's log; the last one is found by the primary key.
pub(crate) const REACHES: &str = "SELECT s.id, s.event_floor, coalesce((SELECT e.seq FROM event e \
    WHERE e.shard = s.id ORDER BY e.seq DESC LIMIT 1), 0) FROM shard s ORDER BY s.id";
