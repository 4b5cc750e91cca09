//! `/v1/settings/application`: the settings document, its defaults, and how it is stored and shown.
//!
//! Our own settings live under `heliograph`, so that old clients see the shape they know.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use crate::{
    answer::Meta,
    callback::StatusKind,
    error::{ApiError, Code},
    number::Number,
};

mod logging;
mod patch;
mod signing;
mod stored;

pub use logging::LogLevel;
pub use signing::{MAX_SECRETS, SecretError, SigningKey, SigningSecret};
pub use stored::SettingsError;

/// Of both callback delays, milliseconds: up to a day.
pub const DELAY_MS: RangeInclusive<u32> = 1..=86_400_000;
/// Seconds between heartbeats.
pub const HEARTBEAT_S: RangeInclusive<u32> = 1..=3_600;
/// Seconds of silence.
pub const UNHEALTHY_S: RangeInclusive<u32> = 1..=86_400;
/// POSTs in flight a coreapp and endpoint.
pub const CONCURRENT_REQUESTS: RangeInclusive<u32> = 1..=256;
/// Messages waiting to be sent.
pub const JOBS_MAX: RangeInclusive<u32> = 1..=1_000_000;
/// Calls a second; 0: no limit.
pub const PER_SECOND: RangeInclusive<u32> = 0..=1_000_000;
/// Calls at once above the rate.
pub const BURST: RangeInclusive<u32> = 1..=1_000_000;
/// Undelivered callbacks.
pub const QUEUE_MAX: RangeInclusive<u32> = 1..=10_000_000;
/// Age of an undelivered callback, seconds: up to 30 days.
pub const MAX_AGE_S: RangeInclusive<u32> = 1..=2_592_000;
/// Days a dead letter is kept.
pub const DEAD_LETTER_DAYS: RangeInclusive<u32> = 1..=365;
/// Age of a settled event that is still kept, seconds: up to a year.
pub const RETENTION_S: RangeInclusive<u32> = 1..=31_536_000;
/// MiB of the database's disk that stay free; 0: whatever happens.
pub const MIN_FREE_MB: RangeInclusive<u32> = 0..=1_048_576;
/// Events of one kind in a POST.
pub const BATCH_MAX: RangeInclusive<u32> = 1..=50;
/// Days a contact stays known.
pub const CACHE_DAYS: RangeInclusive<u32> = 1..=30;
/// Until an undelivered message is asked about, seconds: up to 7 days.
pub const UNDELIVERED_AFTER_S: RangeInclusive<u32> = 1..=604_800;
/// Longest webhook URL, bytes.
pub const MAX_URL: usize = 2_048;
/// Longest free text, characters.
pub const MAX_NOTE: usize = 128;

/// What `GET` answers.
#[derive(ToSchema)]
pub struct SettingsAnswer {
    /// The settings.
    #[schema(inline)]
    pub settings: SettingsShown,
    /// As in every answer.
    pub meta: Meta,
}

/// `settings`.
#[derive(ToSchema)]
pub struct SettingsShown {
    /// The settings document.
    pub application: ApplicationSettings,
}

/// The settings document as `GET` shows it and `PATCH` takes it: what is absent stays, arrays are
/// replaced. `PATCH` takes both delays as texts too.
pub struct ApplicationSettings;

impl PartialSchema for ApplicationSettings {
    fn schema() -> RefOr<Schema> {
        let document = Application::schema();
        let RefOr::T(Schema::Object(mut object)) = document else { return document };
        let sent = ObjectBuilder::new()
            .schema_type(Type::Boolean)
            .description(Some("Another name of `webhooks.message.sent`; what changes it wins."));
        let number = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("Our own number; ignored in a `PATCH`."));
        object.properties.insert("sent_status".to_owned(), sent.into());
        object.properties.insert("wa_id".to_owned(), number.into());
        Schema::Object(object).into()
    }
}

impl ToSchema for ApplicationSettings {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Application::schemas(schemas);
    }
}

/// The document.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Application {
    /// Step of the retry delay, milliseconds.
    #[schema(minimum = 1, maximum = 86_400_000)]
    pub callback_backoff_delay_ms: u32,
    /// Cap of that delay, milliseconds.
    #[schema(minimum = 1, maximum = 86_400_000)]
    pub max_callback_backoff_delay_ms: u32,
    /// Accepted and kept; callbacks are always durable.
    pub callback_persist: bool,
    /// Accepted and kept, seconds; the cluster has its own clockwork.
    #[schema(minimum = 1, maximum = 3_600)]
    pub heartbeat_interval: u32,
    /// As `heartbeat_interval`.
    #[schema(minimum = 1, maximum = 86_400)]
    pub unhealthy_interval: u32,
    /// Which inbound media are fetched unasked.
    pub media: Media,
    /// Where callbacks go, and which.
    pub webhooks: Webhooks,
    /// Messages are kept for a day only, not for a month.
    pub pass_through: bool,
    /// Report changed numbers of customers.
    pub notify_user_change_number: bool,
    /// Report changed identities of customers, refuse to send until acknowledged.
    pub show_security_notifications: bool,
    /// Which old messages and media go unasked.
    pub garbagecollector_enable: GarbageCollector,
    /// Predecessor of `garbagecollector_enable`; kept and shown once set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub db_garbagecollector_enable: Option<bool>,
    /// Tuning of older clients; kept.
    pub axolotl_context_striping_disabled: bool,
    /// No media in `referral`.
    pub skip_referral_media_download: bool,
    /// No `conversation` and no `pricing` in callbacks.
    pub webhook_payload_conversation_pricingmodel_disabled: bool,
    /// Whom to alert; kept and shown once set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 128)]
    pub on_call_pager: Option<String>,
    /// More in the log of every process: as `log_level` debug.
    pub verbose_logging: bool,
    /// How much in the log of every process: error, warn, debug or trace; info and every other word
    /// leave each as it is configured.
    #[schema(max_length = 128)]
    pub log_level: String,
    /// Ours.
    pub heliograph: Heliograph,
    /// Keys that a newer version wrote. They survive our reading and writing, so that a rolling
    /// upgrade loses nothing, but are never shown.
    #[serde(skip)]
    newer: Map<String, Value>,
}

impl Default for Application {
    fn default() -> Self {
        Self {
            callback_backoff_delay_ms: 3_000,
            max_callback_backoff_delay_ms: 900_000,
            callback_persist: true,
            heartbeat_interval: 5,
            unhealthy_interval: 30,
            media: Media::default(),
            webhooks: Webhooks::default(),
            pass_through: false,
            notify_user_change_number: false,
            show_security_notifications: false,
            garbagecollector_enable: GarbageCollector::default(),
            db_garbagecollector_enable: None,
            axolotl_context_striping_disabled: false,
            skip_referral_media_download: false,
            webhook_payload_conversation_pricingmodel_disabled: false,
            on_call_pager: None,
            verbose_logging: false,
            log_level: "info".to_owned(),
            heliograph: Heliograph::default(),
            newer: Map::new(),
        }
    }
}

/// `media`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Media {
    /// Types fetched unasked.
    pub auto_download: Vec<MediaType>,
}

impl Default for Media {
    fn default() -> Self {
        Self { auto_download: MediaType::ALL.to_vec() }
    }
}

/// A type of inbound media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MediaType {
    Audio,
    Document,
    Image,
    Sticker,
    Video,
    Voice,
}

impl MediaType {
    /// All six.
    pub const ALL: [Self; 6] =
        [Self::Audio, Self::Document, Self::Image, Self::Sticker, Self::Video, Self::Voice];
}

/// `webhooks`. No `Debug`: the URL may carry the receiver's token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Webhooks {
    /// Target; empty: events are discarded.
    #[schema(max_length = 2048, example = "https://hooks.example/heliograph")]
    pub url: String,
    /// POSTs in flight.
    #[schema(minimum = 1, maximum = 256)]
    pub max_concurrent_requests: u32,
    /// Which statuses are reported.
    pub message: StatusFilter,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self { url: String::new(), max_concurrent_requests: 6, message: StatusFilter::default() }
    }
}

/// `webhooks.message`: `failed`, `deleted` and `warning` are always reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct StatusFilter {
    /// Also known as `sent_status`.
    pub sent: bool,
    pub delivered: bool,
    pub read: bool,
}

impl Default for StatusFilter {
    fn default() -> Self {
        Self { sent: false, delivered: true, read: true }
    }
}

impl StatusFilter {
    /// Is a status of this kind reported?
    #[must_use]
    pub fn wants(&self, kind: StatusKind) -> bool {
        match kind {
            StatusKind::Sent => self.sent,
            StatusKind::Delivered => self.delivered,
            StatusKind::Read => self.read,
            StatusKind::Failed | StatusKind::Deleted | StatusKind::Warning => true,
        }
    }
}

/// `garbagecollector_enable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct GarbageCollector {
    pub messages: bool,
    pub media: bool,
}

impl Default for GarbageCollector {
    fn default() -> Self {
        Self { messages: true, media: false }
    }
}

/// `heliograph`: what the original did not have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Heliograph {
    pub jobs: Jobs,
    pub quotas: Quotas,
    pub callbacks: Callbacks,
    pub events: Events,
    pub contacts: Contacts,
    pub messages: Messages,
    pub web: Web,
    pub webhooks: OwnWebhooks,
}

/// `heliograph.jobs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Jobs {
    /// Messages waiting to be sent, a coreapp. Full: 503/1016 until half is gone.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub max: u32,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { max: 50_000 }
    }
}

/// `heliograph.quotas`: of each coreapp. Beyond: 429/1015.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Quotas {
    /// 0: no limit.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub messages_per_second: u32,
    /// 0: no limit.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub contacts_per_second: u32,
    /// Calls at once above either rate.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub burst: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { messages_per_second: 80, contacts_per_second: 40, burst: 40 }
    }
}

/// `heliograph.callbacks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Callbacks {
    /// What a full queue does to new messages.
    pub when_full: WhenFull,
    /// Undelivered callbacks at which the queue is full; it is no longer so at half.
    #[schema(minimum = 1, maximum = 10_000_000)]
    pub queue_max: u32,
    /// Older ones become dead letters, seconds.
    #[schema(minimum = 1, maximum = 2_592_000)]
    pub max_age_s: u32,
    /// Dead letters are kept for so long, days.
    #[schema(minimum = 1, maximum = 365)]
    pub dead_letter_days: u32,
    /// With `keep_sending`: new messages are refused after all while less than this is free on the
    /// disk of the database, MiB. Only for a database whose disk this process sees (SQLite).
    #[schema(minimum = 0, maximum = 1_048_576)]
    pub min_free_mb: u32,
}

impl Default for Callbacks {
    fn default() -> Self {
        Self {
            when_full: WhenFull::Refuse,
            queue_max: 100_000,
            max_age_s: 604_800,
            dead_letter_days: 30,
            min_free_mb: 1_024,
        }
    }
}

/// `heliograph.events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Events {
    /// Events that the webhook has taken are kept for so long, seconds, for whoever reads them on.
    #[schema(minimum = 1, maximum = 31_536_000)]
    pub retention_s: u32,
}

impl Default for Events {
    fn default() -> Self {
        Self { retention_s: 604_800 }
    }
}

/// What a full callback queue does to new messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// 503/1016, as the original.
    Refuse,
    /// Nothing, as long as the disk has room.
    KeepSending,
}

/// `heliograph.webhooks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct OwnWebhooks {
    /// Events of one kind that may share a POST.
    #[schema(minimum = 1, maximum = 50)]
    pub batch_max: u32,
    /// What POSTs are signed with; none: they are not. Never shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, max_items = 4, write_only)]
    pub secrets: Vec<SigningSecret>,
    /// Shown in their place: whether there are any.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    signed: Option<bool>,
}

impl Default for OwnWebhooks {
    fn default() -> Self {
        Self { batch_max: 1, secrets: Vec::new(), signed: None }
    }
}

/// `heliograph.contacts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Contacts {
    /// Answer `valid` for every number, as clients from v2.43 on expect.
    pub always_valid: bool,
    /// How long an answer of the network stays good, days.
    #[schema(minimum = 1, maximum = 30)]
    pub cache_days: u32,
}

impl Default for Contacts {
    fn default() -> Self {
        Self { always_valid: false, cache_days: 7 }
    }
}

/// `heliograph.messages`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Messages {
    /// Tell (`failed`) of a message that the network took for an account that is gone.
    pub undelivered_notice: bool,
    /// A message that is not delivered after this long is asked about, seconds.
    #[schema(minimum = 1, maximum = 604_800)]
    pub undelivered_after_s: u32,
}

impl Default for Messages {
    fn default() -> Self {
        Self { undelivered_notice: false, undelivered_after_s: 86_400 }
    }
}

/// `heliograph.web`: limits of each webapp; 0: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Web {
    /// Requests a second of a user.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub per_user: u32,
    /// Requests a second of a source address.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub per_address: u32,
    /// Logins a second of a source address.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub login_per_address: u32,
    /// Failed logins a minute under one name.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub login_failures_per_name: u32,
}

impl Default for Web {
    fn default() -> Self {
        Self { per_user: 500, per_address: 1_000, login_per_address: 5, login_failures_per_name: 5 }
    }
}

impl Application {
    /// What `GET` shows under `settings.application`, serialised. `wa_id` is our own number, when
    /// there is one.
    #[must_use]
    pub fn public_json(&self, wa_id: Option<&Number>) -> Vec<u8> {
        #[derive(Serialize)]
        struct Public<'a> {
            #[serde(flatten)]
            application: Application,
            sent_status: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            wa_id: Option<&'a Number>,
        }
        let sent_status = self.webhooks.message.sent;
        let mut application = self.clone();
        let ours = &mut application.heliograph.webhooks;
        ours.signed = Some(!std::mem::take(&mut ours.secrets).is_empty());
        // Text keys and plain values always serialise.
        serde_json::to_vec(&Public { application, sent_status, wa_id }).unwrap_or_default()
    }

    /// Applies the body of a `PATCH`: absent keys stay, arrays are replaced, `wa_id` is read-only
    /// and ignored so that a client may send back what it got.
    ///
    /// # Errors
    /// 1008 nothing given, 1009 type or range, 1010 unknown key with its path, 1025 no JSON.
    /// Nothing is applied then.
    pub fn patch(&self, body: &[u8]) -> Result<Self, ApiError> {
        let mut next = self.clone();
        let fields = crate::fields::Fields::of_body(body)?;
        if fields.is_empty() {
            return Err(ApiError::new(Code::MISSING, "Give at least one parameter to change"));
        }
        patch::apply(&mut next, fields)?;
        Ok(next)
    }
}
