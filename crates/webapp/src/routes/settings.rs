//! `/v1/settings/application`, for admins. The coreapp owns the document and its rules.

use std::time::Duration;

use axum::{body::Body, response::Response};
use contract::{
    answer::{self, Empty, Errors},
    json::check,
    settings::{ApplicationSettings, SettingsAnswer},
};
use rpc::coreapp::{
    GetSettingsRequest, PatchSettingsRequest, ResetSettingsRequest, admin_client::AdminClient,
};

use super::{asking::AskingAdmin, done};
use crate::edge::{Refusal, read};

/// A change answers when it is in force, within a second; the rest is for a fail-over.
const CALL: Duration = Duration::from_secs(10);

/// Shows the settings.
#[utoipa::path(
    get, path = "/v1/settings/application", tag = "Settings", security(("Bearer" = ["ROLE_ADMIN"])),
    responses((status = 200, description = "The settings in force.", body = SettingsAnswer)),
)]
pub(super) async fn get(AskingAdmin(asking): AskingAdmin) -> Result<Response, Refusal> {
    let settings = asking
        .any(CALL, GetSettingsRequest {}, |channel, request| async move {
            AdminClient::new(channel).get_settings(request).await
        })
        .await?;
    Ok(done(answer::settings_application(&settings.application)))
}

/// Changes what is given of the settings, at once.
#[utoipa::path(
    patch, path = "/v1/settings/application", tag = "Settings", security(("Bearer" = ["ROLE_ADMIN"])),
    request_body(content = ApplicationSettings),
    responses(
        (status = 200, description = "In force.", body = Empty),
        (status = 400, description = "Nothing has changed. 1008 nothing given, 1009 type or range, 1010 unknown key, 1025 no JSON.", body = Errors),
    ),
)]
pub(super) async fn patch(
    AskingAdmin(asking): AskingAdmin,
    body: Body,
) -> Result<Response, Refusal> {
    let patch = read(&asking.app.metrics, body).await?;
    check(&patch)?;
    asking
        .writer(CALL, PatchSettingsRequest { patch }, |channel, request| async move {
            AdminClient::new(channel).patch_settings(request).await
        })
        .await?;
    Ok(done(answer::empty()))
}

/// Puts all settings back to their defaults.
#[utoipa::path(
    delete, path = "/v1/settings/application", tag = "Settings", security(("Bearer" = ["ROLE_ADMIN"])),
    responses((status = 200, description = "The defaults are in force.", body = Empty)),
)]
pub(super) async fn reset(AskingAdmin(asking): AskingAdmin) -> Result<Response, Refusal> {
    asking
        .writer(CALL, ResetSettingsRequest {}, |channel, request| async move {
            AdminClient::new(channel).reset_settings(request).await
        })
        .await?;
    Ok(done(answer::empty()))
}
