//! What the engine reads of the settings document, in the form it reads it.

use std::{sync::Arc, time::Duration};

use contract::settings::{Application, WhenFull};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

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
    /// Dead letters are kept for so long.
    pub dead_letter_ms: i64,
    /// Events that the webhook has taken are kept for so long.
    pub retention_ms: i64,
    /// Below this much free disk new messages are refused after all; `None`: a full callback queue
    /// refuses them anyway.
    pub min_free_bytes: Option<u64>,
}

impl View {
    pub(crate) fn of(application: &Application) -> Arc<Self> {
        let filter = application.webhooks.message;
        let contacts = application.heliograph.contacts;
        let callbacks = application.heliograph.callbacks;
        let messages = application.heliograph.messages;
        Arc::new(Self {
            sent: filter.sent,
            delivered: filter.delivered,
            read: filter.read,
            always_valid: contacts.always_valid,
            security_notifications: application.show_security_notifications,
            dead_letter_ms: i64::from(callbacks.dead_letter_days) * DAY_MS,
            retention_ms: i64::from(application.heliograph.events.retention_s) * 1_000,
            min_free_bytes: (callbacks.when_full == WhenFull::KeepSending)
                .then(|| u64::from(callbacks.min_free_mb) << 20),
            contact_ttl_ms: i64::from(contacts.cache_days) * DAY_MS,
            undelivered_after: messages
                .undelivered_notice
                .then(|| Duration::from_secs(messages.undelivered_after_s.into())),
        })
    }
}
