//! `GET /v1/openapi.json`, `GET /docs`: what this API is, for programs and for people. Without a login.

use axum::response::Response;
use http::StatusCode;

use crate::{edge::json, openapi};

/// This description.
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "Documentation", security(()),
    responses((status = 200, description = "An OpenAPI 3.1 document.", body = Object)),
)]
pub(super) async fn openapi_json() -> Response {
    json(StatusCode::OK, openapi::document())
}

/// The same as a page.
#[utoipa::path(
    get, path = "/docs", tag = "Documentation", security(()),
    responses((status = 200, description = "HTML.", body = String, content_type = "text/html")),
)]
pub(super) async fn page() -> Response {
    openapi::page()
}
