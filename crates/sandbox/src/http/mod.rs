//! The control API: for tests, integrators and operators; loopback only, so no login.
//!
//! What lives here: the routes and how bodies are read and errors told. The other files hold the
//! handlers.

mod attached;
mod businesses;
mod devices;
mod faults;
mod media;
mod messages;
mod phones;
mod templates;
mod written;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        DefaultBodyLimit, Path, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use contract::{ApiError, Number};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{
    driver::Shared,
    journal::NotDurable,
    network::{ControlError, Stats},
    numbering::wa_id,
};

/// Largest body, bytes.
const BODY_MAX: usize = 256 << 10;
/// The same of a message with a file, in base64.
#[expect(clippy::cast_possible_truncation, reason = "100 MiB")]
const MESSAGE_MAX: usize = BODY_MAX + (contract::media::MAX_UPLOAD as usize).div_ceil(3) * 4;

/// All routes.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/stats", get(stats))
        .route("/faults", get(faults::show).put(faults::change).delete(faults::reset))
        .route("/messages", get(messages::delivered))
        .route("/phones/{wa_id}", get(phones::show).put(phones::change))
        .route(
            "/phones/{wa_id}/messages",
            get(messages::received).post(phones::write).layer(DefaultBodyLimit::max(MESSAGE_MAX)),
        )
        .route("/phones/{wa_id}/messages/{id}", delete(phones::delete))
        .route("/phones/{wa_id}/sent", get(phones::sent))
        .route("/phones/{wa_id}/media/{handle}", get(media::file))
        .route("/phones/{wa_id}/read", post(phones::read))
        .route("/devices", post(devices::register))
        .route("/devices/{wa_id}/envelopes", get(devices::envelopes).post(devices::write))
        .route("/devices/{wa_id}/receipts", post(devices::receipt))
        .route("/businesses/{number}", get(businesses::show))
        .route("/businesses/{number}/photo", get(businesses::photo))
        .route("/business/bundle", get(devices::business_bundle))
        .route("/templates", get(templates::list).put(templates::policy).delete(templates::reset))
        .route(
            "/templates/{namespace}/{name}/{language}",
            get(templates::show).put(templates::put).delete(templates::delete),
        )
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(shared)
}

async fn livez() -> Json<serde_json::Value> {
    Json(json!({ "status": "ok" }))
}

async fn stats(State(shared): State<Arc<Shared>>) -> Json<Stats> {
    Json(shared.with(|network, _| network.stats()))
}

async fn nothing_here() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "there is nothing here; try /livez, /stats, /faults, /messages, /phones/{wa_id}, \
         /phones/{wa_id}/messages, /phones/{wa_id}/sent, /phones/{wa_id}/media/{handle}, \
         /phones/{wa_id}/read, /devices, /devices/{wa_id}/envelopes, \
         /devices/{wa_id}/receipts, /businesses/{number}, /business/bundle, /templates or \
         /templates/{namespace}/{name}/{language}",
    )
}

async fn not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path has other methods; see Allow")
}

/// A refusal: `{"error": "what is wrong"}`.
#[derive(Debug)]
struct Problem {
    status: StatusCode,
    error: String,
}

impl Problem {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into() }
    }

    fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.error }))).into_response()
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let status = match error {
            ControlError::Plan(_) | ControlError::NoSuchCode(_) | ControlError::Devices => {
                StatusCode::BAD_REQUEST
            }
            ControlError::NoSuchKey(_)
            | ControlError::NotOutside
            | ControlError::NeverRegistered
            | ControlError::NoSuchDevice => StatusCode::NOT_FOUND,
            ControlError::Unacked
            | ControlError::Phones
            | ControlError::Letters
            | ControlError::Accounts => StatusCode::SERVICE_UNAVAILABLE,
            ControlError::NotKept
            | ControlError::NoKeys
            | ControlError::Outside
            | ControlError::NoBusiness
            | ControlError::WhichBusiness(_)
            | ControlError::OwnNumber
            | ControlError::NotRegistered => StatusCode::CONFLICT,
        };
        Self::new(status, error.to_string())
    }
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        let status = StatusCode::from_u16(error.status());
        Self::new(status.unwrap_or(StatusCode::BAD_REQUEST), error.details.into_owned())
    }
}

impl From<NotDurable> for Problem {
    fn from(error: NotDurable) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("failed to {error}"))
    }
}

/// The phone a path names, whichever national variant it is written in.
fn phone(path: Result<Path<String>, PathRejection>) -> Result<Number, Problem> {
    let Path(text) = path.map_err(|rejection| Problem::bad(rejection.body_text()))?;
    let number = Number::parse(&text)
        .map_err(|error| Problem::bad(format!("the path's wa_id is no number: {error}")))?;
    Ok(wa_id(number))
}

/// A JSON body; an empty one counts as `{}`.
fn body<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Problem> {
    let body = read(body)?;
    let text: &[u8] = if body.is_empty() { b"{}" } else { &body };
    serde_json::from_slice(text)
        .map_err(|error| Problem::bad(format!("the body is wrong: {error}")))
}

/// A body as it came.
fn read(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Problem> {
    body.map_err(|rejection| {
        let text = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                format!("the body has more than {BODY_MAX} bytes, or {MESSAGE_MAX} with a file")
            }
            _ => rejection.body_text(),
        };
        Problem::new(rejection.status(), text)
    })
}
