//! The plaintext inside an envelope: UTF-8 JSON.
//!
//! Outbound it is the canonical message as it is (see [`crate::message`]). Inbound it has the same
//! shape but comes from a customer's device, which we do not control: whatever is not understood
//! becomes a message of type `unknown`, and nothing but the content is taken over, so that a device
//! cannot forge who sent what, when, or a system message.

use serde_json::{Map, Value};

use crate::{
    error::{ApiError, Code},
    id::{Direction, MAX_ID_LEN, MessageId},
    json,
    media::{self, MediaId, Received},
    settings::MediaType,
};

/// Longest plaintext read, bytes. Longer ones become `unknown`.
pub const MAX_PLAINTEXT: usize = 256 << 10;
/// Types whose object is passed on as it is. What else a device may send is a `text`, `contacts`,
/// `ephemeral` or a revocation; clients know no other type.
const PASSED_ON: [&str; 11] = [
    "image",
    "video",
    "audio",
    "voice",
    "document",
    "sticker",
    "location",
    "button",
    "interactive",
    "order",
    "reaction",
];
/// Files of a message that are taken over; no message has as many.
const MAX_FILES: usize = 4;
/// `{"type":"revoke","revoke":{"message_id":"…"}}`: the customer deletes a message of theirs.
const REVOKE: &str = "revoke";

/// What a customer sent.
#[derive(Clone, PartialEq)]
pub struct InboundContent {
    kind: String,
    /// The object named like the type.
    object: Option<Value>,
    context: Option<Map<String, Value>>,
    referral: Option<Value>,
    /// Why it has not got its files.
    unfetched: Option<ApiError>,
}

impl InboundContent {
    /// Reads a decrypted plaintext. Never fails: see the module.
    #[must_use]
    pub fn parse(plaintext: &[u8]) -> Self {
        Self::read(plaintext).unwrap_or_else(Self::unknown)
    }

    /// A message that could not be read, also for one that could not be decrypted.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            kind: "unknown".to_owned(),
            object: None,
            context: None,
            referral: None,
            unfetched: None,
        }
    }

    fn read(plaintext: &[u8]) -> Option<Self> {
        if plaintext.len() > MAX_PLAINTEXT {
            return None;
        }
        let Value::Object(mut message) = json::parse(plaintext).ok()? else { return None };
        let kind = match message.remove("type") {
            Some(Value::String(kind)) => kind,
            None => "text".to_owned(),
            Some(_) => return None,
        };
        let object = message.remove(&kind);
        let passes = match (kind.as_str(), &object) {
            ("ephemeral", _) => true,
            ("text", Some(text)) => text.get("body").is_some_and(Value::is_string),
            ("contacts", Some(contacts)) => contacts.is_array(),
            (REVOKE, Some(revoke)) => revoked(revoke).is_some(),
            (kind, Some(object)) => PASSED_ON.contains(&kind) && object.is_object(),
            (_, None) => false,
        };
        passes.then(|| Self {
            object: object.filter(|_| kind != "ephemeral"),
            kind,
            context: message.remove("context").and_then(context),
            referral: message.remove("referral").filter(Value::is_object),
            unfetched: None,
        })
    }

    /// `type` of the message.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The object named like the type; `unknown` and `ephemeral` have none.
    #[must_use]
    pub fn object(&self) -> Option<&Value> {
        self.object.as_ref()
    }

    /// What is quoted or forwarded, in the shape of callbacks.
    #[must_use]
    pub fn context(&self) -> Option<&Map<String, Value>> {
        self.context.as_ref()
    }

    /// The advertisement the customer came from.
    #[must_use]
    pub fn referral(&self) -> Option<&Value> {
        self.referral.as_ref()
    }

    /// The message that the customer deletes; then this is no message of its own.
    #[must_use]
    pub fn revoked(&self) -> Option<MessageId> {
        self.object.as_ref().filter(|_| self.kind == REVOKE).and_then(revoked)
    }

    /// Takes the picture or film out of the advertisement.
    pub fn drop_referral_media(&mut self) {
        if let Some(Value::Object(referral)) = &mut self.referral {
            referral.retain(|name, _| MediaType::named(name).is_none());
        }
    }

    /// Gives each file that the message or its advertisement names an id of ours, and tells of them. One that
    /// cannot be had gets none, and the message an error.
    pub fn take_files(&mut self, mut mint: impl FnMut() -> MediaId) -> Vec<(MediaId, Received)> {
        let own = MediaType::named(&self.kind).zip(self.object.as_mut());
        let referral = self.referral.as_mut().and_then(Value::as_object_mut);
        let shown = referral
            .into_iter()
            .flatten()
            .filter_map(|(name, object)| Some((MediaType::named(name)?, object)));
        let mut files = Vec::new();
        for (kind, object) in own.into_iter().chain(shown).take(MAX_FILES) {
            let Value::Object(object) = object else { continue };
            if let Some(file) = Received::take(kind, object) {
                let id = mint();
                object.insert("id".to_owned(), id.to_string().into());
                files.push((id, file));
            } else {
                self.unfetched = Some(media::unfetched(format!(
                    "The message names no {} that could be fetched",
                    kind.as_str()
                )));
            }
        }
        files
    }

    /// The message has not got its files.
    pub fn set_unfetched(&mut self, error: ApiError) {
        self.unfetched = Some(error);
    }

    /// What went wrong with this message: 400 or 429 when its files are not there, 501 when its content cannot be shown.
    #[must_use]
    pub fn error(&self) -> Option<ApiError> {
        let details = match self.kind.as_str() {
            "unknown" => "Message type is not currently supported",
            "ephemeral" => "Disappearing messages are not shown",
            _ => return self.unfetched.clone(),
        };
        Some(ApiError::new(Code::TYPE_NOT_SUPPORTED, details))
    }
}

fn revoked(object: &Value) -> Option<MessageId> {
    let id = object.get("message_id")?.as_str().filter(|id| id.len() <= MAX_ID_LEN)?;
    id.parse().ok().filter(|id: &MessageId| id.direction == Direction::Inbound)
}

/// The quoted message's id is `message_id` when sent and `id` when received.
fn context(value: Value) -> Option<Map<String, Value>> {
    let Value::Object(mut context) = value else { return None };
    if let Some(id) = context.remove("message_id") {
        context.entry("id").or_insert(id);
    }
    (!context.is_empty()).then_some(context)
}
