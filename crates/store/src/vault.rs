//! Rows encrypted at rest: which columns, as belonging where, and how a sealed one is told from a
//! plain one.
//!
//! Sealed are `message.body` (and with it the hash of the text, which would betray a short one),
//! `outbox.payload`, `event.body`, `dead_event.body`, `config.document`, `session.record` and `own_key.body`. The first byte of such a
//! column tells:
//!
//! | first byte | then follows |
//! |---|---|
//! | `0xff` | the sealed form of [`session::sealing`] |
//! | `0xfe` | a plain body that itself begins with `0xfe` or `0xff` |
//! | any other, or none | it is the first of a plain body |
//!
//! No version byte is that high and no UTF-8 text begins so: rows from before there were keys read
//! as they are. A row is sealed when its batch is built, so that a batch that is repeated writes the
//! same bytes, and opened when it is read; everybody else, the feed included, sees it plain.
//!
//! The key is derived for each row. Sealing 311 bytes takes 1.0 µs with that and opening them 0.75
//! (`cargo bench -p session -- at_rest`): remembering keys would save a third of it.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use contract::{Key, Number, Rng, ShardId};
use session::sealing::{MasterKeys, Place, SealError, Table};

use crate::{
    error::{Closed, StoreError},
    reader::{Found, ShardLoad},
    rows::{Config, DeadEvent, Event, Message, NewEvent, Outbox, OwnKey, Release, Session},
    write::Op,
};

const SEALED: u8 = 0xff;
const PLAIN: u8 = 0xfe;
const DAY_S: u32 = 86_400;
const DAY_MS: i64 = 86_400_000;
/// The column of a hash that is sealed with its body.
const NO_HASH: [u8; 32] = [0; 32];

/// Seals and opens. Without keys it seals nothing and opens what is plain.
pub(crate) struct Vault {
    keys: Option<Arc<MasterKeys>>,
    account: Option<Number>,
    rng: Arc<dyn Rng>,
}

/// Names a column for an error.
struct Column<R> {
    table: &'static str,
    column: &'static str,
    row: R,
}

impl Vault {
    pub(crate) fn new(
        keys: Option<Arc<MasterKeys>>,
        account: Option<Number>,
        rng: Arc<dyn Rng>,
    ) -> Self {
        Self { keys, account, rng }
    }

    /// The rows of a write as they are stored; `None` when they are stored as they are.
    pub(crate) fn seal(
        &self,
        shard: ShardId,
        first_seq: i64,
        ops: &[Op],
    ) -> Result<Option<Vec<Op>>, SealError> {
        let differs = |op: &Op| body(op).is_some_and(|body| self.keys.is_some() || marked(body));
        if !ops.iter().any(differs) {
            return Ok(None);
        }
        let mut seq = first_seq;
        let seal = |op| self.seal_one(shard, &mut seq, op);
        ops.iter().map(seal).collect::<Result<_, _>>().map(Some)
    }

    fn seal_one(&self, shard: ShardId, seq: &mut i64, op: &Op) -> Result<Op, SealError> {
        Ok(match op {
            Op::InsertMessage(row) => {
                let place = self.row(Table::Message, shard, day_of(row.key), row.key.as_bytes());
                Op::InsertMessage(if self.keys.is_some() {
                    let hashed = [&row.body_hash[..], &row.body].concat().into();
                    Message { body_hash: NO_HASH, body: self.close(&place, &hashed)?, ..*row }
                } else {
                    Message { body: self.close(&place, &row.body)?, ..*row }
                })
            }
            Op::InsertOutbox(row) => {
                let name = outbox_name(row.key, row.device);
                let place = self.row(Table::Outbox, shard, day_of(row.key), &name);
                Op::InsertOutbox(Outbox { payload: self.close(&place, &row.payload)?, ..*row })
            }
            Op::InsertEvent(row) => {
                let name = seq.to_be_bytes();
                *seq += 1;
                let place = self.row(Table::Event, shard, day_of_ms(row.created_ms), &name);
                Op::InsertEvent(NewEvent { body: self.close(&place, &row.body)?, ..*row })
            }
            Op::ReleaseEvent(row) => {
                let name = row.seq.to_be_bytes();
                let place = self.row(Table::Event, shard, day_of_ms(row.created_ms), &name);
                Op::ReleaseEvent(Release { body: self.close(&place, &row.body)?, ..*row })
            }
            Op::PutDeadEvent(row) => {
                let name = dead_event_name(row.endpoint, row.seq);
                let day = day_of_ms(row.event.created_ms);
                let place = self.row(Table::Event, shard, day, &name);
                let body = self.close(&place, &row.event.body)?;
                Op::PutDeadEvent(DeadEvent { event: NewEvent { body, ..row.event }, ..*row })
            }
            Op::PutSession(row) => {
                let place = self.session(&row.wa_id, row.device, row.generation);
                Op::PutSession(Session { record: self.close(&place, &row.record)?, ..*row })
            }
            Op::PutOwnKey(row) => {
                let place = self.own_key(row.kind, row.id);
                Op::PutOwnKey(OwnKey { body: self.close(&place, &row.body)?, ..*row })
            }
            Op::PutConfig(row) => {
                let place = config_place(&row.name);
                let document = self.close(&place, &row.document)?;
                Op::PutConfig(Config { name: row.name.clone(), document, ..*row })
            }
            other => other.clone(),
        })
    }

    fn close(&self, place: &Place<'_>, body: &Bytes) -> Result<Bytes, SealError> {
        let stored = match &self.keys {
            Some(keys) => [&[SEALED], &*keys.seal(place, body, &*self.rng)?].concat(),
            None if marked(body) => [&[PLAIN], &**body].concat(),
            None => return Ok(body.clone()),
        };
        Ok(stored.into())
    }

    /// What was looked up, plain.
    ///
    /// # Errors
    /// [`StoreError::Sealed`], as everywhere below.
    pub(crate) fn open(&self, shard: ShardId, mut found: Found) -> Result<Found, StoreError> {
        match &mut found {
            Found::Message(Some(row)) => self.open_message(shard, row)?,
            Found::Peer { sessions, .. } => {
                sessions.iter_mut().try_for_each(|row| self.open_session(shard, row))?;
            }
            Found::Message(None)
            | Found::Contact(_)
            | Found::Inbound(_)
            | Found::Idempotency(_) => {}
        }
        Ok(found)
    }

    fn open_message(&self, shard: ShardId, row: &mut Message) -> Result<(), StoreError> {
        let key = row.key;
        let column = Column { table: "message", column: "body", row: format_args!("key {key}") };
        let place = self.row(Table::Message, shard, day_of(key), key.as_bytes());
        if self.unseal(&column, &place, &mut row.body)? {
            let (hash, _) =
                row.body.split_first_chunk().ok_or_else(|| column.closed(Closed::Format))?;
            row.body_hash = *hash;
            row.body = row.body.slice(hash.len()..);
        }
        Ok(())
    }

    fn open_session(&self, shard: ShardId, row: &mut Session) -> Result<(), StoreError> {
        let Session { wa_id, device, generation, .. } = *row;
        let row_name = format_args!("shard {shard}, device {device}");
        let column = Column { table: "session", column: "record", row: row_name };
        self.unseal(&column, &self.session(&wa_id, device, generation), &mut row.record)?;
        Ok(())
    }

    pub(crate) fn open_own_key(&self, row: &mut OwnKey) -> Result<(), StoreError> {
        let OwnKey { kind, id, .. } = *row;
        let row_name = format_args!("kind {kind}, id {id}");
        let column = Column { table: "own_key", column: "body", row: row_name };
        self.unseal(&column, &self.own_key(kind, id), &mut row.body)?;
        Ok(())
    }

    pub(crate) fn open_event(&self, row: &mut Event) -> Result<(), StoreError> {
        let Event { shard, seq, event } = row;
        let row_name = format_args!("shard {shard}, seq {seq}");
        let column = Column { table: "event", column: "body", row: row_name };
        let name = seq.to_be_bytes();
        let place = self.row(Table::Event, *shard, day_of_ms(event.created_ms), &name);
        self.unseal(&column, &place, &mut event.body)?;
        Ok(())
    }

    pub(crate) fn open_config(&self, row: &mut Config) -> Result<(), StoreError> {
        let Config { name, document, .. } = row;
        let column = Column { table: "config", column: "document", row: &*name };
        self.unseal(&column, &config_place(name), document)?;
        Ok(())
    }

    pub(crate) fn open_dead_event(
        &self,
        shard: ShardId,
        row: &mut DeadEvent,
    ) -> Result<(), StoreError> {
        let DeadEvent { endpoint, seq, ref mut event, .. } = *row;
        let row_name = format_args!("shard {shard}, seq {seq}");
        let column = Column { table: "dead_event", column: "body", row: row_name };
        let name = dead_event_name(endpoint, seq);
        let place = self.row(Table::Event, shard, day_of_ms(event.created_ms), &name);
        self.unseal(&column, &place, &mut event.body)?;
        Ok(())
    }

    pub(crate) fn open_load(&self, shard: ShardId, load: &mut ShardLoad) -> Result<(), StoreError> {
        for row in &mut load.outbox {
            let Outbox { key, device, .. } = *row;
            let row_name = format_args!("key {key}, device {device}");
            let column = Column { table: "outbox", column: "payload", row: row_name };
            let name = outbox_name(key, device);
            let place = self.row(Table::Outbox, shard, day_of(key), &name);
            self.unseal(&column, &place, &mut row.payload)?;
        }
        Ok(())
    }

    /// Makes a stored body plain; tells whether it was sealed.
    fn unseal<R: fmt::Display>(
        &self,
        column: &Column<R>,
        place: &Place<'_>,
        stored: &mut Bytes,
    ) -> Result<bool, StoreError> {
        match stored.first() {
            Some(&SEALED) => {
                let keys = self.keys.as_ref().ok_or_else(|| column.closed(Closed::NoKeys))?;
                let opened = keys.open(place, &stored[1..]);
                let mut opened = opened.map_err(|error| column.closed(error.into()))?;
                *stored = std::mem::take(&mut *opened.plaintext).into();
                Ok(true)
            }
            Some(&PLAIN) => {
                *stored = stored.slice(1..);
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    // === places ===

    fn account(&self) -> &str {
        self.account.as_ref().map_or("", Number::as_str)
    }

    fn row<'a>(&'a self, table: Table, shard: ShardId, day: u32, row: &'a [u8]) -> Place<'a> {
        Place::Row { account: self.account(), table, shard: shard.get(), day, row }
    }

    fn session<'a>(&'a self, wa_id: &'a Number, device: i32, generation: i64) -> Place<'a> {
        Place::Session {
            account: self.account(),
            wa_id: wa_id.as_str(),
            device: device.cast_unsigned(),
            generation: generation.cast_unsigned(),
        }
    }

    fn own_key(&self, kind: i16, id: i64) -> Place<'_> {
        let kind = match kind {
            1 => "identity",
            2 => "signed_pre_key",
            3 => "one_time_pre_key",
            // Is not written.
            _ => "",
        };
        // Nor is an id beyond.
        let id = u32::try_from(id).unwrap_or(u32::MAX);
        Place::OwnKey { account: self.account(), kind, id }
    }
}

/// The column that may be sealed.
fn body(op: &Op) -> Option<&Bytes> {
    match op {
        Op::InsertMessage(row) => Some(&row.body),
        Op::InsertOutbox(row) => Some(&row.payload),
        Op::InsertEvent(row) => Some(&row.body),
        Op::ReleaseEvent(row) => Some(&row.body),
        Op::PutDeadEvent(row) => Some(&row.event.body),
        Op::PutSession(row) => Some(&row.record),
        Op::PutOwnKey(row) => Some(&row.body),
        Op::PutConfig(row) => Some(&row.document),
        _ => None,
    }
}

/// Whether a plain body could be taken for a stored one.
fn marked(body: &[u8]) -> bool {
    matches!(body.first(), Some(&(SEALED | PLAIN)))
}

/// What its first four bytes say; for a key that is not ours any day will do.
fn day_of(key: Key) -> u32 {
    key.minted_s() / DAY_S
}

fn day_of_ms(created_ms: i64) -> u32 {
    u32::try_from(created_ms.div_euclid(DAY_MS)).unwrap_or(0)
}

/// Key, then device: the device has a fixed length, so no two rows have one name.
fn outbox_name(key: Key, device: i32) -> Vec<u8> {
    [key.as_bytes(), &device.to_be_bytes()].concat()
}

/// Of no account: the number of one may be registered after its first settings were written.
fn config_place(name: &str) -> Place<'_> {
    let shard = ShardId::CONTROL.get();
    Place::Row { account: "", table: Table::Config, shard, day: 0, row: name.as_bytes() }
}

/// Longer than the name of an event, so that neither opens as the other.
fn dead_event_name(endpoint: i16, seq: i64) -> Vec<u8> {
    [&seq.to_be_bytes()[..], &endpoint.to_be_bytes()].concat()
}

impl<R: fmt::Display> Column<R> {
    fn closed(&self, cause: Closed) -> StoreError {
        let Self { table, column, row } = self;
        StoreError::Sealed { table, column, row: row.to_string(), cause }
    }
}

impl From<SealError> for Closed {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Format => Self::Format,
            SealError::UnknownKey(id) => Self::UnknownKey(id),
            _ => Self::Refused,
        }
    }
}

#[cfg(test)]
mod tests;
