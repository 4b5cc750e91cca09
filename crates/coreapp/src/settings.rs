//! What the engine reads of the settings document, in the form it reads it.

use std::sync::Arc;

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
    /// How long the network's answer for a number is good.
    pub contact_ttl_ms: i64,
}

impl View {
    pub(crate) fn of(application: &Application) -> Arc<Self> {
        let filter = application.webhooks.message;
        let contacts = application.heliograph.contacts;
        Arc::new(Self {
            sent: filter.sent,
            delivered: filter.delivered,
            read: filter.read,
            always_valid: contacts.always_valid,
            security_notifications: application.show_security_notifications,
            contact_ttl_ms: i64::from(contacts.cache_days) * 24 * 60 * 60 * 1_000,
        })
    }
}
