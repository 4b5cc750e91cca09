//! The envelope of REST answers: `{"<resource>": …, "meta": …, "errors": […]}`.

use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeMap};
use utoipa::ToSchema;

use crate::{
    error::{ApiError, Code, ErrorObject},
    id::MessageId,
    json,
};

/// The client generation whose surface we serve; clients compare it.
pub const API_VERSION: &str = "2.53.0";
/// `meta.api_status` of every route.
pub const API_STATUS: &str = "stable";

/// `meta` of every answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Meta {
    /// The client generation whose surface is served.
    #[schema(example = "2.53.0")]
    version: &'static str,
    #[schema(example = "stable")]
    api_status: &'static str,
}

impl Meta {
    /// The only one there is.
    pub const CURRENT: Self = Self { version: API_VERSION, api_status: API_STATUS };
}

/// `{"<name>": value, "meta": …}`. A value that JSON cannot express becomes a 1014 answer.
pub fn resource(name: &str, value: &impl Serialize) -> Bytes {
    json::bytes(&Resource { name, value }).unwrap_or_else(|| {
        errors(&[ApiError::new(Code::INTERNAL, "The answer could not be written as JSON")])
    })
}

/// Success without a payload.
#[derive(Serialize, ToSchema)]
pub struct Empty {
    meta: Meta,
}

/// What every refusal looks like.
#[derive(Serialize, ToSchema)]
pub struct Errors<'a> {
    meta: Meta,
    #[schema(value_type = Vec<ErrorObject>, min_items = 1)]
    errors: &'a [ApiError],
}

/// An accepted message.
#[derive(ToSchema)]
pub struct MessageAccepted {
    /// One.
    pub messages: Vec<MessageRef>,
    /// As in every answer.
    pub meta: Meta,
}

/// A message by its id.
#[derive(ToSchema)]
pub struct MessageRef {
    /// Names the message in callbacks and in later calls. Opaque.
    #[schema(example = "gBGGFjFVURECEQIJWkKdb3Fz7l0v")]
    pub id: String,
}

/// `{"meta": …}`: success without a payload.
#[must_use]
pub fn empty() -> Bytes {
    json::bytes(&Empty { meta: Meta::CURRENT }).unwrap_or_default()
}

/// `{"meta": …, "errors": […]}`. The HTTP status is that of the first.
#[must_use]
pub fn errors(errors: &[ApiError]) -> Bytes {
    json::bytes(&Errors { meta: Meta::CURRENT, errors }).unwrap_or_default()
}

/// `{"messages":[{"id":…}],"meta":…}`, the answer to every accepted message.
#[must_use]
pub fn message_accepted(id: &MessageId) -> Bytes {
    // An id is base64url, the constants are plain: nothing needs escaping.
    Bytes::from(format!(
        r#"{{"messages":[{{"id":"{id}"}}],"meta":{{"version":"{API_VERSION}","api_status":"{API_STATUS}"}}}}"#
    ))
}

/// `{"settings":{"application":…},"meta":…}` around JSON that is serialised already.
#[must_use]
pub fn settings_application(application: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(application.len() + 96);
    out.extend_from_slice(br#"{"settings":{"application":"#);
    out.extend_from_slice(application);
    out.extend_from_slice(b"},");
    // `{"meta":…}` without its opening brace.
    out.extend_from_slice(empty().get(1..).unwrap_or_default());
    Bytes::from(out)
}

struct Resource<'a, T> {
    name: &'a str,
    value: &'a T,
}

impl<T: Serialize> Serialize for Resource<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(self.name, self.value)?;
        map.serialize_entry("meta", &Meta::CURRENT)?;
        map.end()
    }
}
