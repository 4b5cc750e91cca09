//! `GET /v1/openapi.json`, `GET /docs`, `GET /docs/errors`: what this API is, for programs and for
//! people. Without a login.

use axum::{extract::Path, response::Response};
use contract::{ApiError, Code, answer::Errors};
use http::StatusCode;

use super::InPath;
use crate::{
    edge::{Refusal, json},
    openapi,
};

/// This description, for programs.
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "Documentation", security(()),
    responses((status = 200, description = "An OpenAPI 3.1 document.", body = Object)),
)]
pub(super) async fn openapi_json() -> Response {
    json(StatusCode::OK, openapi::document())
}

/// This description, for people.
#[utoipa::path(
    get, path = "/docs", tag = "Documentation", security(()),
    responses((status = 200, description = "HTML.", body = String, content_type = "text/html")),
)]
pub(super) async fn page() -> Response {
    openapi::page()
}

/// Lists every error code.
#[utoipa::path(
    get, path = "/docs/errors", tag = "Documentation", security(()),
    responses((status = 200, description = "HTML.", body = String, content_type = "text/html")),
)]
pub(super) async fn errors() -> Response {
    openapi::error_index()
}

/// Says what an error code means, and what to do.
///
/// The `href` of every error leads here.
#[utoipa::path(
    get, path = "/docs/errors/{code}", tag = "Documentation", security(()),
    params(("code" = u16, Path, description = "As in `errors[].code`.")),
    responses(
        (status = 200, description = "HTML.", body = String, content_type = "text/html"),
        (status = 404, description = "1006: there is no such code.", body = Errors),
    ),
)]
pub(super) async fn error(code: InPath) -> Result<Response, Refusal> {
    let page = code.ok().and_then(|Path(code)| openapi::error_page(&code));
    page.ok_or_else(|| ApiError::new(Code::NOT_FOUND, "There is no such error code").into())
}
