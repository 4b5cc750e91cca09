//! The exact bytes that are POSTed to the integrator's webhook, one kind of event a body.

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    contacts::ContactEntry,
    envelope::InboundContent,
    error::ApiError,
    id::{Direction, MessageId},
    media::{self, MediaId},
    number::Number,
    settings::MediaType,
};

/// What an event of the log is about. The numbers are stored and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ToSchema)]
#[serde(rename_all = "lowercase")]
#[repr(i16)]
pub enum EventKind {
    /// Of a message we sent.
    #[schema(rename = "statuses")]
    Status = 1,
    /// A customer's message.
    #[schema(rename = "messages")]
    Inbound = 2,
    /// Tied to no message.
    Errors = 3,
    /// Late results of a contact check.
    Contacts = 4,
    /// What came of a collection.
    Services = 5,
    /// A received file, fetched on request.
    MediaItems = 6,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Status,
        Self::Inbound,
        Self::Errors,
        Self::Contacts,
        Self::Services,
        Self::MediaItems,
    ];

    /// As stored.
    #[must_use]
    pub fn get(self) -> i16 {
        self as i16
    }

    /// From a stored number; `None` for one of a newer version.
    #[must_use]
    pub fn from_i16(kind: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.get() == kind)
    }

    /// The top-level key of its body.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "statuses",
            Self::Inbound => "messages",
            Self::Errors => "errors",
            Self::Contacts => "contacts",
            Self::Services => "services",
            Self::MediaItems => "media_items",
        }
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatusKind {
    /// The network has it.
    Sent,
    /// The device has it.
    Delivered,
    /// The customer saw it; implies delivered.
    Read,
    /// It will not arrive.
    Failed,
    /// The customer deleted a message of theirs.
    Deleted,
    /// Not final: part of the message is unavailable.
    Warning,
}

impl StatusKind {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 6] =
        [Self::Sent, Self::Delivered, Self::Read, Self::Failed, Self::Deleted, Self::Warning];

    /// Its name in the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Failed => "failed",
            Self::Deleted => "deleted",
            Self::Warning => "warning",
        }
    }
}

/// A status of one message.
pub struct StatusEvent<'a> {
    /// The id its sender got.
    pub id: MessageId,
    /// The recipient's wa_id.
    pub recipient: Number,
    /// The recipient as the sender wrote it.
    pub input: &'a str,
    /// What happened.
    pub kind: StatusKind,
    /// When, Unix seconds.
    pub timestamp_s: i64,
    /// What the network counts it towards, where it has said so and that is to be told.
    pub conversation: Option<Conversation>,
    /// Why it failed, or what is to be known about it.
    pub errors: &'a [ApiError],
}

/// What the network counts a message towards, and charges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Names it.
    pub id: [u8; 16],
    /// What began it, and what is charged.
    pub origin: Origin,
    /// When it ends, Unix seconds.
    pub expires_s: i64,
    /// How is counted.
    pub model: PricingModel,
    /// Whether anything is charged.
    pub billable: bool,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// Its name in the contract.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// From its name; `None` for one that this version does not know.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

words! {
    /// What began a conversation: the kind of template, or the customer.
    Origin {
        /// A template that advertises.
        Marketing = "marketing",
        /// A template about something the customer has ordered.
        Utility = "utility",
        /// A template with a code.
        Authentication = "authentication",
        /// The customer wrote.
        Service = "service",
        /// The customer came from an advertisement.
        ReferralConversion = "referral_conversion",
    }
}

words! {
    /// How the network counts.
    PricingModel {
        /// By message, since July 2025.
        PerMessage = "PMP",
        /// By conversation.
        PerConversation = "CBP",
        /// By notification, until February 2022.
        PerNotification = "NBP",
    }
}

/// A customer's message.
pub struct InboundEvent<'a> {
    /// The id we gave it.
    pub id: MessageId,
    /// The customer's wa_id.
    pub from: Number,
    /// Our own number: the author of quoted messages that we sent.
    pub business: Option<Number>,
    /// The name the customer goes by; may be empty.
    pub profile_name: &'a str,
    /// When it was sent, Unix seconds.
    pub timestamp_s: i64,
    /// What it says.
    pub content: &'a InboundContent,
    /// The customer's identity, where that is to be told.
    pub identity: Option<&'a InboundIdentity>,
}

/// What is known of a customer's identity key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundIdentity {
    /// Its latest change was acknowledged.
    pub acknowledged: bool,
    /// When it was first seen, Unix milliseconds.
    pub created_ms: i64,
    /// What an acknowledgement has to repeat.
    pub hash: String,
}

impl Serialize for InboundIdentity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("acknowledged", &self.acknowledged)?;
        map.serialize_entry("created_timestamp", &self.created_ms)?;
        map.serialize_entry("hash", &self.hash)?;
        map.end()
    }
}

/// `{"statuses":[…]}`.
///
/// `conversation` and `pricing` are what the network says: nobody here counts or bills anything.
#[must_use]
pub fn status(event: &StatusEvent<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a> {
        statuses: [Status<'a>; 1],
    }
    #[derive(Serialize)]
    struct Status<'a> {
        #[serde(serialize_with = "display")]
        id: &'a MessageId,
        recipient_id: &'a Number,
        status: &'static str,
        #[serde(serialize_with = "display")]
        timestamp: i64,
        r#type: &'static str,
        message: Message<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        conversation: Option<Counted>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pricing: Option<Pricing>,
        #[serde(skip_serializing_if = "<[ApiError]>::is_empty")]
        errors: &'a [ApiError],
    }
    #[derive(Serialize)]
    struct Counted {
        id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        expiration_timestamp: Option<String>,
        origin: Began,
    }
    #[derive(Serialize)]
    struct Began {
        r#type: &'static str,
    }
    #[derive(Serialize)]
    struct Pricing {
        pricing_model: &'static str,
        billable: bool,
        category: &'static str,
    }
    #[derive(Serialize)]
    struct Message<'a> {
        recipient_id: &'a str,
    }
    let known = event.conversation;
    let conversation = known.map(|known| Counted {
        id: known.id.map(|byte| format!("{byte:02x}")).concat(),
        expiration_timestamp: (event.kind == StatusKind::Sent).then(|| known.expires_s.to_string()),
        origin: Began { r#type: known.origin.as_str() },
    });
    let pricing = known.map(|known| Pricing {
        pricing_model: known.model.as_str(),
        billable: known.billable,
        category: known.origin.as_str(),
    });
    to_vec(&Body {
        statuses: [Status {
            id: &event.id,
            recipient_id: &event.recipient,
            status: event.kind.as_str(),
            timestamp: event.timestamp_s,
            r#type: "message",
            message: Message { recipient_id: event.input },
            conversation,
            pricing,
            errors: event.errors,
        }],
    })
}

/// `{"contacts":[…],"messages":[…]}`.
#[must_use]
pub fn inbound(event: &InboundEvent<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a> {
        contacts: [Contact<'a>; 1],
        messages: [Inbound<'a>; 1],
    }
    #[derive(Serialize)]
    struct Contact<'a> {
        profile: Profile<'a>,
        wa_id: &'a Number,
    }
    #[derive(Serialize)]
    struct Profile<'a> {
        name: &'a str,
    }
    to_vec(&Body {
        contacts: [Contact { profile: Profile { name: event.profile_name }, wa_id: &event.from }],
        messages: [Inbound(event)],
    })
}

/// A contact's identity has changed.
pub struct IdentityEvent<'a> {
    /// The id the notice gets.
    pub id: MessageId,
    /// The contact.
    pub wa_id: Number,
    /// What an acknowledgement has to repeat.
    pub hash: &'a str,
    /// When the new identity was first seen, Unix milliseconds.
    pub created_ms: i64,
}

/// `{"messages":[{"type":"system",…}]}`: `user_identity_changed`.
#[must_use]
pub fn identity_changed(event: &IdentityEvent<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a> {
        messages: [Message<'a>; 1],
    }
    #[derive(Serialize)]
    struct Message<'a> {
        from: &'a Number,
        id: String,
        timestamp: String,
        r#type: &'static str,
        identity: Identity<'a>,
        system: System<'a>,
    }
    #[derive(Serialize)]
    struct Identity<'a> {
        acknowledged: bool,
        created_timestamp: i64,
        hash: &'a str,
    }
    #[derive(Serialize)]
    struct System<'a> {
        r#type: &'static str,
        body: String,
        user: &'a Number,
    }
    to_vec(&Body {
        messages: [Message {
            from: &event.wa_id,
            id: event.id.to_string(),
            timestamp: event.created_ms.div_euclid(1_000).to_string(),
            r#type: "system",
            identity: Identity {
                acknowledged: false,
                created_timestamp: event.created_ms,
                hash: event.hash,
            },
            system: System {
                r#type: "user_identity_changed",
                body: format!("The security code of {} has changed", event.wa_id),
                user: &event.wa_id,
            },
        }],
    })
}

/// A contact has another number.
pub struct NumberEvent {
    /// The id the notice gets.
    pub id: MessageId,
    /// The contact until now.
    pub wa_id: Number,
    /// From now on.
    pub new_wa_id: Number,
    /// When the network told, Unix seconds.
    pub timestamp_s: i64,
}

/// `{"messages":[{"type":"system",…}]}`: `user_changed_number`.
#[must_use]
pub fn number_changed(event: &NumberEvent) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a> {
        messages: [Message<'a>; 1],
    }
    #[derive(Serialize)]
    struct Message<'a> {
        from: &'a Number,
        id: String,
        timestamp: String,
        r#type: &'static str,
        system: System<'a>,
    }
    #[derive(Serialize)]
    struct System<'a> {
        r#type: &'static str,
        body: String,
        new_wa_id: &'a Number,
    }
    to_vec(&Body {
        messages: [Message {
            from: &event.wa_id,
            id: event.id.to_string(),
            timestamp: event.timestamp_s.to_string(),
            r#type: "system",
            system: System {
                r#type: "user_changed_number",
                body: format!("+{} changed to +{}", event.wa_id, event.new_wa_id),
                new_wa_id: &event.new_wa_id,
            },
        }],
    })
}

/// `{"errors":[…]}`: trouble that belongs to no message.
#[must_use]
pub fn errors(errors: &[ApiError]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a> {
        errors: &'a [ApiError],
    }
    to_vec(&Body { errors })
}

/// `{"services":[{"message":{"gc":…}}]}`: what came of a collection of messages; `node` says whose in a
/// cluster.
#[must_use]
pub fn messages_collected(outcome: Result<u64, &ApiError>, node: Option<&str>) -> Vec<u8> {
    to_vec(&Services {
        services: [Service::Message { gc: Gc::of("messages_deleted", outcome, node) }],
    })
}

/// The same of media.
#[must_use]
pub fn media_collected(outcome: Result<u64, &ApiError>) -> Vec<u8> {
    to_vec(&Services { services: [Service::Media { gc: Gc::of("items_deleted", outcome, None) }] })
}

#[derive(Serialize)]
struct Services<'a> {
    services: [Service<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Service<'a> {
    Message { gc: Gc<'a> },
    Media { gc: Gc<'a> },
}

struct Gc<'a> {
    count: &'static str,
    outcome: Result<u64, &'a ApiError>,
    node: Option<&'a str>,
}

impl<'a> Gc<'a> {
    fn of(count: &'static str, outcome: Result<u64, &'a ApiError>, node: Option<&'a str>) -> Self {
        Self { count, outcome, node }
    }
}

impl Serialize for Gc<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("status", if self.outcome.is_ok() { "complete" } else { "failed" })?;
        map.serialize_entry(self.count, &self.outcome.unwrap_or(0))?;
        if let Some(node) = self.node {
            map.serialize_entry("node", node)?;
        }
        if let Err(error) = self.outcome {
            map.serialize_entry("errors", &[error])?;
        }
        map.end()
    }
}

/// The callback of a customer's message, `None`: without an error. It was told with one, or another.
#[must_use]
pub fn with_error(body: &[u8], error: Option<&ApiError>) -> Option<Vec<u8>> {
    let mut callback: Value = serde_json::from_slice(body).ok()?;
    let message = callback.pointer_mut("/messages/0")?.as_object_mut()?;
    match error {
        None => drop(message.remove("errors")),
        Some(error) => {
            message.insert("errors".to_owned(), serde_json::to_value([error]).ok()?);
        }
    }
    serde_json::to_vec(&callback).ok()
}

/// A received file, fetched on request.
pub struct MediaItem<'a> {
    /// Its id.
    pub id: MediaId,
    /// What it was sent as.
    pub kind: MediaType,
    /// Content type.
    pub mime: &'a str,
    /// Of its bytes.
    pub sha256: &'a [u8; 32],
    /// Why it is not there.
    pub error: Option<&'a ApiError>,
}

/// `{"media_items":[…]}`: what came of a download that was asked for.
#[must_use]
pub fn media_item(item: &MediaItem<'_>) -> Vec<u8> {
    let kind = item.kind.as_str();
    let status = if item.error.is_none() { "downloaded" } else { "failed" };
    let mut told = serde_json::json!({
        "type": kind,
        kind: {
            "id": item.id.to_string(),
            "mime_type": item.mime,
            "sha256": media::hex(item.sha256),
            "status": status,
        },
    });
    if let Some(error) = item.error {
        told["errors"] = serde_json::to_value([error]).unwrap_or_default();
    }
    to_vec(&serde_json::json!({ "media_items": [told] }))
}

/// `{"contacts":[…]}`: results that a non-blocking contact check did not wait for.
#[must_use]
pub fn contacts(contacts: &[ContactEntry]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a> {
        contacts: &'a [ContactEntry],
    }
    to_vec(&Body { contacts })
}

/// The message of an inbound event; one of its keys is named like its type.
struct Inbound<'a>(&'a InboundEvent<'a>);

impl Serialize for Inbound<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let InboundEvent { id, from, business, timestamp_s, content, identity, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        if let Some(context) = content.context() {
            map.serialize_entry("context", &Quoted { context, business: business.as_ref() })?;
        }
        map.serialize_entry("from", from)?;
        map.serialize_entry("id", &id.to_string())?;
        map.serialize_entry("timestamp", &timestamp_s.to_string())?;
        map.serialize_entry("type", content.kind())?;
        if let Some(object) = content.object() {
            map.serialize_entry(content.kind(), object)?;
        }
        if let Some(identity) = identity {
            map.serialize_entry("identity", identity)?;
        }
        if let Some(referral) = content.referral() {
            map.serialize_entry("referral", referral)?;
        }
        if let Some(error) = content.error() {
            map.serialize_entry("errors", &[error])?;
        }
        map.end()
    }
}

/// `context` with the author of the quoted message, who is known from its id.
struct Quoted<'a> {
    context: &'a Map<String, Value>,
    business: Option<&'a Number>,
}

impl Serialize for Quoted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let quoted: Option<MessageId> =
            self.context.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        let author = quoted.as_ref().and_then(|id| match id.direction {
            Direction::Outbound => self.business,
            Direction::Inbound => Some(&id.number),
        });
        let mut map = serializer.serialize_map(None)?;
        if let Some(author) = author {
            map.serialize_entry("from", author)?;
        }
        for (name, value) in self.context {
            if author.is_none() || name != "from" {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

fn display<T: std::fmt::Display, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// All shapes here have text keys and plain values, which always serialise.
fn to_vec(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}
