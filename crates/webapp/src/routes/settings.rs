//! `/v1/settings/application`, for admins. The coreapp owns the document and its rules.

use std::time::Duration;

use axum::{body::Body, response::Response};
use contract::{answer, json::check};
use rpc::coreapp::{
    GetSettingsRequest, PatchSettingsRequest, ResetSettingsRequest, admin_client::AdminClient,
};

use super::{asking::AskingAdmin, done};
use crate::edge::{Refusal, read};

/// A change answers when it is in force, within a second; the rest is for a fail-over.
const CALL: Duration = Duration::from_secs(10);

/// Shows the settings.
pub(super) async fn get(AskingAdmin(asking): AskingAdmin) -> Result<Response, Refusal> {
    let settings = asking
        .any(CALL, GetSettingsRequest {}, |channel, request| async move {
            AdminClient::new(channel).get_settings(request).await
        })
        .await?;
    Ok(done(answer::settings_application(&settings.application)))
}

/// Changes what is given, keeps the rest.
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

/// Back to the defaults.
pub(super) async fn reset(AskingAdmin(asking): AskingAdmin) -> Result<Response, Refusal> {
    asking
        .writer(CALL, ResetSettingsRequest {}, |channel, request| async move {
            AdminClient::new(channel).reset_settings(request).await
        })
        .await?;
    Ok(done(answer::empty()))
}
