//! `/v1/settings/application`, for admins. The coreapp owns the document and its rules.

use std::{sync::Arc, time::Duration};

use axum::{Extension, body::Body, extract::State, response::Response};
use bytes::Bytes;
use contract::{answer, json::check};
use http::{HeaderMap, StatusCode};
use rpc::coreapp::{
    GetSettingsRequest, PatchSettingsRequest, ResetSettingsRequest, admin_client::AdminClient,
};

use crate::{
    app::App,
    auth::Admin,
    edge::{Consulted, Context, Refusal, json, read},
};

/// A change answers when it is in force, within a second; the rest is for a fail-over.
const CALL: Duration = Duration::from_secs(10);

/// Shows the settings.
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    Admin(caller): Admin,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let asker = caller.asker(&context, &headers);
    let settings = app
        .cores
        .control(CALL, |channel| {
            let request = asker.request(GetSettingsRequest {}, CALL);
            async move { AdminClient::new(channel).get_settings(request).await }
        })
        .await?;
    Ok(done(answer::settings_application(&settings.application)))
}

/// Changes what is given, keeps the rest.
pub(super) async fn patch(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    Admin(caller): Admin,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let patch = read(&app.metrics, body).await?;
    check(&patch)?;
    let asker = caller.asker(&context, &headers);
    app.cores
        .writer(CALL, |channel| {
            let request = asker.request(PatchSettingsRequest { patch: patch.clone() }, CALL);
            async move { AdminClient::new(channel).patch_settings(request).await }
        })
        .await?;
    Ok(done(answer::empty()))
}

/// Back to the defaults.
pub(super) async fn reset(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    Admin(caller): Admin,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let asker = caller.asker(&context, &headers);
    app.cores
        .writer(CALL, |channel| {
            let request = asker.request(ResetSettingsRequest {}, CALL);
            async move { AdminClient::new(channel).reset_settings(request).await }
        })
        .await?;
    Ok(done(answer::empty()))
}

fn done(body: Bytes) -> Response {
    let mut response = json(StatusCode::OK, body);
    response.extensions_mut().insert(Consulted(None));
    response
}
