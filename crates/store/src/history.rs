//! Reads of the event log over all shards, for whoever reads it on: how far it reaches, what there is
//! without the bodies, and the bodies of what was chosen. Each is one round trip for any number of
//! shards; the order between shards is the caller's business.

use contract::{Route, ShardId};

use crate::{
    engine::{Engine as _, with_engine},
    error::StoreError,
    reader::{Reader, patiently},
    rows::{DeadEvent, Event},
};

/// Most rows of one [`Reader::marks`]; a stretch gets its part of them.
pub const MARKS_MAX: usize = 4_096;
/// Most events of one [`Reader::events_at`].
pub const AT_MAX: usize = 1_000;

/// How far the log of a shard reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    pub shard: ShardId,
    /// Everything up to here is deleted.
    pub floor: i64,
    /// The last number; the floor when nothing is left.
    pub head: i64,
}

/// A part of a shard's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub shard: ShardId,
    /// Behind this number.
    pub after: i64,
    /// Up to this one.
    pub to: i64,
}

/// An event without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub shard: ShardId,
    pub seq: i64,
    pub kind: i16,
    pub route: Route,
    pub held: bool,
    pub created_ms: i64,
    /// Of the body as it is stored.
    pub bytes: i64,
}

impl Reader {
    /// How far the log of each shard reaches, by shard.
    ///
    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn reaches(&self) -> Result<Vec<Reach>, StoreError> {
        let backend = &self.backend;
        patiently(
            &self.rng,
            || async move { with_engine!(backend, engine => engine.reaches().await) },
        )
        .await
    }

    /// What there is in each stretch, by shard and number: of each the first `each` at most, and no
    /// more than [`MARKS_MAX`] come together.
    ///
    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn marks(&self, stretches: &[Stretch], each: u32) -> Result<Vec<Mark>, StoreError> {
        if stretches.is_empty() {
            return Ok(Vec::new());
        }
        let most = u32::try_from(MARKS_MAX / stretches.len()).unwrap_or(u32::MAX).max(1);
        let (backend, each) = (&self.backend, i64::from(each.min(most)));
        patiently(&self.rng, || async move {
            with_engine!(backend, engine => engine.marks(stretches, each).await)
        })
        .await
    }

    /// The events with these numbers, at most [`AT_MAX`], in no order; what is deleted is left out.
    ///
    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn events_at(&self, at: &[(ShardId, i64)]) -> Result<Vec<Event>, StoreError> {
        let at = at.get(..AT_MAX).unwrap_or(at);
        if at.is_empty() {
            return Ok(Vec::new());
        }
        let backend = &self.backend;
        let mut events = patiently(&self.rng, || async move {
            with_engine!(backend, engine => engine.events_at(at).await)
        })
        .await?;
        events.iter_mut().try_for_each(|row| self.vault.open_event(row))?;
        Ok(events)
    }

    /// Dead and parked events of an endpoint behind a shard and number, in that order, at most
    /// `limit` and [`AT_MAX`].
    ///
    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn dead_after(
        &self,
        endpoint: i16,
        after: (ShardId, i64),
        limit: u32,
    ) -> Result<Vec<(ShardId, DeadEvent)>, StoreError> {
        let limit = i64::from(limit).min(i64::try_from(AT_MAX).unwrap_or(i64::MAX));
        let backend = &self.backend;
        let mut events = patiently(&self.rng, || async move {
            with_engine!(backend, engine => engine.dead_after(endpoint, after, limit).await)
        })
        .await?;
        let mut open = |(shard, row): &mut (_, _)| self.vault.open_dead_event(*shard, row);
        events.iter_mut().try_for_each(&mut open)?;
        Ok(events)
    }

    /// How many dead (not parked) events an endpoint has.
    ///
    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn dead_count(&self, endpoint: i16) -> Result<u64, StoreError> {
        let backend = &self.backend;
        let count = patiently(&self.rng, || async move {
            with_engine!(backend, engine => engine.dead_count(endpoint).await)
        })
        .await?;
        Ok(count.unsigned_abs())
    }
}
