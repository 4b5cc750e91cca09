//! Documents of the account that are read and replaced as a whole: media providers.
//!
//! The owner of shard -1 alone replaces one, a change at a time; everybody reads from memory.

use std::sync::Arc;

use bytes::Bytes;
use contract::ApiError;
use store::{Reader, StoreError, rows::Config, write::Op};

use super::state::{Control, refused};

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    /// `contract::media::Providers`.
    MediaProviders = 0,
}

/// How many there are.
pub(super) const COUNT: usize = 1;

/// Version and content of each; 0: there is no row.
pub(super) type Documents = Arc<[(i64, Bytes); COUNT]>;

impl Document {
    const ALL: [Self; COUNT] = [Self::MediaProviders];

    /// `config.name`.
    fn name(self) -> &'static str {
        match self {
            Self::MediaProviders => "media_providers",
        }
    }
}

/// Their versions as a tick has read them.
pub(super) fn versions(configs: &[(String, i64)]) -> [i64; COUNT] {
    Document::ALL.map(|document| {
        let found = configs.iter().find(|(name, _)| name == document.name());
        found.map_or(0, |(_, version)| *version)
    })
}

/// Their rows.
pub(super) async fn read(reader: &Reader) -> Result<Documents, StoreError> {
    let mut documents: [(i64, Bytes); COUNT] = Default::default();
    for (place, document) in documents.iter_mut().zip(Document::ALL) {
        if let Some(row) = reader.config(document.name()).await? {
            *place = (row.version, row.document);
        }
    }
    Ok(documents.into())
}

impl Control {
    /// A document as it is in force; empty: there is none.
    pub(crate) fn document(&self, document: Document) -> Bytes {
        self.documents.borrow()[document as usize].1.clone()
    }

    /// Replaces a document by what `change` makes of it. In force everywhere when this returns.
    ///
    /// # Errors
    /// What `change` refuses; 1017 when this coreapp may not write, 1023.
    pub(crate) async fn change(
        &self,
        document: Document,
        change: impl FnOnce(&[u8]) -> Result<Vec<u8>, ApiError>,
    ) -> Result<(), ApiError> {
        // Changes come one after another.
        let mut state = self.state.lock().await;
        let (version, now) = self.documents.borrow()[document as usize].clone();
        let (version, next) = (version + 1, Bytes::from(change(&now)?));
        let name = document.name().to_owned();
        let row = Config { name, version, document: next.clone() };
        self.commit(vec![Op::PutConfig(row)]).await.map_err(|error| refused(&error))?;
        state.versions.documents[document as usize] = version;
        self.documents.send_modify(|documents| {
            Arc::make_mut(documents)[document as usize] = (version, next);
        });
        drop(state);
        self.told().await
    }
}
