//! The error catalogue: codes, titles, and the HTTP status each is answered with.

use std::{borrow::Cow, fmt};

use serde::{Serialize, Serializer, ser::SerializeStruct};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

/// A code of the catalogue. Where the wire contract leaves the HTTP status open, it is ours.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(u16);

macro_rules! catalogue {
    ($($name:ident = $code:literal, $http:literal, $title:literal;)*) => {
        impl Code {
            $(#[doc = concat!(stringify!($code), " ", $title)]
            pub const $name: Self = Self($code);)*

            /// Every code of the catalogue.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The short name that goes with the code.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self.0 { $($code => $title,)* _ => "Generic error" }
            }

            /// HTTP status of a synchronous answer.
            #[must_use]
            pub fn http_status(self) -> u16 {
                match self.0 { $($code => $http,)* _ => 500 }
            }
        }
    };
}

catalogue! {
    MEDIA_DOWNLOAD = 400, 400, "Media download error";
    PAYMENT = 402, 400, "Business eligibility — Payment issue";
    NOT_VALID = 408, 400, "Message is not valid";
    EXPIRED = 410, 400, "Message expired";
    RATE_LIMIT_HIT = 429, 429, "Rate limit hit";
    UNSIGNED_CERTIFICATE = 430, 400, "Unsigned certificate";
    CERTIFICATE_MISMATCH = 432, 400, "Certificate ID mismatch";
    CERTIFICATE_SIGNATURE = 433, 400, "Certificate signature invalid";
    RE_ENGAGEMENT = 470, 400, "Re-engagement message";
    SPAM_RATE_LIMIT = 471, 400, "Spam rate limit hit";
    EXPERIMENT = 472, 400, "User's number is part of an experiment";
    USER_POTENTIALLY_CHANGED = 480, 400, "User potentially changed";
    GENERIC_MESSAGE = 500, 500, "Generic error";
    TYPE_NOT_SUPPORTED = 501, 400, "Message type is not currently supported";
    GENERIC = 1000, 500, "Generic error";
    TOO_LONG = 1001, 400, "Message too long";
    RECIPIENT_TYPE = 1002, 400, "Invalid recipient type";
    ALREADY_EXISTS = 1004, 409, "Resource already exists";
    ACCESS_DENIED = 1005, 403, "Access denied";
    NOT_FOUND = 1006, 404, "Resource not found";
    RECIPIENT_BLOCKED = 1007, 400, "Recipient blocked to receive message";
    MISSING = 1008, 400, "Required parameter is missing";
    INVALID = 1009, 400, "Parameter value is not valid";
    NOT_REQUIRED = 1010, 400, "Parameter is not required";
    NOT_READY = 1011, 503, "Service not ready";
    USER_NOT_VALID = 1013, 400, "User is not valid";
    INTERNAL = 1014, 500, "Internal error";
    TOO_MANY_REQUESTS = 1015, 429, "Too many requests";
    OVERLOADED = 1016, 503, "System overloaded";
    NOT_PRIMARY_MASTER = 1017, 503, "Not Primary Master";
    NOT_PRIMARY_COREAPP = 1018, 503, "Not Primary Coreapp";
    BAD_USER = 1021, 400, "Bad User";
    NO_WEBHOOK = 1022, 400, "Webhooks URL is not configured";
    DATABASE = 1023, 503, "Database error occurred";
    PASSWORD_CHANGE_REQUIRED = 1024, 403, "Password Change Required";
    INVALID_REQUEST = 1025, 400, "Invalid Request";
    RECEIVER_INCAPABLE = 1026, 400, "Receiver incapable";
    ACKNOWLEDGEMENT_REQUIRED = 1028, 409, "A user_identity_changed system notification requires acknowledgement";
    ACCOUNT_LOCKED = 1031, 403, "Sender account has been locked";
    TEMPLATE_PARAM_COUNT = 2000, 400, "Template Param Count Mismatch";
    TEMPLATE_MISSING = 2001, 400, "Template Missing";
    TEMPLATE_FETCH_FAILED = 2002, 400, "Template Fetch Failed";
    TEMPLATE_PACK_MISSING = 2003, 400, "Template Pack Missing";
    TEMPLATE_PARAM_TOO_LONG = 2004, 400, "Template Param Length Too Long";
    TEMPLATE_TEXT_TOO_LONG = 2005, 400, "Template Hydrated Text Too Long";
    TEMPLATE_WHITE_SPACE = 2006, 400, "Template White Space Policy Violated";
    TEMPLATE_FORMAT = 2007, 400, "Template Format Character Policy Violated";
    TEMPLATE_MEDIA_FORMAT = 2008, 400, "Template Media Format Unsupported";
    TEMPLATE_COMPONENT_ABSENT = 2009, 400, "Template Required Component Missing";
    TEMPLATE_URL = 2010, 400, "Template Invalid Hydrated URL";
    TEMPLATE_PHONE_NUMBER = 2011, 400, "Template Invalid Phone Number";
    TEMPLATE_PARAM_FORMAT = 2012, 400, "Template Parameter Format Mismatch";
    TEMPLATE_BUTTONS = 2013, 400, "Template Buttons Unsupported";
    NAMESPACE_EMPTY = 2014, 400, "Expected Namespace is Empty";
    SECTIONS = 2015, 400, "Invalid number of sections";
    ROWS = 2016, 400, "Invalid number of rows";
    CHARACTERS = 2017, 400, "Character Policy Violated";
    PRODUCTS = 2023, 400, "Invalid number of product";
    CATALOG_NOT_FOUND = 2024, 400, "Catalog ID not found";
    CATALOG_NOT_LINKED = 2025, 400, "Catalog ID not linked to API number";
    PRODUCTS_MISSING = 2026, 400, "Missing products";
    PRODUCTS_NOT_FOUND = 2027, 400, "No products found";
    COMPLIANCE_ALL = 2028, 400, "List all products failed compliance";
    COMPLIANCE_SOME = 2029, 400, "List some products failed compliance";
    COMPLIANCE_MIXED = 2030, 400, "List mixed products invalid and failed compliance";
    HEADER_STRUCTURE = 2036, 400, "Invalid Header Structure";
    NOT_ENGAGED = 2048, 400, "Not engaged contact";
    COMPLIANCE_ABSENT = 2050, 400, "Missing Compliance Info";
    TEMPLATE_REJECTED = 2060, 400, "Template Rejected";
    TEMPLATE_PAUSED = 2061, 400, "Template Paused";
    TEMPLATE_DISABLED = 2062, 400, "Template Disabled";
    FLOW_BLOCKED = 2068, 400, "Flow is blocked";
    FLOW_THROTTLED = 2069, 400, "Flow is throttled";
}

impl Code {
    /// From a number on the wire; `None` when the catalogue has none such.
    #[must_use]
    pub fn from_u32(code: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| u32::from(known.0) == code)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.title())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.0)
    }
}

impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .enum_values(Some(Self::ALL.iter().map(|code| code.get())))
            .into()
    }
}

impl ToSchema for Code {}

/// What is wrong.
#[derive(ToSchema)]
#[schema(as = Error)]
pub struct ErrorObject {
    /// What programs go by. `/docs/errors/{code}` says what it means and what to do.
    #[schema(inline)]
    pub code: Code,
    /// The short name that goes with the code.
    pub title: String,
    /// What was given, what is allowed, what to do. For people: not to be parsed.
    #[schema(required = false)]
    pub details: String,
    /// The page about the code, relative to where this API is served.
    #[schema(example = "/docs/errors/1008")]
    pub href: String,
}

/// One refusal: a code and what exactly was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// What went wrong, for programs.
    pub code: Code,
    /// What was given, what is allowed, what to do. For the caller, whose numbers and texts it may
    /// repeat: logs and metrics take the code alone.
    pub details: Cow<'static, str>,
    /// When a repeat may succeed, milliseconds.
    pub retry_after_ms: Option<u64>,
    /// HTTP status, where it is not the code's usual one.
    pub http_status: Option<u16>,
}

impl ApiError {
    /// An error of `code`.
    pub fn new(code: Code, details: impl Into<Cow<'static, str>>) -> Self {
        Self { code, details: details.into(), retry_after_ms: None, http_status: None }
    }

    /// The same, to be repeated after `ms` milliseconds.
    #[must_use]
    pub fn retry_after_ms(self, ms: u64) -> Self {
        Self { retry_after_ms: Some(ms), ..self }
    }

    /// The same, answered with another HTTP status than the code's usual one.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { http_status: Some(status), ..self }
    }

    /// HTTP status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.http_status.unwrap_or_else(|| self.code.http_status())
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code.get(), self.code.title(), self.details)
    }
}

impl std::error::Error for ApiError {}

/// The object of `errors[]`, in REST answers and callbacks alike. `href` is relative: an absolute
/// one would need to know under which name we are reached.
impl Serialize for ApiError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Error", 4)?;
        object.serialize_field("code", &self.code)?;
        object.serialize_field("title", self.code.title())?;
        if self.details.is_empty() {
            object.skip_field("details")?;
        } else {
            object.serialize_field("details", &self.details)?;
        }
        object.serialize_field("href", &format_args!("/docs/errors/{}", self.code.get()))?;
        object.end()
    }
}
