//! The network's message templates: what messages are judged by when they are accepted, and rendered by
//! when they leave.
//!
//! The owner of shard -1 asks for them (`refresh`); what it got is a document of `control`, so every coreapp
//! goes by the same, and a start needs no network. A message whose template has changed since it was
//! accepted fails with the code it would have been refused with.

mod refresh;

use std::sync::Arc;

use bytes::Bytes;
use contract::{ApiError, catalogue::Catalogue};
use tokio::sync::watch;

pub(crate) use refresh::Refresh;

/// What is in force.
#[derive(Default)]
struct InForce {
    document: Bytes,
    catalogue: Catalogue,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Templates {
    now: watch::Sender<Arc<InForce>>,
}

impl Templates {
    /// Goes by the document from now on. One that cannot be read changes nothing.
    pub(crate) fn put_in_force(&self, document: &Bytes) {
        if *document == self.now.borrow().document {
            return;
        }
        match Catalogue::from_json(document) {
            Ok(catalogue) => {
                let next = InForce { document: document.clone(), catalogue };
                self.now.send_replace(Arc::new(next));
            }
            Err(error) => {
                tracing::error!(%error, "the stored templates cannot be read; the former ones are in force");
            }
        }
    }

    /// Does a canonical message fit its template?
    ///
    /// # Errors
    /// As [`Catalogue::check`].
    pub(crate) fn check(&self, message: &[u8]) -> Result<(), ApiError> {
        self.in_force().catalogue.check(message)
    }

    /// A canonical message as the phone gets it.
    ///
    /// # Errors
    /// As [`Catalogue::rendered`].
    pub(crate) fn rendered(&self, message: &Bytes) -> Result<Bytes, ApiError> {
        self.in_force().catalogue.rendered(message)
    }

    /// Of what is in force.
    fn version(&self) -> String {
        let now = self.in_force();
        if now.document.is_empty() {
            return Catalogue::version(now.catalogue.to_json().to_string().as_bytes());
        }
        Catalogue::version(&now.document)
    }

    fn in_force(&self) -> Arc<InForce> {
        self.now.borrow().clone()
    }
}
