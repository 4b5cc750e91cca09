//! What each path does: one file a resource.
//!
//! # How to add a route
//!
//! 1. Write the handler in the file of its resource, its doc comment for readers of `/docs`: the first
//!    line becomes the title, the rest the text.
//! 2. Put `#[utoipa::path(…)]` on it: method, `path`, `tag` (one of `openapi::TAGS`), `params`,
//!    `request_body`, `responses`. Whoever may call it needs nothing but a token unless `security`
//!    says otherwise: `(("Bearer" = ["ROLE_ADMIN"]))` beside the extractors for admins,
//!    `(("Bearer" = []), ("Apikey" = []))` for monitoring, `(())` for everybody; a test calls every
//!    route as everybody and compares. 401, 403, 404 (of paths with a `{part}`), 408, 413, 429, 500
//!    and 503 are added to every route that may meet them: describe only what means more. A
//!    refusal's body is `contract::answer::Errors`, an answer without a payload
//!    `contract::answer::Empty`.
//! 3. Bodies are structs of `contract` with `#[derive(ToSchema)]`, in the file that reads or writes
//!    them, with the bounds that are enforced; requests with `#[serde(deny_unknown_fields)]`, `Option`
//!    where `null` and absence are the same. They describe; what reads is `contract::Fields`.
//! 4. Add `route!(module::handler)` to [`table`], which makes router, description and the name in
//!    metrics (`POST_v1_messages`) alike; `.addition()` for what the original API does not have.
//! 5. `HELIOGRAPH_UPDATE=1 cargo test -p webapp openapi` writes `docs/openapi.json`; read the
//!    difference and commit it.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, rejection::PathRejection},
    handler::Handler as _,
    response::Response,
    routing::any,
};
use bytes::Bytes;
use contract::{ApiError, Code, Number};
use http::{HeaderValue, Method, StatusCode, Uri, header};
use serde_json::{Map, Value};

use crate::{
    app::App,
    edge::{Consulted, EdgeLayer, Refusal, json},
    openapi::{Route, route},
};

mod accounts;
mod asking;
mod backups;
mod batch;
mod cancel;
mod contacts;
mod documentation;
mod events;
mod external_certificate;
mod groups;
mod health;
mod identity;
mod media;
mod media_providers;
mod messages;
mod metrics;
mod people;
mod photo;
mod probes;
mod profile;
mod read_marks;
mod replays;
mod services;
mod settings;
mod standing;
mod stats;
mod stickerpacks;
mod support;
mod users;
mod webhook_authorities;

/// Every route with its description, in the order in which they are shown.
pub(crate) fn table() -> Vec<Route> {
    vec![
        route!(users::login),
        route!(users::logout),
        route!(people::create),
        route!(people::get),
        route!(people::put),
        route!(people::delete),
        route!(messages::send),
        route!(batch::send).addition(),
        route!(read_marks::put),
        route!(cancel::cancel).addition(),
        route!(contacts::check),
        route!(identity::get),
        route!(identity::put),
        route!(standing::block),
        route!(standing::unblock),
        route!(standing::report),
        route!(media::upload).within(media::ARRIVAL),
        route!(media::download),
        route!(media::fetch),
        route!(media::remove),
        route!(stickerpacks::list),
        route!(stickerpacks::create),
        route!(stickerpacks::get),
        route!(stickerpacks::change),
        route!(stickerpacks::remove),
        route!(stickerpacks::list_stickers),
        route!(stickerpacks::add_sticker),
        route!(stickerpacks::get_sticker),
        route!(stickerpacks::change_sticker),
        route!(stickerpacks::remove_sticker),
        route!(events::list).addition(),
        route!(events::dead).addition(),
        route!(replays::start).addition(),
        route!(replays::get).addition(),
        route!(replays::cancel).addition(),
        route!(settings::get),
        route!(settings::patch),
        route!(settings::reset),
        route!(media_providers::list),
        route!(media_providers::put),
        route!(media_providers::remove),
        route!(accounts::request),
        route!(accounts::verify),
        route!(accounts::shards),
        route!(accounts::set_shards),
        route!(accounts::two_step),
        route!(accounts::no_two_step),
        route!(profile::business),
        route!(profile::change_business),
        route!(profile::about),
        route!(profile::change_about),
        route!(photo::get),
        route!(photo::post).within(photo::WHOLE),
        route!(photo::delete),
        route!(backups::backup),
        route!(backups::restore),
        route!(external_certificate::post),
        route!(external_certificate::delete).addition(),
        route!(external_certificate::authorities),
        route!(webhook_authorities::get),
        route!(webhook_authorities::post),
        route!(webhook_authorities::delete),
        route!(services::messages),
        route!(services::media),
        route!(health::health),
        route!(support::support),
        route!(stats::app).alias("/v1/stats/app/internal"),
        route!(stats::db).alias("/v1/stats/db/internal"),
        route!(metrics::metrics).alias("/metrics"),
        route!(probes::live).addition(),
        route!(probes::ready).addition().quiet(),
        route!(documentation::openapi_json).addition(),
        route!(documentation::page).addition(),
        route!(documentation::errors).addition(),
        route!(documentation::error).addition(),
    ]
}

/// All routes, each in the one layer. What the original took out of its API is answered, but no route.
pub(crate) fn router(app: Arc<App>) -> Router {
    let edge = |label| EdgeLayer::new(Arc::clone(&app), label);
    table()
        .iter()
        .fold(Router::new(), |router, route| route.mount(router, &app))
        .route("/v1/groups", any(groups::gone).layer(edge("v1_groups")))
        .route("/v1/groups/{*rest}", any(groups::gone).layer(edge("v1_groups")))
        .fallback(unknown_path.layer(edge("unknown_path")))
        .method_not_allowed_fallback(wrong_method.layer(edge("wrong_method")))
        .with_state(app)
}

async fn unknown_path() -> Refusal {
    ApiError::new(Code::NOT_FOUND, "There is no such path").into()
}

async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    let details = format!("The path {} does not take the method {method}", uri.path());
    ApiError::new(Code::INVALID_REQUEST, details).with_status(405).into()
}

/// A variable part of a path.
type InPath = Result<Path<String>, PathRejection>;

/// A number in a path, in any notation; `name` is what the path calls it.
fn number(name: &str, given: InPath) -> Result<Number, ApiError> {
    let Path(text) = given.map_err(|_| {
        let details = format!("Parameter '{name}': the path is not percent-encoded UTF-8");
        ApiError::new(Code::INVALID, details)
    })?;
    contract::contacts::of_path(name, &text)
}

/// 200, after a coreapp was asked.
fn done(body: Bytes) -> Response {
    answered(StatusCode::OK, body)
}

/// After a coreapp was asked.
fn answered(status: StatusCode, body: Bytes) -> Response {
    let mut response = json(status, body);
    response.extensions_mut().insert(Consulted(None));
    response
}

/// PEM certificates, as the original served its downloads.
fn pem(certificates: Bytes) -> Response {
    let mut response = answered(StatusCode::OK, certificates);
    for (name, value) in [
        (header::CONTENT_TYPE, "text/plain;charset=UTF-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"ca.pem\""),
        (header::CACHE_CONTROL, "public"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Of a cluster a map, each node once; of a lone coreapp what it says. What does not answer has `errors` in
/// its place.
fn by_node(
    cluster: bool,
    nodes: impl IntoIterator<Item = (String, Result<Value, ApiError>)>,
) -> Value {
    let value = |answer: Result<Value, ApiError>| {
        answer.unwrap_or_else(|error| serde_json::json!({ "errors": [error] }))
    };
    let nodes = nodes.into_iter();
    if !cluster {
        // Known by two addresses, of which one may be of the past.
        let alone = nodes.map(|(_, answer)| answer).min_by_key(Result::is_err);
        return alone.map(value).unwrap_or_default();
    }
    let mut shown = Map::new();
    for (node, answer) in nodes {
        shown.entry(node).or_insert_with(|| value(answer));
    }
    Value::Object(shown)
}

/// Was `?format=prometheus` asked for?
fn wants_prometheus(uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    query.split('&').any(|pair| pair == "format=prometheus")
}
