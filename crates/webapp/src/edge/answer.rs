//! Answers: JSON, text, and refusals.

use std::time::Duration;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use contract::{ApiError, Code, Key, answer};
use http::{HeaderName, HeaderValue, StatusCode, header};

/// `Retry-After` of refusals that do not say when.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// In the extensions of an answer for which a coreapp was asked; with the message's key, if there
/// is one. Becomes `X-Internal-Request-IDS`.
#[derive(Clone, Copy)]
pub(crate) struct Consulted(pub(crate) Option<Key>);

/// In the extensions of a refusal, for the log of failures.
#[derive(Clone, Copy)]
pub(crate) struct Refused(pub(crate) Code);

/// A typed error as an answer. Boxed: the happy path should not carry its size around.
pub(crate) struct Refusal(Box<Parts>);

struct Parts {
    error: ApiError,
    header: Option<(HeaderName, HeaderValue)>,
    consulted: Option<Consulted>,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self(Box::new(Parts { error, header: None, consulted: None }))
    }
}

impl Refusal {
    /// With one more header. A value no header can carry is left out.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.0.header = HeaderValue::from_str(value).ok().map(|value| (name, value));
        self
    }

    /// A 401 that says how to log in.
    pub(crate) fn challenge(self, scheme: &'static str) -> Self {
        self.header(header::WWW_AUTHENTICATE, scheme)
    }

    /// After a coreapp was asked.
    pub(crate) fn consulted(mut self, consulted: Consulted) -> Self {
        self.0.consulted = Some(consulted);
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Parts { error, header, consulted } = *self.0;
        let status =
            StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = json(status, answer::errors(std::slice::from_ref(&error)));
        response.extensions_mut().insert(Refused(error.code));
        if let Some(consulted) = consulted {
            response.extensions_mut().insert(consulted);
        }
        let may_repeat =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let after = match error.retry_after_ms {
            Some(ms) => Some(Duration::from_millis(ms)),
            None => may_repeat.then_some(RETRY_AFTER),
        };
        if let Some(after) = after {
            // Whole seconds, rounded up: sooner would be too soon.
            let seconds = after.as_millis().div_ceil(1_000).max(1);
            if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
        }
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: Bytes) -> Response {
    with_type(status, body, HeaderValue::from_static("application/json"))
}

/// Prometheus' text.
pub(crate) fn text(body: String) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    with_type(StatusCode::OK, body.into(), kind)
}

fn with_type(status: StatusCode, body: Bytes, kind: HeaderValue) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
