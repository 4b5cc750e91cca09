//! What each path does: one file a resource.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, rejection::PathRejection},
    handler::Handler as _,
    response::Response,
    routing::{any, delete, get, patch, post, put},
};
use bytes::Bytes;
use contract::{ApiError, Code, Number};
use http::{HeaderValue, Method, StatusCode, Uri, header};

use crate::{
    app::App,
    edge::{Consulted, EdgeLayer, Refusal, json},
};

mod accounts;
mod asking;
mod backups;
mod batch;
mod cancel;
mod contacts;
mod events;
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
mod users;
mod webhook_authorities;

/// All routes, each in the one layer.
pub(crate) fn router(app: Arc<App>) -> Router {
    let edge = |label| EdgeLayer::new(Arc::clone(&app), label);
    let settings = "/v1/settings/application";
    let authorities = "/v1/certificates/webhooks/ca";
    let replay = "/v1/events/replay/{id}";
    let providers = "/v1/settings/application/media/providers";
    let file = "/v1/media/{id}";
    let contact_identity = "/v1/contacts/{number}/identity";
    Router::new()
        .route("/v1/users/login", post(users::login).layer(edge("POST_v1_users_login")))
        .route("/v1/users/logout", post(users::logout).layer(edge("POST_v1_users_logout")))
        .route("/v1/messages", post(messages::send).layer(edge("POST_v1_messages")))
        .route("/v1/messages/batch", post(batch::send).layer(edge("POST_v1_messages_batch")))
        .route("/v1/messages/{id}", delete(cancel::cancel).layer(edge("DELETE_v1_messages")))
        .route("/v1/messages/{id}", put(read_marks::put).layer(edge("PUT_v1_messages")))
        .route("/v1/contacts", post(contacts::check).layer(edge("POST_v1_contacts")))
        .route(contact_identity, get(identity::get).layer(edge("GET_v1_contacts_identity")))
        .route(
            "/v1/contacts/{number}/block",
            post(standing::block).layer(edge("POST_v1_contacts_block")),
        )
        .route(
            "/v1/contacts/{number}/unblock",
            post(standing::unblock).layer(edge("POST_v1_contacts_unblock")),
        )
        .route(
            "/v1/contacts/{number}/report",
            post(standing::report).layer(edge("POST_v1_contacts_report")),
        )
        .route(contact_identity, put(identity::put).layer(edge("PUT_v1_contacts_identity")))
        .route(settings, get(settings::get).layer(edge("GET_v1_settings_application")))
        .route(settings, patch(settings::patch).layer(edge("PATCH_v1_settings_application")))
        .route(settings, delete(settings::reset).layer(edge("DELETE_v1_settings_application")))
        .route(
            authorities,
            get(webhook_authorities::get).layer(edge("GET_v1_certificates_webhooks_ca")),
        )
        .route(
            authorities,
            post(webhook_authorities::post).layer(edge("POST_v1_certificates_webhooks_ca")),
        )
        .route(
            authorities,
            delete(webhook_authorities::delete).layer(edge("DELETE_v1_certificates_webhooks_ca")),
        )
        .route("/v1/events", get(events::list).layer(edge("GET_v1_events")))
        .route("/v1/events/dead", get(events::dead).layer(edge("GET_v1_events_dead")))
        .route("/v1/events/replay", post(replays::start).layer(edge("POST_v1_events_replay")))
        .route(replay, get(replays::get).layer(edge("GET_v1_events_replay")))
        .route(replay, delete(replays::cancel).layer(edge("DELETE_v1_events_replay")))
        .route("/v1/media", post(media::upload).layer(edge("POST_v1_media").within(media::ARRIVAL)))
        .route(file, get(media::download).layer(edge("GET_v1_media")))
        .route(
            providers,
            get(media_providers::list).layer(edge("GET_v1_settings_application_media_providers")),
        )
        .route(
            providers,
            post(media_providers::put).layer(edge("POST_v1_settings_application_media_providers")),
        )
        .route(
            "/v1/settings/application/media/providers/{name}",
            delete(media_providers::remove)
                .layer(edge("DELETE_v1_settings_application_media_providers")),
        )
        .route(
            "/v1/services/message/gc",
            put(services::messages).layer(edge("PUT_v1_services_message_gc")),
        )
        .route(
            "/v1/services/media/gc",
            put(services::media).layer(edge("PUT_v1_services_media_gc")),
        )
        .route(file, delete(media::remove).layer(edge("DELETE_v1_media")))
        .route("/v1/health", get(health::health).layer(edge("GET_v1_health")))
        .route("/v1/stats/app", get(stats::app).layer(edge("GET_v1_stats_app")))
        .route("/metrics", get(metrics::metrics).layer(edge("GET_metrics")))
        .route("/v1/metrics", get(metrics::metrics).layer(edge("GET_v1_metrics")))
        .route("/livez", get(probes::live).layer(edge("GET_livez")))
        .route("/readyz", get(probes::ready).layer(edge("GET_readyz").quiet()))
        .merge(account_routes(&edge))
        .fallback(unknown_path.layer(edge("unknown_path")))
        .method_not_allowed_fallback(wrong_method.layer(edge("wrong_method")))
        .with_state(app)
}

/// Users, and what concerns the account itself.
fn account_routes(edge: &impl Fn(&'static str) -> EdgeLayer) -> Router<Arc<App>> {
    let user = "/v1/users/{username}";
    let shards = "/v1/account/shards";
    let two_step = "/v1/settings/account/two-step";
    let business = "/v1/settings/business/profile";
    let about = "/v1/settings/profile/about";
    let photo = "/v1/settings/profile/photo";
    Router::new()
        .route("/v1/users", post(people::create).layer(edge("POST_v1_users")))
        .route(user, get(people::get).layer(edge("GET_v1_users")))
        .route(user, put(people::put).layer(edge("PUT_v1_users")))
        .route(user, delete(people::delete).layer(edge("DELETE_v1_users")))
        .route("/v1/account", post(accounts::request).layer(edge("POST_v1_account")))
        .route("/v1/account/verify", post(accounts::verify).layer(edge("POST_v1_account_verify")))
        .route(shards, get(accounts::shards).layer(edge("GET_v1_account_shards")))
        .route(shards, post(accounts::set_shards).layer(edge("POST_v1_account_shards")))
        .route(two_step, post(accounts::two_step).layer(edge("POST_v1_settings_account_two-step")))
        .route(
            two_step,
            delete(accounts::no_two_step).layer(edge("DELETE_v1_settings_account_two-step")),
        )
        .route(business, get(profile::business).layer(edge("GET_v1_settings_business_profile")))
        .route(
            business,
            post(profile::change_business).layer(edge("POST_v1_settings_business_profile")),
        )
        .route(about, get(profile::about).layer(edge("GET_v1_settings_profile_about")))
        .route(about, patch(profile::change_about).layer(edge("PATCH_v1_settings_profile_about")))
        .route(photo, get(photo::get).layer(edge("GET_v1_settings_profile_photo")))
        .route(photo, post(photo::post).layer(edge("POST_v1_settings_profile_photo")))
        .route(photo, delete(photo::delete).layer(edge("DELETE_v1_settings_profile_photo")))
        .route("/v1/settings/backup", post(backups::backup).layer(edge("POST_v1_settings_backup")))
        .route(
            "/v1/settings/restore",
            post(backups::restore).layer(edge("POST_v1_settings_restore")),
        )
        .route("/v1/groups", any(groups::gone).layer(edge("v1_groups")))
        .route("/v1/groups/{*rest}", any(groups::gone).layer(edge("v1_groups")))
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
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Was `?format=prometheus` asked for?
fn wants_prometheus(uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    query.split('&').any(|pair| pair == "format=prometheus")
}
