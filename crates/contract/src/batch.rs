//! `POST /v1/messages/batch`: many messages in one request, each judged alone.
//!
//! `{"messages":[…]}`, every item as the body of `POST /v1/messages`, with `idempotency_key` as one
//! more field: a client that repeats what failed sends it in another batch, at another place.

use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeMap};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use crate::{
    answer::{self, Meta},
    error::{ApiError, Code, ErrorObject},
    fields::Fields,
    idempotency::{IdempotencyKey, MAX_KEY},
    message::{MessageBody, Outgoing},
};

/// Most messages of a batch.
pub const MAX_ITEMS: usize = 1_000;
/// Longest body, bytes: a thousand messages of 2 KiB each. Longer → 413/1025.
pub const MAX_BODY: usize = 2 << 20;

/// The body of a batch.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchBody {
    /// The messages.
    #[schema(min_items = 1, max_items = 1000)]
    pub messages: Vec<BatchItem>,
}

/// A message of a batch: as the body of `POST /v1/messages`, with what its sender calls it.
pub struct BatchItem;

impl PartialSchema for BatchItem {
    fn schema() -> RefOr<Schema> {
        let message = MessageBody::schema();
        let RefOr::T(Schema::Object(mut item)) = message else { return message };
        let key = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(MAX_KEY))
            .description(Some("Names the message, as the header `Idempotency-Key` does."));
        item.properties.insert("idempotency_key".to_owned(), key.into());
        Schema::Object(item).into()
    }
}

impl ToSchema for BatchItem {}

/// The answer to a batch: what became of each message, in the order of the request.
#[derive(ToSchema)]
pub struct BatchAnswer {
    /// As many as were given.
    pub messages: Vec<BatchOutcome>,
    /// As in every answer.
    pub meta: Meta,
}

/// Accepted: `id`. Refused: `errors`. Unknown whether it was accepted: `errors` and `possible_id`.
#[derive(ToSchema)]
pub struct BatchOutcome {
    /// Of the accepted message.
    #[schema(required = false)]
    pub id: String,
    /// It was accepted before, by another request with the same key.
    #[schema(required = false)]
    pub replayed: bool,
    /// Why it was not accepted.
    #[schema(required = false)]
    pub errors: Vec<ErrorObject>,
    /// The id it was accepted under, if it was.
    #[schema(required = false)]
    pub possible_id: String,
}

/// One message of a batch.
pub struct Item {
    /// The message.
    pub message: Outgoing,
    /// What its sender calls it.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// What became of an item.
pub enum Outcome {
    /// It was accepted.
    Accepted {
        /// Its public id.
        id: String,
        /// It was accepted before, by another request with the same key.
        replayed: bool,
    },
    /// It was not.
    Refused(ApiError),
    /// It may have been, under this id.
    Unknown {
        /// The id.
        id: String,
        /// Why that is not known.
        error: ApiError,
    },
}

/// Reads a batch: its items in order, each read or refused for itself.
///
/// # Errors
/// Of the batch as a whole: 413/1025 too long, 400/1025 no JSON, 1008 no `messages`, 1009 none or
/// too many of them, 1010 another field beside it.
pub fn parse(body: &[u8]) -> Result<Vec<Result<Item, ApiError>>, ApiError> {
    let mut fields = Fields::of_body_within(body, MAX_BODY)?;
    let items = fields.optional_items("messages")?.ok_or_else(|| fields.missing("messages"))?;
    if items.is_empty() || items.len() > MAX_ITEMS {
        let given = format_args!("{} messages", items.len()).to_string();
        return Err(fields.invalid("messages", given, format_args!("1 to {MAX_ITEMS} messages")));
    }
    fields.finish()?;
    Ok(items.into_iter().map(|item| item.and_then(Item::read)).collect())
}

impl Item {
    fn read(mut fields: Fields) -> Result<Self, ApiError> {
        let key = fields.optional_str("idempotency_key")?;
        let key = key.map(|key| IdempotencyKey::parse("idempotency_key", key.as_bytes()));
        let idempotency_key = key.transpose()?;
        Ok(Self { message: Outgoing::read(fields)?, idempotency_key })
    }
}

/// `{"messages":[{"id":…} | {"errors":[…]}, …],"meta":…}`, in the order of the items.
#[must_use]
pub fn answer(outcomes: &[Outcome]) -> Bytes {
    answer::resource("messages", &outcomes)
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Accepted { id, replayed } => {
                map.serialize_entry("id", id)?;
                if *replayed {
                    map.serialize_entry("replayed", &true)?;
                }
            }
            Self::Refused(error) => map.serialize_entry("errors", &[error])?,
            Self::Unknown { id, error } => {
                map.serialize_entry("errors", &[error])?;
                map.serialize_entry("possible_id", id)?;
            }
        }
        map.end()
    }
}

/// 400/1009 for a header that would stand for all items at once.
#[must_use]
pub fn key_in_header() -> ApiError {
    ApiError::new(
        Code::INVALID,
        "'Idempotency-Key' has no meaning for a batch: give each message its own \
         'idempotency_key'",
    )
}
