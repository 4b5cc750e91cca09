//! Refusals on the wire: the catalogue's error as a field of a stream's item, and as the detail of a
//! gRPC status (`google.rpc.Status` holding one `Any`, in `grpc-status-details-bin`).
//!
//! The gRPC code is for tools that know nothing of the catalogue; ours read the detail alone.

use contract::{ApiError, Code};
use prost::Message;
use tonic::Status;

use crate::coreapp;

/// `type_url` of the detail.
pub const TYPE_URL: &str = "type.googleapis.com/heliograph.coreapp.v1.ApiError";

impl From<ApiError> for coreapp::ApiError {
    fn from(error: ApiError) -> Self {
        Self {
            code: error.code.get().into(),
            title: error.code.title().to_owned(),
            details: error.details.into_owned(),
            retry_after_ms: error.retry_after_ms.unwrap_or(0),
            http_status: error.http_status.unwrap_or(0).into(),
        }
    }
}

/// A code this build does not know becomes 1000; its number and title stay readable in the details.
impl From<coreapp::ApiError> for ApiError {
    fn from(error: coreapp::ApiError) -> Self {
        let known = match Code::from_u32(error.code) {
            Some(code) => Self::new(code, error.details),
            None => Self::new(
                Code::GENERIC,
                format!("{} {}: {}", error.code, error.title, error.details),
            ),
        };
        let known = match u16::try_from(error.http_status) {
            Ok(0) | Err(_) => known,
            Ok(status) => known.with_status(status),
        };
        match error.retry_after_ms {
            0 => known,
            ms => known.retry_after_ms(ms),
        }
    }
}

/// The status a unary call fails with.
#[must_use]
pub fn to_status(error: ApiError) -> Status {
    let code = grpc_code(error.status());
    let message = error.to_string();
    let detail = RpcStatus {
        code: code.into(),
        message: message.clone(),
        details: vec![Any {
            type_url: TYPE_URL.to_owned(),
            value: coreapp::ApiError::from(error).encode_to_vec(),
        }],
    };
    Status::with_details(code, message, detail.encode_to_vec().into())
}

/// The refusal inside a status; `None` when the status carries none, so the call failed on the way.
#[must_use]
pub fn from_status(status: &Status) -> Option<ApiError> {
    let details = RpcStatus::decode(status.details()).ok()?.details;
    let detail = details.into_iter().find(|any| any.type_url == TYPE_URL)?;
    coreapp::ApiError::decode(detail.value.as_slice()).ok().map(Into::into)
}

/// The gRPC code nearest to an HTTP status.
fn grpc_code(http: u16) -> tonic::Code {
    match http {
        400 | 413 => tonic::Code::InvalidArgument,
        401 => tonic::Code::Unauthenticated,
        403 => tonic::Code::PermissionDenied,
        404 => tonic::Code::NotFound,
        409 => tonic::Code::FailedPrecondition,
        410 => tonic::Code::OutOfRange,
        429 => tonic::Code::ResourceExhausted,
        503 => tonic::Code::Unavailable,
        _ => tonic::Code::Internal,
    }
}

/// `google.rpc.Status`, the two fields of it and the list that this hop uses.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_way_through_a_status() {
        for code in Code::ALL {
            for error in [
                ApiError::new(*code, "field 'x'"),
                ApiError::new(*code, "").retry_after_ms(1_500),
                ApiError::new(*code, "").with_status(409),
            ] {
                assert_eq!(from_status(&to_status(error.clone())), Some(error));
            }
        }
    }

    #[test]
    fn a_status_without_the_detail_is_no_refusal() {
        assert_eq!(from_status(&Status::unavailable("connection refused")), None);
        let garbage =
            Status::with_details(tonic::Code::Internal, "", b"\xff\xff".as_slice().into());
        assert_eq!(from_status(&garbage), None);
    }

    #[test]
    fn an_unknown_code_stays_readable() {
        let wire = coreapp::ApiError {
            code: 2_999,
            title: "Later Title".to_owned(),
            details: "why".to_owned(),
            retry_after_ms: 0,
            http_status: 0,
        };
        assert_eq!(ApiError::from(wire), ApiError::new(Code::GENERIC, "2999 Later Title: why"));
    }
}
