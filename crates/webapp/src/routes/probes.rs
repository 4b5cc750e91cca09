//! `GET /livez`, `GET /readyz`: for orchestrators, without a login.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use contract::{
    ApiError, Code,
    answer::{self, Empty, Errors},
};
use http::StatusCode;

use crate::{
    app::App,
    edge::{Refusal, json},
};

/// Does the process work?
///
/// Nothing else is asked: restarting it would not heal a coreapp.
#[utoipa::path(
    get, path = "/livez", tag = "Probes", security(()),
    responses((status = 200, description = "It works.", body = Empty)),
)]
pub(super) async fn live() -> Response {
    json(StatusCode::OK, answer::empty())
}

/// Would a message that comes now be handled?
#[utoipa::path(
    get, path = "/readyz", tag = "Probes", security(()),
    responses(
        (status = 200, description = "It would.", body = Empty),
        (status = 503, description = "1011: not yet, or not any more.", body = Errors),
    ),
)]
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<Response, Refusal> {
    app.directory.current()?;
    if !app.directory.connected() {
        let details = "The coreapp does not answer; its last word is not old yet";
        return Err(ApiError::new(Code::NOT_READY, details).into());
    }
    if app.hop.parts().open == 0 {
        let details = "No coreapp takes messages yet";
        return Err(ApiError::new(Code::NOT_READY, details).into());
    }
    Ok(json(StatusCode::OK, answer::empty()))
}
