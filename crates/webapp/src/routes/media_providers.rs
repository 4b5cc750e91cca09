//! `/v1/settings/application/media/providers`, for admins: whose credentials links are fetched with.

use std::time::Duration;

use axum::{body::Body, extract::Path, response::Response};
use contract::{
    ApiError, Code,
    answer::{self, Empty, Errors},
    json::{check, parse},
    media,
};
use rpc::coreapp::{
    DeleteProviderRequest, ListProvidersRequest, PutProvidersRequest,
    media_providers_client::MediaProvidersClient,
};
use serde_json::{Value, json};

use super::{InPath, asking::AskingAdmin, done};
use crate::edge::{Refusal, read};

/// As for settings: in force when it answers.
const CALL: Duration = Duration::from_secs(10);

/// Shows whose credentials links are fetched with, and the credentials.
#[utoipa::path(
    get, path = "/v1/settings/application/media/providers", tag = "Settings", security(("Bearer" = ["ROLE_ADMIN"])),
    responses(
        (status = 200, description = "All of them.", body = media::ProvidersAnswer),
    ),
)]
pub(super) async fn list(AskingAdmin(asking): AskingAdmin) -> Result<Response, Refusal> {
    let shown = asking
        .any(CALL, ListProvidersRequest {}, |channel, request| async move {
            MediaProvidersClient::new(channel).list(request).await
        })
        .await?;
    let providers: Value = parse(&shown.providers)?;
    let settings = json!({ "application": { "media": { "providers": providers } } });
    Ok(done(answer::resource("settings", &settings)))
}

/// Adds a media provider, or replaces the one of its name.
///
/// The body is an array with it.
#[utoipa::path(
    post, path = "/v1/settings/application/media/providers", tag = "Settings", security(("Bearer" = ["ROLE_ADMIN"])),
    request_body(content = Vec<media::ProviderBody>),
    responses(
        (status = 200, description = "In force.", body = Empty),
        (status = 400, description = "1008 something is missing, 1009 a value or too many, 1010 unknown field, 1025 no JSON.", body = Errors),
    ),
)]
pub(super) async fn put(AskingAdmin(asking): AskingAdmin, body: Body) -> Result<Response, Refusal> {
    let providers = read(&asking.app.metrics, body).await?;
    check(&providers)?;
    asking
        .writer(CALL, PutProvidersRequest { providers }, |channel, request| async move {
            MediaProvidersClient::new(channel).put(request).await
        })
        .await?;
    Ok(done(answer::empty()))
}

/// Takes a media provider away.
#[utoipa::path(
    delete, path = "/v1/settings/application/media/providers/{name}", tag = "Settings", security(("Bearer" = ["ROLE_ADMIN"])),
    params(("name" = String, Path, description = "The provider's name.")),
    responses(
        (status = 200, description = "Gone.", body = Empty),
    ),
)]
pub(super) async fn remove(
    AskingAdmin(asking): AskingAdmin,
    name: InPath,
) -> Result<Response, Refusal> {
    let unknown = |_| ApiError::new(Code::NOT_FOUND, "There is no media provider with this name");
    let Path(name) = name.map_err(unknown)?;
    asking
        .writer(CALL, DeleteProviderRequest { name }, |channel, request| async move {
            MediaProvidersClient::new(channel).delete(request).await
        })
        .await?;
    Ok(done(answer::empty()))
}
