//! Unary calls: what they carry, and what a failure on the way means.

use std::{error::Error as _, sync::Arc, time::Duration};

use contract::{ApiError, Code};
use tonic::{Request, Status, metadata::MetadataValue};

use crate::directory::Role;

/// On whose behalf a call is made; travels as metadata, for roles and logs.
#[derive(Clone)]
pub(crate) struct Asker {
    pub(crate) user: Arc<str>,
    pub(crate) role: Role,
    pub(crate) request_id: String,
    pub(crate) traceparent: String,
}

impl Asker {
    /// A request with this asker's metadata.
    pub(crate) fn request<T>(&self, message: T, timeout: Duration) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(timeout);
        let role = match self.role {
            Role::Admin => "admin",
            Role::User => "user",
        };
        let metadata = request.metadata_mut();
        for (name, value) in [
            ("hg-actor", &*self.user),
            ("hg-role", role),
            ("hg-request-id", &self.request_id),
            ("traceparent", &self.traceparent),
        ] {
            // A name that no header can carry is left out: it is for logs only.
            if let Ok(value) = MetadataValue::try_from(value)
                && !value.is_empty()
            {
                metadata.insert(name, value);
            }
        }
        request
    }
}

/// The refusal a failed call ends in. A call that never reached a service is 503/1011 with its
/// cause, never a bare 1014.
pub(super) fn refusal(address: &str, status: &Status) -> ApiError {
    if let Some(error) = rpc::error::from_status(status) {
        return error;
    }
    match status.code() {
        tonic::Code::Unavailable
        | tonic::Code::Cancelled
        | tonic::Code::DeadlineExceeded
        | tonic::Code::Unknown => {
            ApiError::new(Code::NOT_READY, unreachable(address, &cause(status)))
        }
        tonic::Code::NotFound => ApiError::new(Code::NOT_FOUND, status.message().to_owned()),
        tonic::Code::ResourceExhausted => {
            ApiError::new(Code::OVERLOADED, format!("The coreapp at {address}: {}", cause(status)))
        }
        _ => ApiError::new(
            Code::INTERNAL,
            format!("The coreapp at {address} failed: {}", cause(status)),
        ),
    }
}

/// Did the call fail before any service saw it?
pub(super) fn was_unreachable(status: &Status) -> bool {
    status.code() == tonic::Code::Unavailable && status.details().is_empty()
}

/// Is the coreapp not, or no longer, the owner?
pub(super) fn has_moved(status: &Status) -> bool {
    let code = rpc::error::from_status(status).map(|error| error.code);
    matches!(code, Some(Code::NOT_PRIMARY_COREAPP | Code::NOT_PRIMARY_MASTER))
}

/// The sentence for a coreapp that cannot be reached.
pub(super) fn unreachable(address: &str, cause: &str) -> String {
    format!("The coreapp at {address} cannot be reached: {cause}")
}

/// A status' innermost reason: "connection refused" rather than "transport error".
pub(crate) fn cause(status: &Status) -> String {
    let mut innermost = status.source();
    while let Some(next) = innermost.and_then(std::error::Error::source) {
        innermost = Some(next);
    }
    match innermost {
        Some(error) => error.to_string(),
        None if status.message().is_empty() => format!("{:?}", status.code()),
        None => status.message().to_owned(),
    }
}
