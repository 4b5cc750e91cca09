//! What the engine reads of the settings document, in the form it reads it.

use std::{sync::Arc, time::Duration};

use contract::{
    Number,
    settings::{Application, MediaType, WhenFull},
};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Messages answer retries, quotes and receipts for so long.
const MESSAGES_MS: i64 = 30 * DAY_MS;
/// The same with `pass_through`.
const PASSED_MESSAGES_MS: i64 = DAY_MS;

/// A view of one version of the document; replaced as a whole.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// The account's number; `None`: none is registered.
    pub own_number: Option<Number>,
    /// Which statuses become callbacks.
    pub sent: bool,
    pub delivered: bool,
    pub read: bool,
    /// A contact known to be invalid refuses nothing.
    pub always_valid: bool,
    /// Report changed identities, send nothing until they are acknowledged.
    pub security_notifications: bool,
    /// Report that a customer has another number now.
    pub number_changes: bool,
    /// Inbound media of these types are fetched unasked.
    pub auto_download: Vec<MediaType>,
    /// No image and no video in `referral`.
    pub skip_referral_media: bool,
    /// `conversation` and `pricing` stand in callbacks.
    pub pricing: bool,
    /// Messages are kept for a day only: receipts may come later.
    pub pass_through: bool,
    /// Messages are kept for so long; `None`: until somebody asks for their removal.
    pub message_ms: Option<i64>,
    /// The same once it is asked for.
    pub collected_message_ms: i64,
    /// Media that nobody has used for long go unasked.
    pub collect_media: bool,
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
    pub(crate) fn of(application: &Application, own_number: Option<Number>) -> Arc<Self> {
        let filter = application.webhooks.message;
        let contacts = application.heliograph.contacts;
        let callbacks = application.heliograph.callbacks;
        let messages = application.heliograph.messages;
        Arc::new(Self {
            own_number,
            sent: filter.sent,
            delivered: filter.delivered,
            read: filter.read,
            always_valid: contacts.always_valid,
            security_notifications: application.show_security_notifications,
            number_changes: application.notify_user_change_number,
            auto_download: application.media.auto_download.clone(),
            skip_referral_media: application.skip_referral_media_download,
            pricing: !application.webhook_payload_conversation_pricingmodel_disabled,
            pass_through: application.pass_through,
            message_ms: application
                .garbagecollector_enable
                .messages
                .then_some(if application.pass_through { PASSED_MESSAGES_MS } else { MESSAGES_MS }),
            collected_message_ms: if application.pass_through {
                PASSED_MESSAGES_MS
            } else {
                MESSAGES_MS
            },
            collect_media: application.garbagecollector_enable.media,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_stay_a_month_a_day_when_passed_through_or_until_somebody_asks() {
        let kept = |patch: &str| {
            let application = Application::default().patch(patch.as_bytes()).ok();
            application.and_then(|application| View::of(&application, None).message_ms)
        };
        assert_eq!(kept(r#"{"pass_through":false}"#), Some(30 * DAY_MS));
        assert_eq!(kept(r#"{"pass_through":true}"#), Some(DAY_MS));
        let off = r#"{"pass_through":true,"garbagecollector_enable":{"messages":false}}"#;
        assert_eq!(kept(off), None);
    }
}
