//! Asks the network for its templates, again and again, where the account is. The network holds a question
//! until there is another catalogue, so an unchanged one costs one small call a minute.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use contract::catalogue::Catalogue;
use tokio::time::sleep;
use upstream::Upstream;

use super::Templates;
use crate::control::{Control, Document};

/// When the network, or our database, has not done it.
const AGAIN: Duration = Duration::from_secs(5);

/// See the module.
pub(crate) struct Refresh<U> {
    pub upstream: Arc<U>,
    pub control: Arc<Control>,
    pub templates: Arc<Templates>,
}

impl<U: Upstream> Refresh<U> {
    /// Never ends by itself.
    pub(crate) async fn run(self) {
        let mut failed = false;
        loop {
            let outcome = match self.upstream.templates(self.templates.version()).await {
                Ok(None) => Ok(()),
                Ok(Some(document)) => self.take(document).await,
                Err(error) => Err(error.to_string()),
            };
            match outcome {
                Ok(()) => failed = false,
                Err(error) => {
                    // Told once: a network that is away is told of elsewhere.
                    if !std::mem::replace(&mut failed, true) {
                        tracing::info!(
                            error,
                            "the templates were not renewed; those of before are in force"
                        );
                    }
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// Stores them; in force in every coreapp when it returns.
    async fn take(&self, document: Bytes) -> Result<(), String> {
        Catalogue::from_json(&document).map_err(|error| error.to_string())?;
        if document == self.templates.in_force().document {
            return Err("the network gives the same catalogue under another version".to_owned());
        }
        let put = self.control.put(vec![(Document::Templates, document)], None).await;
        put.map_err(|error| error.to_string())
    }
}
