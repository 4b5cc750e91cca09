//! Pages of keys, for who counts rows without a scan in one piece.

use contract::ShardId;

use crate::{
    engine::{Engine, with_engine},
    error::StoreError,
    reader::{Reader, patiently},
};

/// Rows of a page at most; fewer: it is the last.
pub const PAGE_MAX: usize = 1_000;
const LIMIT: i64 = 1_000;

impl Reader {
    /// Numbers behind `after` of a shard's contacts, in order, and whether each has an account. An empty
    /// `after` begins.
    ///
    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn contact_page(
        &self,
        shard: ShardId,
        after: &[u8],
    ) -> Result<Vec<(Vec<u8>, bool)>, StoreError> {
        let backend = &self.backend;
        patiently(&self.rng, || async move {
            with_engine!(backend, engine => engine.contact_page(shard, after, LIMIT).await)
        })
        .await
    }

    /// The same of the keys of its messages.
    ///
    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn message_page(
        &self,
        shard: ShardId,
        after: &[u8],
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let backend = &self.backend;
        patiently(&self.rng, || async move {
            with_engine!(backend, engine => engine.message_page(shard, after, LIMIT).await)
        })
        .await
    }

    /// The same of its events: number and kind.
    ///
    /// # Errors
    /// See [`Reader::load_shard`].
    pub async fn event_page(
        &self,
        shard: ShardId,
        after: i64,
    ) -> Result<Vec<(i64, i16)>, StoreError> {
        let backend = &self.backend;
        patiently(&self.rng, || async move {
            with_engine!(backend, engine => engine.event_page(shard, after, LIMIT).await)
        })
        .await
    }
}
