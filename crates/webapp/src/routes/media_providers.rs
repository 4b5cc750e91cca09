//! `/v1/settings/application/media/providers`, for admins: whose credentials links are fetched with.

use std::time::Duration;

use axum::{body::Body, extract::Path, response::Response};
use contract::{
    ApiError, Code, answer,
    json::{check, parse},
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

/// Shows them, with their secrets.
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

/// Adds one, or replaces the one of its name: the body is an array with it.
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

/// Takes the one of this name away.
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
