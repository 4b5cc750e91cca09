//! What the engine reads of the settings document, in the form it reads it.

use std::{sync::Arc, time::Duration};

use contract::settings::Application;

/// A view of one version of the document; replaced as a whole.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Which statuses become callbacks.
    pub sent: bool,
    pub delivered: bool,
    pub read: bool,
    /// A contact known to be invalid refuses nothing.
    pub always_valid: bool,
    /// Report changed identities, send nothing until they are acknowledged.
    pub security_notifications: bool,
    /// A message undelivered for so long is asked about; `None`: never.
    pub undelivered_after: Option<Duration>,
    /// How long the network's answer for a number is good.
    pub contact_ttl_ms: i64,
}

impl View {
    pub(crate) fn of(application: &Application) -> Arc<Self> {
        let filter = application.webhooks.message;
        let contacts = application.heliograph.contacts;
        let messages = application.heliograph.messages;
        Arc::new(Self {
            sent: filter.sent,
            delivered: filter.delivered,
            read: filter.read,
            always_valid: contacts.always_valid,
            security_notifications: application.show_security_notifications,
            undelivered_after: messages
                .undelivered_notice
                .then(|| Duration::from_secs(messages.undelivered_after_s.into())),
            contact_ttl_ms: i64::from(contacts.cache_days) * 24 * 60 * 60 * 1_000,
        })
    }
}
