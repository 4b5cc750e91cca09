//! `/v1/settings/business/profile`, `/v1/settings/profile/about`, for admins: how customers see the
//! business, in words.

use std::time::Duration;

use axum::{body::Body, response::Response};
use contract::{ApiError, Code, answer, json::check, profile::Profile};
use rpc::coreapp::{
    ChangeProfileRequest, GetProfileRequest, account_client::AccountClient,
    change_profile_request::Change,
};

use super::{
    asking::{Asking, AskingAdmin},
    done,
};
use crate::edge::{Refusal, read};

/// The network has 8 s, the rest is for the commit and a fail-over.
const CALL: Duration = Duration::from_secs(12);

/// Shows the business profile.
pub(super) async fn business(AskingAdmin(asking): AskingAdmin) -> Result<Response, Refusal> {
    Ok(done(profile(&asking).await?.shown()))
}

/// Changes what is given of it, keeps the rest.
pub(super) async fn change_business(
    AskingAdmin(asking): AskingAdmin,
    body: Body,
) -> Result<Response, Refusal> {
    let body = read(&asking.app.metrics, body).await?;
    check(&body)?;
    change(&asking, Change::Business(body)).await
}

/// Shows the about text.
pub(super) async fn about(AskingAdmin(asking): AskingAdmin) -> Result<Response, Refusal> {
    Ok(done(profile(&asking).await?.about_shown()))
}

/// Changes it.
pub(super) async fn change_about(
    AskingAdmin(asking): AskingAdmin,
    body: Body,
) -> Result<Response, Refusal> {
    let body = read(&asking.app.metrics, body).await?;
    check(&body)?;
    change(&asking, Change::About(body)).await
}

async fn profile(asking: &Asking) -> Result<Profile, ApiError> {
    let profile = asking
        .any(CALL, GetProfileRequest {}, |channel, request| async move {
            AccountClient::new(channel).get_profile(request).await
        })
        .await?;
    serde_json::from_slice(&profile.profile).map_err(|_| {
        ApiError::new(Code::INTERNAL, "The coreapp answered with no profile this webapp can read")
    })
}

async fn change(asking: &Asking, change: Change) -> Result<Response, Refusal> {
    let message = ChangeProfileRequest { change: Some(change) };
    asking
        .writer(CALL, message, |channel, request| async move {
            AccountClient::new(channel).change_profile(request).await
        })
        .await?;
    Ok(done(answer::empty()))
}
